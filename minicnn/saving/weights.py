"""The weights of a model as Keras 3's `.weights.h5`, both ways.

The format (keras/src/saving/saving_lib.py, `_save_state`): each layer is a group `layers/<class in snake case>`, the
second of a class with `_1` and so on, whatever the layers are called; in its group `vars` the variables are data sets
`0`, `1`, …, first those that can be trained. A model among the layers has a group `layers` of its own.

What is written has checksums: HDF5's fletcher32 on every array, the newest layout for everything else, and a SHA-256
of the whole in the file's user block, which HDF5 leaves to us and Keras passes over. The last one is compared before
HDF5 sees the file: one flipped bit in the index of a group of more than 8 layers made HDF5 1.14.6 crash. What is read
is compared with what the model needs before anything is allocated.
"""

import hashlib
import io
import os
import warnings
from collections import Counter
from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.errors import DataError
from minicnn.naming import snake_case
from minicnn.saving.files import write_file

if TYPE_CHECKING:
    import h5py

SUFFIX = ".weights.h5"
USER_BLOCK_NBYTES = 512
"""The smallest that HDF5 allows."""
DIGEST_PREFIX = b"minicnn weights, sha256 of what follows byte 512: "


def save_weights(model: Any, path: str | os.PathLike[str]) -> None:
    """Write the weights of all layers of `model`; the same weights give the same bytes.

    Raises:
        ValueError: a path that doesn't end in .weights.h5, or a model that isn't built.
        OSError: the file can't be written; an old one is as it was.
    """
    import h5py

    check_suffix(path)
    check_built(model)
    content = io.BytesIO()
    with h5py.File(content, "w", libver="latest", userblock_size=USER_BLOCK_NBYTES) as file:
        for group_path, name, variables in groups(model):
            group = file.create_group(group_path)
            group.attrs["name"] = name
            for k, variable in enumerate(variables):
                write_array(group, str(k), variable.array)
    hdf5 = content.getvalue()[USER_BLOCK_NBYTES:]
    head = DIGEST_PREFIX + hashlib.sha256(hdf5).hexdigest().encode() + b"\n"
    write_file(path, head.ljust(USER_BLOCK_NBYTES, b"\0") + hdf5)


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
        with open(path, "rb") as stream:
            check_digest(stream)
            found = read_weights(model, stream)
    except DataError as error:
        raise DataError(f"'{path}' must hold the weights of model '{model.name}': {error}") from None
    for variable, name, array in found:
        if not np.isfinite(array).all():
            warnings.warn(f"'{path}' has NaN or infinite weights in layer '{name}'.", stacklevel=2)
        variable.assign(array)


def read_weights(model: Any, stream: io.BufferedReader) -> list[tuple[Any, str, np.ndarray]]:
    """(variable, name of its layer, its value in the file) for all variables of the model."""
    import h5py

    nbytes = os.fstat(stream.fileno()).st_size
    expected = list(groups(model))
    try:
        with h5py.File(stream, "r") as file:
            check_layers(file, {path for path, _, _ in expected})
            return [
                (variable, name, array)
                for path, name, variables in expected
                for variable, array in zip(variables, read_group(file, path, variables, nbytes), strict=True)
            ]
    except DataError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:  # h5py's, for damaged files
        raise DataError(f"it is not a whole HDF5 file ({error}).") from error


def check_digest(stream: io.BufferedReader) -> None:
    """Compare the content with the digest that `save_weights` wrote; Keras writes none."""
    head = stream.read(USER_BLOCK_NBYTES)
    if not head.startswith(DIGEST_PREFIX):
        return
    written = head.removeprefix(DIGEST_PREFIX)[: 2 * hashlib.sha256().digest_size]
    if hashlib.file_digest(stream, "sha256").hexdigest().encode() != written:
        raise DataError("its content was changed or cut off after it was written: the digest differs.")


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


def write_array(group: "h5py.Group", name: str, array: np.ndarray) -> None:
    """One data set: a single chunk with a checksum, or, for a scalar, inside its checksummed header."""
    import h5py

    if array.ndim:
        group.create_dataset(name, data=array, chunks=array.shape, fletcher32=True)
        return
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.COMPACT)
    properties.set_obj_track_times(False)
    scalar = h5py.h5d.create(
        group.id, name.encode(), h5py.h5t.py_create(array.dtype), h5py.h5s.create(h5py.h5s.SCALAR), properties
    )
    scalar.write(h5py.h5s.ALL, h5py.h5s.ALL, array)


def check_layers(file: "h5py.File", expected: set[str]) -> None:
    """Refuse layers with variables that the model doesn't have; Keras writes no group for an InputLayer's."""
    layers = hard_link(file, "layers") if "layers" in file else {}
    extra = [
        f"layers/{name}" for name in layers if not any(p.startswith(f"layers/{name}/") for p in expected)
    ]
    extra = [path for path in extra if not path.startswith("layers/input_layer")]
    if extra:
        raise DataError(f"it holds {', '.join(extra)}, which the model doesn't have.")


def read_group(file: "h5py.File", path: str, variables: list[Any], file_nbytes: int) -> Iterator[np.ndarray]:
    """Yield the arrays for `variables`, after comparing what the file declares with what they need."""
    if not variables:
        return
    group = file
    for part in path.split("/"):
        if part not in group:
            raise DataError(f"it has no group {path}.")
        group = hard_link(group, part)
    if sorted(group) != sorted(str(k) for k in range(len(variables))):
        raise DataError(
            f"{path} must hold {len(variables)} arrays, numbered from 0. Received {sorted(group)}."
        )
    for k, variable in enumerate(variables):
        dataset = hard_link(group, str(k))
        check_dataset(dataset, variable.shape, file_nbytes)
        yield dataset[()]


def hard_link(group: "h5py.Group", name: str) -> Any:
    """What `name` is in `group`, never in another place or another file."""
    import h5py

    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise DataError(f"{group.name}/{name} must be in the file itself. Received a {type(link).__name__}.")
    return group[name]


def check_dataset(dataset: Any, shape: tuple[int, ...], file_nbytes: int) -> None:
    """Refuse whatever isn't an array of floats of this shape, stored whole in this file."""
    import h5py

    if not isinstance(dataset, h5py.Dataset):
        raise DataError(f"{dataset.name} must be an array. Received a {type(dataset).__name__}.")
    if dataset.shape != shape or dataset.dtype.kind != "f":
        raise DataError(
            f"{dataset.name} must hold floats of shape {shape}. "
            f"Received shape {dataset.shape}, dtype {dataset.dtype}."
        )
    properties = dataset.id.get_create_plist()
    filters = {properties.get_filter(k)[0] for k in range(properties.get_nfilters())}
    nbytes = prod(shape) * dataset.dtype.itemsize
    if (
        properties.get_external_count()
        or properties.get_layout() == h5py.h5d.VIRTUAL
        or filters - {h5py.h5z.FILTER_FLETCHER32}
        or not nbytes <= dataset.id.get_storage_size() <= file_nbytes
    ):
        raise DataError(f"{dataset.name} must be stored whole and uncompressed in the file. It is not.")


def check_suffix(path: str | os.PathLike[str]) -> None:
    if not str(path).endswith(SUFFIX):
        raise ValueError(f"`path` must end in {SUFFIX}. Received path={str(path)!r}.")


def check_built(model: Any) -> None:
    if not model.built:
        raise ValueError(
            f"Model '{model.name}' must be built before its weights are saved or loaded. It has none."
        )
