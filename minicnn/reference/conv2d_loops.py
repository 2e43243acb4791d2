"""2-D convolution as its definition says it: six nested loops, and one over the images.

    y[n,i,j,f] = b[f] + Σ_{p,q,c} x[n, i·s+p·d−t, j·s+q·d−l, c] · w[p,q,c,f]

The backward pass is the same loop nest: the product x·w in the sum for y has the derivative w by x and x by w, so
each visit adds dy·w to dx and dy·x to dw. Nothing is padded: a tap outside the image is left out.

In Python a visit takes about a microsecond. `kernels/conv2d_loops.py` is the same text compiled.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
from jaxtyping import Float

from minicnn.geometry import Window
from minicnn.reference.conv2d import Conv2DResiduals


def conv2d_loops_forward(
    x: Float[np.ndarray, "N H W C"],
    w: Float[np.ndarray, "P Q C_per_group F"],
    b: Float[np.ndarray, " F"] | None,
    window: Window,
    groups: int = 1,
) -> tuple[Float[np.ndarray, "N OH OW F"], Conv2DResiduals]:
    """Slide `w` over `x`. With groups, filter block g sees channel block g only. b=None means no bias."""
    y = np.zeros((len(x), *window.output_size, w.shape[-1]), x.dtype)
    for n, i, j, f in np.ndindex(y.shape):
        first = f // (w.shape[3] // groups) * w.shape[2]
        for p, q, row, column in _taps(window, i, j):
            for c in range(w.shape[2]):
                y[n, i, j, f] += x[n, row, column, first + c] * w[p, q, c, f]
        if b is not None:
            y[n, i, j, f] += b[f]
    return y, Conv2DResiduals(x, w, window, groups)


def conv2d_loops_backward(
    dy: Float[np.ndarray, "N OH OW F"], residuals: Conv2DResiduals
) -> tuple[Float[np.ndarray, "N H W C"], Float[np.ndarray, "P Q C_per_group F"], Float[np.ndarray, " F"]]:
    """Return (dx, dw, db)."""
    x, w, window, groups = residuals
    dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros(w.shape[3], w.dtype)
    for n, i, j, f in np.ndindex(dy.shape):
        first = f // (w.shape[3] // groups) * w.shape[2]
        for p, q, row, column in _taps(window, i, j):
            for c in range(w.shape[2]):
                dx[n, row, column, first + c] += dy[n, i, j, f] * w[p, q, c, f]
                dw[p, q, c, f] += dy[n, i, j, f] * x[n, row, column, first + c]
        db[f] += dy[n, i, j, f]
    return dx, dw, db


def _taps(window: Window, i: int, j: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (p, q, row, column) for the taps of output (i, j) that lie inside the image."""
    (height, width), (top, left) = window.image_size, window.pads_before
    for p, q in product(range(window.kernel_size[0]), range(window.kernel_size[1])):
        row = i * window.strides[0] + p * window.dilation[0] - top
        column = j * window.strides[1] + q * window.dilation[1] - left
        if 0 <= row < height and 0 <= column < width:
            yield p, q, row, column
