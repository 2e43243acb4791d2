"""Softmax over the last axis, forward and backward."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class SoftmaxResiduals(NamedTuple):
    y: np.ndarray
    """In float64, before it is rounded."""


def softmax_forward(z: Float[np.ndarray, "*N K"]) -> tuple[Float[np.ndarray, "*N K"], SoftmaxResiduals]:
    """y = exp(z) / Σ exp(z), shifted by max(z) so that nothing overflows; computed in float64 whatever comes in."""
    shifted = np.subtract(z, z.max(-1, keepdims=True), dtype=np.float64)
    exponentials = np.exp(shifted)
    y = exponentials / exponentials.sum(-1, keepdims=True)
    return y.astype(z.dtype), SoftmaxResiduals(y)


def softmax_backward(
    dy: Float[np.ndarray, "*N K"], residuals: SoftmaxResiduals
) -> tuple[Float[np.ndarray, "*N K"]]:
    """Return (dz,) = (y·(dy − ⟨y, dy⟩),): the product of dy with the Jacobian diag(y) − y·yᵀ.

    A number added to all of dy changes nothing. The largest share's dy is subtracted first: where that share is all
    but 1, it would cancel and take the digits of the others with it.
    """
    (y,) = residuals
    top = np.take_along_axis(dy, y.argmax(-1)[..., None], -1)
    relative = np.subtract(dy, top, dtype=np.float64)
    return ((y * (relative - (y * relative).sum(-1, keepdims=True))).astype(dy.dtype),)
