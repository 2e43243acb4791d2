"""Checkpoints: a tree of plain data and arrays as one file, which is there whole or not at all.

The file is a zip archive of two members: `checkpoint.json`, the tree, and `arrays.bin`, the bytes of its arrays one
behind the other, little-endian. In the tree an array is {"array": [dtype, shape]}, a number that JSON doesn't have is
{"number": "nan"}, and a dict is {"dict": {…}}, so that no key of a user's means anything. Nothing in it is ever called,
imported or unpickled. Each member has a checksum (zip's CRC-32).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from math import isfinite, prod
from typing import Any

import numpy as np

from minicnn.errors import DataError
from minicnn.saving.archive import read_archive, write_archive
from minicnn.saving.files import write_file
from minicnn.saving.json_config import parse_config

TREE, ARRAYS = "checkpoint.json", "arrays.bin"
DTYPES = (
    "bool",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
)
PLAIN = (bool, int, float, str, type(None))
MAX_DIMENSIONS, MAX_SIZE = 32, (1 << 63) - 1


def write_checkpoint(path: str | os.PathLike[str], tree: Mapping[str, Any]) -> None:
    """Write `tree`: dicts with string keys, lists, numbers, strings, None, and arrays of numbers. Tuples become lists.

    Raises:
        TypeError: anything else in the tree.
        OSError: the file can't be written; an old one is as it was.
    """
    arrays: list[np.ndarray] = []
    text = json.dumps(_encode(tree, arrays), separators=(",", ":"), allow_nan=False)
    blob = b"".join(a.astype(a.dtype.newbyteorder("<"), copy=False).tobytes() for a in arrays)
    write_file(path, write_archive({TREE: text.encode(), ARRAYS: blob}))


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The tree that `write_checkpoint` was given; its arrays are owned.

    Raises:
        DataError: not a checkpoint, or a damaged one; the message names the file.
        OSError: the file can't be read at all.
    """
    members = read_archive(path, required=(TREE, ARRAYS), optional=())
    reader = _Reader(members[ARRAYS])
    try:
        tree = reader.decode(parse_config(members[TREE], TREE))
        if reader.position != len(reader.blob) or not isinstance(tree, dict):
            raise DataError(f"{ARRAYS} must hold the arrays of the tree and nothing else.")
    except DataError as error:
        raise DataError(f"'{path}' must be a checkpoint: {error}") from None
    return tree


def is_plain(value: Any) -> bool:
    """Whether a checkpoint can hold `value`."""
    try:
        _encode(value, [])
    except TypeError:
        return False
    return True


def differences(saved: Any, own: Any, path: str = "") -> Iterator[str]:
    """Yield 'model.2.filters: 16 in the checkpoint, 32 here' for whatever differs."""
    if isinstance(saved, dict) and isinstance(own, dict):
        for key in [*saved, *(key for key in own if key not in saved)]:
            yield from differences(saved.get(key), own.get(key), f"{path}.{key}" if path else key)
    elif saved != own:
        yield f"{path}: {_short(saved)} in the checkpoint, {_short(own)} here"


def _encode(value: Any, arrays: list[np.ndarray]) -> Any:
    """`value` as JSON has it; its arrays are appended to `arrays`."""
    if isinstance(value, np.ndarray | np.generic) and value.dtype.name in DTYPES:
        arrays.append(np.ascontiguousarray(value))
        return {"array": [value.dtype.name, list(value.shape)]}
    if isinstance(value, float) and not isfinite(value):
        return {"number": str(value)}
    if type(value) in PLAIN:
        return value
    if isinstance(value, list | tuple):
        return [_encode(item, arrays) for item in value]
    if isinstance(value, dict) and all(type(key) is str for key in value):
        return {"dict": {key: _encode(item, arrays) for key, item in value.items()}}
    raise TypeError(f"A checkpoint can hold numbers, strings, lists, dicts and arrays. Received {value!r}.")


class _Reader:
    """Arrays are taken from `blob` in the order in which the tree has them."""

    def __init__(self, blob: bytes) -> None:
        self.blob = blob
        self.position = 0

    def decode(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) != 1:
            raise DataError("a value must be of one kind.")
        ((kind, content),) = value.items()
        if kind == "dict" and isinstance(content, dict):
            return {key: self.decode(item) for key, item in content.items()}
        if kind == "number" and content in ("nan", "inf", "-inf"):
            return float(content)
        if kind == "array":
            return self.array(content)
        raise DataError(f"it holds something of unknown kind {kind[:80]!r}.")

    def array(self, declared: Any) -> np.ndarray:
        """The next array; what is declared is compared with what is left before anything is allocated."""
        if not isinstance(declared, list) or len(declared) != 2 or declared[0] not in DTYPES:
            raise DataError("an array must have a type of number and a shape.")
        name, shape = declared
        if (
            not isinstance(shape, list)
            or len(shape) > MAX_DIMENSIONS
            or not all(type(size) is int and 0 <= size <= MAX_SIZE for size in shape)
        ):
            raise DataError("the shape of an array must be a list of integers.")
        dtype = np.dtype(name).newbyteorder("<")
        nbytes = prod(shape) * dtype.itemsize
        if nbytes > len(self.blob) - self.position:
            raise DataError(f"an array of {nbytes} bytes must be in {ARRAYS}. It is cut off.")
        try:
            array = np.frombuffer(self.blob, dtype, prod(shape), self.position).reshape(shape)
        except ValueError as error:  # sizes beside a 0 may be more than NumPy takes
            raise DataError(f"the shape of an array must be one that NumPy has. {error}") from None
        self.position += nbytes
        return array.astype(np.dtype(name))


def _short(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
