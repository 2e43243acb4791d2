"""A densely connected layer: one matrix product, forward and backward."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from minicnn.reference.activations import OutputResiduals, relu_backward, relu_forward


class DenseResiduals(NamedTuple):
    x: np.ndarray
    w: np.ndarray


def dense_forward(
    x: Float[np.ndarray, "*N C"], w: Float[np.ndarray, "C F"], b: Float[np.ndarray, " F"] | None
) -> tuple[Float[np.ndarray, "*N F"], DenseResiduals]:
    """y = x·w + b along the last axis; leading axes are all samples. b=None means no bias."""
    y = x @ w
    if b is not None:
        y += b
    return y, DenseResiduals(x, w)


def dense_backward(
    dy: Float[np.ndarray, "*N F"], residuals: DenseResiduals
) -> tuple[Float[np.ndarray, "*N C"], Float[np.ndarray, "C F"], Float[np.ndarray, " F"]]:
    """Return (dx, dw, db) = (dy·wᵀ, xᵀ·dy, Σ dy)."""
    x, w = residuals
    samples = dy.reshape(-1, dy.shape[-1])
    return dy @ w.T, x.reshape(-1, x.shape[-1]).T @ samples, samples.sum(0)


class DenseReluResiduals(NamedTuple):
    dense: DenseResiduals
    relu: OutputResiduals


def dense_relu_forward(
    x: Float[np.ndarray, "*N C"], w: Float[np.ndarray, "C F"], b: Float[np.ndarray, " F"] | None
) -> tuple[Float[np.ndarray, "*N F"], DenseReluResiduals]:
    """y = max(x·w + b, 0)."""
    z, dense = dense_forward(x, w, b)
    y, relu = relu_forward(z)
    return y, DenseReluResiduals(dense, relu)


def dense_relu_backward(
    dy: Float[np.ndarray, "*N F"], residuals: DenseReluResiduals
) -> tuple[Float[np.ndarray, "*N C"], Float[np.ndarray, "C F"], Float[np.ndarray, " F"]]:
    """Return (dx, dw, db)."""
    (dz,) = relu_backward(dy, residuals.relu)
    return dense_backward(dz, residuals.dense)
