"""Padding: what a window reads outside the image, and explicit zero padding as an op of its own."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from minicnn.geometry import Window


def pad(x: Shaped[np.ndarray, "N H W C"], window: Window) -> Shaped[np.ndarray, "N HP WP C"]:
    """Surround the image with the rows and columns of zeros (False) that `window` reads beyond it."""
    (top, left), (bottom, right) = window.pads_before, window.pads_after
    widths = ((0, 0), (top, max(0, bottom)), (left, max(0, right)), (0, 0))
    return np.pad(x, widths)


def unpad(dx: Shaped[np.ndarray, "N HP WP C"], window: Window) -> Shaped[np.ndarray, "N H W C"]:
    """Keep the gradient of the image itself: padding is a constant."""
    (top, left), (height, width) = window.pads_before, window.image_size
    return dx[:, top : top + height, left : left + width]


class ZeroPad2DResiduals(NamedTuple):
    image_size: tuple[int, int]
    pads: tuple[tuple[int, int], tuple[int, int]]


def zero_pad2d_forward(
    x: Float[np.ndarray, "N H W C"], pads: tuple[tuple[int, int], tuple[int, int]]
) -> tuple[Float[np.ndarray, "N HP WP C"], ZeroPad2DResiduals]:
    """Surround each image with zeros: ((top, bottom), (left, right)) rows and columns."""
    return np.pad(x, ((0, 0), *pads, (0, 0))), ZeroPad2DResiduals(x.shape[1:3], pads)


def zero_pad2d_backward(
    dy: Float[np.ndarray, "N HP WP C"], residuals: ZeroPad2DResiduals
) -> tuple[Float[np.ndarray, "N H W C"]]:
    """Return (dx,): dy without its border."""
    (height, width), ((top, _), (left, _)) = residuals
    return (dy[:, top : top + height, left : left + width].copy(),)
