"""A vector as Numba and LLVM see it, and the instructions on one vector that `_simd_lowering` is made of."""

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import models, register_model

from minicnn.kernels._simd import VECTOR_NBYTES


class VectorType(types.Type):
    """Numba's view of one vector: an LLVM vector of float or double."""

    def __init__(self, dtype: types.Float):
        self.dtype = dtype
        self.lanes = VECTOR_NBYTES * 8 // dtype.bitwidth
        super().__init__(name=f"Vector({dtype} x {self.lanes})")


@register_model(VectorType)
class VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):  # type: ignore[no-untyped-def]
        element = ir.FloatType() if vector.dtype == types.float32 else ir.DoubleType()
        super().__init__(manager, vector, ir.VectorType(element, vector.lanes))


def tile_type(dtype: types.Float, count: int) -> types.UniTuple:
    return types.UniTuple(VectorType(dtype), count)


def element_pointer(context, builder, array_type, array, offset):  # type: ignore[no-untyped-def]
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset])


def lane_mask(builder, vector, index, count):  # type: ignore[no-untyped-def]
    """Lanes l of vector `index` of a row with index·lanes + l < count; None where count is Numba's None."""
    if not isinstance(count.type, ir.IntType):
        return None
    index_type = ir.IntType(32)
    mask_type = ir.VectorType(index_type, vector.count)
    left = builder.sub(builder.trunc(count, index_type), ir.Constant(index_type, index * vector.count))
    first = builder.insert_element(ir.Constant(mask_type, ir.Undefined), left, ir.Constant(index_type, 0))
    limit = builder.shuffle_vector(first, first, ir.Constant(mask_type, [0] * vector.count))
    return builder.icmp_signed("<", ir.Constant(mask_type, list(range(vector.count))), limit)


def suffix(vector):  # type: ignore[no-untyped-def]
    if isinstance(vector.element, ir.IntType):
        return f"v{vector.count}i{vector.element.width}"
    return f"v{vector.count}f{itemsize(vector) * 8}"


def itemsize(vector):  # type: ignore[no-untyped-def]
    if isinstance(vector.element, ir.IntType):
        return vector.element.width // 8
    return 4 if isinstance(vector.element, ir.FloatType) else 8


def load_vector(builder, vector, pointer, mask=None):  # type: ignore[no-untyped-def]
    pointer = builder.bitcast(pointer, vector.as_pointer())
    if mask is None:
        return builder.load(pointer, align=itemsize(vector))
    signature = ir.FunctionType(vector, [pointer.type, ir.IntType(32), mask.type, vector])
    function = cgutils.get_or_insert_function(
        builder.module, signature, f"llvm.masked.load.{suffix(vector)}.p0"
    )
    return builder.call(
        function, [pointer, ir.Constant(ir.IntType(32), itemsize(vector)), mask, ir.Constant(vector, None)]
    )


def store_vector(builder, vector, value, pointer, mask=None):  # type: ignore[no-untyped-def]
    pointer = builder.bitcast(pointer, vector.as_pointer())
    if mask is None:
        builder.store(value, pointer, align=itemsize(vector))
        return
    signature = ir.FunctionType(ir.VoidType(), [vector, pointer.type, ir.IntType(32), mask.type])
    function = cgutils.get_or_insert_function(
        builder.module, signature, f"llvm.masked.store.{suffix(vector)}.p0"
    )
    builder.call(function, [value, pointer, ir.Constant(ir.IntType(32), itemsize(vector)), mask])


def advance(builder, pointer, elements):  # type: ignore[no-untyped-def]
    return builder.gep(pointer, [ir.Constant(ir.IntType(64), elements)])


def load_vectors(context, builder, vector, sig, args, which):  # type: ignore[no-untyped-def]
    """The vectors of argument `which`, an array; the last two arguments are the offset and the count."""
    pointer = element_pointer(context, builder, sig.args[which], args[which], args[-2])
    loaded, width = [], len(sig.return_type)
    for v in range(width):
        mask = lane_mask(builder, vector, v, args[-1]) if v == width - 1 else None
        loaded.append(load_vector(builder, vector, advance(builder, pointer, v * vector.count), mask))
    return loaded


