"""Losses, as functions of arrays and as objects that also reduce and train. Names and meanings are Keras's."""

from collections.abc import Mapping
from typing import Any

from minicnn.engine.binding import PAIRS
from minicnn.losses.crossentropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
    binary_crossentropy,
    categorical_crossentropy,
    sparse_categorical_crossentropy,
)
from minicnn.losses.loss import Loss
from minicnn.losses.registered import RegisteredLoss
from minicnn.losses.regression import (
    MeanAbsoluteError,
    MeanSquaredError,
    mean_absolute_error,
    mean_squared_error,
)
from minicnn.registry import Registry

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "binary_crossentropy",
    "categorical_crossentropy",
    "deserialize",
    "get",
    "mean_absolute_error",
    "mean_squared_error",
    "resolve",
    "serialize",
    "sparse_categorical_crossentropy",
]

CLASS_OF = {
    binary_crossentropy: BinaryCrossentropy,
    categorical_crossentropy: CategoricalCrossentropy,
    mean_absolute_error: MeanAbsoluteError,
    mean_squared_error: MeanSquaredError,
    sparse_categorical_crossentropy: SparseCategoricalCrossentropy,
}
"""What each function is as an object."""

registry = Registry(
    "loss",
    "losses",
    (*CLASS_OF, *CLASS_OF.values()),
    {
        "bce": binary_crossentropy,
        "BCE": binary_crossentropy,
        "mae": mean_absolute_error,
        "MAE": mean_absolute_error,
        "mse": mean_squared_error,
        "MSE": mean_squared_error,
    },
)

serialize = registry.serialize


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The loss that `serialize` was given; `custom_objects` maps further names to classes and functions.

    Raises:
        ValueError: not a configuration, or one of something unknown.
    """
    return registry.deserialize(config, {"RegisteredLoss": RegisteredLoss, **(custom_objects or {})})


def get(identifier: Any) -> Any:
    """A loss by name, configuration, class or itself; None for None. 'mse' is the function, as in Keras.

    A name under which a pair of functions is registered (`minicnn.ops.register`) is a loss too.

    Raises:
        ValueError: an unknown name, or something that can't be called.
    """
    if isinstance(identifier, str) and identifier in PAIRS:
        return RegisteredLoss(identifier)
    return None if identifier is None else registry.get(identifier)


def resolve(identifier: Any) -> Loss:
    """What `compile` trains with: whatever `get` gives, a known function turned into its object.

    Raises:
        ValueError: something unknown, or a function without a derivative.
    """
    loss = get(identifier)
    if isinstance(loss, Loss):
        return loss
    if loss in CLASS_OF:
        return CLASS_OF[loss](name=identifier if isinstance(identifier, str) else loss.__name__)
    known = ", ".join(sorted(function.__name__ for function in CLASS_OF))
    raise ValueError(
        f"A loss that trains a model needs a derivative: one of {known}, or a Loss. Received {loss!r}."
    )
