"""Cross-entropies: categorical, sparse categorical and binary, from logits and from probabilities.

Source of the meanings: keras/src/losses/losses.py and keras/src/backend/tensorflow/nn.py. A loss called on arrays uses
the values it is given. Inside a model that ends in a softmax or sigmoid it is computed from the logits.
"""

import warnings
from typing import Any

import numpy as np

from minicnn import config as settings
from minicnn.checks import number, only_default
from minicnn.engine import ops
from minicnn.losses import targets as t
from minicnn.losses.loss import Loss
from minicnn.reference import crossentropy as reference

SPARSE_HINT = " For integer labels use sparse_categorical_crossentropy, or utils.to_categorical on them."


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> np.ndarray:
    """−Σ t·log p of each sample: one-hot or soft targets (*N, K), predictions (*N, K) → (*N).

    Probabilities are divided by their sum and clipped to [ε, 1 − ε].

    Raises:
        TypeError, ValueError: targets of another shape, an axis other than the last.
    """
    p = t.predictions_of(y_pred, y_true)
    check_axis(axis, p.ndim)
    target = categorical_targets(y_true, p.shape, p.dtype.name, label_smoothing)
    if from_logits:
        return t.per_sample(reference.softmax_crossentropy_forward, p, target)
    check_epsilon()
    return t.per_sample(reference.categorical_crossentropy_forward, p, target)


def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> np.ndarray:
    """−log p of each sample's class: labels (*N) or (*N, 1), predictions (*N, K) → (*N).

    Probabilities are clipped to [ε, 1 − ε] and then divided by their sum: the other way round than in
    `categorical_crossentropy`, as in Keras.

    Raises:
        TypeError, ValueError: labels of another shape or outside 0 … K − 1, an axis other than the last, an
            `ignore_class`, which isn't implemented.
    """
    p = t.predictions_of(y_pred, ())
    check_axis(axis, p.ndim)
    only_default("sparse_categorical_crossentropy", ignore_class=(ignore_class, None))
    target = t.one_hot(
        t.labels(y_true, p.shape, "sparse_categorical_crossentropy"), p.shape[-1], p.dtype.name
    )
    if from_logits:
        return t.per_sample(reference.softmax_crossentropy_forward, p, target)
    epsilon = settings.epsilon()
    z = np.log(np.clip(p.astype(np.float64), epsilon, 1 - epsilon))
    return t.per_sample(reference.softmax_crossentropy_forward, z, target.astype(np.float64)).astype(p.dtype)


def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> np.ndarray:
    """The mean over the last axis of −t·log p − (1 − t)·log(1 − p): (*N, K), (*N, K) → (*N).

    Probabilities are clipped to [ε, 1 − ε].

    Raises:
        TypeError, ValueError: targets of another shape or outside [0, 1], an axis other than the last.
    """
    p = t.predictions_of(y_pred, y_true)
    check_axis(axis, p.ndim)
    target = binary_targets(y_true, p.shape, p.dtype.name, label_smoothing)
    if from_logits:
        return t.per_sample(reference.sigmoid_crossentropy_forward, p, target)
    check_epsilon()
    return t.per_sample(reference.binary_crossentropy_forward, p, target)


class _Crossentropy(Loss):
    """What the three have in common."""

    CONTAINED: type[ops.Op]
    """The activation that the form from logits contains."""
    FORMS: tuple[type[ops.Loss], type[ops.Loss], type[ops.Loss] | None]
    """After that activation, from logits, from probabilities."""
    FUNCTION: str

    def __init__(
        self, from_logits: bool, axis: int, reduction: str | None, name: str | None, dtype: Any
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        check_axis(axis)
        self.from_logits, self.axis = bool(from_logits), axis

    def lower(self, name: str, last_op: ops.Op | None) -> ops.Loss:
        after_activation, from_logits, from_probabilities = self.FORMS
        if isinstance(last_op, self.CONTAINED):
            if self.from_logits:
                self._warn_of_activation()
            return after_activation(name=name)
        if self.from_logits:
            return from_logits(name=name)
        check_epsilon()
        if from_probabilities is None:
            raise ValueError(
                f"A model trained with {self.FUNCTION} must end in a softmax over the last axis, or the loss be given "
                f"from_logits=True. The model ends in {type(last_op).__name__}."
            )
        return from_probabilities(name=name)

    def _warn_of_activation(self) -> None:
        # Keras's words (keras/src/backend/tensorflow/nn.py, `_get_logits`), its first quotation mark included.
        warnings.warn(
            f'"`{self.FUNCTION}` received `from_logits=True`, but the `output` argument was produced by a '
            f"{self.CONTAINED.__name__} activation and thus does not represent logits. Was this intended?",
            stacklevel=3,
        )


class _Smoothed(_Crossentropy):
    """Those that smooth labels."""

    def __init__(self, from_logits: bool, label_smoothing: float, *others: Any) -> None:
        super().__init__(from_logits, *others)
        self.label_smoothing = number("label_smoothing", label_smoothing, 0, 1)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "from_logits": self.from_logits,
            "label_smoothing": self.label_smoothing,
            "axis": self.axis,
        }


