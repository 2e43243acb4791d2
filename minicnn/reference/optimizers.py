"""One step of each optimizer, in place: `w` and the slots are overwritten, `g` is read.

The order of the roundings is Keras's (keras/src/optimizers/, `update_step` of each), so that float64 runs agree to
the last digits. Arrays are float32 or float64, of one shape; hyperparameters are Python floats.

Those that Keras hands to `ops.cast` go through float32 there even when the weights are float64, because TensorFlow's
`cast` makes a Python float a float32 first: momentum of SGD, β₁ and β₂ in the bias correction, weight decay. With
β₂ = 0.999 that moves Adam's first steps by 6e-6, so it is part of the contract (`through_float32`).
"""

from collections.abc import Sequence

import numpy as np


def through_float32(dtype: np.dtype, value: float) -> np.floating:
    """`value` in `dtype`, as Keras's `ops.cast` on TensorFlow (keras/src/backend/tensorflow/core.py) gives it."""
    return dtype.type(np.float32(value))


def sgd_step(w: np.ndarray, g: np.ndarray, learning_rate: float) -> None:
    """w ← w − η·g."""
    w -= g * w.dtype.type(learning_rate)


def sgd_momentum_step(
    w: np.ndarray, g: np.ndarray, m: np.ndarray, learning_rate: float, momentum: float, nesterov: bool
) -> None:
    """m ← μ·m − η·g;  w ← w + m, or with Nesterov w ← w + μ·m − η·g."""
    rate, mu = w.dtype.type(learning_rate), through_float32(w.dtype, momentum)
    m[...] = mu * m - g * rate
    w += mu * m - g * rate if nesterov else m


def rmsprop_step(
    w: np.ndarray, g: np.ndarray, v: np.ndarray, learning_rate: float, rho: float, epsilon: float
) -> None:
    """v ← ρ·v + (1 − ρ)·g²;  w ← w − η·g / √(v + ε). ε stands inside the root.

    Hinton, "Neural networks for machine learning", lecture 6e; keras/src/optimizers/rmsprop.py.
    """
    w -= _rmsprop_increment(g, v, None, learning_rate, rho, epsilon)


def rmsprop_full_step(
    w: np.ndarray,
    g: np.ndarray,
    slots: tuple[np.ndarray, np.ndarray | None, np.ndarray | None],
    learning_rate: float,
    rho: float,
    momentum: float,
    epsilon: float,
) -> None:
    """RMSprop with `slots` (v, m, a): m is the momentum, a the moving average of g when centered; None turns one off.

    Centered: √(v − a² + ε).  With momentum: m ← μ·m + increment;  w ← w − m.
    """
    v, m, a = slots
    increment = _rmsprop_increment(g, v, a, learning_rate, rho, epsilon)
    if m is None:
        w -= increment
        return
    m[...] = w.dtype.type(momentum) * m + increment
    w -= m


def _rmsprop_increment(
    g: np.ndarray, v: np.ndarray, a: np.ndarray | None, learning_rate: float, rho: float, epsilon: float
) -> np.ndarray:
    kind = g.dtype.type
    v[...] = kind(rho) * v + kind(1 - rho) * (g * g)
    variance = v
    if a is not None:
        a[...] = kind(rho) * a + kind(1 - rho) * g
        variance = v - a * a
    return kind(learning_rate) * g / np.sqrt(variance + kind(epsilon))


def adam_step(
    w: np.ndarray,
    g: np.ndarray,
    slots: tuple[np.ndarray, np.ndarray],
    step: int,
    learning_rate: float,
    betas: tuple[float, float],
    epsilon: float,
) -> None:
    """Adam at `step` = 1, 2, …: Kingma & Ba, 2015, arXiv:1412.6980, the efficient form at the end of section 2.

    m ← m + (g − m)·(1 − β₁);  v ← v + (g² − v)·(1 − β₂);  w ← w − m·α / (√v + ε),  α = η·√(1 − β₂ᵗ) / (1 − β₁ᵗ).
    """
    m, v = slots
    _adam_moments(g, m, v, betas)
    w -= m * adam_rate(w.dtype, step, learning_rate, betas) / (np.sqrt(v) + w.dtype.type(epsilon))


def amsgrad_step(
    w: np.ndarray,
    g: np.ndarray,
    slots: tuple[np.ndarray, np.ndarray, np.ndarray],
    step: int,
    learning_rate: float,
    betas: tuple[float, float],
    epsilon: float,
) -> None:
    """Adam with `slots` (m, v, v̂), where v̂ ← max(v̂, v) takes the place of v in the update of w.

    Reddi, Kale & Kumar, "On the convergence of Adam and beyond", ICLR 2018, algorithm 2; with Adam's bias correction,
    as keras/src/optimizers/adam.py has it.
    """
    m, v, v_hat = slots
    _adam_moments(g, m, v, betas)
    np.maximum(v_hat, v, out=v_hat)
    w -= m * adam_rate(w.dtype, step, learning_rate, betas) / (np.sqrt(v_hat) + w.dtype.type(epsilon))


def _adam_moments(g: np.ndarray, m: np.ndarray, v: np.ndarray, betas: tuple[float, float]) -> None:
    m += (g - m) * m.dtype.type(1 - betas[0])
    v += (g * g - v) * v.dtype.type(1 - betas[1])


def adam_rate(dtype: np.dtype, step: int, learning_rate: float, betas: tuple[float, float]) -> np.floating:
    """α = η·√(1 − β₂ᵗ) / (1 − β₁ᵗ), rounded in `dtype` as Keras does."""
    kind = dtype.type
    first, second = (kind(1) - through_float32(dtype, beta) ** kind(step) for beta in betas)
    return kind(learning_rate) * np.sqrt(second) / first


def weight_decay_step(w: np.ndarray, weight_decay: float, learning_rate: float) -> None:
    """w ← w − w·λ·η, before the step proper.

    Decoupled from the gradient: Loshchilov & Hutter, ICLR 2019, algorithm 2.
    """
    w -= w * through_float32(w.dtype, weight_decay) * w.dtype.type(learning_rate)


def clip_by_value(g: np.ndarray, limit: float) -> None:
    """g ← g cut off at ±limit; NaN stays NaN."""
    np.clip(g, -limit, limit, out=g)


def clip_by_norm(g: np.ndarray, limit: float) -> None:
    """g ← g·c / max(‖g‖, c) with c = limit: Keras's order of roundings, inexact even where nothing is cut off."""
    norm = np.sqrt(np.sum(g * g, dtype=np.float64))
    g *= g.dtype.type(limit)
    g /= g.dtype.type(max(norm, limit))


def clip_by_global_norm(gradients: Sequence[np.ndarray], limit: float) -> None:
    """All g ← g·(c·min(1 / ‖all‖, 1 / c)) with c = limit; NaN if the norm isn't finite.

    Pascanu et al., 2013, arXiv:1211.5063, algorithm 1; keras/src/optimizers/base_optimizer.py, `clip_by_global_norm`.
    """
    kind = gradients[0].dtype.type
    norm = kind(np.sqrt(sum(np.sum(g * g, dtype=np.float64) for g in gradients)))
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = kind(limit) * np.minimum(kind(1) / norm, kind(1 / limit)) + (norm - norm)
    for g in gradients:
        g *= scale
