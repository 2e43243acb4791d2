"""Max pooling, forward and backward. Padding never wins, as if −∞; of ties the first in row-major order does."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from minicnn.geometry import Window
from minicnn.reference.padding import pad, unpad


class MaxPool2DResiduals(NamedTuple):
    argmax: np.ndarray
    """(N, OH, OW, C) int64: index p·Q + q of the tap that won."""
    window: Window


def max_pool2d_forward(
    x: Float[np.ndarray, "N H W C"], window: Window
) -> tuple[Float[np.ndarray, "N OH OW C"], MaxPool2DResiduals]:
    """y[n,i,j,c] = max_{p,q} x[n, i·s+p, j·s+q, c] over the taps inside the image.

    The first NaN of a window wins, as in NumPy and PyTorch (TensorFlow drops it).
    """
    padded, inside = pad(x, window), pad(np.ones((1, *x.shape[1:3], 1), bool), window)
    y = np.zeros((len(x), *window.output_size, x.shape[-1]), x.dtype)
    argmax = np.full(y.shape, -1)
    for index, (_, _, rows, columns) in enumerate(window.taps()):
        tap = padded[:, rows, columns]
        better = (argmax < 0) | (tap > y) | (np.isnan(tap) & ~np.isnan(y))
        better &= inside[:, rows, columns]
        y, argmax = np.where(better, tap, y), np.where(better, index, argmax)
    return y, MaxPool2DResiduals(argmax, window)


def max_pool2d_backward(
    dy: Float[np.ndarray, "N OH OW C"], residuals: MaxPool2DResiduals
) -> tuple[Float[np.ndarray, "N H W C"]]:
    """Return (dx,): each dy goes to the x that won its window; an x that won several windows gets their sum."""
    argmax, window = residuals
    image = np.zeros((len(dy), *window.image_size, dy.shape[-1]), dy.dtype)
    dx_padded = pad(image, window)
    for index, (_, _, rows, columns) in enumerate(window.taps()):
        dx_padded[:, rows, columns] += np.where(argmax == index, dy, 0)
    return (unpad(dx_padded, window),)
