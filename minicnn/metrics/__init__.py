"""Metrics: running means over an epoch of how good predictions are. Names and meanings are Keras's."""

from typing import Any

from minicnn import losses
from minicnn.losses import (
    binary_crossentropy,
    categorical_crossentropy,
    mean_absolute_error,
    mean_squared_error,
    sparse_categorical_crossentropy,
)
from minicnn.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from minicnn.metrics.loss_metrics import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
from minicnn.metrics.metric import Mean, MeanMetricWrapper, Metric, Sum
from minicnn.naming import snake_case
from minicnn.registry import Registry

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "Mean",
    "MeanAbsoluteError",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "Metric",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "Sum",
    "TopKCategoricalAccuracy",
    "binary_accuracy",
    "binary_crossentropy",
    "categorical_accuracy",
    "categorical_crossentropy",
    "deserialize",
    "get",
    "mean_absolute_error",
    "mean_squared_error",
    "resolve",
    "serialize",
    "sparse_categorical_accuracy",
    "sparse_categorical_crossentropy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]

_CLASSES = (
    Accuracy,
    BinaryAccuracy,
    BinaryCrossentropy,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    Mean,
    MeanAbsoluteError,
    MeanMetricWrapper,
    MeanSquaredError,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    Sum,
    TopKCategoricalAccuracy,
)

registry = Registry(
    "metric",
    "metrics",
    _CLASSES,
    {snake_case(cls.__name__): cls for cls in _CLASSES}
    | {
        "bce": BinaryCrossentropy,
        "BCE": BinaryCrossentropy,
        "mae": MeanAbsoluteError,
        "MAE": MeanAbsoluteError,
        "mse": MeanSquaredError,
        "MSE": MeanSquaredError,
    },
)

serialize = registry.serialize
deserialize = registry.deserialize


def get(identifier: Any) -> Any:
    """A metric by name, configuration, class or itself, or a function; None for None. Names mean objects, as in Keras.

    Raises:
        ValueError: an unknown name, or something that can't be called.
    """
    return None if identifier is None else registry.get(identifier)


def resolve(identifier: Any, y_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> Metric:
    """What `compile` counts: whatever `get` gives, 'accuracy' and 'acc' chosen by the shapes, a function averaged.

    Shapes include the batch axis. As keras/src/trainers/compile_utils.py (`get_metric`) has it, 'accuracy' is binary
    for outputs of one unit, sparse for targets of fewer axes than the outputs or of one unit, else categorical; and
    the metric is called what it was asked for as.

    Raises:
        ValueError: None, or what `get` raises.
    """
    if isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc"):
        return _accuracy_for(y_shape, output_shape)(name=identifier)
    metric = get(identifier)
    if metric is None:
        raise ValueError("Expected a metric. Received None.")
    if not isinstance(metric, Metric):
        name = getattr(metric, "name", None) or getattr(metric, "__name__", None) or type(metric).__name__
        wrapped = MeanMetricWrapper(metric, name=name)
        if metric in losses.CLASS_OF or isinstance(metric, losses.Loss):
            wrapped.direction = "down"
        return wrapped
    if isinstance(identifier, str):
        metric.name = identifier
    return metric


def _accuracy_for(y_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> type[Metric]:
    if output_shape[-1] == 1:
        return BinaryAccuracy
    is_sparse = len(y_shape) < len(output_shape) or y_shape[-1] == 1
    return SparseCategoricalAccuracy if is_sparse else CategoricalAccuracy
