"""Elementwise activations: each is a function and its derivative.

Every backward takes dy and the residuals and returns (dx,). At a kink the derivative is the one Keras uses on
TensorFlow; it is one of the valid subgradients.

Whatever has an exponential is computed in float64 and rounded once, from x in the backward pass too: 1 − y² of a tanh
that was rounded to float32 has no digit left where x > 9.
"""

from math import erfc, pi, sqrt
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Array = Float[np.ndarray, "..."]

SQRT_2_OVER_PI = sqrt(2 / pi)


class InputResiduals(NamedTuple):
    """What an activation whose derivative is written in its input keeps, with its parameter if it has one."""

    x: np.ndarray
    parameter: float = 0.0


class OutputResiduals(NamedTuple):
    """What an activation whose derivative is written in its output keeps."""

    y: np.ndarray


def relu_forward(x: Array) -> tuple[Array, OutputResiduals]:
    """y = max(x, 0); NaN stays NaN."""
    y = np.maximum(x, 0)
    return y, OutputResiduals(y)


def relu_backward(dy: Array, residuals: OutputResiduals) -> tuple[Array]:
    """dx = dy where y > 0, else 0."""
    return (np.where(residuals.y > 0, dy, dy.dtype.type(0)),)


class ClippedReluResiduals(NamedTuple):
    x: np.ndarray
    negative_slope: float
    max_value: float
    threshold: float


def clipped_relu_forward(
    x: Array, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> tuple[Array, ClippedReluResiduals]:
    """y = x from `threshold` up to `max_value`, negative_slope·(x − threshold) below: Keras's general ReLU.

    Source: keras/src/activations/activations.py, `ReLU.static_call`.
    """
    limit = np.inf if max_value is None else max_value
    y = np.minimum(np.where(x <= threshold, x.dtype.type(0), x), x.dtype.type(limit))
    if negative_slope:
        y -= x.dtype.type(negative_slope) * np.maximum(x.dtype.type(threshold) - x, 0)
    return y, ClippedReluResiduals(x, negative_slope, limit, threshold)


def clipped_relu_backward(dy: Array, residuals: ClippedReluResiduals) -> tuple[Array]:
    """dx = dy strictly between `threshold` and `max_value`, negative_slope·dy below, 0 above.

    0 at both kinks. So is Keras's gradient, except that it is dy at a `max_value` other than 6.
    """
    x, negative_slope, limit, threshold = residuals
    zero = dy.dtype.type(0)
    dx = np.where((x > threshold) & (x < limit), dy, zero)
    return (np.where(x < threshold, dy.dtype.type(negative_slope) * dy, dx),)


def sigmoid_forward(x: Array) -> tuple[Array, InputResiduals]:
    """y = 1 / (1 + e^−x), written with e^−|x| so that nothing overflows."""
    return sigmoid(x).astype(x.dtype), InputResiduals(x)


def sigmoid_backward(dy: Array, residuals: InputResiduals) -> tuple[Array]:
    """dx = dy·σ(x)·σ(−x), where σ(−x) = 1 − σ(x) with all its digits."""
    return ((dy * sigmoid_slope(residuals.x)).astype(dy.dtype),)


def sigmoid(x: Array) -> Array:
    """In float64."""
    x = x.astype(np.float64)
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, small) / (1 + small)


def sigmoid_slope(x: Array) -> Array:
    """σ(x)·σ(−x) in float64."""
    small = np.exp(-np.abs(x.astype(np.float64)))
    return small / (1 + small) ** 2


def tanh_forward(x: Array) -> tuple[Array, InputResiduals]:
    """y = tanh(x)."""
    return np.tanh(x.astype(np.float64)).astype(x.dtype), InputResiduals(x)


def tanh_backward(dy: Array, residuals: InputResiduals) -> tuple[Array]:
    """dx = dy·(1 − tanh²(x)) = dy·4·σ(2x)·σ(−2x)."""
    return ((dy * (4 * sigmoid_slope(2 * residuals.x.astype(np.float64)))).astype(dy.dtype),)


