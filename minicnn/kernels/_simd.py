"""Small tiles of SIMD vectors, for the few inner loops that LLVM's own vectoriser doesn't keep in registers.

A *vector* holds `lanes(x)` numbers of the dtype of x, as wide as the processor's registers. A *tile* is a tuple of
vectors. Arrays are addressed by a flat offset into their (C-contiguous) memory, without wraparound or checks.

Each function is written twice: the Python body is the meaning, and what runs under NUMBA_DISABLE_JIT=1; the
lowering below it is what compiled kernels get. A tile of m rows of v vectors is row-major.

`count` is how many numbers of a row of vectors are wanted; lanes past them are read as 0 and not written. It lies
in the last vector of the row: (v − 1)·lanes < count ≤ v·lanes. None means all: it saves the masks, and a load from
where a masked store has just been must wait for it to reach the cache.
"""

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import lower_builtin, models, register_model, type_callable


def _register_nbytes() -> int:
    features = llvm.get_host_cpu_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx") else 16


VECTOR_NBYTES = _register_nbytes()


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


# --- the meaning, in NumPy ---------------------------------------------------------------------------------------


def lanes(x: np.ndarray) -> int:
    """How many numbers of x's dtype fit into one vector."""
    return VECTOR_NBYTES // x.itemsize


def read(x: np.ndarray, at: int) -> float:
    """x[at] in flat memory, without Numba's check for a negative index."""
    return x.reshape(-1)[at]


def write(x: np.ndarray, at: int, value: float) -> None:
    """x[at] = value in flat memory, without Numba's check for a negative index."""
    x.reshape(-1)[at] = value


def shifted(offsets: tuple[int, ...], by: int) -> tuple[int, ...]:
    """Every offset + by."""
    return tuple(offset + by for offset in offsets)


