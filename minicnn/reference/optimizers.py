"""One step of each optimizer, in place: `w` and the slots are overwritten, `g` is read.

The order of the roundings is Keras's (keras/src/optimizers/, `update_step` of each), so that float64 runs agree to
the last digits. Arrays are float32 or float64, of one shape; hyperparameters are Python floats.
"""

import numpy as np


def sgd_step(w: np.ndarray, g: np.ndarray, learning_rate: float) -> None:
    """w ← w − η·g."""
    w -= g * w.dtype.type(learning_rate)


def sgd_momentum_step(
    w: np.ndarray, g: np.ndarray, m: np.ndarray, learning_rate: float, momentum: float, nesterov: bool
) -> None:
    """m ← μ·m − η·g;  w ← w + m, or with Nesterov w ← w + μ·m − η·g."""
    rate, mu = w.dtype.type(learning_rate), w.dtype.type(momentum)
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
    (m, v), (beta_1, beta_2), kind = slots, betas, w.dtype.type
    alpha = kind(learning_rate) * np.sqrt(kind(1) - kind(beta_2) ** kind(step)) / (kind(1) - kind(beta_1) ** kind(step))
    m += (g - m) * kind(1 - beta_1)
    v += (g * g - v) * kind(1 - beta_2)
    w -= m * alpha / (np.sqrt(v) + kind(epsilon))
