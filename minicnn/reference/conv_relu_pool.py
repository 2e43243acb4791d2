"""Convolution, ReLU and a non-overlapping max pool as one op: the composition of the three."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from minicnn.geometry import Window
from minicnn.reference.activations import OutputResiduals, relu_backward, relu_forward
from minicnn.reference.conv2d import Conv2DResiduals, conv2d_backward, conv2d_forward
from minicnn.reference.max_pool2d import MaxPool2DResiduals, max_pool2d_backward, max_pool2d_forward


class ConvReluResiduals(NamedTuple):
    conv: Conv2DResiduals
    relu: OutputResiduals


class ConvReluPoolResiduals(NamedTuple):
    conv_relu: ConvReluResiduals
    pool: MaxPool2DResiduals


def conv_relu_forward(
    x: Float[np.ndarray, "N H W C"],
    w: Float[np.ndarray, "P Q C_per_group F"],
    b: Float[np.ndarray, " F"] | None,
    window: Window,
    groups: int = 1,
) -> tuple[Float[np.ndarray, "N OH OW F"], ConvReluResiduals]:
    """y = max(conv2d(x), 0)."""
    z, conv = conv2d_forward(x, w, b, window, groups)
    y, relu = relu_forward(z)
    return y, ConvReluResiduals(conv, relu)


def conv_relu_backward(
    dy: Float[np.ndarray, "N OH OW F"], residuals: ConvReluResiduals
) -> tuple[Float[np.ndarray, "N H W C"], Float[np.ndarray, "P Q C_per_group F"], Float[np.ndarray, " F"]]:
    """Return (dx, dw, db)."""
    (dz,) = relu_backward(dy, residuals.relu)
    return conv2d_backward(dz, residuals.conv)


def conv_relu_pool_forward(
    x: Float[np.ndarray, "N H W C"],
    w: Float[np.ndarray, "P Q C F"],
    b: Float[np.ndarray, " F"] | None,
    window: Window,
    pool: Window,
) -> tuple[Float[np.ndarray, "N OH OW F"], ConvReluPoolResiduals]:
    """y = max_pool2d(max(conv2d(x), 0)); `pool` slides over the convolution's output."""
    z, conv_relu = conv_relu_forward(x, w, b, window)
    y, residuals = max_pool2d_forward(z, pool)
    return y, ConvReluPoolResiduals(conv_relu, residuals)


def conv_relu_pool_backward(
    dy: Float[np.ndarray, "N OH OW F"], residuals: ConvReluPoolResiduals
) -> tuple[Float[np.ndarray, "N H W C"], Float[np.ndarray, "P Q C F"], Float[np.ndarray, " F"]]:
    """Return (dx, dw, db)."""
    (dz,) = max_pool2d_backward(dy, residuals.pool)
    return conv_relu_backward(dz, residuals.conv_relu)
