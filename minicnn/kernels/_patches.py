"""Vectors whose lanes read different pixels of one small patch: what a filter's maximum saw.

A patch of 4×4 pixels of one channel is what a 3×3 kernel reads for a pooled 2×2 window. It fits one vector of sixteen
numbers, so that one instruction gives every filter the pixel its own maximum points at. As in `_simd`, the Python body
is the meaning; what compiled kernels get is below.
"""

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import lower_builtin, type_callable

from minicnn.kernels._simd import load_row
from minicnn.kernels._vectors import (
    element_pointer,
    fused_multiply_add,
    load_vector,
    load_vectors,
    tile_type,
)

PATCH = 4
"""Pixels along each side."""

KERNEL = 3


def load_patch(x: np.ndarray, at: int, line: int) -> np.ndarray:
    """Sixteen numbers: four rows of four from x[at:], `line` apart. For vectors of sixteen lanes."""
    flat = x.reshape(-1)
    return np.concatenate([flat[at + i * line : at + i * line + PATCH] for i in range(PATCH)])


def patch_fma(
    tile: tuple[np.ndarray, ...],
    patch: np.ndarray,
    argmax: np.ndarray,
    at: int,
    row: tuple[np.ndarray, ...],
    count: int,
) -> tuple[np.ndarray, ...]:
    """tile[3·p + q, v] + patch[4·(a + p) + b + q]·row[v], rounded once, for the nine taps (p, q).

    (a, b) is where a filter's maximum lies in its 2×2 window: argmax[at:][:count] = 2·a + b.
    """
    width, where = len(row), load_row(row, argmax.reshape(-1)[at : at + count].astype(patch.dtype), 0, count)
    result = []
    for k in range(KERNEL * KERNEL):
        for v in range(width):
            m = where[v].astype(int)
            index = PATCH * (m // 2 + k // KERNEL) + m % 2 + k % KERNEL
            result.append(tile[k * width + v] + patch[index] * row[v])
    return tuple(result)


@type_callable(load_patch)
def _type_load_patch(context):  # type: ignore[no-untyped-def]
    return lambda x, at, line: tile_type(x.dtype, 1).dtype


@lower_builtin(load_patch, types.Array, types.Integer, types.Integer)
def _lower_load_patch(context, builder, sig, args):  # type: ignore[no-untyped-def]
    vector = context.get_value_type(sig.return_type)
    if vector.count != PATCH * PATCH:
        return ir.Constant(vector, None)  # never used: the caller asks for the number of lanes first
    quarter, pointer = (
        ir.VectorType(vector.element, PATCH),
        element_pointer(context, builder, sig.args[0], *args[:2]),
    )
    rows = []
    for _ in range(PATCH):
        rows.append(load_vector(builder, quarter, pointer))
        pointer = builder.gep(pointer, [args[2]])
    halves = [_joined(builder, *rows[:2]), _joined(builder, *rows[2:])]
    return _joined(builder, *halves)


def _joined(builder, a, b):  # type: ignore[no-untyped-def]
    indices = ir.Constant(ir.VectorType(ir.IntType(32), 2 * a.type.count), list(range(2 * a.type.count)))
    return builder.shuffle_vector(a, b, indices)


@type_callable(patch_fma)
def _type_patch_fma(context):  # type: ignore[no-untyped-def]
    return lambda tile, patch, argmax, at, row, count: tile


@lower_builtin(
    patch_fma, types.BaseTuple, types.Type, types.Array, types.Integer, types.BaseTuple, types.Integer
)
def _lower_patch_fma(context, builder, sig, args):  # type: ignore[no-untyped-def]
    tile, row = cgutils.unpack_tuple(builder, args[0]), cgutils.unpack_tuple(builder, args[4])
    vector = context.get_value_type(sig.args[1])
    if vector.count != PATCH * PATCH:
        return args[0]
    lanes = ir.VectorType(ir.IntType(32), vector.count)
    loaded = _load_indices(context, builder, sig, args, len(row), vector.count)
    corners = []
    for narrow in loaded:
        m = builder.zext(narrow, lanes) if narrow.type.element.width < 32 else narrow
        half = builder.lshr(m, _splat(lanes, 1))
        corners.append(builder.add(m, builder.shl(half, _splat(lanes, 1))))  # 2·a + b → 4·a + b
    result = []
    for k in range(KERNEL * KERNEL):
        tap = _splat(lanes, k // KERNEL * PATCH + k % KERNEL)
        for v, values in enumerate(row):
            pixels = _permuted(builder, args[1], builder.add(corners[v], tap))
            result.append(fused_multiply_add(builder, pixels, values, tile[k * len(row) + v]))
    return context.make_tuple(builder, sig.return_type, result)


def _load_indices(context, builder, sig, args, width, lanes):  # type: ignore[no-untyped-def]
    """The vectors of argmax[at:][:count]."""
    integers = ir.VectorType(context.get_value_type(sig.args[2].dtype), lanes)
    row_type = types.UniTuple(sig.args[4].dtype, width)
    signature = row_type(sig.args[2], sig.args[3], sig.args[5])
    return load_vectors(context, builder, integers, signature, (args[2], args[3], args[5]), 0)


def _splat(vector, number):  # type: ignore[no-untyped-def]
    return ir.Constant(vector, [number] * vector.count)


def _permuted(builder, patch, index):  # type: ignore[no-untyped-def]
    signature = ir.FunctionType(patch.type, [patch.type, index.type])
    name = "llvm.x86.avx512.permvar.sf.512"
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), [patch, index])