class CategoricalCrossentropy(_Smoothed):
    """`categorical_crossentropy`, reduced.

    Raises:
        ValueError: `label_smoothing` outside [0, 1], an axis other than −1, an unknown reduction or dtype.
    """

    CONTAINED = ops.Softmax
    FORMS = (ops.SoftmaxCrossEntropy, ops.LogitsSoftmaxCrossEntropy, ops.CategoricalCrossEntropy)
    FUNCTION = "categorical_crossentropy"

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)

    def call(self, y_true: Any, y_pred: np.ndarray) -> np.ndarray:
        return categorical_crossentropy(y_true, y_pred, self.from_logits, self.label_smoothing, self.axis)

    def check_targets(self, y_true: Any, shape: t.Shape) -> None:
        t.same_shape(y_true, shape, self.FUNCTION, SPARSE_HINT)
        if shape[-1] == 1:
            warnings.warn(
                "In loss categorical_crossentropy, expected y_pred.shape to be (batch_size, num_classes) with "
                f"num_classes > 1. Received: y_pred.shape={shape}. Consider using 'binary_crossentropy' if you only "
                "have 2 classes.",
                SyntaxWarning,
                stacklevel=2,
            )

    def targets(self, y_true: Any, shape: t.Shape, dtype: str) -> np.ndarray:
        return categorical_targets(y_true, shape, dtype, self.label_smoothing)


class SparseCategoricalCrossentropy(_Crossentropy):
    """`sparse_categorical_crossentropy`, reduced.

    Raises:
        ValueError: an axis other than −1, an unknown reduction or dtype, an `ignore_class`, which isn't implemented.
    """

    CONTAINED = ops.Softmax
    FORMS = (ops.SoftmaxCrossEntropy, ops.LogitsSoftmaxCrossEntropy, None)
    FUNCTION = "sparse_categorical_crossentropy"

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(from_logits, axis, reduction, name, dtype)
        only_default(type(self).__name__, ignore_class=(ignore_class, None))
        self.ignore_class = ignore_class

    def call(self, y_true: Any, y_pred: np.ndarray) -> np.ndarray:
        return sparse_categorical_crossentropy(y_true, y_pred, self.from_logits, self.ignore_class, self.axis)

    def check_targets(self, y_true: Any, shape: t.Shape) -> None:
        t.labels(y_true, shape, self.FUNCTION)

    def targets(self, y_true: Any, shape: t.Shape, dtype: str) -> np.ndarray:
        return t.one_hot(t.labels(y_true, shape, self.FUNCTION), shape[-1], dtype)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"from_logits": self.from_logits, "ignore_class": self.ignore_class}


class BinaryCrossentropy(_Smoothed):
    """`binary_crossentropy`, reduced.

    Raises:
        ValueError: `label_smoothing` outside [0, 1], an axis other than −1, an unknown reduction or dtype.
    """

    CONTAINED = ops.Sigmoid
    FORMS = (ops.SigmoidCrossEntropy, ops.LogitsSigmoidCrossEntropy, ops.BinaryCrossEntropy)
    FUNCTION = "binary_crossentropy"

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)

    def call(self, y_true: Any, y_pred: np.ndarray) -> np.ndarray:
        return binary_crossentropy(y_true, y_pred, self.from_logits, self.label_smoothing, self.axis)

    def check_targets(self, y_true: Any, shape: t.Shape) -> None:
        t.shares(t.same_shape(y_true, shape, self.FUNCTION), self.FUNCTION)

    def targets(self, y_true: Any, shape: t.Shape, dtype: str) -> np.ndarray:
        return binary_targets(y_true, shape, dtype, self.label_smoothing)


def categorical_targets(y_true: Any, shape: t.Shape, dtype: str, smoothing: float) -> np.ndarray:
    """(*N, K): t·(1 − s) + s / K."""
    target = np.ascontiguousarray(t.same_shape(y_true, shape, "categorical_crossentropy", SPARSE_HINT), dtype)
    return (
        target * target.dtype.type(1 - smoothing) + target.dtype.type(smoothing / shape[-1])
        if smoothing
        else target
    )


def binary_targets(y_true: Any, shape: t.Shape, dtype: str, smoothing: float) -> np.ndarray:
    """(*N, K): t·(1 − s) + s / 2."""
    given = t.shares(t.same_shape(y_true, shape, "binary_crossentropy"), "binary_crossentropy")
    target = np.ascontiguousarray(given, dtype)
    return (
        target * target.dtype.type(1 - smoothing) + target.dtype.type(smoothing / 2) if smoothing else target
    )


def check_axis(axis: Any, ndim: int = 0) -> None:
    """The classes must be the last axis."""
    if isinstance(axis, bool) or axis not in (-1, ndim - 1):
        raise ValueError(f"Classes must be the last axis, axis=-1. Received axis={axis!r}.")


def check_epsilon() -> None:
    """The forms from probabilities are written for one ε."""
    if settings.epsilon() != reference.EPSILON:
        raise ValueError(
            f"Cross-entropy from probabilities is computed with epsilon={reference.EPSILON} only. "
            f"Received config.epsilon()={settings.epsilon()}."
        )
