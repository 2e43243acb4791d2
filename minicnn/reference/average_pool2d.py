"""Average pooling, forward and backward. Padding doesn't count: a window at the border averages fewer pixels."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from minicnn.geometry import Window
from minicnn.reference.padding import pad, unpad


class AveragePool2DResiduals(NamedTuple):
    pixels: np.ndarray
    """(1, OH, OW, 1): how many taps of each window lie inside the image."""
    window: Window


def average_pool2d_forward(
    x: Float[np.ndarray, "N H W C"], window: Window
) -> tuple[Float[np.ndarray, "N OH OW C"], AveragePool2DResiduals]:
    """y[n,i,j,c] = Σ_{p,q} x[n, i·s+p, j·s+q, c] / (number of taps inside the image)."""
    padded, inside = pad(x, window), pad(np.ones((1, *x.shape[1:3], 1)), window)
    total = np.zeros((len(x), *window.output_size, x.shape[-1]), x.dtype)
    count = np.zeros((1, *window.output_size, 1), x.dtype)
    for _, _, rows, columns in window.taps():
        total += padded[:, rows, columns]
        count += inside[:, rows, columns]
    return total / count, AveragePool2DResiduals(count, window)


def average_pool2d_backward(
    dy: Float[np.ndarray, "N OH OW C"], residuals: AveragePool2DResiduals
) -> tuple[Float[np.ndarray, "N H W C"]]:
    """Return (dx,): each dy is shared equally among the pixels of its window."""
    pixels, window = residuals
    image = np.zeros((len(dy), *window.image_size, dy.shape[-1]), dy.dtype)
    dx_padded, share = pad(image, window), dy / pixels
    for _, _, rows, columns in window.taps():
        dx_padded[:, rows, columns] += share
    return (unpad(dx_padded, window),)
