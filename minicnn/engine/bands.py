"""One image over several threads: a convolution cut into bands of rows, and its dw into parts of the weight.

Only a batch of one image is cut so: a larger one has chunks for the threads. A band is a convolution of its own, of
some rows of the image with a window of its own, and gives the bits that the whole gives.
"""

from collections.abc import Callable
from functools import cache
from math import prod
from typing import NamedTuple

import numpy as np

from minicnn import config
from minicnn.engine.binding import Frame
from minicnn.engine.ops import Conv2D
from minicnn.engine.threads import run_tasks
from minicnn.geometry import Window
from minicnn.kernels import conv2d

WORTHWHILE = 1 << 22
"""Multiply-adds from which a convolution of one image is cut: 70 µs of work, of which handing over takes 15."""


class Band(NamedTuple):
    """Some rows of the image, the rows of the output that go with them, and how the window lies on them."""

    image: slice
    output: slice
    window: Window


def parts_for(op: Conv2D, frame: Frame) -> int:
    """How many threads should share the convolution."""
    if not frame.is_alone or frame.n > 1 or op.groups > 1:
        return 1
    products = prod(op.window.output_size) * prod(op.window.kernel_size) * frame.x.shape[3] * op.filters
    return config.num_threads() if products >= WORTHWHILE else 1


def forward(
    op: Conv2D, parts: int, direct: Callable[..., None], arrays: tuple[np.ndarray, ...], y: np.ndarray
) -> None:
    """`direct`, `conv2d_forward` or `conv_relu_forward`, of arrays (x, w, b), cut into `parts`."""
    bands, (x, w, b) = forward_bands(op.window, parts), arrays

    def run(k: int) -> None:
        band = bands[k]
        direct(x[:, band.image], w, b, y[:, band.output], band.window, op.groups)

    run_tasks(len(bands), run)


def backward_x(op: Conv2D, parts: int, dy: np.ndarray, w_t: np.ndarray, dx: np.ndarray) -> None:
    """`conv2d_backward_x`, cut into `parts`."""
    bands, rows = backward_bands(op.window, parts), conv2d.rows_per_band(w_t.shape, op.window, op.groups)

    def run(k: int) -> None:
        band = bands[k]
        phase = band.output.start % rows
        conv2d.conv2d_backward_x(dy[:, band.output], w_t, dx[:, band.image], band.window, op.groups, phase)

    run_tasks(len(bands), run)


def backward_w(
    op: Conv2D, parts: int, dy: np.ndarray, x: np.ndarray, gradients: tuple[np.ndarray, np.ndarray]
) -> None:
    """`conv2d_backward_w` to (dw, db), cut into `parts` of dw's rows; the first one adds to db as well."""
    dw, db = gradients
    rows = dw.size // dw.shape[3]
    step = -(-rows // (6 * parts)) * 6  # whole tiles

    def run(k: int) -> None:
        part = (k * step, min(rows, (k + 1) * step))
        conv2d.conv2d_backward_w(dy, x, dw, db if k == 0 else db[:0], op.window, op.groups, part)

    run_tasks(-(-rows // step), run)


@cache
def forward_bands(window: Window, parts: int) -> tuple[Band, ...]:
    """Bands that share the rows of the output evenly, each with the rows of the image that it reads."""
    stride, pad, height = window.strides[0], window.pads_before[0], window.image_size[0]
    reach = (window.kernel_size[0] - 1) * window.dilation[0]
    bands = []
    for start, stop in _cuts(window.output_size[0], parts):
        first, last = start * stride - pad, (stop - 1) * stride - pad + reach
        image = slice(max(0, first), min(height, last + 1))
        bands.append(_band(window, image, slice(start, stop), image.start - first))
    return tuple(bands)


@cache
def backward_bands(window: Window, parts: int) -> tuple[Band, ...]:
    """Bands that share the rows of the image evenly, each with the rows of the output that read it."""
    stride, pad, out_h = window.strides[0], window.pads_before[0], window.output_size[0]
    reach = (window.kernel_size[0] - 1) * window.dilation[0]
    bands = []
    for start, stop in _cuts(window.image_size[0], parts):
        # Where no row reads the band, any one will do: its taps all lie outside.
        first = min(out_h - 1, max(0, -(-(start + pad - reach) // stride)))
        last = max(first, min(out_h - 1, (stop - 1 + pad) // stride))
        bands.append(_band(window, slice(start, stop), slice(first, last + 1), pad + start - first * stride))
    return tuple(bands)


def _cuts(size: int, parts: int) -> list[tuple[int, int]]:
    """range(size) in at most `parts` even pieces."""
    parts = min(parts, size)
    return [(k * size // parts, (k + 1) * size // parts) for k in range(parts)]


def _band(window: Window, image: slice, output: slice, pad: int) -> Band:
    """`pad`: how many rows above the band's image its first row of output begins."""
    height, out_h = image.stop - image.start, output.stop - output.start
    reach = (out_h - 1) * window.strides[0] + (window.kernel_size[0] - 1) * window.dilation[0] + 1
    return Band(
        image,
        output,
        window._replace(
            image_size=(height, window.image_size[1]),
            output_size=(out_h, window.output_size[1]),
            pads_before=(pad, window.pads_before[1]),
            pads_after=(reach - pad - height, window.pads_after[1]),
        ),
    )
