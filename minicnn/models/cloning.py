"""Copies of a model's architecture, with new weights."""

from typing import Any

from minicnn.checks import only_default
from minicnn.models.model import Model


def clone_model(
    model: Model,
    input_tensors: Any = None,
    clone_function: Any = None,
    call_function: Any = None,
    recursive: bool = False,
) -> Model:
    """A model of the same layers under the same names, its weights drawn anew; it shares nothing with `model`.

    Raises:
        ValueError: not a model, or an argument that only Keras has.
    """
    only_default(
        "clone_model",
        input_tensors=(input_tensors, None),
        clone_function=(clone_function, None),
        call_function=(call_function, None),
        recursive=(recursive, False),
    )
    if not isinstance(model, Model):
        raise ValueError(f"`model` must be a Model. Received a {type(model).__name__}.")
    return type(model).from_config(model.get_config(), custom_objects=_classes(model))


def _classes(model: Model) -> dict[str, type]:
    """The classes of all layers by name: those of the user's own are found nowhere else."""
    found: dict[str, type] = {}
    for layer in model.layers:
        found[type(layer).__name__] = type(layer)
        if isinstance(layer, Model):
            found |= _classes(layer)
    return found
