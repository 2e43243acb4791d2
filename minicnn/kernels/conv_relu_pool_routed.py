"""dw of conv_relu_pool for few input channels, where `conv_relu_pool_backward`'s vectors would be nearly empty.

Vectors run along the filters: for each tap of the pool a tile of dw is summed from the gradients that are routed to it.
"""

import numpy as np

from minicnn.geometry import Window
from minicnn.kernels._jit import inner, kernel
from minicnn.kernels._simd import (
    VECTOR_NBYTES,
    add_rows,
    index_row,
    lanes,
    outer_fma,
    passed_row,
    read,
    select_row,
    shifted,
    zeros,
)
from minicnn.kernels._sliding import aligned_zeros, pad_images, padded_shape, pool_starts, tap_offsets
from minicnn.kernels._tile import ROW_1, ROW_2, TERMS, ZERO
from minicnn.kernels.conv_relu_pool_backward import _add_bias_gradient


def applies(dw: np.ndarray) -> bool:
    """Whether half a vector or more would be empty of a kernel row of dw (P, Q, C, F)."""
    return 2 * dw.shape[1] * dw.shape[2] <= lanes(dw)


@kernel
def routed_backward_w(
    dy: np.ndarray,
    y: np.ndarray,
    argmax: np.ndarray,
    x: np.ndarray,
    dw: np.ndarray,
    db: np.ndarray,
    window: Window,
    pool: Window,
) -> None:
    """As `conv_relu_pool_backward.backward_w`."""
    padded = aligned_zeros(padded_shape(x, 1, window), x.dtype)
    starts, taps = pool_starts(1, padded.shape, window, pool), tap_offsets(dw, padded.shape, window)
    _add_bias_gradient(dy, y, db)
    for n in range(len(x)):
        shift, source = n * x[0].size, x
        if len(padded) > 0:
            pad_images(x, n, 1, window, padded)
            shift, source = 0, padded
        _add_routed(dy, y, argmax, source, dw, (taps, starts, shift, n), pool)


@inner
def _add_routed(dy, y, argmax, x, dw, routes, pool):  # type: ignore[no-untyped-def]
    """One image with few channels: for each tap of the pool, tiles of weight rows times the filters routed to it."""
    f, filters = ZERO, dw.shape[3]
    # Nine rows of two vectors are 18 sums: too many for 16 registers.
    widest = 2 if VECTOR_NBYTES == 64 else 1
    while f < filters:
        count = min(filters - f, widest * lanes(x))
        if count > lanes(x):
            _add_routed_columns(dy, y, argmax, x, dw, routes, pool, (f, count), ROW_2)
        else:
            _add_routed_columns(dy, y, argmax, x, dw, routes, pool, (f, count), ROW_1)
        f += count


@inner
def _add_routed_columns(dy, y, argmax, x, dw, routes, pool, columns, width):  # type: ignore[no-untyped-def]
    taps, starts, shift, n = routes
    f, count = columns
    filters, row = dw.shape[3], zeros(x, ROW_1, width)
    for r in range(0, taps.size, 9):
        offsets, rows = _nine(taps, r, shift, filters, f)
        for first in range(0, len(starts), TERMS):
            tile = zeros(x, offsets, width)
            for t in range(first, min(first + TERMS, len(starts))):
                at = (n * len(starts) + t) * filters + f
                passed, where = passed_row(row, dy, y, at, count), index_row(row, argmax, at, count)
                for m in range(pool.kernel_size[0] * pool.kernel_size[1]):
                    source = read(starts, t * starts.shape[1] + m)
                    tile = outer_fma(tile, x, offsets, source, select_row(passed, where, m))
            add_rows(dw, rows, tile, count)


@inner
def _nine(taps, first, shift, filters, f):  # type: ignore[no-untyped-def]
    """Offsets of nine rows of w in x and in dw; past the end the last row is repeated."""
    last = taps.size - 1
    r0, r1, r2 = min(first, last), min(first + 1, last), min(first + 2, last)
    r3, r4, r5 = min(first + 3, last), min(first + 4, last), min(first + 5, last)
    r6, r7, r8 = min(first + 6, last), min(first + 7, last), min(first + 8, last)
    in_x = (taps[r0], taps[r1], taps[r2], taps[r3], taps[r4], taps[r5], taps[r6], taps[r7], taps[r8])
    in_dw = (
        r0 * filters,
        r1 * filters,
        r2 * filters,
        r3 * filters,
        r4 * filters,
        r5 * filters,
        r6 * filters,
        r7 * filters,
        r8 * filters,
    )
    return shifted(in_x, shift), shifted(in_dw, f)
