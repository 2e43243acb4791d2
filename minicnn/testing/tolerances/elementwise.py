"""Rounding bounds of activations and softmax: first-order analysis of the textbook formulas."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.testing import oracles
from minicnn.testing.tolerances.arithmetic import FLOAT32, FUNCTION, Arithmetic

Array = np.ndarray[Any, Any]


def softmax_bound(x: Array, *, axis: int = -1, arithmetic: Arithmetic = FLOAT32) -> Array:
    """Relative error of ``exp(z) / Σ exp(z)``, ``z = x − max``, all in the target's dtype.

    Rounding z to z(1+δ) changes exp(z) by the factor exp(zδ): |z|·u relative; the same for every term of the
    sum, weighted by its share p.  Then exp itself twice, K additions, one division.
    """
    z = np.asarray(x, dtype=np.float64)
    p = oracles.softmax_forward(z, axis)
    z = np.abs(z - z.max(axis=axis, keepdims=True))
    shares = (p * z).sum(axis=axis, keepdims=True)
    relative = arithmetic.gamma(2 * FUNCTION + z.shape[axis] + 2 + z + shares)
    return np.asarray(relative * p + 2 * arithmetic.eta)


def softmax_backward_bound(dy: Array, x: Array, *, axis: int = -1, arithmetic: Arithmetic = FLOAT32) -> Array:
    """``y (dy − Σ dy·y)``: the softmax's error and K+3 roundings of every term, in absolute value."""
    y, error = oracles.softmax_forward(x, axis), softmax_bound(x, axis=axis, arithmetic=arithmetic)
    magnitude = np.abs(np.asarray(dy, dtype=np.float64))
    inner = magnitude + (magnitude * y).sum(axis=axis, keepdims=True)
    spread = y * (magnitude * error).sum(axis=axis, keepdims=True)
    rounding = arithmetic.sum_bound(y.shape[axis] + 3, y * inner)
    return np.asarray(error * inner + spread + rounding)


def activation_bound(name: str, x: Array, *, arithmetic: Arithmetic = FLOAT32, **options: Any) -> Array:
    """Elementwise bound: FUNCTION·u of each term of the formula in its textbook form.

    relu and linear are exact.  sigmoid as ``(1 + tanh(x/2)) / 2``, elu as ``exp(x) − 1`` and softplus as
    ``log(1 + exp(x))`` are legitimate and cancel, so that their error is absolute: u times the largest term.
    """
    x = np.asarray(x, dtype=np.float64)
    if name in ("relu", "linear"):
        return np.full_like(x, arithmetic.eta if arithmetic.flush_to_zero else 0.0)
    y = np.abs(oracles.activation_forward(name, x, **options))
    terms = {
        "leaky_relu": y,
        "sigmoid": np.ones_like(x),
        "tanh": y,
        "elu": y + np.where(x < 0, abs(options.get("alpha", 1.0)), 0.0),
        "gelu": np.abs(x),
        "silu": np.abs(x),
        "softplus": np.maximum(y, 1.0),
    }[name]
    underflow = np.where(x == 0, 0.0, 4 * arithmetic.eta)
    return np.asarray(arithmetic.gamma(FUNCTION) * terms + underflow)


def activation_backward_bound(
    name: str, dy: Array, x: Array, *, arithmetic: Arithmetic = FLOAT32, **options: Any
) -> Array:
    """Bound on ``dy · f'(x)``: 2·FUNCTION·u of the largest term that f' is made of."""
    x, dy = np.asarray(x, dtype=np.float64), np.abs(np.asarray(dy, dtype=np.float64))
    if name in ("relu", "linear"):
        return np.full_like(x, arithmetic.eta if arithmetic.flush_to_zero else 0.0)
    scale = {"gelu": 2.0 + 0.0 * x, "silu": 1.0 + np.abs(x)}.get(name, np.ones_like(x))
    scale = scale * max(1.0, abs(options.get("alpha", 1.0)), abs(options.get("negative_slope", 0.0)))
    return np.asarray(arithmetic.gamma(2 * FUNCTION) * scale * dy + 4 * arithmetic.eta * (dy + 1))
