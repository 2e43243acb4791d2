"""Convolution with one channel and one filter a group: groups = C = F, every other geometry.

Contract: reference.conv2d. The general kernel would use one lane of each vector; here vectors run along the
channels. Six pixels of a row, or six taps of the gradient of w, are summed at a time: a row of w, or of dy, is loaded
once for six multiply-adds, whose sums wait for no other.
"""

import numpy as np

from minicnn.geometry import Window
from minicnn.kernels._jit import inner, kernel
from minicnn.kernels._simd import (
    add_rows,
    add_tiles,
    lanes,
    load_row,
    load_rows,
    read,
    relu,
    repeat_rows,
    row_fma,
    shifted,
    store_rows,
    zeros,
    zeros_like,
)
from minicnn.kernels._sliding import (
    aligned_zeros,
    band_rows,
    images_per_block,
    pad_images,
    padded_shape,
    pixel_starts,
    spans,
    tap_offsets,
)
from minicnn.kernels._tile import ROW_1, TERMS, ZERO, add_bias_gradient, six, six_steps, start_tile


def is_depthwise(w_shape: tuple[int, ...], groups: int) -> bool:
    """Whether these kernels apply to w (P, Q, 1, F)."""
    return groups > 1 and w_shape[2] == 1 and w_shape[3] == groups


def depthwise_forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray, y: np.ndarray, window: Window, is_relu: bool
) -> None:
    """y (N, OH, OW, C), overwritten, from x (N, H, W, C), w (P, Q, 1, C) and b ((C,), or (0,) for none)."""
    _slide(x, w, b, y, window, int(is_relu), 0)


def depthwise_backward_x(dy: np.ndarray, w: np.ndarray, dx: np.ndarray, window: Window) -> None:
    """dx (N, H, W, C), overwritten, from dy (N, OH, OW, C) and w (P, Q, 1, C).

    At stride 1 it is a convolution too: of dy with w turned by 180°.
    """
    pads = [
        (kernel - 1) * dilation - pad
        for kernel, dilation, pad in zip(window.kernel_size, window.dilation, window.pads_before, strict=True)
    ]
    if window.strides == (1, 1) and min(pads) >= 0:
        turned = window._replace(
            image_size=window.output_size, output_size=window.image_size, pads_before=(pads[0], pads[1])
        )
        _slide(dy, w, dx[0, 0, 0, :0], dx, turned, 0, 1)
    else:
        _scatter(dy, w, dx, window)


@kernel
def _slide(x, w, b, y, window, is_relu, is_turned):  # type: ignore[no-untyped-def]
    rows, columns = spans(window, 0), spans(window, 1)
    low, high = _whole(columns, window.kernel_size[1])
    for n in range(y.shape[0]):
        for i in range(y.shape[1]):
            c, routes = ZERO, ((n, i), (rows[i, 0], rows[i, 1], rows[i, 2]), columns, (low, high))
            while c < y.shape[3]:
                count = min(y.shape[3] - c, lanes(x))
                if count == lanes(x):
                    _slide_row(x, w, b, y, window, routes, (c, None), (is_relu, is_turned))
                else:
                    _slide_row(x, w, b, y, window, routes, (c, count), (is_relu, is_turned))
                c += count


@inner
def _whole(columns, taps):  # type: ignore[no-untyped-def]
    """From where to where along a row the windows lie wholly inside the image."""
    low = 0
    while low < len(columns) and (columns[low, 0] > 0 or columns[low, 1] < taps):
        low += 1
    high = low
    while high < len(columns) and columns[high, 1] == taps:
        high += 1
    return low, high


@inner
def _slide_row(x, w, b, y, window, routes, part, flags):  # type: ignore[no-untyped-def]
    """Channels c … c + count − 1 of a row: six pixels at a time where windows are whole, else one by one."""
    (n, i), (first_p, last_p, top), columns, (low, high) = routes
    c, count = part
    channels, place = w.shape[3], (n * y.shape[1] + i) * y.shape[2] * w.shape[3] + c
    top = (n * x.shape[1] + top) * x.shape[2] * channels + c
    step, shift = window.strides[1] * channels, top - window.pads_before[1] * channels
    for j in range(low, high, 6):
        offsets, taps = six_steps(j, high - 1, step, shift), (first_p, last_p, ZERO, w.shape[1])
        tile = _sum_taps(start_tile(offsets, ROW_1, b, c, count), x, w, window, offsets, taps, part, flags)
        store_rows(y, six_steps(j, high - 1, channels, place), tile, count)
    for k in range(low + len(columns) - high):
        j = k if k < low else k - low + high
        offsets, taps = (top + columns[j, 2] * channels,), (first_p, last_p, columns[j, 0], columns[j, 1])
        tile = _sum_taps(start_tile(offsets, ROW_1, b, c, count), x, w, window, offsets, taps, part, flags)
        store_rows(y, (place + j * channels,), tile, count)


