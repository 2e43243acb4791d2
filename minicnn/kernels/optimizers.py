"""One step of each optimizer on flat vectors, in place. Contract: reference.optimizers, to the last bit.

`w` and the slots are overwritten, `g` is read; all are 1-D, of one length and one dtype, float32 or float64.
No multiply-add is fused, because the order of the roundings is Keras's.
"""

import numpy as np

from minicnn.kernels._jit import exact_kernel


@exact_kernel
def sgd_step(w: np.ndarray, g: np.ndarray, learning_rate: float) -> None:
    """w ← w − η·g."""
    rate = w.dtype.type(learning_rate)
    for k in range(w.size):
        w[k] -= g[k] * rate


@exact_kernel
def sgd_momentum_step(
    w: np.ndarray, g: np.ndarray, m: np.ndarray, learning_rate: float, momentum: float, nesterov: bool
) -> None:
    """m ← μ·m − η·g;  w ← w + m, or with Nesterov w ← w + μ·m − η·g."""
    rate, mu = w.dtype.type(learning_rate), w.dtype.type(np.float32(momentum))
    for k in range(w.size):
        m[k] = m[k] * mu - g[k] * rate
        w[k] += m[k] * mu - g[k] * rate if nesterov else m[k]


@exact_kernel
def rmsprop_step(
    w: np.ndarray, g: np.ndarray, v: np.ndarray, learning_rate: float, rho: float, epsilon: float
) -> None:
    """v ← ρ·v + (1 − ρ)·g²;  w ← w − η·g / √(v + ε)."""
    rate, keep, take = w.dtype.type(learning_rate), w.dtype.type(rho), w.dtype.type(1 - rho)
    tiny = w.dtype.type(epsilon)
    for k in range(w.size):
        v[k] = keep * v[k] + take * (g[k] * g[k])
        w[k] -= rate * g[k] / np.sqrt(v[k] + tiny)


def rmsprop_full_step(
    w: np.ndarray,
    g: np.ndarray,
    slots: tuple[np.ndarray, np.ndarray | None, np.ndarray | None],
    learning_rate: float,
    rho: float,
    momentum: float,
    epsilon: float,
) -> None:
    """RMSprop with `slots` (v, m, a): momentum and moving average of g; None turns one off."""
    v, m, a = (np.empty(0, w.dtype) if slot is None else slot for slot in slots)
    _rmsprop_full_step(w, g, (v, m, a), learning_rate, rho, momentum, epsilon)


@exact_kernel
def _rmsprop_full_step(w, g, slots, learning_rate, rho, momentum, epsilon):  # type: ignore[no-untyped-def]
    """`rmsprop_full_step` with empty arrays in place of None."""
    v, m, a = slots
    rate, keep, take = w.dtype.type(learning_rate), w.dtype.type(rho), w.dtype.type(1 - rho)
    tiny, mu = w.dtype.type(epsilon), w.dtype.type(momentum)
    for k in range(w.size):
        v[k] = keep * v[k] + take * (g[k] * g[k])
        variance = v[k]
        if a.size > 0:
            a[k] = keep * a[k] + take * g[k]
            variance = v[k] - a[k] * a[k]
        change = rate * g[k] / np.sqrt(variance + tiny)
        if m.size > 0:
            m[k] = mu * m[k] + change
            change = m[k]
        w[k] -= change


def adam_step(
    w: np.ndarray,
    g: np.ndarray,
    slots: tuple[np.ndarray, np.ndarray],
    step: int,
    learning_rate: float,
    betas: tuple[float, float],
    epsilon: float,
) -> None:
    """m ← m + (g − m)·(1 − β₁);  v ← v + (g² − v)·(1 − β₂);  w ← w − m·α / (√v + ε) at `step` = 1, 2, …"""
    kind = w.dtype.type
    # In NumPy, as the reference does it: Numba's power may round differently.
    corrections = [kind(1) - kind(np.float32(beta)) ** kind(step) for beta in betas]
    alpha = kind(learning_rate) * np.sqrt(corrections[1]) / corrections[0]
    _adam_step(w, g, slots, alpha, 1 - betas[0], 1 - betas[1], epsilon)


@exact_kernel
def _adam_step(w, g, slots, alpha, take_1, take_2, epsilon):  # type: ignore[no-untyped-def]
    m, v = slots
    take_m, take_v, tiny = w.dtype.type(take_1), w.dtype.type(take_2), w.dtype.type(epsilon)
    for k in range(w.size):
        m[k] += (g[k] - m[k]) * take_m
        v[k] += (g[k] * g[k] - v[k]) * take_v
        w[k] -= m[k] * alpha / (np.sqrt(v[k]) + tiny)
