"""The IDX format of MNIST and its relatives: `train-images-idx3-ubyte` and the three files beside it.

A file is a big-endian header, then the elements in row-major order and nothing else:

    0x00 0x00 dtype rank | rank sizes, uint32 each | prod(sizes) elements

Only unsigned bytes (dtype code 0x08) occur in MNIST, Fashion-MNIST, Kuzushiji-MNIST and EMNIST, so only they
are read. Format: Y. LeCun, "The MNIST database of handwritten digits", section "File formats".
"""

from __future__ import annotations

import gzip
import math
import os
import re
import struct
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from minicnn.errors import DataError

MAX_DEFLATE_RATIO = 1032
"""Deflate can't expand data more than this: 258 bytes from two bits (zlib, "Technical Details")."""

_UNSIGNED_BYTE = 0x08
_GZIP_MAGIC = b"\x1f\x8b"
_BLOCK_NBYTES = 1 << 20

_NAME = re.compile(
    r"(?P<prefix>(?:[^.].*[-_.])?)(?P<split>train|test|t10k)-(?P<kind>images[-.]idx3|labels[-.]idx1)-ubyte(?:\.gz)?"
)
_STANDARD_NAMES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def read_idx(path: Path, rank: int) -> NDArray[np.uint8]:
    """Return the array in an IDX file of `rank` dimensions of unsigned bytes, gzipped or not.

    Whether the file is gzipped is seen from its first bytes, not from its name: browsers unpack some `.gz`
    files and leave the name. The sizes in the header are compared with the file's own before any allocation.

    Returns: uint8, C-contiguous, owned by the caller; at least one element.
    Raises: FileNotFoundError and other OSErrors of reading; DataError (a ValueError) if it isn't a whole IDX
    file of that rank.
    """
    with open(path, "rb") as file:
        zipped = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        file_nbytes = os.fstat(file.fileno()).st_size
        if not zipped:
            return _read(file, path, rank, file_nbytes, zipped)
        try:
            with gzip.GzipFile(fileobj=file) as stream:
                return _read(stream, path, rank, file_nbytes, zipped)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{path} must be a whole gzip file. Received a damaged one: {error}") from error


def _read(
    stream: IO[bytes] | gzip.GzipFile, path: Path, rank: int, file_nbytes: int, zipped: bool
) -> NDArray[np.uint8]:
    magic = _UNSIGNED_BYTE << 8 | rank
    header_nbytes = 4 + 4 * rank
    header = stream.read(header_nbytes)
    if len(header) < header_nbytes:
        raise DataError(
            f"{path} must begin with an IDX header of {header_nbytes} bytes. Received {len(header)} bytes."
        )
    found, *shape = struct.unpack(f">{1 + rank}I", header)
    if found != magic:
        raise DataError(
            f"{path} must begin with the number 0x{magic:08x} (IDX, unsigned bytes, {rank} dimension(s))."
            f" Received 0x{found:08x}."
        )
    if 0 in shape:
        raise DataError(
            f"{path} must hold at least one element. Received a header with shape={tuple(shape)}."
        )
    nbytes = header_nbytes + math.prod(shape)
    largest = file_nbytes * MAX_DEFLATE_RATIO if zipped else file_nbytes
    if nbytes > largest or (nbytes < largest and not zipped):
        raise DataError(
            f"{path} must have {nbytes} bytes{' when unpacked' if zipped else ''}, as its header says "
            f"(shape={tuple(shape)}). Received a file of {file_nbytes} bytes."
        )
    return read_array(stream, tuple(shape), np.dtype(np.uint8), str(path))


def read_array(stream: Any, shape: tuple[int, ...], dtype: np.dtype[Any], source: str) -> NDArray[Any]:
    """Return the array of this shape and dtype that is all that is left in `stream`; C-contiguous, owned.

    Reading goes on to the end of the stream, because only there do gzip and zip compare their checksums.

    Raises: DataError naming `source` if fewer or more bytes are left; what the stream raises.
    """
    array = np.empty(shape, dtype)
    flat = array.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(flat):
        count = stream.readinto(flat[done : done + _BLOCK_NBYTES])
        if not count:
            raise DataError(f"{source} must hold {len(flat)} bytes for shape={shape}. Received {done}.")
        done += count
    if stream.read(1):
        raise DataError(f"{source} must hold {len(flat)} bytes for shape={shape}. Received more.")
    return array


def find_idx_files(folder: Path) -> dict[str, Path]:
    """Return the four files of the one data set in `folder`, under the keys x_train, y_train, x_test, y_test.

    A name is `[prefix]train-images-idx3-ubyte[.gz]`; other parts are `labels-idx1` and `t10k` or `test`;
    before `idx` there may be a '.'. Files without prefix are preferred; otherwise all four share one prefix,
    such as EMNIST's `emnist-letters-`. If a file is there unpacked and as `.gz`, as torchvision leaves them,
    the unpacked one is taken.

    Raises: FileNotFoundError naming what is missing; DataError if it isn't clear which files are meant.
    """
    sets: dict[str, dict[str, dict[str, Path]]] = {}  # prefix, key, name without .gz
    for path in sorted(folder.iterdir()):  # sorted: the unpacked file comes before its .gz
        match = _NAME.fullmatch(path.name)
        if match and path.is_file():
            key = "x" if match["kind"].startswith("images") else "y"
            key += "_train" if match["split"] == "train" else "_test"
            names = sets.setdefault(match["prefix"], {}).setdefault(key, {})
            names.setdefault(path.name.removesuffix(".gz"), path)
    if not sets:
        raise FileNotFoundError(
            f"{folder} must hold the IDX files {', '.join(_STANDARD_NAMES.values())}, gzipped or not. "
            "No such file is there."
        )
    if "" not in sets and len(sets) > 1:
        raise DataError(
            f"{folder} must hold the IDX files of one data set. Received several: "
            f"{', '.join(prefix.rstrip('-_.') for prefix in sets)}. Put one in a folder of its own."
        )
    prefix = "" if "" in sets else next(iter(sets))
    found = sets[prefix]
    return {key: _only(folder, prefix + name, found.get(key, {})) for key, name in _STANDARD_NAMES.items()}


def _only(folder: Path, name: str, found: dict[str, Path]) -> Path:
    if not found:
        raise FileNotFoundError(f"{folder} must hold {name}, gzipped or not. No file of that kind is there.")
    if len(found) > 1:
        raise DataError(f"{folder} must hold one file like {name}. Received several: {', '.join(found)}.")
    return next(iter(found.values()))
