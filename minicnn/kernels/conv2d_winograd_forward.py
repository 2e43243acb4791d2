"""Convolution with a 3×3 kernel by Winograd's F(2×2, 3×3), forward: `conv_relu_pool_winograd` without the pool.

Contract: reference.conv2d, for what `applies` says. Every output is a sum of products of its own window's pixels
alone: where a window is 0, so is the output, to the last bit, and a ReLU decides as it does behind a direct sum.
Images for which any result isn't finite are computed again by the direct kernel.
"""

import numpy as np

from minicnn.geometry import Window
from minicnn.kernels import conv2d
from minicnn.kernels._jit import inner, kernel
from minicnn.kernels._positions import halves, multiply_all
from minicnn.kernels._simd import (
    add_scaled_tile,
    add_tiles,
    is_finite,
    lanes,
    load_row,
    relu,
    store_rows,
    zeros,
)
from minicnn.kernels._sliding import aligned_zeros
from minicnn.kernels._tile import ROW_1
from minicnn.kernels.conv_relu_pool_winograd import (
    ROW_4,
    TILES,
    _load_four,
    _sums,
    _transform_input,
)
from minicnn.recording import run_or_repair


def applies(window: Window, groups: int, channels: int, filters: int) -> bool:
    """Whether this kernel can be used, and is faster than the direct one: not for 3×3 outputs in four tiles."""
    if window.kernel_size != (3, 3) or window.strides != (1, 1) or window.dilation != (1, 1) or groups != 1:
        return False
    out_h, out_w = window.output_size
    multiplied = 16 * -(-out_h // 2) * -(-out_w // 2)
    return channels % 16 == 0 and filters % 32 == 0 and 5 * multiplied <= 3 * 9 * out_h * out_w


def conv2d_winograd_forward(
    x: np.ndarray,
    weights: tuple[np.ndarray, np.ndarray, np.ndarray],
    y: np.ndarray,
    block: np.ndarray,
    window: Window,
    is_relu: bool,
) -> None:
    """y (N, OH, OW, F), overwritten, from x (N, H, W, C) and the weights (w, b, u); max(y, 0) if `is_relu`.

    u is w after `conv_relu_pool_winograd.transform_weights`, b is (F,), or (0,) for none; `block`, overwritten, has the
    shape `conv_relu_pool_winograd.block_shape`.
    """
    w, b, u = weights
    finite = np.empty(len(x), np.bool_)

    def repair() -> None:
        compute_directly(~finite, x, (w, b), y, window, is_relu)

    run_or_repair(_forward, (x, u, b, y, finite, block, window, int(is_relu)), repair)


def compute_directly(
    chosen: np.ndarray,
    x: np.ndarray,
    weights: tuple[np.ndarray, np.ndarray],
    y: np.ndarray,
    window: Window,
    is_relu: bool,
) -> None:
    """The images for which chosen (N,) is True, one by one, by the direct kernel."""
    direct = conv2d.conv_relu_forward if is_relu else conv2d.conv2d_forward
    for n in np.flatnonzero(chosen):
        direct(x[n : n + 1], *weights, y[n : n + 1], window, 1)


@kernel
def _forward(x, u, b, y, finite, block, window, is_relu):  # type: ignore[no-untyped-def]
    """The same wherever finite (N,) is True afterwards; returns whether it is everywhere."""
    rows, columns = (y.shape[1] + 1) // 2, (y.shape[2] + 1) // 2
    channels, filters = x.shape[3], y.shape[3]
    v, m = halves(block, channels)
    image = aligned_zeros((1, 2 * rows + 2, 2 * columns + 2, channels), x.dtype)
    bias = b if b.size > 0 else np.zeros(filters, b.dtype)
    for n in range(len(x)):
        finite[n] = True
    is_all_finite = True
    for first in range(0, len(x) * rows * columns, TILES):
        last = min(first + TILES, len(x) * rows * columns)
        for t in range(first, last):
            n, i, j = t // (rows * columns), t // columns % rows, t % columns
            if i == 0 and j == 0:
                copy_in(x, n, window.pads_before, image[0])
            _transform_input(image, 2 * (i * image.shape[2] + j) * channels, v, (t - first) * channels)
        multiply_all(v, u, m, last - first)
        for t in range(first, last):
            n, i, j = t // (rows * columns), t // columns % rows, t % columns
            if not _transform_output(m, (t - first) * filters, bias, y, (n, 2 * i, 2 * j), is_relu):
                finite[n] = is_all_finite = False
    return is_all_finite


@inner
def copy_in(x, n, before, image):  # type: ignore[no-untyped-def]
    """The middle of `image` becomes x[n]; its border, zeros, stays as it is."""
    for h in range(x.shape[1]):
        for w in range(x.shape[2]):
            source, target = x[n, h, w], image[before[0] + h, before[1] + w]
            for c in range(source.size):
                target[c] = source[c]


@inner
def _transform_output(m, at, b, y, place, is_relu):  # type: ignore[no-untyped-def]
    """y[place] = Aᵀ m A / 4 + b where that lies inside y. Returns whether all of it is finite."""
    step, filters = m.shape[1] * m.shape[2], m.shape[2]
    n, i, j = place
    line = y.shape[2] * filters
    to = ((n * y.shape[1] + i) * y.shape[2] + j) * filters
    like, check = zeros(m, ROW_4, ROW_1), zeros(m, ROW_1, ROW_1)
    for f in range(0, filters, lanes(m)):
        places = (at + f, at + f + step, at + f + 2 * step, at + f + 3 * step)
        r0, r1 = _sums(*_load_four(like, m, places, 4 * step))
        left, right = _sums((r0[0], r1[0]), (r0[1], r1[1]), (r0[2], r1[2]), (r0[3], r1[3]))
        sums = add_tiles(left, right)
        check = add_tiles(check, add_tiles(sums[:1], sums[1:]))
        bias = load_row(check, b, f, None)
        left, right = add_scaled_tile(bias + bias, 0.25, left), add_scaled_tile(bias + bias, 0.25, right)
        if is_relu:
            left, right = relu(left), relu(right)
        store_rows(y, (to + f,), left[:1], None)
        if j + 1 < y.shape[2]:
            store_rows(y, (to + f + filters,), right[:1], None)
        if i + 1 < y.shape[1]:
            store_rows(y, (to + f + line,), left[1:], None)
            if j + 1 < y.shape[2]:
                store_rows(y, (to + f + line + filters,), right[1:], None)
    return is_finite(check)
