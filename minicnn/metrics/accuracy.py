"""Accuracies: how often predictions match targets.

Source of the meanings: keras/src/metrics/accuracy_metrics.py. Each function gives 1 or 0 for every sample, in
`config.floatx()`.
"""

from typing import Any

import numpy as np

from minicnn import config as settings
from minicnn.checks import integer, number
from minicnn.errors import ShapeError
from minicnn.metrics.metric import MeanMetricWrapper


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> np.ndarray:
    """Whether (y_pred > threshold) is y_true, element by element."""
    y, t = _same_rank(np.asarray(y_pred), np.asarray(y_true))
    _check_shapes(t, y, y.shape)
    return _as_float((y > threshold) == t)


def categorical_accuracy(y_true: Any, y_pred: Any) -> np.ndarray:
    """Whether the largest of y_pred (*N, K) is where the largest of y_true (*N, K) is; ties go to the first."""
    y, t = np.asarray(y_pred), np.asarray(y_true)
    _check_shapes(t, y, y.shape)
    return _as_float(t.argmax(-1) == y.argmax(-1))


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> np.ndarray:
    """Whether the largest of y_pred (*N, K) is at the label y_true (*N) or (*N, 1); ties go to the first."""
    y, t = np.asarray(y_pred), _labels(y_true, y_pred)
    return _as_float(t == y.argmax(-1))


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> np.ndarray:
    """Whether fewer than k of y_pred (*N, K) are larger than the one at the largest of y_true (*N, K)."""
    y, t = np.asarray(y_pred), np.asarray(y_true)
    _check_shapes(t, y, y.shape)
    return _as_float(_in_top_k(t.argmax(-1), y, k))


def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False
) -> np.ndarray:
    """Whether fewer than k of y_pred (*N, K) are larger than the one at the label y_true (*N) or (*N, 1).

    `from_sorted_ids`: y_pred are labels, the most probable first; whether y_true is among the first k.
    """
    y, t = np.asarray(y_pred), _labels(y_true, y_pred)
    if from_sorted_ids:
        return _as_float((y[..., :k] == t[..., None]).any(-1))
    return _as_float(_in_top_k(t.astype(np.int64), y, k))


def accuracy(y_true: Any, y_pred: Any) -> np.ndarray:
    """Whether y_true and y_pred are equal, element by element."""
    y, t = _same_rank(np.asarray(y_pred), np.asarray(y_true))
    _check_shapes(t, y, y.shape)
    return _as_float(t == y)


class Accuracy(MeanMetricWrapper):
    """The share of predictions that equal their targets."""

    direction = "up"

    def __init__(self, name: str | None = "accuracy", dtype: Any = None) -> None:
        super().__init__(accuracy, name, dtype)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}


class BinaryAccuracy(MeanMetricWrapper):
    """The share of predictions on the right side of `threshold`."""

    direction = "up"

    def __init__(
        self, name: str | None = "binary_accuracy", dtype: Any = None, threshold: float = 0.5
    ) -> None:
        super().__init__(binary_accuracy, name, dtype, threshold=number("threshold", threshold))
        self.threshold = threshold

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype, "threshold": self.threshold}


class CategoricalAccuracy(MeanMetricWrapper):
    """The share of samples whose most probable class is the one-hot target's."""

    direction = "up"

    def __init__(self, name: str | None = "categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(categorical_accuracy, name, dtype)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}


class SparseCategoricalAccuracy(MeanMetricWrapper):
    """The share of samples whose most probable class is the label."""

    direction = "up"

    def __init__(self, name: str | None = "sparse_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(sparse_categorical_accuracy, name, dtype)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """The share of samples whose one-hot target is among the k most probable classes."""

    direction = "up"

    def __init__(
        self, k: int = 5, name: str | None = "top_k_categorical_accuracy", dtype: Any = None
    ) -> None:
        super().__init__(top_k_categorical_accuracy, name, dtype, k=integer("k", k, 1))
        self.k = k

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype, "k": self.k}


class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """The share of samples whose label is among the k most probable classes."""

    direction = "up"

    def __init__(
        self,
        k: int = 5,
        name: str | None = "sparse_top_k_categorical_accuracy",
        dtype: Any = None,
        from_sorted_ids: bool = False,
    ) -> None:
        super().__init__(
            sparse_top_k_categorical_accuracy,
            name,
            dtype,
            k=integer("k", k, 1),
            from_sorted_ids=bool(from_sorted_ids),
        )
        self.k, self.from_sorted_ids = k, bool(from_sorted_ids)

    def get_config(self) -> dict[str, Any]:
        config = {"name": self.name, "dtype": self.dtype, "k": self.k}
        return config | ({"from_sorted_ids": True} if self.from_sorted_ids else {})


HITS = (
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    TopKCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
)


def adds_exactly(metric: Any, y_pred: np.ndarray) -> bool:
    """Whether samples may be counted in pieces of any size: there is one value for each, 0 or 1, and no rounding."""
    return type(metric) in HITS and y_pred.ndim == 2


def _in_top_k(labels: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    """tf.math.in_top_k: all that tie with the k-th count as in; a label or prediction that makes no sense isn't in."""
    exists = (labels >= 0) & (labels < y.shape[-1])
    chosen = np.take_along_axis(y, np.where(exists, labels, 0)[..., None], -1)
    return exists & np.isfinite(y).all(-1) & ((y > chosen).sum(-1) < k)


def _labels(y_true: Any, y_pred: Any) -> np.ndarray:
    """Labels (*N) for predictions (*N, K), from (*N) or (*N, 1)."""
    t, shape = np.asarray(y_true), np.shape(y_pred)
    if t.ndim == len(shape) and t.shape[-1] == 1:
        t = t[..., 0]
    _check_shapes(t, np.asarray(y_pred), shape[:-1])
    return t


def _same_rank(y: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Add or drop a last axis of size 1, as Keras does (keras/src/losses/loss.py, `squeeze_or_expand_to_same_rank`)."""
    if y.ndim == t.ndim + 1 and y.shape[-1] == 1:
        t = t[..., None]
    elif t.ndim == y.ndim + 1 and t.shape[-1] == 1:
        y = y[..., None]
    return y, t


def _check_shapes(t: np.ndarray, y: np.ndarray, expected: tuple[int, ...]) -> None:
    if t.shape != expected:
        raise ShapeError(
            f"Targets must have shape {expected} for predictions of shape {y.shape}. Received shape {t.shape}."
        )


def _as_float(matches: np.ndarray) -> np.ndarray:
    return np.asarray(matches, settings.floatx())
