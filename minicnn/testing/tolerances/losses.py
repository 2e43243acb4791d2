"""Rounding bounds of the losses and of optimizer steps, by running error analysis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.testing import oracles
from minicnn.testing.oracles.losses import EPSILON
from minicnn.testing.tolerances.arithmetic import FLOAT32, FUNCTION, Arithmetic

Array = np.ndarray[Any, Any]


def _shifted(x: Array) -> tuple[Array, Array, Array]:
    """|x − max|, softmax(x), and Σ p|x − max|."""
    z = np.abs(x - x.max(axis=-1, keepdims=True))
    p = oracles.softmax_forward(x)
    return z, p, (p * z).sum(axis=-1, keepdims=True)


def _example_error(t: Array, p: Array, kind: str, from_logits: bool, arithmetic: Arithmetic) -> Array:
    """Bound on each example's own loss, ``(N,)``."""
    k = p.shape[-1]
    gamma = arithmetic.gamma(k + FUNCTION + 6)
    if kind == "binary":
        if from_logits:
            return np.asarray(gamma * (2 * np.abs(p) + 1).mean(axis=-1))
        q = np.clip(p, EPSILON, 1 - EPSILON)
        # 1 - q has a relative error of u/(1-q): in float32 the clip at 1 - 1e-7 is really at 1 - 1.19e-7
        condition = t * (1 + np.abs(np.log(q))) + (1 - t) * (1 / (1 - q) + np.abs(np.log1p(-q)))
        return np.asarray(gamma * condition.mean(axis=-1))
    if from_logits:
        z, _, shares = _shifted(p)
        largest = np.abs(p).max(axis=-1, keepdims=True)
        # log(sum exp) may be taken as max + log(...), which rounds at the size of the logits
        terms = t * (z + shares + 2 * largest + np.log(k) + 1)
        return np.asarray(gamma * terms.sum(axis=-1))
    q = np.clip(p / p.sum(axis=-1, keepdims=True), EPSILON, 1 - EPSILON)
    return np.asarray(gamma * (t * (2 + np.log(k) + np.abs(np.log(q)))).sum(axis=-1))


def crossentropy_bound(
    y_true: Array,
    y_pred: Array,
    *,
    kind: str = "categorical",
    from_logits: bool = False,
    sample_weight: Array | None = None,
    reduction: str = "sum_over_batch_size",
    arithmetic: Arithmetic = FLOAT32,
) -> Array:
    """Bound on the reduced loss: each example's error, then γ of the weighted sum.

    The error is absolute where the loss is small, as it must be for a logarithm near one: Keras's own
    cross-entropy from clipped probabilities has large *relative* errors there and is not called wrong.
    """
    p = np.asarray(y_pred, dtype=np.float64)
    t = np.eye(p.shape[-1])[np.asarray(y_true)] if kind == "sparse" else np.asarray(y_true, dtype=np.float64)
    n = p.shape[0]
    weights = np.ones(n) if sample_weight is None else np.abs(np.asarray(sample_weight, dtype=np.float64))
    weights = weights / n if reduction == "sum_over_batch_size" else weights
    options: dict[str, Any] = {"kind": kind, "from_logits": from_logits}
    values = np.abs(oracles.crossentropy_forward(y_true, p, reduction="none", **options))
    each = weights * (_example_error(t, p, kind, from_logits, arithmetic) + arithmetic.gamma(n + 3) * values)
    each = each + 2 * arithmetic.eta
    return np.asarray(each if reduction == "none" else each.sum())


def crossentropy_backward_bound(
    y_true: Array,
    y_pred: Array,
    *,
    kind: str = "categorical",
    from_logits: bool = False,
    sample_weight: Array | None = None,
    reduction: str = "sum_over_batch_size",
    arithmetic: Arithmetic = FLOAT32,
) -> Array:
    """Bound on the gradient; from probabilities only inside the clip, where it is smooth."""
    p = np.asarray(y_pred, dtype=np.float64)
    t = np.eye(p.shape[-1])[np.asarray(y_true)] if kind == "sparse" else np.asarray(y_true, dtype=np.float64)
    n, k = p.shape
    weights = np.ones(n) if sample_weight is None else np.abs(np.asarray(sample_weight, dtype=np.float64))
    weights = weights / n if reduction == "sum_over_batch_size" else weights
    gamma = arithmetic.gamma(k + 2 * FUNCTION + 8)
    if from_logits and kind == "binary":
        terms = gamma * (1 + t) / k
    elif from_logits:
        z, q, shares = _shifted(p)
        # exp(x − (max + log(...))) rounds at the size of the logits, as in the loss
        sizes = z + shares + 2 * np.abs(p).max(axis=-1, keepdims=True)
        exponential = arithmetic.gamma(k + 2 * FUNCTION + 8 + sizes) * q
        terms = exponential * t.sum(axis=-1, keepdims=True) + gamma * t
    elif kind == "binary":
        terms = gamma * (t / p + (1 - t) / (1 - p)) / k
    else:
        total = p.sum(axis=-1, keepdims=True)
        terms = gamma * (t / p + 2 * t.sum(axis=-1, keepdims=True) / total)
    return np.asarray(terms * weights[:, None] + 4 * arithmetic.eta)