def broadcast(builder, vector, scalar):  # type: ignore[no-untyped-def]
    index_type = ir.IntType(32)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(index_type, 0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(index_type, vector.count), None))


def keep_order(builder):  # type: ignore[no-untyped-def]
    """An empty instruction that no load may be moved across.

    LLVM unrolls the loop around a tile and then loads the second round's numbers early, which spills the sums: a
    6 × 4 tile fell from 100 to 25-65 GFLOP/s.
    """
    builder.asm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", [], side_effect=True)


def fused_multiply_add(builder, a, b, c):  # type: ignore[no-untyped-def]
    """a·b + c, fused where the processor can: every host with AVX2 does."""
    signature = ir.FunctionType(a.type, [a.type] * 3)
    function = cgutils.get_or_insert_function(builder.module, signature, f"llvm.fmuladd.{suffix(a.type)}")
    return builder.call(function, [a, b, c])


def compress(builder, value, mask):  # type: ignore[no-untyped-def]
    """The lanes of the vector where the mask is set, side by side from lane 0 on; then anything."""
    if VECTOR_NBYTES == 32 and value.type.count == 8:
        return _compress_by_table(builder, value, mask)
    signature = ir.FunctionType(value.type, [value.type, mask.type, value.type])
    function = cgutils.get_or_insert_function(
        builder.module, signature, f"llvm.experimental.vector.compress.{suffix(value.type)}"
    )
    return builder.call(function, [value, mask, ir.Constant(value.type, ir.Undefined)])


def _compress_by_table(builder, value, mask):  # type: ignore[no-untyped-def]
    """AVX2 has no such instruction, and LLVM would move lane by lane: a permutation for each of the 256 masks."""
    small = ir.VectorType(ir.IntType(8), 8)
    lanes_of = [[lane for lane in range(8) if bits >> lane & 1] for bits in range(256)]
    rows = [ir.Constant(small, (lanes + [0] * 8)[:8]) for lanes in lanes_of]
    table = cgutils.global_constant(
        builder.module, "lanes_of_mask", ir.Constant(ir.ArrayType(small, 256), rows)
    )
    bits = builder.zext(builder.bitcast(mask, ir.IntType(8)), ir.IntType(64))
    row = builder.load(builder.gep(table, [ir.Constant(ir.IntType(64), 0), bits]))
    index = builder.zext(row, ir.VectorType(ir.IntType(32), 8))
    name = "llvm.x86.avx2.permd" if isinstance(value.type.element, ir.IntType) else "llvm.x86.avx2.permps"
    signature = ir.FunctionType(value.type, [value.type, index.type])
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), [value, index])


def transpose_vectors(builder, rows):  # type: ignore[no-untyped-def]
    """As many vectors as each has lanes, lane l of vector k becoming lane k of vector l.

    Blocks of step × step numbers beside the diagonal change places, for step = 1, 2, 4, ….
    """
    rows, size, step = list(rows), len(rows), 1
    while step < size:
        upper = [k - step + size if k & step else k for k in range(size)]
        lower = [k + size if k & step else k + step for k in range(size)]
        masks = [ir.Constant(ir.VectorType(ir.IntType(32), size), lanes) for lanes in (upper, lower)]
        for k in range(size):
            if not k & step:
                pair = rows[k], rows[k + step]
                rows[k], rows[k + step] = (builder.shuffle_vector(*pair, mask) for mask in masks)
        step *= 2
    return rows


def broadcast_integer(builder, vector, number):  # type: ignore[no-untyped-def]
    return broadcast(builder, vector, builder.sitofp(number, vector.element))


def row_places(context, builder, vector, size, rows):  # type: ignore[no-untyped-def]
    """Pointer and mask of each vector of a tile of `size` vectors whose rows lie at offsets of an array."""
    array_type, array, offsets, count = rows
    offsets = cgutils.unpack_tuple(builder, offsets)
    width = size // len(offsets)
    pointers = [element_pointer(context, builder, array_type, array, offset) for offset in offsets]
    places = [advance(builder, pointer, v * vector.count) for pointer in pointers for v in range(width)]
    return places, ([None] * (width - 1) + [lane_mask(builder, vector, width - 1, count)]) * len(offsets)