def zeros(x: np.ndarray, rows: tuple[int, ...], width: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """A tile of len(rows) rows of len(width) zero vectors (tuples, because their lengths are constants)."""
    return tuple(np.zeros(lanes(x), x.dtype) for _ in range(len(rows) * len(width)))


def zeros_like(tile: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """A tile of zeros."""
    return tuple(np.zeros_like(vector) for vector in tile)


def add_tiles(a: tuple[np.ndarray, ...], b: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """a + b, element by element."""
    return tuple(x + y for x, y in zip(a, b, strict=True))


def load_row(
    tile: tuple[np.ndarray, ...], x: np.ndarray, at: int, count: int | None
) -> tuple[np.ndarray, ...]:
    """As many vectors as `tile` has, from x[at:]."""
    values = np.zeros(len(tile) * lanes(x), x.dtype)
    count = values.size if count is None else count
    values[:count] = x.reshape(-1)[at : at + count]
    return tuple(np.split(values, len(tile)))


def repeat_rows(tile: tuple[np.ndarray, ...], row: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """A tile like `tile`, each row of which is `row`."""
    return row * (len(tile) // len(row))


def outer_fma(
    tile: tuple[np.ndarray, ...],
    x: np.ndarray,
    offsets: tuple[int, ...],
    step: int,
    row: tuple[np.ndarray, ...],
) -> tuple[np.ndarray, ...]:
    """tile[m, v] + x[offsets[m] + step]·row[v], rounded once."""
    flat = x.reshape(-1)
    scalars = [flat[offset + step] for offset in offsets]
    return tuple(
        tile[m * len(row) + v] + scalar * row[v] for m, scalar in enumerate(scalars) for v in range(len(row))
    )


def rows_fma(
    tile: tuple[np.ndarray, ...], x: np.ndarray, offsets: tuple[int, ...], at: int, scalar: float, count: int
) -> tuple[np.ndarray, ...]:
    """tile[m] + scalar · x[offsets[m] + at:][:count], rounded once."""
    flat, width, result = x.reshape(-1), len(tile) // len(offsets), []
    for m, offset in enumerate(offsets):
        row = tile[m * width : (m + 1) * width]
        loaded = load_row(row, flat, offset + at, count)
        result += [a + scalar * b for a, b in zip(row, loaded, strict=True)]
    return tuple(result)


def load_rows(
    tile: tuple[np.ndarray, ...], x: np.ndarray, offsets: tuple[int, ...], count: int
) -> tuple[np.ndarray, ...]:
    """A tile like `tile`, row m of which is x[offsets[m]:][:count]."""
    width = len(tile) // len(offsets)
    return tuple(vector for offset in offsets for vector in load_row(tile[:width], x, offset, count))


def add_scaled_rows(
    y: np.ndarray, offsets: tuple[int, ...], at: int, scalar: float, tile: tuple[np.ndarray, ...], count: int
) -> None:
    """y[offsets[m] + at:][:count] += scalar · row m of the tile, rounded once; the offsets must differ."""
    flat, width = y.reshape(-1), len(tile) // len(offsets)
    count = width * lanes(y) if count is None else count
    for m, offset in enumerate(offsets):
        row = np.concatenate(tile[m * width : (m + 1) * width])[:count]
        flat[offset + at : offset + at + count] += scalar * row


def row_fma(
    row: tuple[np.ndarray, ...], a: tuple[np.ndarray, ...], b: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, ...]:
    """row + a·b, element by element, rounded once."""
    return tuple(x + y * z for x, y, z in zip(row, a, b, strict=True))


def relu(tile: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """max(tile, 0); NaN stays NaN."""
    return tuple(np.maximum(vector, 0) for vector in tile)


def store_rows(y: np.ndarray, offsets: tuple[int, ...], tile: tuple[np.ndarray, ...], count: int) -> None:
    """y[offsets[m]:][:count] = row m of the tile."""
    flat, width = y.reshape(-1), len(tile) // len(offsets)
    count = width * lanes(y) if count is None else count
    for m, offset in enumerate(offsets):
        flat[offset : offset + count] = np.concatenate(tile[m * width : (m + 1) * width])[:count]


def add_rows(y: np.ndarray, offsets: tuple[int, ...], tile: tuple[np.ndarray, ...], count: int) -> None:
    """y[offsets[m]:][:count] += row m of the tile; rows with the same offset must be equal, and are added once."""
    flat, width = y.reshape(-1), len(tile) // len(offsets)
    count = width * lanes(y) if count is None else count
    for offset, m in {offset: m for m, offset in enumerate(offsets)}.items():
        flat[offset : offset + count] += np.concatenate(tile[m * width : (m + 1) * width])[:count]


def first_half(tile: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """The upper half of the tile's rows."""
    return tile[: len(tile) // 2]


def second_half(tile: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """The lower half of the tile's rows."""
    return tile[len(tile) // 2 :]


def max_state(row: tuple[np.ndarray, ...], index: int) -> tuple[np.ndarray, ...]:
    """The running maxima `row`, followed by as many vectors that say where they stood: all at `index`."""
    return row + tuple(np.full_like(vector, index) for vector in row)


def fold_max(
    state: tuple[np.ndarray, ...], tile: tuple[np.ndarray, ...], index: int
) -> tuple[np.ndarray, ...]:
    """Maxima of the state and of the tile's rows, which stand at index, index + 1, …; the first of equals wins.

    The first NaN wins over everything.
    """
    width = len(state) // 2
    best, where = list(state[:width]), list(state[width:])
    for k, values in enumerate(tile):
        v = k % width
        better = (values > best[v]) | (np.isnan(values) & ~np.isnan(best[v]))
        best[v] = np.where(better, values, best[v])
        where[v] = np.where(better, where[v].dtype.type(index + k // width), where[v])
    return (*best, *where)


def store_max(y: np.ndarray, argmax: np.ndarray, at: int, state: tuple[np.ndarray, ...], count: int) -> None:
    """y[at:][:count] = the maxima, argmax[at:][:count] = where they stood."""
    width = len(state) // 2
    count = width * lanes(y) if count is None else count
    y.reshape(-1)[at : at + count] = np.concatenate(state[:width])[:count]
    argmax.reshape(-1)[at : at + count] = np.concatenate(state[width:])[:count]


def passed_row(
    row: tuple[np.ndarray, ...], dy: np.ndarray, y: np.ndarray, at: int, count: int
) -> tuple[np.ndarray, ...]:
    """dy[at:][:count] where y > 0, else 0: what a ReLU lets through."""
    part = slice(at, at + count)
    passed = np.where(y.reshape(-1)[part] > 0, dy.reshape(-1)[part], dy.dtype.type(0))
    return load_row(row, passed, 0, count)


def index_row(row: tuple[np.ndarray, ...], argmax: np.ndarray, at: int, count: int) -> tuple[np.ndarray, ...]:
    """argmax[at:][:count] as numbers of the row's dtype."""
    return load_row(row, argmax.reshape(-1)[at : at + count].astype(row[0].dtype), 0, count)


def select_row(
    row: tuple[np.ndarray, ...], where: tuple[np.ndarray, ...], index: int
) -> tuple[np.ndarray, ...]:
    """The row where `where` equals index, else 0."""
    return tuple(np.where(b == index, a, a.dtype.type(0)) for a, b in zip(row, where, strict=True))


# --- the lowerings -----------------------------------------------------------------------------------------------


def _tile_type(dtype: types.Type, count: int) -> types.UniTuple:
    return types.UniTuple(VectorType(dtype), count)


@type_callable(lanes)
def _type_lanes(context):  # type: ignore[no-untyped-def]
    return lambda x: types.intp


@lower_builtin(lanes, types.Array)
def _lower_lanes(context, builder, sig, args):  # type: ignore[no-untyped-def]
    return context.get_constant(types.intp, VectorType(sig.args[0].dtype).lanes)


@type_callable(shifted)
def _type_shifted(context):  # type: ignore[no-untyped-def]
    return lambda offsets, by: offsets


@lower_builtin(shifted, types.BaseTuple, types.Integer)
def _lower_shifted(context, builder, sig, args):  # type: ignore[no-untyped-def]
    result = [builder.add(offset, args[1]) for offset in cgutils.unpack_tuple(builder, args[0])]
    return context.make_tuple(builder, sig.return_type, result)


@type_callable(zeros)
def _type_zeros(context):  # type: ignore[no-untyped-def]
    return lambda x, rows, width: _tile_type(x.dtype, len(rows) * len(width))


@lower_builtin(zeros, types.Array, types.BaseTuple, types.BaseTuple)
def _lower_zeros(context, builder, sig, args):  # type: ignore[no-untyped-def]
    return ir.Constant(context.get_value_type(sig.return_type), None)


@type_callable(zeros_like)
def _type_zeros_like(context):  # type: ignore[no-untyped-def]
    return lambda tile: tile


@lower_builtin(zeros_like, types.BaseTuple)
def _lower_zeros_like(context, builder, sig, args):  # type: ignore[no-untyped-def]
    return ir.Constant(context.get_value_type(sig.return_type), None)


@type_callable(add_tiles)
def _type_add_tiles(context):  # type: ignore[no-untyped-def]
    return lambda a, b: a


@lower_builtin(add_tiles, types.BaseTuple, types.BaseTuple)
def _lower_add_tiles(context, builder, sig, args):  # type: ignore[no-untyped-def]
    a, b = (cgutils.unpack_tuple(builder, arg) for arg in args)
    result = [builder.fadd(x, y) for x, y in zip(a, b, strict=True)]
    return context.make_tuple(builder, sig.return_type, result)


def _pointer(context, builder, array_type, array, offset):  # type: ignore[no-untyped-def]
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset])


def _mask(builder, vector, index, count):  # type: ignore[no-untyped-def]
    """Lanes l of vector `index` of a row with index·lanes + l < count; None where count is Numba's None."""
    if not isinstance(count.type, ir.IntType):
        return None
    index_type = ir.IntType(32)
    mask_type = ir.VectorType(index_type, vector.count)
    left = builder.sub(builder.trunc(count, index_type), ir.Constant(index_type, index * vector.count))
    first = builder.insert_element(ir.Constant(mask_type, ir.Undefined), left, ir.Constant(index_type, 0))
    limit = builder.shuffle_vector(first, first, ir.Constant(mask_type, [0] * vector.count))
    return builder.icmp_signed("<", ir.Constant(mask_type, list(range(vector.count))), limit)


def _suffix(vector):  # type: ignore[no-untyped-def]
    if isinstance(vector.element, ir.IntType):
        return f"v{vector.count}i{vector.element.width}"
    return f"v{vector.count}f{_itemsize(vector) * 8}"


def _itemsize(vector):  # type: ignore[no-untyped-def]
    if isinstance(vector.element, ir.IntType):
        return vector.element.width // 8
    return 4 if isinstance(vector.element, ir.FloatType) else 8


def _load_vector(builder, vector, pointer, mask=None):  # type: ignore[no-untyped-def]
    pointer = builder.bitcast(pointer, vector.as_pointer())
    if mask is None:
        return builder.load(pointer, align=_itemsize(vector))
    signature = ir.FunctionType(vector, [pointer.type, ir.IntType(32), mask.type, vector])
    function = cgutils.get_or_insert_function(
        builder.module, signature, f"llvm.masked.load.{_suffix(vector)}.p0"
    )
    return builder.call(
        function, [pointer, ir.Constant(ir.IntType(32), _itemsize(vector)), mask, ir.Constant(vector, None)]
    )


def _store_vector(builder, vector, value, pointer, mask=None):  # type: ignore[no-untyped-def]
    pointer = builder.bitcast(pointer, vector.as_pointer())
    if mask is None:
        builder.store(value, pointer, align=_itemsize(vector))
        return
    signature = ir.FunctionType(ir.VoidType(), [vector, pointer.type, ir.IntType(32), mask.type])
    function = cgutils.get_or_insert_function(
        builder.module, signature, f"llvm.masked.store.{_suffix(vector)}.p0"
    )
    builder.call(function, [value, pointer, ir.Constant(ir.IntType(32), _itemsize(vector)), mask])


def _advance(builder, pointer, elements):  # type: ignore[no-untyped-def]
    return builder.gep(pointer, [ir.Constant(ir.IntType(64), elements)])


@type_callable(read)
def _type_read(context):  # type: ignore[no-untyped-def]
    return lambda x, at: x.dtype


@lower_builtin(read, types.Array, types.Integer)
def _lower_read(context, builder, sig, args):  # type: ignore[no-untyped-def]
    return builder.load(_pointer(context, builder, sig.args[0], args[0], args[1]))


@type_callable(write)
def _type_write(context):  # type: ignore[no-untyped-def]
    return lambda x, at, value: types.none


@lower_builtin(write, types.Array, types.Integer, types.Number)
def _lower_write(context, builder, sig, args):  # type: ignore[no-untyped-def]
    value = context.cast(builder, args[2], sig.args[2], sig.args[0].dtype)
    builder.store(value, _pointer(context, builder, sig.args[0], args[0], args[1]))
    return context.get_dummy_value()


@type_callable(load_row)
def _type_load_row(context):  # type: ignore[no-untyped-def]
    return lambda tile, x, at, count: tile


@lower_builtin(load_row, types.BaseTuple, types.Array, types.Integer, types.Any)
def _lower_load_row(context, builder, sig, args):  # type: ignore[no-untyped-def]
    vector = context.get_value_type(sig.return_type.dtype)
    return context.make_tuple(builder, sig.return_type, _load_row(context, builder, vector, sig, args, 1))


def _load_row(context, builder, vector, sig, args, which):  # type: ignore[no-untyped-def]
    """The vectors of argument `which`, an array; the last two arguments are the offset and the count."""
    pointer = _pointer(context, builder, sig.args[which], args[which], args[-2])
    loaded, width = [], len(sig.return_type)
    for v in range(width):
        mask = _mask(builder, vector, v, args[-1]) if v == width - 1 else None
        loaded.append(_load_vector(builder, vector, _advance(builder, pointer, v * vector.count), mask))
    return loaded


@type_callable(repeat_rows)
def _type_repeat_rows(context):  # type: ignore[no-untyped-def]
    return lambda tile, row: tile


@lower_builtin(repeat_rows, types.BaseTuple, types.BaseTuple)
def _lower_repeat_rows(context, builder, sig, args):  # type: ignore[no-untyped-def]
    row = cgutils.unpack_tuple(builder, args[1])
    return context.make_tuple(builder, sig.return_type, row * (len(sig.args[0]) // len(row)))


@type_callable(outer_fma)
def _type_outer_fma(context):  # type: ignore[no-untyped-def]
    return lambda tile, x, offsets, step, row: tile


def _splat(builder, vector, scalar):  # type: ignore[no-untyped-def]
    index_type = ir.IntType(32)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(index_type, 0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(index_type, vector.count), None))


def _keep_order(builder):  # type: ignore[no-untyped-def]
    """An empty instruction that no load may be moved across.

    LLVM unrolls the loop around a tile and then loads the second round's numbers early, which spills the sums: a
    6 × 4 tile fell from 100 to 25-65 GFLOP/s.
    """
    builder.asm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", [], side_effect=True)


def _fma(builder, a, b, c):  # type: ignore[no-untyped-def]
    """a·b + c, fused where the processor can: every host with AVX2 does."""
    signature = ir.FunctionType(a.type, [a.type] * 3)
    function = cgutils.get_or_insert_function(builder.module, signature, f"llvm.fmuladd.{_suffix(a.type)}")
    return builder.call(function, [a, b, c])


@lower_builtin(outer_fma, types.BaseTuple, types.Array, types.BaseTuple, types.Integer, types.BaseTuple)
def _lower_outer_fma(context, builder, sig, args):  # type: ignore[no-untyped-def]
    vector = context.get_value_type(sig.return_type.dtype)
    tile, offsets, row = (cgutils.unpack_tuple(builder, args[k]) for k in (0, 2, 4))
    base = _pointer(context, builder, sig.args[1], args[1], args[3])
    result = []
    for m, offset in enumerate(offsets):
        scalar = _splat(builder, vector, builder.load(builder.gep(base, [offset])))
        result += [_fma(builder, scalar, row[v], tile[m * len(row) + v]) for v in range(len(row))]
    _keep_order(builder)
    return context.make_tuple(builder, sig.return_type, result)


@type_callable(rows_fma)
def _type_rows_fma(context):  # type: ignore[no-untyped-def]
    return lambda tile, x, offsets, at, scalar, count: tile


@lower_builtin(rows_fma, types.BaseTuple, types.Array, types.BaseTuple, types.Integer, types.Float, types.Any)
def _lower_rows_fma(context, builder, sig, args):  # type: ignore[no-untyped-def]
    vector = context.get_value_type(sig.return_type.dtype)
    tile, offsets = cgutils.unpack_tuple(builder, args[0]), cgutils.unpack_tuple(builder, args[2])
    width = len(tile) // len(offsets)
    base = _pointer(context, builder, sig.args[1], args[1], args[3])
    scalar = _splat(builder, vector, args[4])
    last, result = _mask(builder, vector, width - 1, args[5]), []
    for m, offset in enumerate(offsets):
        pointer = builder.gep(base, [offset])
        for v in range(width):
            mask = last if v == width - 1 else None
            loaded = _load_vector(builder, vector, _advance(builder, pointer, v * vector.count), mask)
            result.append(_fma(builder, scalar, loaded, tile[m * width + v]))
    return context.make_tuple(builder, sig.return_type, result)


@type_callable(row_fma)
def _type_row_fma(context):  # type: ignore[no-untyped-def]
    return lambda row, a, b: row


@lower_builtin(row_fma, types.BaseTuple, types.BaseTuple, types.BaseTuple)
def _lower_row_fma(context, builder, sig, args):  # type: ignore[no-untyped-def]
    rows = [cgutils.unpack_tuple(builder, arg) for arg in args]
    result = [_fma(builder, a, b, c) for c, a, b in zip(*rows, strict=True)]
    return context.make_tuple(builder, sig.return_type, result)


@type_callable(relu)
def _type_relu(context):  # type: ignore[no-untyped-def]
    return lambda tile: tile


@lower_builtin(relu, types.BaseTuple)
def _lower_relu(context, builder, sig, args):  # type: ignore[no-untyped-def]
    zero = ir.Constant(context.get_value_type(sig.return_type.dtype), None)
    result = [
        # "unordered or greater", so that NaN is kept
        builder.select(builder.fcmp_unordered(">", vector, zero), vector, zero)
        for vector in cgutils.unpack_tuple(builder, args[0])
    ]
    return context.make_tuple(builder, sig.return_type, result)


for _function, _half in ((first_half, 0), (second_half, 1)):
    type_callable(_function)(lambda context: lambda tile: _tile_type(tile.dtype.dtype, len(tile) // 2))

    def _lower_half(context, builder, sig, args, half=_half):  # type: ignore[no-untyped-def]
        tile, size = cgutils.unpack_tuple(builder, args[0]), len(sig.return_type)
        return context.make_tuple(builder, sig.return_type, tile[half * size : (half + 1) * size])

    lower_builtin(_function, types.BaseTuple)(_lower_half)


@type_callable(max_state)
def _type_max_state(context):  # type: ignore[no-untyped-def]
    return lambda row, index: _tile_type(row.dtype.dtype, 2 * len(row))


def _splat_integer(builder, vector, number):  # type: ignore[no-untyped-def]
    return _splat(builder, vector, builder.sitofp(number, vector.element))


@lower_builtin(max_state, types.BaseTuple, types.Integer)
def _lower_max_state(context, builder, sig, args):  # type: ignore[no-untyped-def]
    row = cgutils.unpack_tuple(builder, args[0])
    where = _splat_integer(builder, row[0].type, args[1])
    return context.make_tuple(builder, sig.return_type, row + [where] * len(row))


@type_callable(fold_max)
def _type_fold_max(context):  # type: ignore[no-untyped-def]
    return lambda state, tile, index: state


@lower_builtin(fold_max, types.BaseTuple, types.BaseTuple, types.Integer)
def _lower_fold_max(context, builder, sig, args):  # type: ignore[no-untyped-def]
    state, tile = cgutils.unpack_tuple(builder, args[0]), cgutils.unpack_tuple(builder, args[1])
    width = len(state) // 2
    for k, values in enumerate(tile):
        v = k % width
        if v == 0:
            number = builder.add(args[2], ir.Constant(args[2].type, k // width))
            index = _splat_integer(builder, values.type, number)
        # greater, or NaN where no NaN was before
        greater = builder.fcmp_unordered(">", values, state[v])
        better = builder.and_(greater, builder.fcmp_ordered("ord", state[v], state[v]))
        state[v] = builder.select(better, values, state[v])
        state[width + v] = builder.select(better, index, state[width + v])
    return context.make_tuple(builder, sig.return_type, state)


@type_callable(store_max)
def _type_store_max(context):  # type: ignore[no-untyped-def]
    return lambda y, argmax, at, state, count: types.none


@lower_builtin(store_max, types.Array, types.Array, types.Integer, types.BaseTuple, types.Any)
def _lower_store_max(context, builder, sig, args):  # type: ignore[no-untyped-def]
    state = cgutils.unpack_tuple(builder, args[3])
    width, vector = len(state) // 2, state[0].type
    integers = ir.VectorType(context.get_value_type(sig.args[1].dtype), vector.count)
    best = _pointer(context, builder, sig.args[0], args[0], args[2])
    where = _pointer(context, builder, sig.args[1], args[1], args[2])
    for v in range(width):
        mask = _mask(builder, vector, v, args[4]) if v == width - 1 else None
        _store_vector(builder, vector, state[v], _advance(builder, best, v * vector.count), mask)
        index = builder.fptosi(state[width + v], ir.VectorType(ir.IntType(32), vector.count))
        if integers.element.width < 32:
            index = builder.trunc(index, integers)
        _store_vector(builder, integers, index, _advance(builder, where, v * vector.count), mask)
    return context.get_dummy_value()


@type_callable(passed_row)
def _type_passed_row(context):  # type: ignore[no-untyped-def]
    return lambda row, dy, y, at, count: row


@lower_builtin(passed_row, types.BaseTuple, types.Array, types.Array, types.Integer, types.Integer)
def _lower_passed_row(context, builder, sig, args):  # type: ignore[no-untyped-def]
    vector = context.get_value_type(sig.return_type.dtype)
    dy, y = (_load_row(context, builder, vector, sig, args, k) for k in (1, 2))
    zero = ir.Constant(vector, None)
    result = [builder.select(builder.fcmp_ordered(">", b, zero), a, zero) for a, b in zip(dy, y, strict=True)]
    return context.make_tuple(builder, sig.return_type, result)


@type_callable(index_row)
def _type_index_row(context):  # type: ignore[no-untyped-def]
    return lambda row, argmax, at, count: row


@lower_builtin(index_row, types.BaseTuple, types.Array, types.Integer, types.Integer)
def _lower_index_row(context, builder, sig, args):  # type: ignore[no-untyped-def]
    vector = context.get_value_type(sig.return_type.dtype)
    integers = ir.VectorType(context.get_value_type(sig.args[1].dtype), vector.count)
    loaded = _load_row(context, builder, integers, sig, args, 1)
    return context.make_tuple(builder, sig.return_type, [builder.uitofp(value, vector) for value in loaded])


@type_callable(select_row)
def _type_select_row(context):  # type: ignore[no-untyped-def]
    return lambda row, where, index: row


@lower_builtin(select_row, types.BaseTuple, types.BaseTuple, types.Integer)
def _lower_select_row(context, builder, sig, args):  # type: ignore[no-untyped-def]
    row, where = cgutils.unpack_tuple(builder, args[0]), cgutils.unpack_tuple(builder, args[1])
    zero, index = ir.Constant(row[0].type, None), _splat_integer(builder, row[0].type, args[2])
    result = [
        builder.select(builder.fcmp_ordered("==", b, index), a, zero) for a, b in zip(row, where, strict=True)
    ]
    return context.make_tuple(builder, sig.return_type, result)


@type_callable(load_rows)
def _type_load_rows(context):  # type: ignore[no-untyped-def]
    return lambda tile, x, offsets, count: tile


@lower_builtin(load_rows, types.BaseTuple, types.Array, types.BaseTuple, types.Any)
def _lower_load_rows(context, builder, sig, args):  # type: ignore[no-untyped-def]
    vector = context.get_value_type(sig.return_type.dtype)
    places, masks = _row_places(
        context, builder, vector, len(sig.return_type), (sig.args[1], args[1], args[2], args[3])
    )
    loaded = [_load_vector(builder, vector, *place) for place in zip(places, masks, strict=True)]
    return context.make_tuple(builder, sig.return_type, loaded)


@type_callable(add_scaled_rows)
def _type_add_scaled_rows(context):  # type: ignore[no-untyped-def]
    return lambda y, offsets, at, scalar, tile, count: types.none


@lower_builtin(
    add_scaled_rows, types.Array, types.BaseTuple, types.Integer, types.Float, types.BaseTuple, types.Any
)
def _lower_add_scaled_rows(context, builder, sig, args):  # type: ignore[no-untyped-def]
    tile = cgutils.unpack_tuple(builder, args[4])
    vector = tile[0].type
    offsets = [builder.add(offset, args[2]) for offset in cgutils.unpack_tuple(builder, args[1])]
    offsets = context.make_tuple(builder, sig.args[1], offsets)
    places, masks = _row_places(context, builder, vector, len(tile), (sig.args[0], args[0], offsets, args[5]))
    scalar = _splat(builder, vector, args[3])
    for value, place, mask in zip(tile, places, masks, strict=True):
        _store_vector(
            builder,
            vector,
            _fma(builder, scalar, value, _load_vector(builder, vector, place, mask)),
            place,
            mask,
        )
    return context.get_dummy_value()


def _row_places(context, builder, vector, size, rows):  # type: ignore[no-untyped-def]
    """Pointer and mask of each vector of a tile of `size` vectors whose rows lie at offsets of an array."""
    array_type, array, offsets, count = rows
    offsets = cgutils.unpack_tuple(builder, offsets)
    width = size // len(offsets)
    pointers = [_pointer(context, builder, array_type, array, offset) for offset in offsets]
    places = [_advance(builder, pointer, v * vector.count) for pointer in pointers for v in range(width)]
    return places, ([None] * (width - 1) + [_mask(builder, vector, width - 1, count)]) * len(offsets)


def _lower_row_writer(combine):  # type: ignore[no-untyped-def]
    """Lowering of a function (y, offsets, tile, count) that writes combine(old row, tile row).

    Everything is read before anything is written: rows that stand twice in a tile are then added once.
    """

    def lower(context, builder, sig, args):  # type: ignore[no-untyped-def]
        vector = context.get_value_type(sig.args[2].dtype)
        tile = cgutils.unpack_tuple(builder, args[2])
        places, masks = _row_places(
            context, builder, vector, len(tile), (sig.args[0], args[0], args[1], args[3])
        )
        if combine:
            old = [_load_vector(builder, vector, *place) for place in zip(places, masks, strict=True)]
            tile = [combine(builder, a, b) for a, b in zip(old, tile, strict=True)]
        for value, place, mask in zip(tile, places, masks, strict=True):
            _store_vector(builder, vector, value, place, mask)
        return context.get_dummy_value()

    return lower


for _function, _combine in ((store_rows, None), (add_rows, lambda builder, a, b: builder.fadd(a, b))):
    type_callable(_function)(lambda context: lambda y, offsets, tile, count: types.none)
    lower_builtin(_function, types.Array, types.BaseTuple, types.BaseTuple, types.Any)(
        _lower_row_writer(_combine)
    )
