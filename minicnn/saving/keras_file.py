"""A whole model as Keras 3's `.keras`, both ways: architecture, weights, how it was compiled, optimizer state.

The format (keras/src/saving/saving_lib.py): a zip archive of config.json, the model's configuration with
`compile_config` in it, metadata.json, and model.weights.h5. What only minicnn knows is in a member of its own,
minicnn.json, which Keras passes over.

Nothing in a file is run. A file is read in this order: its parts with limits; the model, built of our own classes and
the caller's `custom_objects`, without memory for weights; every array's shape and type against it; then the weights.
"""

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from minicnn.checks import integer, one_of, only_default
from minicnn.engine.algorithms import check_names
from minicnn.engine.parameters import Variable, shapes_only
from minicnn.errors import MALFORMED, DataError, shortened
from minicnn.registry import deserialize_object, serialize_object
from minicnn.saving.archive import read_archive, save_time, write_archive
from minicnn.saving.files import write_file
from minicnn.saving.hdf5 import Reader
from minicnn.saving.json_config import parse_config
from minicnn.saving.weights import (
    check_new,
    check_suffix,
    give,
    read_optimizer,
    read_weights,
    weights_to_bytes,
)

SUFFIX = ".keras"
CONFIG, METADATA, WEIGHTS, OPTIONS = "config.json", "metadata.json", "model.weights.h5", "minicnn.json"
KERAS_VERSION = "3.15.1"
"""Whose format is written."""


def save_model(
    model: Any,
    filepath: str | os.PathLike[str],
    overwrite: bool = True,
    zipped: bool | None = None,
    **kwargs: Any,
) -> None:
    """Write `model` to `filepath`; the same model gives the same bytes.

    Raises:
        ValueError: a path that doesn't end in .keras, `zipped=False`, a layer that can't be described.
        FileExistsError: there is such a file, and `overwrite` is False.
        OSError: the file can't be written; an old one is as it was.
    """
    if kwargs:
        raise ValueError(f"save_model has no such arguments. Received {', '.join(kwargs)}.")
    if zipped not in (None, True):
        raise ValueError(
            f"Models are saved as one file: `zipped` must be None or True. Received zipped={zipped!r}."
        )
    check_suffix(filepath, SUFFIX)
    check_new(filepath, overwrite)
    if not model.built:
        warnings.warn(f"Model '{model.name}' is not built: the file has no weights.", stacklevel=3)
    write_file(filepath, model_to_bytes(model))


def load_model(
    filepath: str | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any:
    """The model in a `.keras` file, compiled as it was when it was saved, unless `compile` is False.

    `custom_objects` maps names to layer classes, losses, … of your own. Code in a file is never run: `safe_mode` has
    to be True.

    Raises:
        ValueError: a path that doesn't end in .keras, `safe_mode=False`, and, as DataError, a file that isn't such a
            file, is damaged, or holds what minicnn doesn't have; the message names the first layer or option.
        OSError: the file can't be read at all.
    """
    only_default("load_model", safe_mode=(safe_mode, True))
    check_suffix(filepath, SUFFIX)
    members = read_archive(filepath)
    try:
        config = parse_config(members[CONFIG], CONFIG)
        options = parse_config(members[OPTIONS], OPTIONS) if OPTIONS in members else {}
        with shapes_only():
            model = build(config, custom_objects)
        set_options(model, options)
        reader = Reader(members[WEIGHTS])
        give(read_weights(model, reader), Variable.fill, filepath)
        if compile and config.get("compile_config"):
            compile_as(model, config["compile_config"], options, custom_objects)
            give(read_optimizer(model, reader), Variable.assign, filepath)
    except ValueError as error:
        raise DataError(f"'{filepath}' can't be loaded: {shortened(error)}") from error
    return model


def model_to_bytes(model: Any) -> bytes:
    """The content of a `.keras` file."""
    metadata = {"keras_version": KERAS_VERSION, "date_saved": save_time().strftime("%Y-%m-%d@%H:%M:%S")}
    parts = {METADATA: metadata, CONFIG: describe(model), OPTIONS: options_of(model)}
    try:
        members = {name: json.dumps(part, allow_nan=False).encode() for name, part in parts.items()}
    except (TypeError, ValueError) as error:  # what a layer of the user's own says about itself
        raise ValueError(
            f"The configuration of model '{model.name}' can't be written as JSON: {error}."
        ) from None
    return write_archive(members | {WEIGHTS: weights_to_bytes(model)})


def describe(model: Any) -> dict[str, Any]:
    """The content of config.json."""
    compiled = model.get_compile_config()
    return serialize_object(model) | ({"compile_config": compiled} if compiled else {})


def build(config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The model that `config` describes.

    Raises:
        ValueError: something that minicnn doesn't have, or not a model; the message names it.
    """
    from minicnn.models.model import Model

    try:
        model = deserialize_object(config, custom_objects)
    except MALFORMED as error:
        raise ValueError(f"{CONFIG} doesn't describe a model: {type(error).__name__}: {error}.") from error
    if not isinstance(model, Model):
        raise ValueError(f"{CONFIG} must describe a model. Received a {type(model).__name__}.")
    return model


def compile_as(
    model: Any,
    config: Mapping[str, Any],
    options: Mapping[str, Any],
    custom_objects: Mapping[str, Any] | None = None,
) -> None:
    """Compile as `config` says, and as minicnn's own options do.

    Raises:
        ValueError: something that minicnn doesn't have; the message says how to do without.
    """
    from minicnn.models import compiling

    own = {name: options[name] for name in ("backend", "fuse", "algorithm") if name in options}
    try:
        model.compile(**compiling.arguments(config, custom_objects), **own)
    except (ValueError, *MALFORMED) as error:
        raise ValueError(
            f"its training configuration isn't one of minicnn's ({error}). With compile=False it loads without."
        ) from error


def options_of(model: Any) -> dict[str, Any]:
    """The content of minicnn.json."""
    from minicnn import __version__

    seeds = {layer.name: layer.drawn_seed for layer in random_layers(model)}
    chosen = {"backend": model.backend, "fuse": model.fuses, "algorithm": model.algorithm}
    return {"minicnn": __version__, **chosen, "seeds": seeds}


def set_options(model: Any, options: Mapping[str, Any]) -> None:
    """Let layers that draw go on with the seeds that they had.

    Raises:
        ValueError: not the content of minicnn.json.
    """
    seeds, algorithm = options.get("seeds", {}), options.get("algorithm")
    names = list(algorithm.values()) if isinstance(algorithm, Mapping) else [algorithm or ""]
    are_kinds = [isinstance(seeds, Mapping), isinstance(options.get("fuse", True), bool)]
    if not all(are_kinds) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{OPTIONS} must hold minicnn's options. Received {options!r}.")
    check_names(algorithm)
    one_of("backend", options.get("backend", "numba"), ("numba", "reference"))
    for layer in random_layers(model):
        if layer.name in seeds:
            layer.drawn_seed = integer(f"seed of {layer.name}", seeds[layer.name], 0)


def random_layers(model: Any) -> Iterator[Any]:
    """The layers, those of inner models too, that draw random numbers in training."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from random_layers(layer)
        elif hasattr(layer, "drawn_seed"):
            yield layer
