"""Rescaling: y = x·scale + offset, forward and backward."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Factor = float | tuple[float, ...]
"""One number, or one for each element of the last axis."""


class RescalingResiduals(NamedTuple):
    scale: Factor


def rescaling_forward(
    x: Float[np.ndarray, "..."], scale: Factor, offset: Factor
) -> tuple[Float[np.ndarray, "..."], RescalingResiduals]:
    """y = x·scale + offset."""
    return x * np.asarray(scale, x.dtype) + np.asarray(offset, x.dtype), RescalingResiduals(scale)


def rescaling_backward(
    dy: Float[np.ndarray, "..."], residuals: RescalingResiduals
) -> tuple[Float[np.ndarray, "..."]]:
    """Return (dx,) = (dy·scale,)."""
    return (dy * np.asarray(residuals.scale, dy.dtype),)