def leaky_relu_forward(x: Array, negative_slope: float = 0.2) -> tuple[Array, InputResiduals]:
    """y = x above 0, negative_slope·x below."""
    return np.where(x > 0, x, x.dtype.type(negative_slope) * x), InputResiduals(x, negative_slope)


def leaky_relu_backward(dy: Array, residuals: InputResiduals) -> tuple[Array]:
    """dx = dy above 0, negative_slope·dy at and below 0."""
    x, negative_slope = residuals
    return (np.where(x > 0, dy, dy.dtype.type(negative_slope) * dy),)


def elu_forward(x: Array, alpha: float = 1.0) -> tuple[Array, InputResiduals]:
    """y = x above 0, α·(e^x − 1) below (Clevert et al., 2015, arXiv:1511.07289, eq. 15)."""
    y = np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0).astype(np.float64)))
    return y.astype(x.dtype), InputResiduals(x, alpha)


def elu_backward(dy: Array, residuals: InputResiduals) -> tuple[Array]:
    """dx = dy above 0, α·e^x·dy at and below 0."""
    x, alpha = residuals
    dx = dy * np.where(x > 0, 1.0, alpha * np.exp(np.minimum(x, 0).astype(np.float64)))
    return (dx.astype(dy.dtype),)


def softplus_forward(x: Array) -> tuple[Array, InputResiduals]:
    """y = log(1 + e^x)."""
    return np.logaddexp(x.astype(np.float64), 0.0).astype(x.dtype), InputResiduals(x)


def softplus_backward(dy: Array, residuals: InputResiduals) -> tuple[Array]:
    """dx = dy·sigmoid(x)."""
    return ((dy * sigmoid(residuals.x)).astype(dy.dtype),)


def silu_forward(x: Array) -> tuple[Array, InputResiduals]:
    """y = x·sigmoid(x)."""
    return (x * sigmoid(x)).astype(x.dtype), InputResiduals(x)


def silu_backward(dy: Array, residuals: InputResiduals) -> tuple[Array]:
    """dx = dy·σ(x)·(1 + x·σ(−x))."""
    x = residuals.x
    return ((dy * (sigmoid(x) * (1 + x * sigmoid(-x)))).astype(dy.dtype),)


class GeluResiduals(NamedTuple):
    x: np.ndarray
    approximate: bool


def gelu_forward(x: Array, approximate: bool = False) -> tuple[Array, GeluResiduals]:
    """y = x·Φ(x), Φ the normal distribution function; `approximate` is the tanh form.

    Hendrycks & Gimpel, 2016, arXiv:1606.08415, section 2.
    """
    return (x * _normal_cdf(x, approximate)).astype(x.dtype), GeluResiduals(x, approximate)


def gelu_backward(dy: Array, residuals: GeluResiduals) -> tuple[Array]:
    """dx = dy·(Φ(x) + x·Φ'(x))."""
    x, approximate = residuals
    slope = _normal_cdf(x, approximate) + x * _normal_density(x, approximate)
    return ((dy * slope).astype(dy.dtype),)


def _normal_cdf(x: Array, approximate: bool) -> Array:
    """Φ(x) in float64; (1 + tanh(a)) / 2 = σ(2a) and (1 + erf(a)) / 2 = erfc(−a) / 2 keep the digits of a small one."""
    x = x.astype(np.float64)
    if approximate:
        return sigmoid(2 * SQRT_2_OVER_PI * (x + 0.044715 * x**3))
    # NumPy has no erfc; the scalar one of the standard library is exact and needs no further dependency.
    return 0.5 * np.vectorize(erfc, otypes=[np.float64])(-x / sqrt(2))


def _normal_density(x: Array, approximate: bool) -> Array:
    x = x.astype(np.float64)
    if approximate:
        slope = sigmoid_slope(2 * SQRT_2_OVER_PI * (x + 0.044715 * x**3))
        return 2 * slope * SQRT_2_OVER_PI * (1 + 3 * 0.044715 * x**2)
    return np.exp(-0.5 * x * x) / sqrt(2 * pi)
