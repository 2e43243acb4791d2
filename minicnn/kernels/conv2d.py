"""2-D convolution for every geometry: strides, dilation, both paddings, groups.

Contract: reference.conv2d. All arrays are C-contiguous and of one dtype, float32 or float64.

Forward is a gather: each output pixel sums runs of x times rows of w. The gradient of x is a scatter, tap by tap,
so that no padding is multiplied and strides need no case of their own. The gradient of w is, for every weight row
(p, q, c), a sum over output pixels. All three are tiles of `_tile.accumulate`.
"""

import numpy as np

from minicnn.geometry import Window
from minicnn.kernels._jit import inner, kernel
from minicnn.kernels._simd import (
    add_rows,
    add_tiles,
    lanes,
    load_row,
    outer_fma,
    read,
    relu,
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
    pixel_pairs,
    pixel_starts,
    tap_offsets,
)
from minicnn.kernels._tile import (
    ROW_1,
    ROW_2,
    ROW_WIDEST,
    TERMS,
    WIDEST,
    accumulate,
    accumulate_taps,
    add_bias_gradient,
    six,
    six_steps,
    start_tile,
    width_for,
)
from minicnn.kernels.conv2d_depthwise import (
    depthwise_backward_w,
    depthwise_backward_x,
    depthwise_forward,
    is_depthwise,
)
from minicnn.kernels.conv2d_narrow import is_narrow, narrow_backward_x, narrow_band_rows


def conv2d_forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray, y: np.ndarray, window: Window, groups: int
) -> None:
    """y (N, OH, OW, F), overwritten = cross-correlation of x (N, H, W, C) with w (P, Q, C/groups, F), plus b.

    b is (F,), or (0,) for none.
    """
    if is_depthwise(w.shape, groups):
        depthwise_forward(x, w, b, y, window, False)
    else:
        _forward(x, w, b, y, window, groups, 0)


def conv_relu_forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray, y: np.ndarray, window: Window, groups: int
) -> None:
    """`conv2d_forward`, then y = max(y, 0), in one pass. NaN stays NaN."""
    if is_depthwise(w.shape, groups):
        depthwise_forward(x, w, b, y, window, True)
    else:
        _forward(x, w, b, y, window, groups, 1)


@kernel
def _forward(x, w, b, y, window, groups, is_relu):  # type: ignore[no-untyped-def]
    pixels, filters = y.shape[1] * y.shape[2], y.shape[3] // groups
    block = images_per_block(len(x), pixels)
    padded = aligned_zeros(padded_shape(x, block, window), x.dtype)
    starts = pixel_starts(block, padded.shape, window)
    taps = tap_offsets(w, padded.shape, window)
    for first in range(0, len(x), block):
        number = min(block, len(x) - first)
        shift, source = first * x[0].size, x
        if len(padded) > 0:
            pad_images(x, first, number, window, padded)
            shift, source = 0, padded
        for g in range(groups):
            routes = (starts[: number * pixels], taps, shift + g * w.shape[2], first * pixels)
            f, end = g * filters, (g + 1) * filters
            while f < end:
                width = width_for(x, end - f)
                count = min(end - f, width * lanes(x))
                if width == WIDEST:
                    _gather(source, w, b, y, routes, (f, count), is_relu, ROW_WIDEST)
                elif width == 2:
                    _gather(source, w, b, y, routes, (f, count), is_relu, ROW_2)
                else:
                    _gather(source, w, b, y, routes, (f, count), is_relu, ROW_1)
                f += count


@inner
def _gather(x, w, b, y, routes, columns, is_relu, width):  # type: ignore[no-untyped-def]
    """Filters f … f + count − 1 of all pixels whose first tap is at starts + shift."""
    starts, taps, shift, first = routes
    f, count = columns
    row, last, filters = zeros(x, ROW_1, width), starts.size - 1, w.shape[3]
    for t in range(0, starts.size, 6):
        offsets = six(starts, t, last, shift)
        tile = accumulate_taps(start_tile(offsets, width, b, f, count), row, x, offsets, taps, w, columns)
        if is_relu:
            tile = relu(tile)
        store_rows(y, six_steps(t, last, filters, first * filters + f), tile, count)


@kernel
def pack_transposed(w: np.ndarray, w_t: np.ndarray, groups: int) -> None:
    """w_t (P, Q, F/groups, C), overwritten: w (P, Q, C/groups, F) with the last two axes swapped inside each group."""
    kernel_h, kernel_w, channels, all_filters = w.shape
    filters = all_filters // groups
    for p in range(kernel_h):
        for q in range(kernel_w):
            for g in range(groups):
                for f in range(filters):
                    for c in range(channels):
                        w_t[p, q, f, g * channels + c] = w[p, q, c, g * filters + f]


def conv2d_backward_x(
    dy: np.ndarray, w_t: np.ndarray, dx: np.ndarray, window: Window, groups: int, phase: int = 0
) -> None:
    """dx (N, H, W, C), overwritten, from dy (N, OH, OW, F) and w_t, which is w after `pack_transposed`.

    `phase`: dy and dx are a part of the rows of an image, and so many rows of dy before them belong to their band.
    """
    if is_depthwise(w_t.shape, groups):
        depthwise_backward_x(dy, w_t, dx, window)
    elif is_narrow(w_t.shape, window, groups):
        narrow_backward_x(dy, w_t, dx, window, phase)
    else:
        _backward_x(dy, w_t, dx, window, groups, phase, band_rows(window))


