"""Groups of numbered arrays in an HDF5 file, as Keras keeps weights and optimizer state; nothing else that HDF5 can do.

What is written has checksums: HDF5's fletcher32 on every array, the newest layout for everything else, and a SHA-256
of the whole in the file's user block, which HDF5 leaves to us and Keras passes over. The last one is compared before
HDF5 sees the file: one flipped bit in the index of a group of more than 8 layers made HDF5 1.14.6 crash. What is read
is compared with what the caller needs before anything is allocated.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicnn.errors import DataError

if TYPE_CHECKING:
    import h5py

USER_BLOCK_NBYTES = 512
"""The smallest that HDF5 allows."""
DIGEST_PREFIX = b"minicnn weights, sha256 of what follows byte 512: "
KINDS = {"f": "floats", "i": "signed integers", "u": "unsigned integers"}


class Group(NamedTuple):
    """What is written at one place of the file."""

    path: str
    """'layers/dense/vars'."""
    name: str
    """Of the layer or model: the attribute that Keras writes for people to read."""
    arrays: Sequence[np.ndarray]
    """Named '0', '1', …"""


class Needed(NamedTuple):
    """What an array in the file must be."""

    shape: tuple[int, ...]
    kind: str = "f"
    """NumPy's letter: 'f' float16, 32 or 64; 'i' and 'u' integers of any size."""


def write_groups(groups: Iterable[Group]) -> bytes:
    """The file as bytes; the same groups give the same bytes."""
    import h5py

    content = io.BytesIO()
    with h5py.File(content, "w", libver="latest", userblock_size=USER_BLOCK_NBYTES) as file:
        for path, name, arrays in groups:
            group = file.create_group(path)
            group.attrs["name"] = name
            for k, array in enumerate(arrays):
                write_array(group, str(k), array)
    hdf5 = content.getvalue()[USER_BLOCK_NBYTES:]
    head = DIGEST_PREFIX + hashlib.sha256(hdf5).hexdigest().encode() + b"\n"
    return head.ljust(USER_BLOCK_NBYTES, b"\0") + hdf5


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


@contextmanager
def reading(content: bytes) -> Iterator["Reader"]:
    """A reader of the file in `content`.

    Raises:
        DataError: here or in the body, whatever is wrong with the file; the message says what is wrong with "it".
    """
    import h5py

    check_digest(content)
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            yield Reader(file, len(content))
    except DataError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:  # h5py's, for damaged files
        raise DataError(f"it is not a whole HDF5 file ({error}).") from error


def check_digest(content: bytes) -> None:
    """Compare the content with the digest that `write_groups` wrote; Keras writes none."""
    head = content[:USER_BLOCK_NBYTES]
    if not head.startswith(DIGEST_PREFIX):
        return
    written = head.removeprefix(DIGEST_PREFIX)[: 2 * hashlib.sha256().digest_size]
    if hashlib.sha256(memoryview(content)[USER_BLOCK_NBYTES:]).hexdigest().encode() != written:
        raise DataError("its content was changed or cut off after it was written: the digest differs.")


class Reader:
    """Reads groups by path: 'layers/dense/vars', 'optimizer/vars'."""

    def __init__(self, file: "h5py.File", file_nbytes: int) -> None:
        self._file = file
        self._file_nbytes = file_nbytes

    def names(self, path: str) -> list[str]:
        """What the group at `path` holds; nothing if there is no such group."""
        group = self._find(path)
        return [] if group is None else sorted(group)

    def read(self, path: str, needed: Sequence[Needed]) -> list[np.ndarray]:
        """The arrays '0', '1', … of the group at `path`, which must be exactly those needed.

        Raises:
            DataError: another number of arrays, or one of another shape, kind or storage; nothing was allocated.
        """
        group = self._find(path)
        if group is None:
            raise DataError(f"it has no group {path}.")
        if sorted(group) != sorted(str(k) for k in range(len(needed))):
            raise DataError(
                f"{path} must hold {len(needed)} arrays, numbered from 0. Received {sorted(group)}."
            )
        datasets = [hard_link(group, str(k)) for k in range(len(needed))]
        for dataset, what in zip(datasets, needed, strict=True):
            check_dataset(dataset, what, self._file_nbytes)
        return [dataset[()] for dataset in datasets]

    def _find(self, path: str) -> Any:
        group = self._file
        for part in path.split("/"):
            if part not in group:
                return None
            group = hard_link(group, part)
        return group


def hard_link(group: "h5py.Group", name: str) -> Any:
    """What `name` is in `group`, never in another place or another file."""
    import h5py

    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise DataError(f"{group.name}/{name} must be in the file itself. Received a {type(link).__name__}.")
    return group[name]


def check_dataset(dataset: Any, needed: Needed, file_nbytes: int) -> None:
    """Refuse whatever isn't an array of this shape and kind, stored whole in this file."""
    import h5py

    if not isinstance(dataset, h5py.Dataset):
        raise DataError(f"{dataset.name} must be an array. Received a {type(dataset).__name__}.")
    if dataset.shape != needed.shape or dataset.dtype.kind != needed.kind:
        raise DataError(
            f"{dataset.name} must hold {KINDS[needed.kind]} of shape {needed.shape}. "
            f"Received shape {dataset.shape}, dtype {dataset.dtype}."
        )
    properties = dataset.id.get_create_plist()
    filters = {properties.get_filter(k)[0] for k in range(properties.get_nfilters())}
    nbytes = prod(needed.shape) * dataset.dtype.itemsize
    if (
        properties.get_external_count()
        or properties.get_layout() == h5py.h5d.VIRTUAL
        or filters - {h5py.h5z.FILTER_FLETCHER32}
        or not nbytes <= dataset.id.get_storage_size() <= file_nbytes
    ):
        raise DataError(f"{dataset.name} must be stored whole and uncompressed in the file. It is not.")
