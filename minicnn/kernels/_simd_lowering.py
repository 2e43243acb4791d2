"""What compiled kernels get for each function of `_simd`: its type, then its instructions.

Importing this module registers them; `minicnn.kernels` does.
"""

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import lower_builtin, type_callable

from minicnn.kernels._simd import (
    add_rows,
    add_scaled_rows,
    add_scaled_tile,
    add_tiles,
    add_transposed,
    append_passed,
    copy_transposed,
    divide_tile,
    fetch_to_write,
    first_half,
    fold_max,
    index_row,
    is_finite,
    lanes,
    load_row,
    load_rows,
    max_state,
    outer_fma,
    passed_row,
    read,
    relu,
    repeat_rows,
    row_fma,
    rows_fma,
    second_half,
    select_row,
    shifted,
    store_max,
    store_rows,
    subtract_tiles,
    write,
    zeros,
    zeros_like,
)
from minicnn.kernels._vectors import (
    VectorType,
    advance,
    broadcast,
    broadcast_integer,
    compress,
    element_pointer,
    fused_multiply_add,
    keep_order,
    lane_mask,
    load_vector,
    load_vectors,
    row_places,
    store_vector,
    tile_type,
    transpose_vectors,
)


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
    return lambda x, rows, width: tile_type(x.dtype, len(rows) * len(width))


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


@type_callable(subtract_tiles)
def _type_subtract_tiles(context):  # type: ignore[no-untyped-def]
    return lambda a, b: a


@lower_builtin(subtract_tiles, types.BaseTuple, types.BaseTuple)
def _lower_subtract_tiles(context, builder, sig, args):  # type: ignore[no-untyped-def]
    a, b = (cgutils.unpack_tuple(builder, arg) for arg in args)
    result = [builder.fsub(x, y) for x, y in zip(a, b, strict=True)]
    return context.make_tuple(builder, sig.return_type, result)


@type_callable(add_scaled_tile)
def _type_add_scaled_tile(context):  # type: ignore[no-untyped-def]
    return lambda a, scalar, b: a


@lower_builtin(add_scaled_tile, types.BaseTuple, types.Float, types.BaseTuple)
def _lower_add_scaled_tile(context, builder, sig, args):  # type: ignore[no-untyped-def]
    a, b = cgutils.unpack_tuple(builder, args[0]), cgutils.unpack_tuple(builder, args[2])
    scalar = context.cast(builder, args[1], sig.args[1], sig.return_type.dtype.dtype)
    factor = broadcast(builder, a[0].type, scalar)
    result = [fused_multiply_add(builder, factor, y, x) for x, y in zip(a, b, strict=True)]
    return context.make_tuple(builder, sig.return_type, result)


@type_callable(divide_tile)
def _type_divide_tile(context):  # type: ignore[no-untyped-def]
    return lambda tile, scalar: tile


@lower_builtin(divide_tile, types.BaseTuple, types.Float)
def _lower_divide_tile(context, builder, sig, args):  # type: ignore[no-untyped-def]
    vectors = cgutils.unpack_tuple(builder, args[0])
    number = context.cast(builder, args[1], sig.args[1], sig.return_type.dtype.dtype)
    reciprocal = builder.fdiv(ir.Constant(number.type, 1), number)
    minus, inverse = (broadcast(builder, vectors[0].type, k) for k in (builder.fneg(number), reciprocal))
    result = []
    for vector in vectors:
        # The compiler may divide by multiplying with the reciprocal; one correction makes that exact (Markstein 1990,
        # "Computation of elementary functions on the IBM RISC System/6000 processor", theorem 7).
        quotient = builder.fmul(vector, inverse)
        rest = fused_multiply_add(builder, minus, quotient, vector)
        result.append(fused_multiply_add(builder, rest, inverse, quotient))
    return context.make_tuple(builder, sig.return_type, result)


@type_callable(is_finite)
def _type_is_finite(context):  # type: ignore[no-untyped-def]
    return lambda tile: types.boolean


@lower_builtin(is_finite, types.BaseTuple)
def _lower_is_finite(context, builder, sig, args):  # type: ignore[no-untyped-def]
    result = ir.Constant(ir.IntType(1), 1)
    for vector in cgutils.unpack_tuple(builder, args[0]):
        # ∞ − ∞ and NaN − NaN are NaN; every other difference of equals is ordered.
        difference = builder.fsub(vector, vector)
        bits = builder.bitcast(
            builder.fcmp_ordered("ord", difference, difference), ir.IntType(vector.type.count)
        )
        result = builder.and_(result, builder.icmp_unsigned("==", bits, ir.Constant(bits.type, -1)))
    return result


