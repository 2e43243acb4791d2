"""The weights of a model, and its optimizer's state, as Keras 3's `.weights.h5`, both ways.

The format (keras/src/saving/saving_lib.py, `_save_state`): each layer is a group `layers/<class in snake case>`, the
second of a class with `_1` and so on, whatever the layers are called; in its group `vars` the variables are data sets
`0`, `1`, …, first those that can be trained. A model among the layers has a group `layers` of its own. The variables
of a compiled model's optimizer are in `optimizer/vars`.
"""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minicnn.checks import only_default
from minicnn.engine.parameters import Variable
from minicnn.errors import DataError
from minicnn.naming import snake_case
from minicnn.registry import class_name
from minicnn.saving.archive import read_file
from minicnn.saving.files import write_file
from minicnn.saving.hdf5 import Group, Needed, Reader, write_groups

SUFFIX = ".weights.h5"
OPTIMIZER = "optimizer/vars"


class Stored(NamedTuple):
    """A variable and its value in a file."""

    variable: Variable
    owner: str
    """The name of its layer or optimizer."""
    array: np.ndarray


def save_weights(
    model: Any, filepath: str | os.PathLike[str], overwrite: bool = True, max_shard_size: float | None = None
) -> None:
    """Write the weights of all layers of `model`, and its optimizer's state; the same model gives the same bytes.

    Raises:
        ValueError: a path that doesn't end in .weights.h5, a model that isn't built, `max_shard_size`.
        FileExistsError: there is such a file, and `overwrite` is False.
        OSError: the file can't be written; an old one is as it was.
    """
    only_default("save_weights", max_shard_size=(max_shard_size, None))
    check_suffix(filepath, SUFFIX)
    check_built(model)
    check_new(filepath, overwrite)
    write_file(filepath, weights_to_bytes(model))


def load_weights(model: Any, filepath: str | os.PathLike[str], skip_mismatch: bool = False) -> None:
    """Overwrite the weights of all layers of `model` in place, or none; if it is compiled, its optimizer's state too.

    Raises:
        ValueError: a path that doesn't end in .weights.h5, a model that isn't built, `skip_mismatch`, and, as
            DataError, a file that isn't such a file, is damaged, or holds other layers or shapes than the model's.
        OSError: the file can't be read at all.
    """
    only_default("load_weights", skip_mismatch=(skip_mismatch, False))
    check_suffix(filepath, SUFFIX)
    check_built(model)
    try:
        reader = Reader(read_file(filepath))
        found = read_weights(model, reader) + read_optimizer(model, reader)
    except DataError as error:
        raise DataError(f"'{filepath}' must hold the weights of model '{model.name}': {error}") from None
    give(found, Variable.assign, filepath)


def give(found: list[Stored], take: Callable[[Variable, np.ndarray], Any], filepath: Any) -> None:
    """Hand every value to its variable by `take`; NaN and infinity with a warning."""
    for variable, owner, array in found:
        if not np.isfinite(array).all():
            warnings.warn(f"'{filepath}' has NaN or infinite weights in '{owner}'.", stacklevel=3)
        take(variable, array)


def weights_to_bytes(model: Any) -> bytes:
    """The content of a `.weights.h5` file."""
    stored = list(groups(model))
    if model.optimizer is not None:
        stored.append((OPTIMIZER, model.optimizer.name, model.optimizer.variables))
    return write_groups(
        Group(path, name, [variable.array for variable in variables]) for path, name, variables in stored
    )


def read_weights(model: Any, reader: Reader) -> list[Stored]:
    """The values in the file of all variables of the model's layers."""
    expected = list(groups(model))
    check_layers(reader, {path for path, _, _ in expected})
    return [
        stored
        for path, name, variables in expected
        if variables
        for stored in read_group(reader, path, name, variables)
    ]


def read_optimizer(model: Any, reader: Reader) -> list[Stored]:
    """The values of the optimizer's variables, whose slots are made if the file has them.

    Nothing, with a warning, if it holds another number of variables, as when layers were frozen after `compile`.
    """
    saved = reader.names(OPTIMIZER)
    if model.optimizer is None or not saved:
        return []
    optimizer = model.optimizer
    if len(saved) != len(optimizer.variables):
        model.build_optimizer()
    if len(saved) != len(optimizer.variables):
        warnings.warn(
            f"The state of optimizer '{optimizer.name}' is not loaded: it has {len(optimizer.variables)} variables, "
            f"the saved one {len(saved)}.",
            stacklevel=4,
        )
        return []
    return read_group(reader, OPTIMIZER, optimizer.name, optimizer.variables)


def read_group(reader: Reader, path: str, owner: str, variables: list[Variable]) -> list[Stored]:
    needed = [Needed(v.shape, v.dtype) for v in variables]
    return [
        Stored(variable, owner, array.astype(variable.dtype, copy=False))
        for variable, array in zip(variables, reader.read(path, needed), strict=True)
    ]


def groups(model: Any, prefix: str = "") -> Iterator[tuple[str, str, list[Variable]]]:
    """Yield (group, name, variables) of the model itself and of every layer in it, in Keras's order."""
    yield f"{prefix}vars", model.name, []
    used: Counter[str] = Counter()
    for layer in model.layers:
        stem = snake_case(class_name(layer))
        unique = f"{stem}_{used[stem]}" if used[stem] else stem
        used[stem] += 1
        path = f"{prefix}layers/{unique}/"
        if hasattr(layer, "layers"):
            yield from groups(layer, path)
        else:
            yield f"{path}vars", layer.name, sorted(layer.variables, key=lambda v: not v.trainable)


def check_layers(reader: Reader, expected: set[str]) -> None:
    """Refuse layers with variables that the model doesn't have; Keras writes no group for an InputLayer's."""
    extra = [
        f"layers/{name}"
        for name in reader.names("layers")
        if not any(path.startswith(f"layers/{name}/") for path in expected)
        and not name.startswith("input_layer")
    ]
    if extra:
        raise DataError(f"it holds {', '.join(extra)}, which the model doesn't have.")


def check_suffix(filepath: str | os.PathLike[str], suffix: str) -> None:
    if not str(filepath).endswith(suffix):
        raise ValueError(f"`filepath` must end in {suffix}. Received filepath={str(filepath)!r}.")


def check_built(model: Any) -> None:
    if not model.built:
        raise ValueError(
            f"Model '{model.name}' must be built before its weights are saved or loaded. It has none."
        )


def check_new(filepath: str | os.PathLike[str], overwrite: bool) -> None:
    """Refuse to overwrite a file unless that is wanted; Keras would ask on the terminal.

    Raises:
        FileExistsError: there is such a file.
    """
    if not overwrite and os.path.exists(filepath):
        raise FileExistsError(f"'{filepath}' exists, and `overwrite` is False.")
