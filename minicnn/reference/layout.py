"""Moving axes: how channels come last or first."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped


class TransposeResiduals(NamedTuple):
    axes: tuple[int, ...]


def transpose_forward(
    x: Shaped[np.ndarray, "N ..."], axes: tuple[int, ...]
) -> tuple[Shaped[np.ndarray, "N ..."], TransposeResiduals]:
    """y's axis 1 + k is x's axis 1 + axes[k]; the batch axis stays first."""
    return x.transpose(0, *(1 + axis for axis in axes)), TransposeResiduals(axes)


def transpose_backward(
    dy: Shaped[np.ndarray, "N ..."], residuals: TransposeResiduals
) -> tuple[Shaped[np.ndarray, "N ..."]]:
    """Return (dx,): the axes moved back."""
    return (dy.transpose(0, *(1 + axis for axis in np.argsort(residuals.axes))),)
