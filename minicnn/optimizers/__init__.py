"""Optimizers: how weights follow their gradients. Names, arguments and arithmetic are Keras's."""

from typing import Any

from minicnn.optimizers import schedules
from minicnn.optimizers.adam import Adam, AdamW
from minicnn.optimizers.optimizer import Optimizer
from minicnn.optimizers.rmsprop import RMSprop
from minicnn.optimizers.sgd import SGD
from minicnn.registry import Registry

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "deserialize", "get", "schedules", "serialize"]

registry = Registry("optimizer", "optimizers", (Adam, AdamW, RMSprop, SGD), ignores_case=True)

serialize = registry.serialize
deserialize = registry.deserialize


def get(identifier: Any) -> Any:
    """An optimizer by name in any case, configuration, class or itself; None for None.

    Raises:
        ValueError: an unknown name, or something that isn't an optimizer.
    """
    optimizer = None if identifier is None else registry.get(identifier)
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise ValueError(
            f"Could not interpret optimizer identifier: {identifier!r}. It must be an Optimizer."
        )
    return optimizer
