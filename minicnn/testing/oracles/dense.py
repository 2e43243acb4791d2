"""Dense and Flatten by brute force."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


class DenseGradients(NamedTuple):
    """Gradients of ⟨y, dy⟩ with respect to input, kernel and bias."""

    dx: Array
    dw: Array
    db: Array


def dense_forward(x: Array, w: Array, b: Array | None = None, *, dtype: Any = np.float64) -> Array:
    """``y[..., m] = b[m] + sum_k x[..., k] * w[k, m]`` for ``x (..., K)``, ``w (K, M)``."""
    x, w = np.asarray(x).astype(dtype), np.asarray(w).astype(dtype)
    y = np.zeros((*x.shape[:-1], w.shape[1]), dtype)
    for k in range(w.shape[0]):
        y += x[..., k, None] * w[k]
    return y if b is None else y + np.asarray(b).astype(dtype)


def dense_backward(dy: Array, x: Array, w: Array, *, dtype: Any = np.float64) -> DenseGradients:
    """Gradients of ``sum(y * dy)``; ``dw`` and ``db`` are summed over all leading axes."""
    dy, x, w = (np.asarray(a).astype(dtype) for a in (dy, x, w))
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for k in range(w.shape[0]):
        dx[..., k] = (dy * w[k]).sum(axis=-1)
        for m in range(w.shape[1]):
            dw[k, m] = (x[..., k] * dy[..., m]).sum()
    return DenseGradients(dx, dw, dy.sum(axis=tuple(range(dy.ndim - 1))))


def flatten_forward(x: Array) -> Array:
    """``(N, ...)`` to ``(N, size)``, the last axis fastest (row-major)."""
    x = np.asarray(x)
    y = np.zeros((x.shape[0], int(np.prod(x.shape[1:]))), x.dtype)
    for n in range(x.shape[0]):
        for k, index in enumerate(np.ndindex(*x.shape[1:])):
            y[n, k] = x[(n, *index)]
    return y


def flatten_backward(dy: Array, x_shape: tuple[int, ...]) -> Array:
    """The inverse of ``flatten_forward``."""
    dy = np.asarray(dy)
    dx = np.zeros(x_shape, dy.dtype)
    for n in range(x_shape[0]):
        for k, index in enumerate(np.ndindex(*x_shape[1:])):
            dx[(n, *index)] = dy[n, k]
    return dx
