"""The gradient of x for fewer channels than a vector holds.

Contract: reference.conv2d. `conv2d` runs vectors along the channels, and three channels fill three lanes of sixteen.
The taps of one kernel row lie side by side in x, so here vectors run along a whole kernel row: Q·C numbers.
"""

import numpy as np

from minicnn.geometry import Window
from minicnn.kernels._jit import inner, kernel
from minicnn.kernels._simd import add_rows, lanes, zeros
from minicnn.kernels._sliding import aligned_zeros, band_rows, images_per_block
from minicnn.kernels._tile import ROW_1, ROW_2, ROW_WIDEST, WIDEST, ZERO, accumulate, six, width_for

WIDE = 16
"""From so many channels on the kernels of `conv2d` waste nothing."""


def is_narrow(w_t_shape: tuple[int, ...], window: Window, groups: int) -> bool:
    """Whether this kernel applies to w_t (P, Q, F, C)."""
    return groups == 1 and w_t_shape[3] < WIDE and w_t_shape[1] > 1 and window.dilation[1] == 1


def narrow_band_rows(window: Window) -> int:
    """`band_rows`, rounded up to whole tiles of six rows."""
    return -(-band_rows(window) // 6) * 6


def narrow_backward_x(dy: np.ndarray, w_t: np.ndarray, dx: np.ndarray, window: Window, phase: int) -> None:
    """dx (N, H, W, C), overwritten, from dy (N, OH, OW, F) and w_t (P, Q, F, C)."""
    _backward_x(dy, w_t, dx, window, phase, narrow_band_rows(window))


@kernel
def _backward_x(dy, w_t, dx, window, phase, band):  # type: ignore[no-untyped-def]
    out_h, out_w = window.output_size
    _, height, width, channels = dx.shape
    block = images_per_block(len(dy), out_h * out_w)
    w_rows = _pack_rows(w_t)
    # Columns that a kernel row reaches outside the image are written, and left behind.
    left, right = window.pads_before[1], max(0, window.pads_after[1])
    padded = aligned_zeros((block, height, width + max(0, left) + right, channels), dx.dtype)
    rows = np.empty((2, block * min(band, out_h)), np.int64)
    for first in range(0, len(dy), block):
        last = min(first + block, len(dy))
        flat = padded.reshape(-1)
        for k in range(flat.size):
            flat[k] = 0
        for top in range(-phase, out_h, band):
            part = (first, last, max(0, top), min(top + band, out_h))
            for p in range(w_t.shape[0]):
                number = _row_pairs(dy, padded, window, p, part, rows)
                _scatter_rows(dy, w_rows, padded, window, (rows, number, p))
        for n in range(first, last):
            for h in range(height):
                source, target = padded[n - first, h].reshape(-1), dx[n, h].reshape(-1)
                for k in range(target.size):
                    target[k] = source[max(0, left) * channels + k]


@inner
def _pack_rows(w_t):  # type: ignore[no-untyped-def]
    """(P, F, Q·C) from w_t (P, Q, F, C)."""
    kernel_h, kernel_w, filters, channels = w_t.shape
    w_rows = aligned_zeros((kernel_h, filters, kernel_w * channels), w_t.dtype)
    for p in range(kernel_h):
        for q in range(kernel_w):
            for f in range(filters):
                for c in range(channels):
                    w_rows[p, f, q * channels + c] = w_t[p, q, f, c]
    return w_rows


@inner
def _row_pairs(dy, padded, window, p, part, rows):  # type: ignore[no-untyped-def]
    """List the rows of dy whose kernel row p lies inside the image, and where it lies. Returns how many there are.

    `part` is (first image, last image, first row, last row), the last ones excluded.
    """
    first, last, top, bottom = part
    number, shift = 0, p * window.dilation[0] - window.pads_before[0]
    for n in range(first, last):
        for i in range(top, bottom):
            h = i * window.strides[0] + shift
            if 0 <= h < padded.shape[1]:
                rows[0, number] = (n * dy.shape[1] + i) * dy.shape[2] * dy.shape[3]
                rows[1, number] = ((n - first) * padded.shape[1] + h) * padded.shape[2] * padded.shape[3]
                number += 1
    return number


@inner
def _scatter_rows(dy, w_rows, padded, window, routes):  # type: ignore[no-untyped-def]
    """One kernel row of six rows of dy at a time: what lies in different rows can't be written to the same place."""
    terms = w_rows.shape[2]
    k = ZERO
    while k < terms:
        width = width_for(dy, terms - k)
        count = min(terms - k, width * lanes(dy))
        if width == WIDEST:
            _scatter_columns(dy, w_rows, padded, window, routes, (k, count), ROW_WIDEST)
        elif width == 2:
            _scatter_columns(dy, w_rows, padded, window, routes, (k, count), ROW_2)
        else:
            _scatter_columns(dy, w_rows, padded, window, routes, (k, count), ROW_1)
        k += count


@inner
def _scatter_columns(dy, w_rows, padded, window, routes, columns, width):  # type: ignore[no-untyped-def]
    rows, number, p = routes
    k, count = columns
    filters, stride, row = w_rows.shape[1], w_rows.shape[2], zeros(dy, ROW_1, width)
    shift = (max(0, window.pads_before[1]) - window.pads_before[1]) * padded.shape[3] + k
    step = window.strides[1] * padded.shape[3]
    for t in range(0, number, 6):
        for j in range(dy.shape[2]):
            offsets = six(rows[0], t, number - 1, j * filters)
            tile = zeros(dy, offsets, width)
            start = p * filters * stride + k
            tile = accumulate(tile, row, dy, offsets, 1, w_rows, start, stride, filters, count)
            add_rows(padded, six(rows[1], t, number - 1, j * step + shift), tile, count)
