"""Convolution, bias, ReLU and a non-overlapping max pool in one pass, forward; the backward pass is in two files.

Contract: reference.conv_relu_pool, for groups = 1, any `window`, and a `pool` with `is_tiling`. What differs:
`argmax` (N, OH, OW, F) uint8 is the tap of the pool that won (the first of equals); where y is 0 it means nothing,
because ReLU lets no gradient through. The map before pooling is never stored, and positions that a 'valid' pool
discards are never computed.
"""

import numpy as np

from minicnn.geometry import Window
from minicnn.kernels import conv_relu_pool_patches as patches
from minicnn.kernels import conv_relu_pool_routed as routed
from minicnn.kernels._jit import inner, kernel
from minicnn.kernels._simd import first_half, fold_max, lanes, max_state, second_half, store_max, zeros
from minicnn.kernels._sliding import (
    aligned_zeros,
    images_per_block,
    pad_images,
    padded_shape,
    pool_starts,
    tap_offsets,
)
from minicnn.kernels._tile import (
    ROW_1,
    ROW_2,
    ROW_WIDEST,
    WIDEST,
    ZERO,
    accumulate_taps,
    start_tile,
    width_for,
)
from minicnn.kernels.conv_relu_pool_backward import backward_w, conv_relu_pool_backward_x, pack_by_filter

__all__ = [
    "conv_relu_pool_backward_w",
    "conv_relu_pool_backward_x",
    "conv_relu_pool_forward",
    "pack_by_filter",
]


def conv_relu_pool_forward(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray,
    y: np.ndarray,
    argmax: np.ndarray,
    window: Window,
    pool: Window,
) -> None:
    """y (N, OH, OW, F) and argmax, overwritten, from x (N, H, W, C), w (P, Q, C, F) and b ((F,), or (0,) for none)."""
    if patches.applies(w, window, pool):
        patches.patches_forward(x, w, b, y, argmax, window)
    else:
        _forward(x, w, b, y, argmax, window, pool)


@kernel
def _forward(x, w, b, y, argmax, window, pool):  # type: ignore[no-untyped-def]
    pixels, filters = y.shape[1] * y.shape[2], y.shape[3]
    block = images_per_block(len(x), pixels)
    padded = aligned_zeros(padded_shape(x, block, window), x.dtype)
    starts = pool_starts(block, padded.shape, window, pool)
    taps = tap_offsets(w, padded.shape, window)
    for first in range(0, len(x), block):
        number = min(block, len(x) - first)
        shift, source = first * x[0].size, x
        if len(padded) > 0:
            pad_images(x, first, number, window, padded)
            shift, source = 0, padded
        routes = (starts[: number * pixels], taps, shift, first * pixels)
        f = ZERO
        while f < filters:
            width = width_for(x, filters - f)
            count = min(filters - f, width * lanes(x))
            if width == WIDEST:
                _pool(source, w, b, y, argmax, routes, (f, count), ROW_WIDEST)
            elif width == 2:
                _pool_two(source, w, b, y, argmax, routes, (f, count), ROW_2)
            else:
                _pool_two(source, w, b, y, argmax, routes, (f, count), ROW_1)
            f += count


@inner
def _pool(x, w, b, y, argmax, routes, columns, width):  # type: ignore[no-untyped-def]
    """Filters f … f + count − 1 of all pooled pixels, four taps of the pool at a time."""
    starts, taps, shift, first = routes
    f, count = columns
    row = zeros(x, ROW_1, width)
    lowest = start_tile(ROW_1, width, np.full(WIDEST * lanes(x), -np.inf, x.dtype), 0, count)
    for t in range(len(starts)):
        state = max_state(lowest, 0)
        for m in range(0, starts.shape[1], 4):
            offsets = _four(starts, t, m, shift)
            tile = accumulate_taps(start_tile(offsets, width, b, f, count), row, x, offsets, taps, w, columns)
            state = fold_max(state, tile, m)
        # ReLU is one more candidate for the maximum. It can't win over NaN.
        store_max(y, argmax, (first + t) * w.shape[3] + f, fold_max(state, row, 0), count)


@inner
def _pool_two(x, w, b, y, argmax, routes, columns, width):  # type: ignore[no-untyped-def]
    """The same for two pooled pixels at a time: where a tile is narrow, eight rows keep the multipliers busy."""
    starts, taps, shift, first = routes
    f, count = columns
    row = zeros(x, ROW_1, width)
    lowest = start_tile(ROW_1, width, np.full(WIDEST * lanes(x), -np.inf, x.dtype), 0, count)
    for t in range(0, len(starts), 2):
        other = min(t + 1, len(starts) - 1)
        state, other_state = max_state(lowest, 0), max_state(lowest, 0)
        for m in range(0, starts.shape[1], 4):
            offsets = _four(starts, t, m, shift) + _four(starts, other, m, shift)
            tile = accumulate_taps(start_tile(offsets, width, b, f, count), row, x, offsets, taps, w, columns)
            state, other_state = (
                fold_max(state, first_half(tile), m),
                fold_max(other_state, second_half(tile), m),
            )
        store_max(y, argmax, (first + t) * w.shape[3] + f, fold_max(state, row, 0), count)
        store_max(y, argmax, (first + other) * w.shape[3] + f, fold_max(other_state, row, 0), count)


@inner
def _four(starts, t, m, shift):  # type: ignore[no-untyped-def]
    return starts[t, m] + shift, starts[t, m + 1] + shift, starts[t, m + 2] + shift, starts[t, m + 3] + shift


def conv_relu_pool_backward_w(
    dy: np.ndarray,
    y: np.ndarray,
    argmax: np.ndarray,
    x: np.ndarray,
    dw: np.ndarray,
    db: np.ndarray,
    window: Window,
    pool: Window,
) -> None:
    """Add the gradients of w and b to dw (P, Q, C, F) and db ((F,), or (0,) for none), in the order of the images."""
    if patches.applies(dw, window, pool):
        patches.patches_backward_w(dy, y, argmax, x, dw, db, window)
    elif routed.applies(dw):
        routed.routed_backward_w(dy, y, argmax, x, dw, db, window, pool)
    else:
        backward_w(dy, y, argmax, x, dw, db, window, pool)