@inner
def _sum_taps(tile, x, w, window, offsets, taps, part, flags):  # type: ignore[no-untyped-def]
    """Add the taps first_p ≤ p < last_p, first_q ≤ q < last_q of the pixels whose tap (0, 0) lies at `offsets`."""
    first_p, last_p, first_q, last_q = taps
    c, count = part
    is_relu, is_turned = flags
    channels, row = w.shape[3], zeros(x, ROW_1, ROW_1)
    step_q, step_p = window.dilation[1] * channels, window.dilation[0] * x.shape[2] * channels
    w_step, w_first = channels, c
    if is_turned:
        w_step, w_first = -channels, w.size - channels + c
    for p in range(first_p, last_p):
        for q in range(first_q, last_q):
            weights = load_row(row, w, w_first + (p * w.shape[1] + q) * w_step, count)
            values = load_rows(tile, x, shifted(offsets, p * step_p + q * step_q), count)
            tile = row_fma(tile, values, repeat_rows(tile, weights))
    if is_relu:
        tile = relu(tile)
    return tile


@kernel
def _scatter(dy, w, dx, window):  # type: ignore[no-untyped-def]
    flat = dx.reshape(-1)
    for k in range(flat.size):
        flat[k] = 0
    rows, columns = spans(window, 0), spans(window, 1)
    for n in range(dy.shape[0]):
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                taps = (rows[i, 0], rows[i, 1], rows[i, 2], columns[j, 0], columns[j, 1], columns[j, 2])
                c = ZERO
                while c < dy.shape[3]:
                    count = min(dy.shape[3] - c, lanes(dy))
                    if count == lanes(dy):
                        _scatter_taps(dy, w, dx, window, (n, i, j), taps, (c, None))
                    else:
                        _scatter_taps(dy, w, dx, window, (n, i, j), taps, (c, count))
                    c += count


@inner
def _scatter_taps(dy, w, dx, window, place, taps, part):  # type: ignore[no-untyped-def]
    """Add channels c … c + count − 1 of one pixel of dy times each tap to dx."""
    n, i, j = place
    first_p, last_p, top, first_q, last_q, left = taps
    c, count = part
    channels, none = w.shape[3], zeros(dy, ROW_1, ROW_1)
    gradient = load_row(none, dy, ((n * dy.shape[1] + i) * dy.shape[2] + j) * channels + c, count)
    for p in range(first_p, last_p):
        h = n * dx.shape[1] + top + p * window.dilation[0]
        for q in range(first_q, last_q):
            weights = load_row(none, w, (p * w.shape[1] + q) * channels + c, count)
            at = (h * dx.shape[2] + left + q * window.dilation[1]) * channels + c
            add_rows(dx, (at,), row_fma(none, gradient, weights), count)


def depthwise_backward_w(
    dy: np.ndarray, x: np.ndarray, dw: np.ndarray, db: np.ndarray, window: Window
) -> None:
    """Add the gradients, image by image, to dw (P, Q, 1, C) and db ((C,), or (0,) for none)."""
    _correlate(dy, x, dw, db, window, band_rows(window))


@kernel
def _correlate(dy, x, dw, db, window, band):  # type: ignore[no-untyped-def]
    (out_h, out_w), channels = window.output_size, dw.shape[3]
    block = images_per_block(len(x), out_h * out_w)
    padded = aligned_zeros(padded_shape(x, block, window), x.dtype)
    starts = pixel_starts(block, padded.shape, window)
    taps = tap_offsets(dw, padded.shape, window)
    add_bias_gradient(dy, db)
    for first in range(0, len(x), block):
        number = min(block, len(x) - first)
        shift, source = first * x[0].size, x
        if len(padded) > 0:
            pad_images(x, first, number, window, padded)
            shift, source = 0, padded
        # A block is either several whole images, or one image in several bands.
        for top in range(0, out_h, band):
            pixels = starts[top * out_w : ((number - 1) * out_h + min(out_h, top + band)) * out_w]
            routes = (taps, pixels, shift, (first * out_h + top) * out_w * channels)
            c = ZERO
            while c < channels:
                count = min(channels - c, lanes(x))
                if count == lanes(x):
                    _sum_pixels(source, dy, dw, routes, (c, None))
                else:
                    _sum_pixels(source, dy, dw, routes, (c, count))
                c += count


@inner
def _sum_pixels(x, dy, dw, routes, part):  # type: ignore[no-untyped-def]
    """Channels c … c + count − 1 of all taps: tile rows are taps, terms are pixels."""
    taps, pixels, shift, place = routes
    c, count = part
    channels, last, row = dw.shape[3], taps.size - 1, zeros(x, ROW_1, ROW_1)
    for r in range(0, taps.size, 6):
        offsets = six(taps, r, last, shift + c)
        tile = zeros(x, offsets, ROW_1)
        for start in range(0, pixels.size, TERMS):
            sums = zeros_like(tile)
            for t in range(start, min(start + TERMS, pixels.size)):
                gradient = load_row(row, dy, place + t * channels + c, count)
                values = load_rows(sums, x, shifted(offsets, read(pixels, t)), count)
                sums = row_fma(sums, values, repeat_rows(sums, gradient))
            tile = add_tiles(tile, sums)
        add_rows(dw, six_steps(r, last, channels, c), tile, count)
