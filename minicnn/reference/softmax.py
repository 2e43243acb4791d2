"""Softmax over the last axis, forward and backward."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class SoftmaxResiduals(NamedTuple):
    y: np.ndarray


def softmax_forward(z: Float[np.ndarray, "*N K"]) -> tuple[Float[np.ndarray, "*N K"], SoftmaxResiduals]:
    """y = exp(z) / Σ exp(z), shifted by max(z) so that nothing overflows; computed in float64 whatever comes in."""
    shifted = np.subtract(z, z.max(-1, keepdims=True), dtype=np.float64)
    exponentials = np.exp(shifted)
    y = (exponentials / exponentials.sum(-1, keepdims=True)).astype(z.dtype)
    return y, SoftmaxResiduals(y)


def softmax_backward(
    dy: Float[np.ndarray, "*N K"], residuals: SoftmaxResiduals
) -> tuple[Float[np.ndarray, "*N K"]]:
    """Return (dz,) = (y·(dy − ⟨y, dy⟩),): the product of dy with the Jacobian diag(y) − y·yᵀ."""
    (y,) = residuals
    return (y * (dy - (y * dy).sum(-1, keepdims=True)),)
