"""Densely connected layer. Contract: reference.dense, for x (N, C); leading axes are the caller's to flatten.

All arrays are C-contiguous and of one dtype, float32 or float64.
"""

import numpy as np

from minicnn.kernels._jit import inner, kernel
from minicnn.kernels._simd import add_rows, copy_transposed, lanes, store_rows, zeros
from minicnn.kernels._tile import (
    ROW_1,
    ROW_2,
    ROW_WIDEST,
    WIDEST,
    ZERO,
    accumulate,
    add_bias_gradient,
    six_steps,
    start_tile,
    width_for,
)

GROUP = 48
"""Channels of dx that are summed before they are transposed: whole tiles and whole vectors."""

TERMS_PER_BLOCK = 512
"""Long sums are cut into blocks of at most so many terms: a block of w stays in the L2 cache while all samples pass."""


@kernel
def dense_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
    """y (N, F), overwritten = x (N, C) · w (C, F) + b; b is (F,), or (0,) for none."""
    channels, filters = w.shape
    blocks = (channels + TERMS_PER_BLOCK - 1) // TERMS_PER_BLOCK
    for block in range(max(1, blocks)):
        first, last = block * channels // max(1, blocks), (block + 1) * channels // max(1, blocks)
        f = ZERO
        while f < filters:
            width = width_for(x, filters - f)
            count = min(filters - f, width * lanes(x))
            if width == WIDEST:
                _multiply(x, w, b, y, (first, last - first), (f, count), ROW_WIDEST)
            elif width == 2:
                _multiply(x, w, b, y, (first, last - first), (f, count), ROW_2)
            else:
                _multiply(x, w, b, y, (first, last - first), (f, count), ROW_1)
            f += count


@inner
def _multiply(x, w, b, y, block, columns, width):  # type: ignore[no-untyped-def]
    c, terms = block
    f, count = columns
    (samples, channels), filters, row = x.shape, w.shape[1], zeros(x, ROW_1, width)
    for n in range(0, samples, 6):
        offsets = six_steps(n, samples - 1, channels, c)
        places = six_steps(n, samples - 1, filters, f)
        tile = start_tile(offsets, width, b, f, count) if c == 0 else zeros(x, offsets, width)
        tile = accumulate(tile, row, x, offsets, 1, w, c * filters + f, filters, terms, count)
        if c == 0:
            store_rows(y, places, tile, count)
        else:
            add_rows(y, places, tile, count)


@kernel
def dense_backward_x(dy: np.ndarray, w: np.ndarray, dx: np.ndarray) -> None:
    """dx (N, C), overwritten = dy (N, F) · w (C, F) transposed.

    The samples are the vectors' lanes, so that w is read in its own order and needs no transposed copy.
    """
    (samples, filters), channels = dy.shape, dx.shape[1]
    dy_t, sums = np.empty((filters, samples), dy.dtype), np.empty((GROUP, samples), dy.dtype)
    for n in range(samples):
        for f in range(filters):
            dy_t[f, n] = dy[n, f]
    for c in range(0, channels, GROUP):
        size, n = min(GROUP, channels - c), ZERO
        while n < samples:
            width = width_for(dy, samples - n)
            count = min(samples - n, width * lanes(dy))
            for m in range(0, size, 12 if width == 1 else 6):
                if width == WIDEST:
                    _sum_channels(w, dy_t, sums, (c, m), (n, count), ROW_WIDEST)
                elif width == 2:
                    _sum_channels(w, dy_t, sums, (c, m), (n, count), ROW_2)
                else:
                    _sum_twelve(w, dy_t, sums, (c, m), (n, count))
            n += count
        _move_transposed(sums, dx, c, size)


@inner
def _sum_channels(w, dy_t, sums, rows, columns, width):  # type: ignore[no-untyped-def]
    c, m = rows
    n, count = columns
    (channels, filters), samples = w.shape, dy_t.shape[1]
    offsets = six_steps(c + m, channels - 1, filters, 0)
    tile, row = zeros(w, offsets, width), zeros(w, ROW_1, width)
    tile = accumulate(tile, row, w, offsets, 1, dy_t, n, samples, filters, count)
    store_rows(sums, six_steps(m, GROUP - 1, samples, n), tile, count)


@inner
def _sum_twelve(w, dy_t, sums, rows, columns):  # type: ignore[no-untyped-def]
    """The same for one vector of samples: six sums alone would wait for each other."""
    c, m = rows
    n, count = columns
    (channels, filters), samples = w.shape, dy_t.shape[1]
    last = channels - 1
    offsets = six_steps(c + m, last, filters, 0) + six_steps(c + m + 6, last, filters, 0)
    tile, row = zeros(w, offsets, ROW_1), zeros(w, ROW_1, ROW_1)
    tile = accumulate(tile, row, w, offsets, 1, dy_t, n, samples, filters, count)
    places = six_steps(m, GROUP - 1, samples, n) + six_steps(m + 6, GROUP - 1, samples, n)
    store_rows(sums, places, tile, count)


@inner
def _move_transposed(sums, dx, c, size):  # type: ignore[no-untyped-def]
    """dx[:, c:][:, :size] = sums[:size] transposed: squares in registers, the edges number by number."""
    (samples, channels), side = dx.shape, lanes(dx)
    whole_n, whole_m = samples - samples % side, size - size % side
    for n in range(0, whole_n, side):
        for m in range(0, whole_m, side):
            copy_transposed(dx, n * channels + c + m, channels, sums, m * samples + n, samples)
    for n in range(samples):
        for m in range(whole_m if n < whole_n else 0, size):
            dx[n, c + m] = sums[m, n]


@kernel
def dense_backward_w(
    dy: np.ndarray, x: np.ndarray, dw: np.ndarray, db: np.ndarray, start: int, stop: int
) -> None:
    """Add the gradients to rows [start, stop) of dw (C, F) and, when start is 0, to db ((F,), or (0,) for none).

    Cutting the rows into slices changes no bit, so that threads may own slices of a large dw.
    """
    filters = dy.shape[1]
    if start == 0:
        add_bias_gradient(dy, db)
    f = ZERO
    while f < filters:
        width = width_for(x, filters - f)
        count = min(filters - f, width * lanes(x))
        if width == WIDEST:
            _add_products(dy, x, dw, (start, stop), (f, count), ROW_WIDEST)
        elif width == 2:
            _add_products(dy, x, dw, (start, stop), (f, count), ROW_2)
        else:
            _add_products(dy, x, dw, (start, stop), (f, count), ROW_1)
        f += count


@inner
def _add_products(dy, x, dw, rows, columns, width):  # type: ignore[no-untyped-def]
    start, stop = rows
    f, count = columns
    (samples, channels), filters, row = x.shape, dw.shape[1], zeros(x, ROW_1, width)
    for c in range(start, stop, 6):
        offsets = six_steps(c, stop - 1, 1, 0)
        tile = zeros(x, offsets, width)
        tile = accumulate(tile, row, x, offsets, channels, dy, f, filters, samples, count)
        add_rows(dw, six_steps(c, stop - 1, filters, f), tile, count)
