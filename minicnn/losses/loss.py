"""The base of all losses: a loss for each sample, weighted and reduced to one number.

Reductions are Keras's (keras/src/losses/loss.py). With losses l (*N), weights w and |N| losses in all:

    'sum_over_batch_size', 'mean'   Σ w·l / |N|
    'mean_with_sample_weight'       Σ w·l / Σ w      (0 where Σ w = 0)
    'sum'                           Σ w·l
    'none', None                    w·l, unreduced

Every reduction to a number is linear in l, so training needs nothing of it but its gradient: the `seed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn import config as settings
from minicnn.checks import one_of
from minicnn.engine import ops
from minicnn.errors import ShapeError
from minicnn.losses.targets import check_numbers
from minicnn.naming import unique_name

REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)


class Loss:
    """Subclasses define `call`; those that can train a model also `lower`, `targets` and `check_targets`.

    Args:
        name: by default the class's name in snake case.
        reduction: one of REDUCTIONS.
        dtype: what a call on arrays computes in, by default `config.floatx()`. In a model the model's dtype counts.

    Raises:
        ValueError: an unknown reduction or dtype.
    """

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype: Any = None
    ) -> None:
        self.name = name or unique_name(type(self).__name__)
        self.reduction = one_of("reduction", reduction, REDUCTIONS)
        self.dtype = settings.standardize_dtype(dtype)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The reduced loss of arrays: a NumPy scalar, or an array for the reduction 'none'.

        Raises:
            ValueError: shapes or values of `y_true` that the loss can't compare with `y_pred`.
        """
        losses = np.asarray(self.call(y_true, check_numbers("y_pred", y_pred).astype(self.dtype)), self.dtype)
        weights, divisor = _weights(losses.shape, sample_weight, self.reduction)
        weighted = losses * weights.astype(self.dtype)
        if self.reduction in ("none", None):
            return weighted
        return (
            losses.dtype.type(weighted.sum(dtype=np.float64) / divisor) if divisor else losses.dtype.type(0)
        )

    def call(self, y_true: Any, y_pred: np.ndarray) -> np.ndarray:
        """One loss for each sample: the predictions' shape without its last axis."""
        raise NotImplementedError(f"{type(self).__name__} does not define `call`.")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments but `dtype`, as Keras leaves it out; `from_config` takes them back."""
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Loss:
        return cls(**config)

    # What training needs

    def lower(self, name: str, last_op: ops.Op | None) -> ops.Loss:
        """The op that computes the losses of a model that ends in `last_op`.

        Raises:
            ValueError: a loss without a derivative.
        """
        raise ValueError(
            f"A loss that trains a model needs a derivative, which {type(self).__name__} does not define."
        )

    def check_targets(self, y_true: Any, shape: tuple[int, ...]) -> None:
        """Check all of `y_true` against predictions of `shape`, batch axis included, without copying it.

        Raises:
            TypeError, ValueError: what `targets` would raise for any batch of it.
        """
        self.targets(y_true, shape, self.dtype)

    def targets(self, y_true: Any, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        """`y_true` as the op compares it with predictions of `shape`, batch axis included: contiguous, of that shape.

        Raises:
            TypeError: not numbers.
            ValueError: a shape or values that don't fit.
        """
        raise ValueError(
            f"A loss that trains a model needs a derivative, which {type(self).__name__} does not define."
        )

    def seed(self, shape: tuple[int, ...], sample_weight: Any, dtype: str) -> np.ndarray:
        """The gradient of the reduced loss by each sample's loss, of the losses' `shape`.

        The reduced loss is Σ seed·losses.

        Raises:
            ValueError: the reduction 'none', or weights that don't fit.
        """
        if self.reduction in ("none", None):
            raise ValueError(
                f"Training needs a loss reduced to a number. Received reduction={self.reduction!r}."
            )
        weights, divisor = _weights(shape, sample_weight, self.reduction)
        if not divisor:
            return np.zeros(shape, dtype)
        return np.ascontiguousarray(np.broadcast_to((weights / divisor).astype(dtype), shape))


def _weights(shape: tuple[int, ...], sample_weight: Any, reduction: str | None) -> tuple[np.ndarray, float]:
    """(weights that broadcast to `shape`, what the weighted sum is divided by); float64."""
    size = float(np.prod(shape))
    if sample_weight is None:
        weights = np.ones((1,) * len(shape))
    else:
        weights = _matched(np.asarray(sample_weight, np.float64), shape)
        if reduction == "mean_with_sample_weight":
            return weights, float(weights.sum())
    return weights, 1.0 if reduction == "sum" else size


def _matched(weights: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Weights with a last axis of size 1 added or dropped, if that makes them as many-dimensional as the losses.

    Raises:
        ShapeError: they still don't broadcast to the losses.
    """
    given = weights.shape
    if weights.ndim == len(shape) + 1 and given[-1] == 1:
        weights = weights[..., 0]
    elif weights.ndim == len(shape) - 1 and shape[-1] == 1:
        weights = weights[..., None]
    fits = weights.ndim <= len(shape) and all(
        came in (1, size) for came, size in zip(weights.shape[::-1], shape[::-1], strict=False)
    )
    if not fits:
        raise ShapeError(
            f"`sample_weight` must broadcast to the losses' shape {shape}. Received shape {given}."
        )
    return weights
