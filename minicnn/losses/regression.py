"""Losses of regression: mean squared and mean absolute error over the last axis.

Source of the meanings: keras/src/losses/losses.py.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.engine import ops
from minicnn.losses import targets as t
from minicnn.losses.loss import Loss
from minicnn.reference.regression import mean_absolute_error_forward, mean_squared_error_forward


def mean_squared_error(y_true: Any, y_pred: Any) -> np.ndarray:
    """The mean of (y − t)² over the last axis: (*N, K), (*N, K) → (*N).

    Raises:
        TypeError, ValueError: targets of another shape.
    """
    return _mean_error(mean_squared_error_forward, y_true, y_pred, "mean_squared_error")


def mean_absolute_error(y_true: Any, y_pred: Any) -> np.ndarray:
    """The mean of |y − t| over the last axis: (*N, K), (*N, K) → (*N).

    Raises:
        TypeError, ValueError: targets of another shape.
    """
    return _mean_error(mean_absolute_error_forward, y_true, y_pred, "mean_absolute_error")


def _mean_error(forward: Callable[..., Any], y_true: Any, y_pred: Any, name: str) -> np.ndarray:
    y = t.predictions_of(y_pred, y_true)
    return t.per_sample(forward, y, t.broadcast(y_true, y.shape, name).astype(y.dtype))


class _MeanError(Loss):
    """What the two have in common."""

    FUNCTION: Callable[[Any, Any], np.ndarray]
    OP: type[ops.Loss]

    def call(self, y_true: Any, y_pred: np.ndarray) -> np.ndarray:
        return self.FUNCTION(y_true, y_pred)

    def lower(self, name: str, last_op: ops.Op | None) -> ops.Loss:
        return self.OP(name=name)

    def check_targets(self, y_true: Any, shape: t.Shape) -> None:
        t.broadcast(y_true, shape, self.name)

    def targets(self, y_true: Any, shape: t.Shape, dtype: str) -> np.ndarray:
        return np.ascontiguousarray(t.broadcast(y_true, shape, self.name), dtype)


class MeanSquaredError(_MeanError):
    """`mean_squared_error`, reduced.

    Raises:
        ValueError: an unknown reduction or dtype.
    """

    FUNCTION = staticmethod(mean_squared_error)
    OP = ops.MeanSquaredError

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_squared_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)


class MeanAbsoluteError(_MeanError):
    """`mean_absolute_error`, reduced.

    Raises:
        ValueError: an unknown reduction or dtype.
    """

    FUNCTION = staticmethod(mean_absolute_error)
    OP = ops.MeanAbsoluteError

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_absolute_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