def rows_per_band(w_t_shape: tuple[int, ...], window: Window, groups: int) -> int:
    """Rows of dy after which the order of additions to dx begins anew: a `phase` counts from there."""
    if is_narrow(w_t_shape, window, groups):
        return narrow_band_rows(window)
    return band_rows(window)


@kernel
def _backward_x(dy, w_t, dx, window, groups, phase, band):  # type: ignore[no-untyped-def]
    (out_h, out_w), channels = window.output_size, dx.shape[3] // groups
    block = images_per_block(len(dy), out_h * out_w)
    # Bands of rows end with an image, so that the order of an element's additions doesn't depend on the chunk.
    pairs = np.empty((2, block * min(band, out_h) * out_w), np.int64)
    flat = dx.reshape(-1)
    for k in range(flat.size):
        flat[k] = 0
    for first in range(0, len(dy), block):
        for top in range(-phase, out_h, band):
            part = (first, min(first + block, len(dy)), max(0, top), min(top + band, out_h))
            for tap in range(window.kernel_size[0] * window.kernel_size[1]):
                number = pixel_pairs(dy, dx, window, tap, part, pairs)
                for g in range(groups):
                    routes = (pairs, number, tap, g * w_t.shape[2])
                    c, end = g * channels, (g + 1) * channels
                    while c < end:
                        width = width_for(dx, end - c)
                        count = min(end - c, width * lanes(dx))
                        if width == WIDEST:
                            _scatter(dy, w_t, dx, routes, (c, count), ROW_WIDEST)
                        elif width == 2:
                            _scatter(dy, w_t, dx, routes, (c, count), ROW_2)
                        else:
                            _scatter(dy, w_t, dx, routes, (c, count), ROW_1)
                        c += count


@inner
def _scatter(dy, w_t, dx, routes, columns, width):  # type: ignore[no-untyped-def]
    """Channels c … c + count − 1 of one tap."""
    pairs, number, tap, filter_shift = routes
    c, count = columns
    terms, stride, row = w_t.shape[2], w_t.shape[3], zeros(dx, ROW_1, width)
    for t in range(0, number, 6):
        offsets = six(pairs[0], t, number - 1, filter_shift)
        tile = zeros(dx, offsets, width)
        tile = accumulate(tile, row, dy, offsets, 1, w_t, tap * terms * stride + c, stride, terms, count)
        add_rows(dx, six(pairs[1], t, number - 1, c), tile, count)


def conv2d_backward_w(
    dy: np.ndarray,
    x: np.ndarray,
    dw: np.ndarray,
    db: np.ndarray,
    window: Window,
    groups: int,
    rows: tuple[int, int] | None = None,
) -> None:
    """Add the gradients of w and b, image by image, to dw (P, Q, C/groups, F) and db ((F,), or (0,) for none).

    `rows` (start, stop): only to those rows of dw seen as (P·Q·C/groups, F). It is ignored, and all are added to,
    when the convolution is depthwise.
    """
    if is_depthwise(dw.shape, groups):
        depthwise_backward_w(dy, x, dw, db, window)
    else:
        start, stop = rows or (0, dw.size // dw.shape[3])
        _backward_w(dy, x, dw, db, window, groups, (start, stop), band_rows(window))


@kernel
def _backward_w(dy, x, dw, db, window, groups, rows, band):  # type: ignore[no-untyped-def]
    (out_h, out_w), all_filters, filters = window.output_size, dw.shape[3], dw.shape[3] // groups
    block = images_per_block(len(x), out_h * out_w)
    padded = aligned_zeros(padded_shape(x, block, window), x.dtype)
    starts = pixel_starts(block, padded.shape, window)
    taps = tap_offsets(dw, padded.shape, window)[rows[0] : rows[1]]
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
            place = (first * out_h + top) * out_w * all_filters
            for g in range(groups):
                routes = (taps, pixels, shift + g * dw.shape[2], place, rows[0])
                f, end = g * filters, (g + 1) * filters
                while f < end:
                    width = width_for(x, end - f)
                    count = min(end - f, width * lanes(x))
                    if width == WIDEST:
                        _correlate(source, dy, dw, routes, (f, count), ROW_WIDEST)
                    elif width == 2:
                        _correlate(source, dy, dw, routes, (f, count), ROW_2)
                    else:
                        _correlate(source, dy, dw, routes, (f, count), ROW_1)
                    f += count


@inner
def _correlate(x, dy, dw, routes, columns, width):  # type: ignore[no-untyped-def]
    """Filters f … f + count − 1 of all rows of dw: tile rows are weight rows, terms are pixels."""
    taps, pixels, shift, place, first = routes
    f, count = columns
    stride, last, row = dw.shape[3], taps.size - 1, zeros(x, ROW_1, width)
    for r in range(0, taps.size, 6):
        offsets = six(taps, r, last, shift)
        tile = zeros(x, offsets, width)
        for start in range(0, pixels.size, TERMS):
            part = zeros_like(tile)
            for t in range(start, min(start + TERMS, pixels.size)):
                part = outer_fma(
                    part, x, offsets, read(pixels, t), load_row(row, dy, place + t * stride + f, count)
                )
            tile = add_tiles(tile, part)
        add_rows(dw, six_steps(r, last, stride, first * stride + f), tile, count)
