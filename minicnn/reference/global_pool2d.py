"""Global pooling: one number for each whole feature map."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float


class GlobalAveragePool2DResiduals(NamedTuple):
    image_size: tuple[int, int]


class GlobalMaxPool2DResiduals(NamedTuple):
    is_maximum: np.ndarray
    """(N, H, W, C) bool: every pixel that equals its map's maximum."""


def global_average_pool2d_forward(
    x: Float[np.ndarray, "N H W C"],
) -> tuple[Float[np.ndarray, "N C"], GlobalAveragePool2DResiduals]:
    """y[n,c] = mean of x[n,:,:,c]."""
    return x.mean((1, 2)), GlobalAveragePool2DResiduals(x.shape[1:3])


def global_average_pool2d_backward(
    dy: Float[np.ndarray, "N C"], residuals: GlobalAveragePool2DResiduals
) -> tuple[Float[np.ndarray, "N H W C"]]:
    """Return (dx,): dy / (H·W) at every pixel."""
    height, width = residuals.image_size
    dx = np.empty((len(dy), height, width, dy.shape[-1]), dy.dtype)
    dx[:] = (dy / (height * width))[:, None, None, :]
    return (dx,)


def global_max_pool2d_forward(
    x: Float[np.ndarray, "N H W C"],
) -> tuple[Float[np.ndarray, "N C"], GlobalMaxPool2DResiduals]:
    """y[n,c] = max of x[n,:,:,c]."""
    y = x.max((1, 2))
    return y, GlobalMaxPool2DResiduals(_equal_or_both_nan(x, y[:, None, None, :]))


def global_max_pool2d_backward(
    dy: Float[np.ndarray, "N C"], residuals: GlobalMaxPool2DResiduals
) -> tuple[Float[np.ndarray, "N H W C"]]:
    """Return (dx,): dy shared equally among tied maxima.

    Not the rule of max pooling, but Keras's: its layer is a reduction, whose gradient splits ties
    (TensorFlow, python/ops/math_grad.py, `_MinOrMaxGrad`).
    """
    (is_maximum,) = residuals
    share = dy / is_maximum.sum((1, 2)).astype(dy.dtype)
    return (np.where(is_maximum, share[:, None, None, :], dy.dtype.type(0)),)


def _equal_or_both_nan(
    x: Float[np.ndarray, "N H W C"], y: Float[np.ndarray, "N 1 1 C"]
) -> Bool[np.ndarray, "N H W C"]:
    return (x == y) | (np.isnan(x) & np.isnan(y))
