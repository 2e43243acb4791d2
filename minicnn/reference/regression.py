"""Losses of regression, forward and backward: one loss a sample, the mean over the last axis."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Batch = Float[np.ndarray, "*N K"]
Losses = Float[np.ndarray, "*N"]


class DifferenceResiduals(NamedTuple):
    difference: np.ndarray
    """(*N, K): prediction − target."""


def mean_squared_error_forward(y: Batch, t: Batch) -> tuple[Losses, DifferenceResiduals]:
    """loss = mean of (y − t)² over the last axis."""
    difference = y - t
    return (difference * difference).mean(-1), DifferenceResiduals(difference)


def mean_squared_error_backward(dloss: Losses, residuals: DifferenceResiduals) -> tuple[Batch]:
    """Return (dy,) = (2·(y − t)·dloss / K,)."""
    (difference,) = residuals
    return (difference * (dloss * dloss.dtype.type(2 / difference.shape[-1]))[..., None],)


def mean_absolute_error_forward(y: Batch, t: Batch) -> tuple[Losses, DifferenceResiduals]:
    """loss = mean of |y − t| over the last axis."""
    difference = y - t
    return np.abs(difference).mean(-1), DifferenceResiduals(difference)


def mean_absolute_error_backward(dloss: Losses, residuals: DifferenceResiduals) -> tuple[Batch]:
    """Return (dy,) = (sign(y − t)·dloss / K,), 0 where y = t."""
    (difference,) = residuals
    return (np.sign(difference) * (dloss / dloss.dtype.type(difference.shape[-1]))[..., None],)
