"""Softmax and cross-entropy from logits. Contract: reference.crossentropy. Computed in float64 inside."""

from math import exp, log1p

import numpy as np

from minicnn.kernels._jit import kernel


@kernel
def softmax_crossentropy_forward(z: np.ndarray, t: np.ndarray, p: np.ndarray, loss: np.ndarray) -> None:
    """p (N, K) = softmax(z) and loss (N,) = −Σ t·log softmax(z), overwritten, from logits z and targets t (N, K)."""
    for n in range(len(z)):
        largest = 0
        for k in range(1, z.shape[1]):
            if z[n, k] > z[n, largest] or (z[n, k] != z[n, k] and z[n, largest] == z[n, largest]):
                largest = k
        z_max, others = np.float64(z[n, largest]), 0.0
        for k in range(z.shape[1]):
            if k != largest:
                others += exp(np.float64(z[n, k]) - z_max)
        # The largest logit is left out of the sum: log1p is exact where one class is all but certain.
        log_sum, total = log1p(others), 0.0
        for k in range(z.shape[1]):
            shifted = np.float64(z[n, k]) - z_max
            p[n, k] = exp(shifted) / (1.0 + others)
            if t[n, k] != 0:
                total += np.float64(t[n, k]) * (log_sum - shifted)
        loss[n] = total


@kernel
def softmax_crossentropy_backward(p: np.ndarray, t: np.ndarray, dloss: np.ndarray, dz: np.ndarray) -> None:
    """dz (N, K), overwritten = (p·Σt − t)·dloss, with dloss (N,)."""
    for n in range(len(p)):
        total = p.dtype.type(0)
        for k in range(p.shape[1]):
            total += t[n, k]
        for k in range(p.shape[1]):
            dz[n, k] = (p[n, k] * total - t[n, k]) * dloss[n]
