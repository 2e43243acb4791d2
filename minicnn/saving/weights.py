"""The weights of a model as Keras 3's `.weights.h5`, both ways.

The format (keras/src/saving/saving_lib.py, `_save_state`): each layer is a group `layers/<class in snake case>`, the
second of a class with `_1` and so on, whatever the layers are called; in its group `vars` the variables are data sets
`0`, `1`, …, first those that can be trained. A model among the layers has a group `layers` of its own.
"""

import os
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn.errors import DataError
from minicnn.naming import snake_case
from minicnn.saving.archive import read_file
from minicnn.saving.files import write_file
from minicnn.saving.hdf5 import Group, Needed, Reader, write_groups

SUFFIX = ".weights.h5"


def save_weights(model: Any, path: str | os.PathLike[str]) -> None:
    """Write the weights of all layers of `model`; the same weights give the same bytes.

    Raises:
        ValueError: a path that doesn't end in .weights.h5, or a model that isn't built.
        OSError: the file can't be written; an old one is as it was.
    """
    check_suffix(path)
    check_built(model)
    write_file(path, weights_to_bytes(model))


def load_weights(model: Any, path: str | os.PathLike[str]) -> None:
    """Overwrite the weights of all layers of `model` in place, or none.

    Raises:
        ValueError: a path that doesn't end in .weights.h5, a model that isn't built, and, as DataError, a file that
            isn't such a file, is damaged, or holds other layers or shapes than the model's.
        OSError: the file can't be read at all.
    """
    check_suffix(path)
    check_built(model)
    try:
        found = read_weights(model, Reader(read_file(path)))
    except DataError as error:
        raise DataError(f"'{path}' must hold the weights of model '{model.name}': {error}") from None
    for variable, name, array in found:
        if not np.isfinite(array).all():
            warnings.warn(f"'{path}' has NaN or infinite weights in layer '{name}'.", stacklevel=2)
        variable.assign(array)


def weights_to_bytes(model: Any) -> bytes:
    """The content of a `.weights.h5` file."""
    return write_groups(
        Group(path, name, [variable.array for variable in variables])
        for path, name, variables in groups(model)
    )


def read_weights(model: Any, reader: Reader) -> list[tuple[Any, str, np.ndarray]]:
    """(variable, name of its layer, its value in the file) for all variables of the model."""
    expected = list(groups(model))
    check_layers(reader, {path for path, _, _ in expected})
    return [
        (variable, name, array)
        for path, name, variables in expected
        if variables
        for variable, array in zip(
            variables, reader.read(path, [Needed(v.shape) for v in variables]), strict=True
        )
    ]


def groups(model: Any, prefix: str = "") -> Iterator[tuple[str, str, list[Any]]]:
    """Yield (group, name, variables) of the model itself and of every layer in it, in Keras's order."""
    yield f"{prefix}vars", model.name, []
    used: Counter[str] = Counter()
    for layer in model.layers:
        stem = snake_case(type(layer).__name__)
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


def check_suffix(path: str | os.PathLike[str]) -> None:
    if not str(path).endswith(SUFFIX):
        raise ValueError(f"`path` must end in {SUFFIX}. Received path={str(path)!r}.")


def check_built(model: Any) -> None:
    if not model.built:
        raise ValueError(
            f"Model '{model.name}' must be built before its weights are saved or loaded. It has none."
        )
