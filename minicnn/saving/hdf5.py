"""Groups of numbered arrays in an HDF5 file, as Keras keeps weights and optimizer state; nothing else that HDF5 can do.

What is written has checksums: HDF5's fletcher32 on every array, the newest layout for everything else, and a SHA-256
of the whole in the file's user block, which HDF5 leaves to us and Keras passes over; here the last one is compared.
HDF5's library writes but doesn't read: a strict reader in Python does (hdf5_objects.py), and what a file declares is
compared with what the caller needs before anything is allocated.
"""

import hashlib
import io
from collections.abc import Iterable, Sequence
from math import prod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minicnn.errors import DataError
from minicnn.saving.hdf5_objects import is_group, open_root, read_array, read_header, read_links
from minicnn.saving.hdf5_source import Link

if TYPE_CHECKING:
    import h5py

USER_BLOCK_NBYTES = 512
"""The smallest that HDF5 allows."""
DIGEST_PREFIX = b"minicnn weights, sha256 of what follows byte 512: "
CHECKSUM_NBYTES = 4
MAX_LINKS_IN_ALL = 100_000
"""10,000 layers of two groups and a few arrays; many groups may share one index."""


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
    dtype: str = "float32"
    """Exactly this one; integers may be of another size: Keras counts steps in 64 bits on TensorFlow, else in 32."""

    def allows(self, dtype: np.dtype) -> bool:
        needed = np.dtype(self.dtype)
        return dtype == needed if needed.kind == "f" else dtype.kind == needed.kind


def write_groups(groups: Iterable[Group]) -> bytes:
    """The file as bytes; the same groups give the same bytes."""
    content = io.BytesIO()
    with create_file(content) as file:
        for path, name, arrays in groups:
            group = create_group(file, path)
            group.attrs["name"] = name
            for k, array in enumerate(arrays):
                write_array(group, str(k), array)
    hdf5 = content.getvalue()[USER_BLOCK_NBYTES:]
    head = DIGEST_PREFIX + hashlib.sha256(hdf5).hexdigest().encode() + b"\n"
    return head.ljust(USER_BLOCK_NBYTES, b"\0") + hdf5


def create_file(content: io.BytesIO) -> "h5py.File":
    """An empty file in `content`, of the newest layout, that remembers no times."""
    import h5py

    access, creation = (h5py.h5p.create(kind) for kind in (h5py.h5p.FILE_ACCESS, h5py.h5p.FILE_CREATE))
    access.set_libver_bounds(h5py.h5f.LIBVER_LATEST, h5py.h5f.LIBVER_LATEST)
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, content)
    creation.set_userblock(USER_BLOCK_NBYTES)
    creation.set_obj_track_times(False)  # h5py.File has no argument for it
    return h5py.File(h5py.h5f.create(b"in memory", h5py.h5f.ACC_TRUNC, creation, access))


def create_group(group: "h5py.Group", path: str) -> "h5py.Group":
    """The group at `path`, made with those above it where there is none; groups too remember no times."""
    import h5py

    properties = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    properties.set_obj_track_times(False)
    for part in path.split("/"):
        if part not in group:
            h5py.h5g.create(group.id, part.encode(), gcpl=properties)
        group = group[part]
    return group


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


def check_digest(content: bytes) -> None:
    """Compare the content with the digest that `write_groups` wrote; Keras writes none."""
    head = content[:USER_BLOCK_NBYTES]
    if not head.startswith(DIGEST_PREFIX):
        return
    written = head.removeprefix(DIGEST_PREFIX)[: 2 * hashlib.sha256().digest_size]
    if hashlib.sha256(memoryview(content)[USER_BLOCK_NBYTES:]).hexdigest().encode() != written:
        raise DataError("its content was changed or cut off after it was written: the digest differs.")