@type_callable(read)
def _type_read(context):  # type: ignore[no-untyped-def]
    return lambda x, at: x.dtype


@lower_builtin(read, types.Array, types.Integer)
def _lower_read(context, builder, sig, args):  # type: ignore[no-untyped-def]
    return builder.load(element_pointer(context, builder, sig.args[0], args[0], args[1]))


@type_callable(fetch_to_write)
def _type_fetch_to_write(context):  # type: ignore[no-untyped-def]
    return lambda x, at: types.none


@lower_builtin(fetch_to_write, types.Array, types.Integer)
def _lower_fetch_to_write(context, builder, sig, args):  # type: ignore[no-untyped-def]
    pointer = element_pointer(context, builder, sig.args[0], args[0], args[1])
    pointer = builder.bitcast(pointer, ir.IntType(8).as_pointer())
    word = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [pointer.type, word, word, word])
    prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
    builder.call(prefetch, [pointer, word(1), word(3), word(1)])
    return context.get_dummy_value()


@type_callable(write)
def _type_write(context):  # type: ignore[no-untyped-def]
    return lambda x, at, value: types.none


@lower_builtin(write, types.Array, types.Integer, types.Number)
def _lower_write(context, builder, sig, args):  # type: ignore[no-untyped-def]
    value = context.cast(builder, args[2], sig.args[2], sig.args[0].dtype)
    builder.store(value, element_pointer(context, builder, sig.args[0], args[0], args[1]))
    return context.get_dummy_value()


@type_callable(load_row)
def _type_load_row(context):  # type: ignore[no-untyped-def]
    return lambda tile, x, at, count: tile


@lower_builtin(load_row, types.BaseTuple, types.Array, types.Integer, types.Any)
def _lower_load_row(context, builder, sig, args):  # type: ignore[no-untyped-def]
    vector = context.get_value_type(sig.return_type.dtype)
    return context.make_tuple(builder, sig.return_type, load_vectors(context, builder, vector, sig, args, 1))


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


@lower_builtin(outer_fma, types.BaseTuple, types.Array, types.BaseTuple, types.Integer, types.BaseTuple)
def _lower_outer_fma(context, builder, sig, args):  # type: ignore[no-untyped-def]
    vector = context.get_value_type(sig.return_type.dtype)
    tile, offsets, row = (cgutils.unpack_tuple(builder, args[k]) for k in (0, 2, 4))
    base = element_pointer(context, builder, sig.args[1], args[1], args[3])
    result = []
    for m, offset in enumerate(offsets):
        scalar = broadcast(builder, vector, builder.load(builder.gep(base, [offset])))
        result += [
            fused_multiply_add(builder, scalar, row[v], tile[m * len(row) + v]) for v in range(len(row))
        ]
    keep_order(builder)
    return context.make_tuple(builder, sig.return_type, result)


@type_callable(rows_fma)
def _type_rows_fma(context):  # type: ignore[no-untyped-def]
    return lambda tile, x, offsets, at, scalar, count: tile


@lower_builtin(rows_fma, types.BaseTuple, types.Array, types.BaseTuple, types.Integer, types.Float, types.Any)
def _lower_rows_fma(context, builder, sig, args):  # type: ignore[no-untyped-def]
    vector = context.get_value_type(sig.return_type.dtype)
    tile, offsets = cgutils.unpack_tuple(builder, args[0]), cgutils.unpack_tuple(builder, args[2])
    width = len(tile) // len(offsets)
    base = element_pointer(context, builder, sig.args[1], args[1], args[3])
    scalar = broadcast(builder, vector, args[4])
    last, result = lane_mask(builder, vector, width - 1, args[5]), []
    for m, offset in enumerate(offsets):
        pointer = builder.gep(base, [offset])
        for v in range(width):
            mask = last if v == width - 1 else None
            loaded = load_vector(builder, vector, advance(builder, pointer, v * vector.count), mask)
            result.append(fused_multiply_add(builder, scalar, loaded, tile[m * width + v]))
    keep_order(builder)
    return context.make_tuple(builder, sig.return_type, result)


