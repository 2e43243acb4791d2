"""Softmax, alone and with cross-entropy from logits. Contract: reference.softmax and reference.crossentropy.

Computed in float64 inside.
"""

from math import exp, log1p

import numpy as np

from minicnn.kernels._jit import inner, kernel


@inner
def _largest(z, n):  # type: ignore[no-untyped-def]
    """Position of the first maximum of row n, or of its first NaN, and the sum of the other exponentials."""
    largest, others = 0, 0.0
    for k in range(1, z.shape[1]):
        if z[n, k] > z[n, largest] or (z[n, k] != z[n, k] and z[n, largest] == z[n, largest]):
            largest = k
    z_max = np.float64(z[n, largest])
    for k in range(z.shape[1]):
        if k != largest:
            others += exp(np.float64(z[n, k]) - z_max)
    return largest, others


@kernel
def softmax_forward(z: np.ndarray, p: np.ndarray) -> None:
    """p (N, K) = softmax(z), overwritten, from logits z (N, K)."""
    for n in range(len(z)):
        largest, others = _largest(z, n)
        z_max = np.float64(z[n, largest])
        for k in range(z.shape[1]):
            p[n, k] = exp(np.float64(z[n, k]) - z_max) / (1.0 + others)


@kernel
def softmax_crossentropy_forward(z: np.ndarray, t: np.ndarray, p: np.ndarray, loss: np.ndarray) -> None:
    """p (N, K) = softmax(z) and loss (N,) = −Σ t·log softmax(z), overwritten, from logits z and targets t (N, K)."""
    for n in range(len(z)):
        largest, others = _largest(z, n)
        # The largest logit is left out of the sum: log1p is exact where one class is all but certain.
        z_max, log_sum, total = np.float64(z[n, largest]), log1p(others), 0.0
        for k in range(z.shape[1]):
            shifted = np.float64(z[n, k]) - z_max
            p[n, k] = exp(shifted) / (1.0 + others)
            if t[n, k] != 0:
                total += np.float64(t[n, k]) * (log_sum - shifted)
        loss[n] = total


@kernel
def softmax_crossentropy_backward(z: np.ndarray, t: np.ndarray, dloss: np.ndarray, dz: np.ndarray) -> None:
    """dz (N, K), overwritten = (softmax(z)·Σt − t)·dloss, with dloss (N,).

    From the logits: 640 exponentials for a batch of 64 cost microseconds, and a rounded p near 1 has lost 1 − p.
    """
    for n in range(len(z)):
        largest, others = _largest(z, n)
        z_max, other_t = np.float64(z[n, largest]), 0.0
        for k in range(z.shape[1]):
            if k != largest:
                other_t += np.float64(t[n, k])
        total, scale = other_t + np.float64(t[n, largest]), np.float64(dloss[n])
        for k in range(z.shape[1]):
            share = exp(np.float64(z[n, k]) - z_max) / (1.0 + others)
            dz[n, k] = (share * total - np.float64(t[n, k])) * scale
        dz[n, largest] = (other_t - np.float64(t[n, largest]) * others) / (1.0 + others) * scale
