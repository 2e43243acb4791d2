"""A patch of 4×4 pixels of one channel: all that a 3×3 kernel reads for one 2×2 window of a pool.

Forward, each of its pixels is broadcast once and multiplied by up to nine weights of a vector of filters. Backward,
each filter takes the nine pixels that its own maximum saw: the patch lies in registers, as one vector of sixteen
numbers or as three overlapping ones of eight, and one permutation gives every lane its pixel.

As in `_simd`, the Python body is the meaning; what compiled kernels get is below.
"""

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import lower_builtin, type_callable

from minicnn.kernels._simd import VECTOR_NBYTES, load_row
from minicnn.kernels._vectors import (
    advance,
    broadcast,
    element_pointer,
    fused_multiply_add,
    keep_order,
    load_vector,
    tile_type,
)

PATCH = 4
"""Pixels along each side."""

KERNEL, POOL = 3, 2


def patch_sums(
    tile: tuple[np.ndarray, ...], x: np.ndarray, at: int, line: int, weights: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, ...]:
    """tile[2·i + j, v] + Σ_pq x[at + (i + p)·line + j + q]·weights[3·p + q, v], each term rounded once, in this order.

    The patch's first pixel is x[at], its rows lie `line` apart.
    """
    width, flat, result = len(tile) // POOL**2, x.reshape(-1), list(tile)
    for m, k in np.ndindex(POOL**2, KERNEL**2):
        pixel = flat[at + (m // POOL + k // KERNEL) * line + m % POOL + k % KERNEL]
        for v in range(width):
            result[m * width + v] = result[m * width + v] + pixel * weights[k * width + v]
    return tuple(result)


def load_patch(x: np.ndarray, at: int, line: int) -> np.ndarray:
    """Four rows of four numbers from x[at:], `line` apart. For float32 and vectors of eight or sixteen lanes."""
    flat = x.reshape(-1)
    return np.concatenate([flat[at + i * line : at + i * line + PATCH] for i in range(PATCH)])


def patch_fma(
    tile: tuple[np.ndarray, ...],
    patch: np.ndarray,
    argmax: np.ndarray,
    at: int,
    row: tuple[np.ndarray, ...],
) -> tuple[np.ndarray, ...]:
    """tile[3·p + q, v] + patch[4·(a + p) + b + q]·row[v], rounded once, for the nine taps (p, q).

    (a, b) is where a filter's maximum lies in its 2×2 window: argmax[at:] = 2·a + b.
    """
    width, result = len(row), []
    where = load_row(row, argmax.reshape(-1).astype(patch.dtype), at, None)
    for k in range(KERNEL**2):
        for v in range(width):
            m = where[v].astype(int)
            index = PATCH * (m // POOL + k // KERNEL) + m % POOL + k % KERNEL
            result.append(tile[k * width + v] + patch[index] * row[v])
    return tuple(result)


@type_callable(patch_sums)
def _type_patch_sums(context):  # type: ignore[no-untyped-def]
    return lambda tile, x, at, line, weights: tile


@lower_builtin(patch_sums, types.BaseTuple, types.Array, types.Integer, types.Integer, types.BaseTuple)
def _lower_patch_sums(context, builder, sig, args):  # type: ignore[no-untyped-def]
    tile, weights = cgutils.unpack_tuple(builder, args[0]), cgutils.unpack_tuple(builder, args[4])
    width, pointer = len(tile) // POOL**2, element_pointer(context, builder, sig.args[1], *args[1:3])
    for row in range(PATCH):
        for column in range(PATCH):
            pixel = broadcast(builder, tile[0].type, builder.load(advance(builder, pointer, column)))
            for m in range(POOL**2):
                p, q = row - m // POOL, column - m % POOL
                if 0 <= p < KERNEL and 0 <= q < KERNEL:
                    for v in range(width):
                        weight, at = weights[(p * KERNEL + q) * width + v], m * width + v
                        tile[at] = fused_multiply_add(builder, pixel, weight, tile[at])
        pointer = builder.gep(pointer, [args[3]])
    keep_order(builder)
    return context.make_tuple(builder, sig.return_type, tile)


@type_callable(load_patch)
def _type_load_patch(context):  # type: ignore[no-untyped-def]
    return lambda x, at, line: tile_type(x.dtype, 1 if VECTOR_NBYTES == 64 else KERNEL)


@lower_builtin(load_patch, types.Array, types.Integer, types.Integer)
def _lower_load_patch(context, builder, sig, args):  # type: ignore[no-untyped-def]
    """One vector of four rows, or vector p of rows p and p + 1."""
    quarter = ir.VectorType(context.get_value_type(sig.args[0].dtype), PATCH)
    pointer, rows = element_pointer(context, builder, sig.args[0], *args[:2]), []
    for _ in range(PATCH):
        rows.append(load_vector(builder, quarter, pointer))
        pointer = builder.gep(pointer, [args[2]])
    pairs = [_joined(builder, *rows[p : p + 2]) for p in range(KERNEL)]
    if len(sig.return_type) == 1:
        pairs = [_joined(builder, pairs[0], pairs[2])]
    return context.make_tuple(builder, sig.return_type, pairs)


def _joined(builder, a, b):  # type: ignore[no-untyped-def]
    indices = ir.Constant(ir.VectorType(ir.IntType(32), 2 * a.type.count), list(range(2 * a.type.count)))
    return builder.shuffle_vector(a, b, indices)


@type_callable(patch_fma)
def _type_patch_fma(context):  # type: ignore[no-untyped-def]
    return lambda tile, patch, argmax, at, row: tile


@lower_builtin(patch_fma, types.BaseTuple, types.BaseTuple, types.Array, types.Integer, types.BaseTuple)
def _lower_patch_fma(context, builder, sig, args):  # type: ignore[no-untyped-def]
    tile, patch, row = (cgutils.unpack_tuple(builder, args[k]) for k in (0, 1, 4))
    lanes = ir.VectorType(ir.IntType(32), patch[0].type.count)
    taps = ir.VectorType(context.get_value_type(sig.args[2].dtype), lanes.count)
    pointer = element_pointer(context, builder, sig.args[2], args[2], args[3])
    corners = []
    for v in range(len(row)):
        m = load_vector(builder, taps, advance(builder, pointer, v * lanes.count))
        m = builder.zext(m, lanes) if taps.element.width < 32 else m
        corners.append(builder.add(m, builder.and_(m, _splat(lanes, 2))))  # 2·a + b → 4·a + b
    result = []
    for k in range(KERNEL**2):
        p, q = k // KERNEL, k % KERNEL
        pixels, skipped = (patch[p], p * PATCH) if len(patch) > 1 else (patch[0], 0)
        for v, values in enumerate(row):
            index = builder.add(corners[v], _splat(lanes, p * PATCH + q - skipped))
            permuted = _permuted(builder, pixels, index)
            result.append(fused_multiply_add(builder, permuted, values, tile[k * len(row) + v]))
    keep_order(builder)
    return context.make_tuple(builder, sig.return_type, result)


def _splat(vector, number):  # type: ignore[no-untyped-def]
    return ir.Constant(vector, [number] * vector.count)


def _permuted(builder, patch, index):  # type: ignore[no-untyped-def]
    """Lane l of the result is lane index[l] of the patch."""
    signature = ir.FunctionType(patch.type, [patch.type, index.type])
    name = "llvm.x86.avx512.permvar.sf.512" if patch.type.count == PATCH**2 else "llvm.x86.avx2.permps"
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), [patch, index])