@type_callable(row_fma)
def _type_row_fma(context):  # type: ignore[no-untyped-def]
    return lambda row, a, b: row


@lower_builtin(row_fma, types.BaseTuple, types.BaseTuple, types.BaseTuple)
def _lower_row_fma(context, builder, sig, args):  # type: ignore[no-untyped-def]
    rows = [cgutils.unpack_tuple(builder, arg) for arg in args]
    result = [fused_multiply_add(builder, a, b, c) for c, a, b in zip(*rows, strict=True)]
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
    type_callable(_function)(lambda context: lambda tile: tile_type(tile.dtype.dtype, len(tile) // 2))

    def _lower_half(context, builder, sig, args, half=_half):  # type: ignore[no-untyped-def]
        tile, size = cgutils.unpack_tuple(builder, args[0]), len(sig.return_type)
        return context.make_tuple(builder, sig.return_type, tile[half * size : (half + 1) * size])

    lower_builtin(_function, types.BaseTuple)(_lower_half)


@type_callable(max_state)
def _type_max_state(context):  # type: ignore[no-untyped-def]
    return lambda row, index: tile_type(row.dtype.dtype, 2 * len(row))


@lower_builtin(max_state, types.BaseTuple, types.Integer)
def _lower_max_state(context, builder, sig, args):  # type: ignore[no-untyped-def]
    row = cgutils.unpack_tuple(builder, args[0])
    where = broadcast_integer(builder, row[0].type, args[1])
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
            index = broadcast_integer(builder, values.type, number)
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
    best = element_pointer(context, builder, sig.args[0], args[0], args[2])
    where = element_pointer(context, builder, sig.args[1], args[1], args[2])
    for v in range(width):
        mask = lane_mask(builder, vector, v, args[4]) if v == width - 1 else None
        store_vector(builder, vector, state[v], advance(builder, best, v * vector.count), mask)
        index = builder.fptosi(state[width + v], ir.VectorType(ir.IntType(32), vector.count))
        if integers.element.width < 32:
            index = builder.trunc(index, integers)
        store_vector(builder, integers, index, advance(builder, where, v * vector.count), mask)
    return context.get_dummy_value()


@type_callable(passed_row)
def _type_passed_row(context):  # type: ignore[no-untyped-def]
    return lambda row, dy, y, at, count: row


@lower_builtin(passed_row, types.BaseTuple, types.Array, types.Array, types.Integer, types.Any)
def _lower_passed_row(context, builder, sig, args):  # type: ignore[no-untyped-def]
    vector = context.get_value_type(sig.return_type.dtype)
    dy, y = (load_vectors(context, builder, vector, sig, args, k) for k in (1, 2))
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
    loaded = load_vectors(context, builder, integers, sig, args, 1)
    return context.make_tuple(builder, sig.return_type, [builder.uitofp(value, vector) for value in loaded])


@type_callable(select_row)
def _type_select_row(context):  # type: ignore[no-untyped-def]
    return lambda row, where, index: row


@lower_builtin(select_row, types.BaseTuple, types.BaseTuple, types.Integer)
def _lower_select_row(context, builder, sig, args):  # type: ignore[no-untyped-def]
    row, where = cgutils.unpack_tuple(builder, args[0]), cgutils.unpack_tuple(builder, args[1])
    zero, index = ir.Constant(row[0].type, None), broadcast_integer(builder, row[0].type, args[2])
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
    places, masks = row_places(
        context, builder, vector, len(sig.return_type), (sig.args[1], args[1], args[2], args[3])
    )
    loaded = [load_vector(builder, vector, *place) for place in zip(places, masks, strict=True)]
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
    places, masks = row_places(context, builder, vector, len(tile), (sig.args[0], args[0], offsets, args[5]))
    scalar = broadcast(builder, vector, args[3])
    for value, place, mask in zip(tile, places, masks, strict=True):
        store_vector(
            builder,
            vector,
            fused_multiply_add(builder, scalar, value, load_vector(builder, vector, place, mask)),
            place,
            mask,
        )
    return context.get_dummy_value()


def _lower_row_writer(combine):  # type: ignore[no-untyped-def]
    """Lowering of a function (y, offsets, tile, count) that writes combine(old row, tile row).

    Everything is read before anything is written: rows that stand twice in a tile are then added once.
    """

    def lower(context, builder, sig, args):  # type: ignore[no-untyped-def]
        vector = context.get_value_type(sig.args[2].dtype)
        tile = cgutils.unpack_tuple(builder, args[2])
        places, masks = row_places(
            context, builder, vector, len(tile), (sig.args[0], args[0], args[1], args[3])
        )
        if combine:
            old = [load_vector(builder, vector, *place) for place in zip(places, masks, strict=True)]
            tile = [combine(builder, a, b) for a, b in zip(old, tile, strict=True)]
        for value, place, mask in zip(tile, places, masks, strict=True):
            store_vector(builder, vector, value, place, mask)
        return context.get_dummy_value()

    return lower


for _function, _combine in ((store_rows, None), (add_rows, lambda builder, a, b: builder.fadd(a, b))):
    type_callable(_function)(lambda context: lambda y, offsets, tile, count: types.none)
    lower_builtin(_function, types.Array, types.BaseTuple, types.BaseTuple, types.Any)(
        _lower_row_writer(_combine)
    )


def _lower_transposed(combine):  # type: ignore[no-untyped-def]
    """Lowering of a function (y, to, step, x, at, x_step) that writes combine(old row, column of x)."""

    def lower(context, builder, sig, args):  # type: ignore[no-untyped-def]
        vector = context.get_value_type(VectorType(sig.args[0].dtype))

        def rows(which):  # type: ignore[no-untyped-def]
            array_type, (array, offset, step) = sig.args[which], args[which : which + 3]
            pointer = element_pointer(context, builder, array_type, array, offset)
            steps = [builder.mul(step, ir.Constant(step.type, k)) for k in range(vector.count)]
            return [builder.gep(pointer, [k]) for k in steps]

        columns = transpose_vectors(builder, [load_vector(builder, vector, row) for row in rows(3)])
        for row, column in zip(rows(0), columns, strict=True):
            if combine:
                column = combine(builder, load_vector(builder, vector, row), column)
            store_vector(builder, vector, column, row)
        return context.get_dummy_value()

    return lower


for _function, _combine in (
    (copy_transposed, None),
    (add_transposed, lambda builder, a, b: builder.fadd(a, b)),
):
    type_callable(_function)(lambda context: lambda y, to, step, x, at, x_step: types.none)
    lower_builtin(
        _function, types.Array, types.Integer, types.Integer, types.Array, types.Integer, types.Integer
    )(_lower_transposed(_combine))


@type_callable(append_passed)
def _type_append_passed(context):  # type: ignore[no-untyped-def]
    return lambda lists, at, maxima, first, tap, places: types.intp


@lower_builtin(
    append_passed,
    types.BaseTuple,
    types.Integer,
    types.BaseTuple,
    types.Integer,
    types.Integer,
    types.BaseTuple,
)
def _lower_append_passed(context, builder, sig, args):  # type: ignore[no-untyped-def]
    lists, maxima, places = (cgutils.unpack_tuple(builder, args[k]) for k in (0, 2, 5))
    vector = context.get_value_type(VectorType(sig.args[2][0].dtype))
    integers = ir.VectorType(ir.IntType(32), vector.count)
    taps = ir.VectorType(context.get_value_type(sig.args[2][2].dtype), vector.count)
    dy, y, argmax = (
        load_vector(builder, kind, element_pointer(context, builder, array_type, array, args[3]))
        for kind, array_type, array in zip((vector, vector, taps), sig.args[2], maxima, strict=True)
    )
    is_tap = builder.icmp_signed("==", argmax, broadcast(builder, taps, builder.trunc(args[4], taps.element)))
    passed = builder.and_(builder.fcmp_ordered(">", y, ir.Constant(vector, None)), is_tap)
    place, step = (broadcast(builder, integers, builder.trunc(n, integers.element)) for n in places)
    numbers = builder.add(place, builder.mul(step, ir.Constant(integers, list(range(vector.count)))))
    for value, array_type, array in zip((dy, numbers), sig.args[0], lists, strict=True):
        pointer = element_pointer(context, builder, array_type, array, args[1])
        store_vector(builder, value.type, compress(builder, value, passed), pointer)
    bits = builder.bitcast(passed, ir.IntType(vector.count))
    return builder.zext(builder.ctpop(bits), ir.IntType(64))
