"""dx of conv_relu_pool for the geometry of `conv_relu_pool_winograd.applies`: pooling window by pooling window.

All the gradients that pass one 2×2 window, one for each filter at most, reach the same 4×4 pixels of dx. Their sum
stays in registers, one vector of channels of the 4×4 pixels at a time; only the tap that won decides which nine of
the sixteen get the filter's weights, so that there is one loop for each tap. Scattering filter by filter
(`conv_relu_pool_backward`) stores nine pixels for every gradient instead of sixteen for a window.

Contract: reference.conv_relu_pool. An element of dx adds, in the order of filters, then windows, a part for each of the
up to four windows that reach it; that is the sum of four, one for each tap, each in parts of PRODUCTS.
"""

import numpy as np

from minicnn.geometry import Window
from minicnn.kernels._jit import inner, kernel
from minicnn.kernels._simd import (
    VECTOR_NBYTES,
    add_rows,
    append_passed,
    copy_transposed,
    lanes,
    read,
    rows_fma,
    shifted,
    zeros,
)
from minicnn.kernels._sliding import aligned_zeros, padded_shape
from minicnn.kernels._tile import ROW_1
from minicnn.kernels.conv_relu_pool_backward import _fill, _move_image

FILTERS = 64
"""Filters whose gradients are listed and added together: nine taps of CHANNELS channels of them fit the L1 cache."""

PRODUCTS = 16
"""Products in one chain of additions. On average a tap has a sixth of FILTERS, but where all numbers are positive, one
tap can win for every filter: chains of 64 were off by 6.8 u·Σ|dy||w|, of 32 by 5.8, of 16 by 3.8, at no cost."""

CHANNELS = VECTOR_NBYTES // 4
"""Channels that lie side by side in `packed`: what is read together. Every second line of memory would use half of the
cache's sets only."""

ROW_4 = (0,) * 4


def packed_shape(channels: int, filters: int) -> tuple[int, int, int, int, int]:
    """The weights of a filter for CHANNELS channels lie together."""
    return channels // CHANNELS, filters, 3, 3, CHANNELS


@kernel
def pack_for_windows(w: np.ndarray, packed: np.ndarray) -> None:
    """packed, overwritten, of the shape `packed_shape`: w (3, 3, C, F)."""
    channels, filters = w.shape[2], w.shape[3]
    step = packed[0, 0].size
    for tap in range(9):
        for c in range(0, channels, lanes(w)):
            place = c // CHANNELS * packed[0].size + tap * CHANNELS + c % CHANNELS
            for f in range(0, filters, lanes(w)):
                copy_transposed(
                    packed, place + f * step, step, w, (tap * channels + c) * filters + f, filters
                )


@kernel
def windows_backward_x(
    dy: np.ndarray,
    y: np.ndarray,
    argmax: np.ndarray,
    packed: np.ndarray,
    dx: np.ndarray,
    window: Window,
) -> None:
    """dx (N, H, W, C), overwritten, from dy, y and argmax (N, OH, OW, F) and `packed`, w after `pack_for_windows`."""
    pixels, filters = y.shape[1] * y.shape[2], y.shape[3]
    _, height, width, channels = padded_shape(dx, 1, window)
    is_direct = height * width == dx.shape[1] * dx.shape[2]
    part = aligned_zeros((0 if is_direct else 1, height, width, channels), dx.dtype)
    # Vectors are appended whole: the last one may reach past the last number.
    room = pixels * FILTERS + CHANNELS
    lists, ends = (np.empty(room, dx.dtype), np.empty(room, np.int32)), np.empty(4 * pixels + 1, np.int64)
    _fill(dx.reshape(-1), 0)
    for n in range(len(dx)):
        target, shift = (dx, n * dx[n].size) if is_direct else (part, 0)
        for f in range(0, filters, FILTERS):
            span = (f, min(f + FILTERS, filters))
            _list_by_window((dy, y, argmax), n * pixels, span, packed[0, 0].size, lists, ends)
            for c in range(0, channels, lanes(dx)):
                for t in range(pixels):
                    i, j = t // y.shape[2], t % y.shape[2]
                    at = shift + 2 * (i * width + j) * channels + c
                    _add_window(
                        target, at, (width * channels, channels), packed, c, lists, ends[4 * t : 4 * t + 5]
                    )
        if not is_direct:
            _move_image(part, window, dx, n)


@inner
def _list_by_window(maxima, first, span, size, lists, ends):  # type: ignore[no-untyped-def]
    """The gradients that pass, in the order of windows, taps and filters, and where the filters' weights lie.

    Those of tap m of window t are the numbers ends[4·t + m] … ends[4·t + m + 1] − 1.
    """
    filters, number = maxima[0].shape[3], np.int64(0)
    ends[0] = 0
    for k in range(ends.size - 1):
        for f in range(span[0], span[1], lanes(maxima[0])):
            at = (first + k // 4) * filters + f
            number += append_passed(lists, number, maxima, at, k % 4, (f * size, size))
        ends[k + 1] = number


@inner
def _add_window(dx, at, steps, packed, c, lists, ends):  # type: ignore[no-untyped-def]
    """dx[at:] += what reaches one vector of channels of the 4×4 pixels from there, a row and a pixel in `steps`."""
    source = packed, c // CHANNELS * packed[0].size + c % CHANNELS, lists
    _add_three_rows(dx, at, steps, source, ends[:3])
    _add_three_rows(dx, at + steps[0], steps, source, ends[2:])


@inner
def _add_three_rows(dx, at, steps, source, ends):  # type: ignore[no-untyped-def]
    """Add what two taps of the pool beside each other send to three rows of four pixels."""
    row, pixel = steps
    places = (at, at + pixel, at + 2 * pixel, at + 3 * pixel)
    left, right = ends[0], ends[1]
    while left < ends[1] or right < ends[2]:
        r0 = zeros(dx, ROW_4, ROW_1)
        r1, r2 = r0, r0
        for k in range(left, min(left + PRODUCTS, ends[1])):
            sums = _add_filter(r0[:3] + r1[:3] + r2[:3], source, k)
            r0, r1, r2 = sums[:3] + r0[3:], sums[3:6] + r1[3:], sums[6:] + r2[3:]
        for k in range(right, min(right + PRODUCTS, ends[2])):
            sums = _add_filter(r0[1:] + r1[1:] + r2[1:], source, k)
            r0, r1, r2 = r0[:1] + sums[:3], r1[:1] + sums[3:6], r2[:1] + sums[6:]
        add_rows(dx, places, r0, None)
        add_rows(dx, shifted(places, row), r1, None)
        add_rows(dx, shifted(places, 2 * row), r2, None)
        left, right = left + PRODUCTS, right + PRODUCTS


@inner
def _add_filter(sums, source, k):  # type: ignore[no-untyped-def]
    """Nine vectors, each plus values[k]·packed[places[k]:] of its own tap."""
    packed, at, (values, places) = source
    step = packed.shape[4]
    # fmt: off
    taps = (at, at + step, at + 2 * step, at + 3 * step, at + 4 * step, at + 5 * step, at + 6 * step, at + 7 * step,
            at + 8 * step)
    # fmt: on
    return rows_fma(sums, packed, taps, np.int64(read(places, k)), read(values, k), None)
