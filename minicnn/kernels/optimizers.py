"""One step of each optimizer on flat vectors, in place. Contract: reference.optimizers, to the last bit.

`w` and the slots are overwritten, `g` is read; all are 1-D, of one length and one dtype, float32 or float64. The
hyperparameters are `numbers` (K,), float64: they may change while the arrays stay, and a call is repeated as it was.
No multiply-add is fused, because the order of the roundings is Keras's.
"""

import numpy as np

from minicnn.kernels._jit import exact_kernel


@exact_kernel
def next_numbers(steps: np.ndarray, begun: np.ndarray, numbers: np.ndarray) -> None:
    """numbers (K,), overwritten = steps[begun]; begun (1,), int64, grows by one. steps are (S, K)."""
    for k in range(len(numbers)):
        numbers[k] = steps[begun[0], k]
    begun[0] += 1


@exact_kernel
def sgd_step(w: np.ndarray, g: np.ndarray, numbers: np.ndarray) -> None:
    """w ← w − η·g. `numbers`: η."""
    rate = w.dtype.type(numbers[0])
    for k in range(w.size):
        w[k] -= g[k] * rate


@exact_kernel
def sgd_momentum_step(w: np.ndarray, g: np.ndarray, m: np.ndarray, numbers: np.ndarray) -> None:
    """m ← μ·m − η·g;  w ← w + m, or with Nesterov w ← w + μ·m − η·g. `numbers`: η, μ, whether it is Nesterov's."""
    rate, mu, nesterov = w.dtype.type(numbers[0]), w.dtype.type(numbers[1]), numbers[2] != 0
    for k in range(w.size):
        m[k] = m[k] * mu - g[k] * rate
        w[k] += m[k] * mu - g[k] * rate if nesterov else m[k]


@exact_kernel
def rmsprop_step(w: np.ndarray, g: np.ndarray, v: np.ndarray, numbers: np.ndarray) -> None:
    """v ← ρ·v + (1 − ρ)·g²;  w ← w − η·g / √(v + ε). `numbers`: η, ρ, 1 − ρ, ε."""
    rate, keep = w.dtype.type(numbers[0]), w.dtype.type(numbers[1])
    take, tiny = w.dtype.type(numbers[2]), w.dtype.type(numbers[3])
    for k in range(w.size):
        v[k] = keep * v[k] + take * (g[k] * g[k])
        w[k] -= rate * g[k] / np.sqrt(v[k] + tiny)


@exact_kernel
def rmsprop_full_step(
    w: np.ndarray, g: np.ndarray, slots: tuple[np.ndarray, np.ndarray, np.ndarray], numbers: np.ndarray
) -> None:
    """RMSprop with `slots` (v, m, a): momentum and moving average of g; an empty array turns one off.

    `numbers`: η, ρ, 1 − ρ, ε, μ.
    """
    v, m, a = slots
    rate, keep = w.dtype.type(numbers[0]), w.dtype.type(numbers[1])
    take, tiny, mu = w.dtype.type(numbers[2]), w.dtype.type(numbers[3]), w.dtype.type(numbers[4])
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


@exact_kernel
def adam_step(
    w: np.ndarray, g: np.ndarray, slots: tuple[np.ndarray, np.ndarray], numbers: np.ndarray
) -> None:
    """m ← m + (g − m)·(1 − β₁);  v ← v + (g² − v)·(1 − β₂);  w ← w − m·α / (√v + ε).

    `numbers`: α = η·√(1 − β₂ᵗ) / (1 − β₁ᵗ), 1 − β₁, 1 − β₂, ε.
    """
    m, v = slots
    alpha, take_m = w.dtype.type(numbers[0]), w.dtype.type(numbers[1])
    take_v, tiny = w.dtype.type(numbers[2]), w.dtype.type(numbers[3])
    for k in range(w.size):
        m[k] += (g[k] - m[k]) * take_m
        v[k] += (g[k] * g[k] - v[k]) * take_v
        w[k] -= m[k] * alpha / (np.sqrt(v[k]) + tiny)
