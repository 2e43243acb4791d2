"""Models from Keras and to Keras, in memory. Keras is imported when it is asked for."""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minicnn.engine.parameters import shapes_only
from minicnn.errors import ShapeError
from minicnn.saving.keras_file import build, compile_as, describe


def from_keras(model: Any, custom_objects: Mapping[str, Any] | None = None, compile: bool = True) -> Any:
    """A Keras model as one of minicnn's: its layers, a copy of its weights, and, unless `compile` is False, how it
    was compiled and the state of its optimizer.

    Raises:
        ValueError: not a Keras model, or one that has what minicnn doesn't; the message names the first layer or
            option.
    """
    import keras

    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a Keras model. Received a {type(model).__name__}.")
    # As a file would have it: plain lists and dicts.
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    with shapes_only():
        ours = build(config, custom_objects)
    for variable, array in _paired(ours.variables, model.weights):
        variable.fill(array)
    if compile and config.get("compile_config"):
        compile_as(ours, config["compile_config"], {}, custom_objects)
        if model.optimizer.built:
            ours.build_optimizer()
        _copy_state(ours.optimizer, model.optimizer)
    return ours


def to_keras(model: Any) -> Any:
    """A model as one of Keras's: its layers, a copy of its weights, how it was compiled, its optimizer's state.

    Raises:
        ValueError: an object of the user's own, which Keras doesn't have; the message names its class.
    """
    import keras

    config = json.loads(json.dumps(describe(model)))
    own = next(_own_classes(config), None)
    if own is not None:
        raise ValueError(f"Keras has no {own}: model '{model.name}' can't be made there.")
    theirs = keras.saving.deserialize_keras_object(config)
    if model.built:
        for variable, array in _paired(theirs.weights, model.variables):
            variable.assign(array)
        if model.compiled and model.optimizer.built:
            _copy_state(theirs.optimizer, model.optimizer)
    return theirs


def _paired(variables: Sequence[Any], values: Sequence[Any]) -> Iterator[tuple[Any, np.ndarray]]:
    """(variable, its value in the other library) for variables in one order in both."""
    if [tuple(v.shape) for v in variables] != [tuple(v.shape) for v in values]:
        raise ShapeError(
            "Both libraries must give a model's weights the same shapes. Received "
            f"{[tuple(v.shape) for v in values]} for {[tuple(v.shape) for v in variables]}."
        )
    for variable, value in zip(variables, values, strict=True):
        yield variable, np.array(value.numpy(), getattr(variable, "dtype", None))


def _copy_state(optimizer: Any, other: Any) -> None:
    """Give `optimizer` the state of the other library's, if it has as many variables."""
    mine, theirs = optimizer.variables, other.variables
    if len(mine) == len(theirs):
        for variable, array in _paired(mine, theirs):
            variable.assign(array)
        return
    warnings.warn(
        f"The state of optimizer '{optimizer.name}' is not copied: it has {len(mine)} variables, the other "
        f"{len(theirs)}.",
        stacklevel=3,
    )


def _own_classes(config: Any) -> Iterator[str]:
    """Names of classes and functions in a configuration that don't come from either library."""
    if isinstance(config, Mapping):
        if config.get("registered_name") not in (None, "Functional"):
            yield str(config["registered_name"])
        for value in config.values():
            yield from _own_classes(value)
    elif isinstance(config, list):
        for value in config:
            yield from _own_classes(value)
