"""Rescaling: y = x·scale + offset, forward and backward."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class RescalingResiduals(NamedTuple):
    scale: float


def rescaling_forward(
    x: Float[np.ndarray, "..."], scale: float, offset: float
) -> tuple[Float[np.ndarray, "..."], RescalingResiduals]:
    """y = x·scale + offset."""
    return x * x.dtype.type(scale) + x.dtype.type(offset), RescalingResiduals(scale)


def rescaling_backward(
    dy: Float[np.ndarray, "..."], residuals: RescalingResiduals
) -> tuple[Float[np.ndarray, "..."]]:
    """Return (dx,) = (dy·scale,)."""
    return (dy * dy.dtype.type(residuals.scale),)
