"""Arrays out of an `.npz` archive that may be anybody's: nothing is unpickled, and no header is believed.

`np.load` allocates what a header asks for before it looks at how much data there is; here sizes are compared
first.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from minicnn.errors import DataError

from .idx import MAX_DEFLATE_RATIO, read_array

MAGIC = b"PK\x03\x04"
_HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npz(content: bytes, ranks: Mapping[str, int], source: str) -> dict[str, NDArray[Any]]:
    """Return the arrays under the keys of `ranks` in the `.npz` archive `content`; others are left alone.

    ranks: how many dimensions each array must have.
    source: what to call the archive in messages, its path.

    Returns: boolean, integer or real arrays, not empty, C-contiguous, in native byte order, owned.
    Raises: DataError (a ValueError) that names source and key if the archive is damaged, a key is missing, an
    array is of another kind (such as Python objects) or rank, or its header disagrees with what is there.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except Exception as error:  # the bytes are in memory: whatever is raised is about them
        raise DataError(f"{source} must be an .npz archive. Received a damaged one: {error}") from error
    with archive:
        members = {info.filename: info for info in archive.infolist()}
        missing = [key for key in ranks if f"{key}.npy" not in members]
        if missing:
            present = ", ".join(name.removesuffix(".npy") for name in sorted(members)[:20]) or "none"
            raise DataError(
                f"{source} must hold arrays under the keys {', '.join(ranks)}. "
                f"Missing: {', '.join(missing)}. Received: {present}."
            )
        return {
            key: _read_member(archive, members[f"{key}.npy"], len(content), rank, f"{source}: {key}")
            for key, rank in ranks.items()
        }


def _read_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, archive_nbytes: int, rank: int, source: str
) -> NDArray[Any]:
    ratio = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: MAX_DEFLATE_RATIO}.get(info.compress_type)
    if ratio is None:
        raise DataError(f"{source} must be stored or deflated. Received compression {info.compress_type}.")
    if info.file_size > ratio * min(info.compress_size, archive_nbytes):
        raise DataError(
            f"{source} must fit in the archive. Received {info.file_size} bytes declared, "
            f"{info.compress_size} compressed, in a file of {archive_nbytes} bytes."
        )
    try:
        stream = archive.open(info)
        shape, fortran_order, dtype = _read_header(stream)
    except Exception as error:  # zipfile's, zlib's, numpy's or literal_eval's, but always about the bytes
        detail = f"{type(error).__name__}: {error}"[:200]  # NumPy quotes the whole header
        raise DataError(f"{source} must begin with an .npy header. Received a bad one. {detail}") from error
    with stream:
        _check_header(shape, dtype, rank, info.file_size - stream.tell(), source)
        try:
            array = read_array(stream, shape[::-1] if fortran_order else shape, dtype, source)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise DataError(f"{source} must be a whole array. Received a damaged one: {error}") from error
    return (array.T if fortran_order else array).astype(dtype.newbyteorder("="), order="C", copy=False)


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    if version not in _HEADER_READERS:  # 3.0 differs only in the names of record fields
        raise ValueError(f"version {version}")
    shape, fortran_order, dtype = _HEADER_READERS[version](stream)
    if not all(type(size) is int for size in shape):  # NumPy lets True pass
        raise ValueError(f"shape {shape}")
    return shape, fortran_order, dtype


def _check_header(shape: tuple[int, ...], dtype: np.dtype[Any], rank: int, nbytes: int, source: str) -> None:
    if dtype.kind not in "biuf":
        raise DataError(f"{source} must hold numbers; nothing is unpickled. Received dtype={dtype}.")
    if len(shape) != rank or min(shape) < 1:
        raise DataError(f"{source} must have {rank} dimension(s), none of size 0. Received shape={shape}.")
    if math.prod(shape) * dtype.itemsize != nbytes:
        raise DataError(
            f"{source} must have the data that its header announces, shape={shape}, dtype={dtype}. "
            f"Received {nbytes} bytes of data."
        )
