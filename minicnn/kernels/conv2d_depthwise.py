"""Convolution with one channel and one filter a group: groups = C = F, every other geometry.

Contract: reference.conv2d. The general kernel would use one lane of each vector; here vectors run along the
channels. There is one multiply-add for two numbers loaded, so no tile could help: memory decides.
"""

import numpy as np

from minicnn.geometry import Window
from minicnn.kernels._jit import inner, kernel
from minicnn.kernels._simd import add_rows, lanes, load_row, relu, row_fma, store_rows, zeros
from minicnn.kernels._sliding import spans
from minicnn.kernels._tile import ROW_1, ROW_2, ZERO, add_bias_gradient, start_tile


def is_depthwise(w_shape: tuple[int, ...], groups: int) -> bool:
    """Whether these kernels apply to w (P, Q, 1, F)."""
    return groups > 1 and w_shape[2] == 1 and w_shape[3] == groups


@kernel
def depthwise_forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray, y: np.ndarray, window: Window, is_relu: bool
) -> None:
    """y (N, OH, OW, C), overwritten, from x (N, H, W, C), w (P, Q, 1, C) and b ((C,), or (0,) for none)."""
    rows, columns = spans(window, 0), spans(window, 1)
    for n in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                taps, c = (
                    (rows[i, 0], rows[i, 1], rows[i, 2], columns[j, 0], columns[j, 1], columns[j, 2]),
                    ZERO,
                )
                while c < y.shape[3]:
                    if y.shape[3] - c >= 2 * lanes(x):
                        _sum_taps(x, w, b, y, window, (n, i, j), taps, (c, None), is_relu, ROW_2)
                        c += 2 * lanes(x)
                    else:
                        count = min(y.shape[3] - c, lanes(x))
                        _sum_taps(x, w, b, y, window, (n, i, j), taps, (c, count), is_relu, ROW_1)
                        c += lanes(x)


@inner
def _sum_taps(x, w, b, y, window, place, taps, columns, is_relu, width):  # type: ignore[no-untyped-def]
    first_p, last_p, top, first_q, last_q, left = taps
    n, i, j = place
    c, count = columns
    channels, tile = w.shape[3], start_tile(ROW_1, width, b, c, count)
    for p in range(first_p, last_p):
        row = (n * x.shape[1] + top + p * window.dilation[0]) * x.shape[2] + left
        for q in range(first_q, last_q):
            values = load_row(tile, x, (row + q * window.dilation[1]) * channels + c, count)
            tile = row_fma(tile, values, load_row(tile, w, (p * w.shape[1] + q) * channels + c, count))
    if is_relu:
        tile = relu(tile)
    store_rows(y, (((n * y.shape[1] + i) * y.shape[2] + j) * channels + c,), tile, count)


@kernel
def depthwise_backward_x(dy: np.ndarray, w: np.ndarray, dx: np.ndarray, window: Window) -> None:
    """dx (N, H, W, C), overwritten, from dy (N, OH, OW, C) and w (P, Q, 1, C)."""
    flat = dx.reshape(-1)
    for k in range(flat.size):
        flat[k] = 0
    rows, columns = spans(window, 0), spans(window, 1)
    for n in range(dy.shape[0]):
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                gradient = dy[n, i, j]
                for p in range(rows[i, 0], rows[i, 1]):
                    for q in range(columns[j, 0], columns[j, 1]):
                        h, v = rows[i, 2] + p * window.dilation[0], columns[j, 2] + q * window.dilation[1]
                        pixel = dx[n, h, v]
                        weights = w[p, q, 0]
                        for c in range(pixel.size):
                            pixel[c] += gradient[c] * weights[c]


@kernel
def depthwise_backward_w(
    dy: np.ndarray, x: np.ndarray, dw: np.ndarray, db: np.ndarray, window: Window
) -> None:
    """Add the gradients, image by image, to dw (P, Q, 1, C) and db ((C,), or (0,) for none)."""
    channels = dw.shape[3]
    add_bias_gradient(dy, db)
    for n in range(dy.shape[0]):
        for p in range(dw.shape[0]):
            for q in range(dw.shape[1]):
                c = ZERO
                while c < channels:
                    if channels - c >= 2 * lanes(x):
                        _sum_pixels(dy, x, dw, window, (n, p, q), (c, None), ROW_2)
                        c += 2 * lanes(x)
                    else:
                        _sum_pixels(dy, x, dw, window, (n, p, q), (c, min(channels - c, lanes(x))), ROW_1)
                        c += lanes(x)


@inner
def _sum_pixels(dy, x, dw, window, tap, columns, width):  # type: ignore[no-untyped-def]
    n, p, q = tap
    c, count = columns
    channels, tile = dw.shape[3], zeros(x, ROW_1, width)
    for i in range(dy.shape[1]):
        h = i * window.strides[0] - window.pads_before[0] + p * window.dilation[0]
        if h < 0 or h >= x.shape[1]:
            continue
        row = (n * x.shape[1] + h) * x.shape[2]
        for j in range(dy.shape[2]):
            column = j * window.strides[1] - window.pads_before[1] + q * window.dilation[1]
            if 0 <= column < x.shape[2]:
                gradient = load_row(tile, dy, ((n * dy.shape[1] + i) * dy.shape[2] + j) * channels + c, count)
                tile = row_fma(tile, load_row(tile, x, (row + column) * channels + c, count), gradient)
    add_rows(dw, ((p * dw.shape[1] + q) * channels + c,), tile, count)
