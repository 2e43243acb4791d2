"""What `compile` was given, to and from the configuration that Keras's files hold (keras/src/trainers/trainer.py)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from minicnn import losses, metrics, optimizers
from minicnn.registry import serialize_object

KEYS = (
    "optimizer", "loss", "loss_weights", "metrics", "weighted_metrics", "run_eagerly", "steps_per_execution",
    "jit_compile",
)  # fmt: skip
"""In Keras's order."""


def describe(given: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of `given`: the arguments of `compile` by name, the optimizer as an object.

    A function of the user's own is described by its name, as Keras does; who reads it passes `custom_objects`.
    """
    described = {key: given[key] for key in KEYS}
    described |= {
        "optimizer": serialize_object(given["optimizer"]),
        "loss": _described(given["loss"], losses),
        "metrics": [_described(item, metrics) for item in given["metrics"]] or None,
        "weighted_metrics": [_described(item, metrics) for item in given["weighted_metrics"]] or None,
    }
    return described


def arguments(config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The arguments of `compile` that `config` describes.

    Raises:
        ValueError: an argument that `compile` doesn't have, or an object that isn't known.
    """
    unknown = sorted(set(config) - set(KEYS))
    if unknown:
        raise ValueError(f"compile has no arguments {', '.join(map(repr, unknown))}.")
    found = dict(config)
    found["optimizer"] = _made(config.get("optimizer"), optimizers, custom_objects)
    found["loss"] = _made(config.get("loss"), losses, custom_objects)
    for key in ("metrics", "weighted_metrics"):
        if isinstance(config.get(key), list | tuple):
            found[key] = [_made(item, metrics, custom_objects) for item in config[key]]
    return found


def _described(item: Any, module: Any) -> Any:
    """A name, an object's configuration, or the name of a function."""
    if isinstance(item, str) or item is None:
        return item
    if inspect.isclass(item):
        item = module.get(item)
    if hasattr(item, "get_config"):
        return module.serialize(item)
    name = getattr(item, "__name__", type(item).__name__)
    if getattr(module, name, None) is item:
        return name
    return {"module": "builtins", "class_name": "function", "config": name, "registered_name": name}


def _made(config: Any, module: Any, custom_objects: Mapping[str, Any] | None) -> Any:
    """The object of a configuration. Names are left to `compile`: what 'accuracy' means shows with the data."""
    if isinstance(config, str) and config in (custom_objects or {}):
        return (custom_objects or {})[config]
    return module.deserialize(config, custom_objects) if isinstance(config, Mapping) else config