class Reader:
    """Reads groups of a file in memory by path: 'layers/dense/vars', 'optimizer/vars'.

    Raises:
        DataError: here or in a method, whatever is wrong with the file; the message says what is wrong with "it".
    """

    def __init__(self, content: bytes) -> None:
        check_digest(content)
        self._source, root = open_root(memoryview(content))
        self._root = Link("hard", root)
        self._groups: dict[int, dict[str, Link] | None] = {}
        self._count = 0

    def names(self, path: str) -> list[str]:
        """What the group at `path` holds; nothing if there is no such group."""
        return sorted(self._group(path) or ())

    def read(self, path: str, needed: Sequence[Needed]) -> list[np.ndarray]:
        """The arrays '0', '1', … of the group at `path`, which must be exactly those needed.

        Raises:
            DataError: another number of arrays, or one of another shape, dtype or storage; nothing was allocated.
        """
        links = self._group(path)
        if links is None:
            raise DataError(f"it has no group {path}.")
        if sorted(links) != sorted(str(k) for k in range(len(needed))):
            raise DataError(
                f"{path} must hold {len(needed)} arrays, numbered from 0. Received {sorted(links)[:20]}."
            )
        found = [self._array(f"{path}/{k}", links[str(k)], what) for k, what in enumerate(needed)]
        return [
            np.frombuffer(data[:nbytes], dtype).reshape(what.shape).copy()
            for (data, nbytes, dtype), what in zip(found, needed, strict=True)
        ]

    def contents(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape and type of every array in the file by path. A group that has several names is looked into once.

        Raises:
            DataError: a link out of the file, or no HDF5.
        """
        found: dict[str, tuple[tuple[int, ...], str]] = {}
        seen, rest = {self._root.address}, [("", self._root)]
        while rest:
            path, group = rest.pop()
            for name, link in sorted((self._links(group, path or "/") or {}).items(), reverse=True):
                below = f"{path}/{name}" if path else name
                check_link(link, below)
                messages = read_header(self._source, link.address)
                if not is_group(messages):
                    array = read_array(self._source, messages)
                    found[below] = array.shape, str(array.dtype)
                elif link.address not in seen:
                    seen.add(link.address)
                    rest.append((below, link))
        return dict(sorted(found.items()))

    def _group(self, path: str) -> dict[str, Link] | None:
        """What the group at `path` holds, None if there is no such group."""
        links, name = self._links(self._root, "/"), ""
        for part in path.split("/"):
            name += f"/{part}"
            if links is None or part not in links:
                return None
            links = self._links(links[part], name)
        return links

    def _links(self, link: Link, name: str) -> dict[str, Link] | None:
        check_link(link, name)
        if link.address not in self._groups:
            messages = read_header(self._source, link.address)
            links = read_links(self._source, messages) if is_group(messages) else None
            self._groups[link.address] = links
            self._count += len(links or ())
            if self._count > MAX_LINKS_IN_ALL:
                raise DataError(f"it has more than {MAX_LINKS_IN_ALL} groups and arrays.")
        return self._groups[link.address]

    def _array(self, name: str, link: Link, needed: Needed) -> tuple[memoryview, int, np.dtype]:
        """(bytes, how many of them count, dtype) of an array of the shape and dtype needed."""
        check_link(link, name)
        messages = read_header(self._source, link.address)
        if is_group(messages):
            raise DataError(f"{name} must be an array. Received a group.")
        array = read_array(self._source, messages)
        dtype = array.dtype
        if array.shape != needed.shape or isinstance(dtype, str) or not needed.allows(dtype):
            raise DataError(
                f"{name} must have shape {needed.shape}, dtype {needed.dtype}. "
                f"Received shape {array.shape}, dtype {dtype}."
            )
        nbytes = prod(needed.shape) * dtype.itemsize
        if array.data is None or len(array.data) not in (nbytes, nbytes + CHECKSUM_NBYTES):
            raise DataError(f"{name} must be stored whole and uncompressed in the file. It is not.")
        return array.data, nbytes, dtype


def check_link(link: Link, name: str) -> None:
    if link.kind != "hard":
        raise DataError(f"{name} must be in the file itself. Received a link ({link.kind}).")
