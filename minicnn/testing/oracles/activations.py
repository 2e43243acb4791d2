"""Activations and softmax in float64, each with its derivative.

Formulas as in ``keras.activations`` (gelu with ``approximate=False`` unless said otherwise; leaky_relu's
default slope is 0.2).  Forms are chosen so that nothing overflows or cancels in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def _relu(x: Array) -> Array:
    return np.where(np.isnan(x), x, np.where(x > 0, x, 0.0))


def _d_relu(x: Array) -> Array:
    return np.where(x > 0, 1.0, 0.0)


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1.0 + e)


def _d_sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return e / (1.0 + e) ** 2


def _d_tanh(x: Array) -> Array:
    # 1 - tanh² cancels for large |x|; sech² written with the decaying exponential does not
    e = np.exp(-2.0 * np.abs(x))
    return 4.0 * e / (1.0 + e) ** 2


def _elu(x: Array, alpha: float = 1.0) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def _d_elu(x: Array, alpha: float = 1.0) -> Array:
    return np.asarray(np.where(x > 0, 1.0, alpha * np.exp(np.minimum(x, 0.0))))


def _leaky_relu(x: Array, negative_slope: float = 0.2) -> Array:
    return np.where(x > 0, x, negative_slope * x)


def _d_leaky_relu(x: Array, negative_slope: float = 0.2) -> Array:
    return np.where(x > 0, 1.0, negative_slope)


def _normal_cdf(x: Array) -> Array:
    # erfc keeps the left tail, where 1 + erf cancels
    return 0.5 * np.asarray(_erfc(-x / math.sqrt(2.0)))


def _gelu(x: Array, approximate: bool = False) -> Array:
    if approximate:
        return x * _sigmoid(2.0 * math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3))
    return x * _normal_cdf(x)


def _d_gelu(x: Array, approximate: bool = False) -> Array:
    if approximate:
        inner = 2.0 * math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)
        slope = 2.0 * math.sqrt(2.0 / math.pi) * (1.0 + 3 * 0.044715 * x**2)
        return np.asarray(_sigmoid(inner) + x * _d_sigmoid(inner) * slope)
    return _normal_cdf(x) + x * np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def _silu(x: Array) -> Array:
    return x * _sigmoid(x)


def _d_silu(x: Array) -> Array:
    return np.asarray(_sigmoid(x) + x * _d_sigmoid(x))


def _softplus(x: Array) -> Array:
    return np.asarray(np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))))


ACTIVATIONS: dict[str, tuple[Callable[..., Array], Callable[..., Array]]] = {
    "relu": (_relu, _d_relu),
    "sigmoid": (_sigmoid, _d_sigmoid),
    "tanh": (np.tanh, _d_tanh),
    "linear": (lambda x: x, np.ones_like),
    "elu": (_elu, _d_elu),
    "leaky_relu": (_leaky_relu, _d_leaky_relu),
    "gelu": (_gelu, _d_gelu),
    "silu": (_silu, _d_silu),
    "softplus": (_softplus, _sigmoid),
}
"""Name → (function, derivative).  At a kink the derivative is the left one."""

KINKS: dict[str, Callable[..., tuple[float, float]]] = {
    "relu": lambda: (0.0, 1.0),
    "leaky_relu": lambda negative_slope=0.2: (negative_slope, 1.0),
    "elu": lambda alpha=1.0: (min(alpha, 1.0), max(alpha, 1.0)),
}
"""Name → the interval of valid subgradients at zero, for activations with a kink there."""


def activation_forward(name: str, x: Array, **options: Any) -> Array:
    """``f(x)`` elementwise in float64."""
    return np.asarray(ACTIVATIONS[name][0](np.asarray(x, dtype=np.float64), **options))


def activation_derivative(name: str, x: Array, **options: Any) -> tuple[Array, Array]:
    """Lowest and highest valid (sub)derivative at each ``x``: equal except at a kink."""
    x = np.asarray(x, dtype=np.float64)
    slope = np.asarray(ACTIVATIONS[name][1](x, **options))
    if name not in KINKS:
        return slope, slope
    low, high = KINKS[name](**options)
    return np.where(x == 0, low, slope), np.where(x == 0, high, slope)


def activation_backward(name: str, dy: Array, x: Array, **options: Any) -> Array:
    """``dy * f'(x)`` in float64, with the left derivative at a kink (as Keras's relu: 0 at 0)."""
    x = np.asarray(x, dtype=np.float64)
    return np.asarray(np.asarray(dy, dtype=np.float64) * ACTIVATIONS[name][1](x, **options))


def softmax_forward(x: Array, axis: int = -1) -> Array:
    """``exp(x - max) / sum(exp(x - max))`` along an axis, in float64."""
    x = np.asarray(x, dtype=np.float64)
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(e / e.sum(axis=axis, keepdims=True))


def softmax_backward(dy: Array, x: Array, axis: int = -1) -> Array:
    """``y * (dy - sum(dy * y))`` with ``y = softmax(x)``: the Jacobian's row times ``dy``."""
    y, dy = softmax_forward(x, axis), np.asarray(dy, dtype=np.float64)
    return np.asarray(y * (dy - (dy * y).sum(axis=axis, keepdims=True)))
