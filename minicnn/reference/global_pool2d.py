"""Global pooling: one number for each whole feature map."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


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
    (n, channels), (height, width) = dy.shape, residuals.image_size
    share = dy / (height * width)
    return (np.broadcast_to(share[:, None, None, :], (n, height, width, channels)).copy(),)


def global_max_pool2d_forward(
    x: Float[np.ndarray, "N H W C"],
) -> tuple[Float[np.ndarray, "N C"], GlobalMaxPool2DResiduals]:
    """y[n,c] = max of x[n,:,:,c]."""
    y = x.max((1, 2))
    # Where there is a NaN, y is NaN: the pixels that share its gradient are the NaNs.
    return y, GlobalMaxPool2DResiduals((x == y[:, None, None, :]) | np.isnan(x))


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