def mean_squared_error_bound(
    y_true: Array, y_pred: Array, *, reduction: str = "sum_over_batch_size", arithmetic: Arithmetic = FLOAT32
) -> Array:
    """γ of N·K + 4 operations on the sum of squares: all terms are positive."""
    value = oracles.mean_squared_error_forward(y_true, y_pred, reduction=reduction)
    return np.asarray(arithmetic.sum_bound(np.asarray(y_pred).size + 4, np.abs(value)))


def optimizer_bound(
    name: str,
    w: Array,
    gradients: Sequence[Array],
    *,
    arithmetic: Arithmetic = FLOAT32,
    **options: Any,
) -> list[Array]:
    """Bounds on the weights after each step.

    First-order running error analysis (Higham, §3.3): every state variable carries the error it has so far.
    """
    bounds, u = [], arithmetic.u + 2.0**-53
    state: dict[str, Any] | None = None
    w = np.asarray(w, dtype=np.float64)
    error, e_state = np.zeros_like(w), _StepErrors(name, options, u)
    for dw in gradients:
        before = np.abs(w)
        w, state = oracles.OPTIMIZERS[name](w, dw, state, **options)
        error = error + e_state.advance(np.abs(np.asarray(dw, dtype=np.float64)), state)
        error = error + 2 * u * (before + np.abs(w)) + 4 * arithmetic.eta
        bounds.append(error)
    return bounds


class _StepErrors:
    """Errors of an optimizer's state, and of the step it makes, after each gradient."""

    def __init__(self, name: str, options: dict[str, Any], u: float) -> None:
        self.name, self.options, self.u, self.t = name, options, u, 0
        self.first: Any = 0.0  # magnitude of the momentum, with all signs taken as plus
        self.momentum_error: Any = 0.0

    def advance(self, g: Array, state: dict[str, Any]) -> Array:
        """The error that this step adds to the weights; ``g`` is |dw|."""
        self.t += 1
        return np.asarray(getattr(self, "_" + self.name)(g, state))

    def _sgd(self, g: Array, state: dict[str, Any]) -> Array:
        mu, lr = self.options.get("momentum", 0.0), self.options["learning_rate"]
        self.first = mu * self.first + lr * g
        # μv and lr·g are rounded, then their sum; errors of earlier steps decay with μ < 1
        return np.asarray((3 * self.t + 4) * self.u * (self.first * (1 + mu) + lr * g))

    def _rmsprop(self, g: Array, state: dict[str, Any]) -> Array:
        lr, epsilon = self.options["learning_rate"], self.options.get("epsilon", 1e-7)
        mu, v = self.options.get("momentum", 0.0), state["velocity"]
        a = state["average_gradient"] if self.options.get("centered") else 0.0 * v
        self.first = self.options.get("rho", 0.9) * self.first + (1 - self.options.get("rho", 0.9)) * g
        # v and ε are positive: relative error; a is a signed sum: error relative to the sum of magnitudes
        n = 4 * self.t + 4
        inside = v - a**2 + epsilon
        off = n * self.u * (v + epsilon + (2 * self.first * np.abs(a) + a**2 if a.any() else 0.0))
        relative = 0.5 * off / np.maximum(inside - off, np.finfo(np.float64).tiny) + 6 * self.u
        step = lr * g / np.sqrt(inside)
        self.momentum_error = (
            mu * self.momentum_error + relative * step + 3 * self.u * np.abs(state["momentum"])
        )
        return np.asarray(self.momentum_error)

    def _adam(self, g: Array, state: dict[str, Any]) -> Array:
        lr, b1, b2 = (
            self.options.get(k, d) for k, d in (("learning_rate", 1e-3), ("beta_1", 0.9), ("beta_2", 0.999))
        )
        self.first = b1 * self.first + (1 - b1) * g
        n, t = 5 * self.t + 6, self.t
        alpha = lr * np.sqrt(1 - b2**t) / (1 - b1**t)
        # 1 − βᵗ loses the digits that βᵗ shares with one
        alpha_relative = FUNCTION * self.u * (1 / (1 - b1**t) + 0.5 / (1 - b2**t))
        root = np.sqrt(state["velocity"]) + self.options.get("epsilon", 1e-7)
        step = alpha * (self.first + np.abs(state["momentum"])) / root
        return np.asarray(step * (n * self.u + alpha_relative + 2 * n * self.u))
