"""Rebuild the embedded `mnist.npz` from the original files: `python -m minicnn.datasets.build IDX_FOLDER`.

Needed by nobody who only uses the package; it is here so that what is embedded can be traced to its source.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.errors import DataError

from .idx import find_idx_files, read_idx
from .mnist import EMBEDDED, EMBEDDED_SHA256

ORIGINAL_MD5 = {
    "x_train": "6bbc9ace898e44ae57da46a324031adb",
    "y_train": "a25bea736e30d166cdddb491f175f624",
    "x_test": "2646ac647ad5339dbf082846283269ea",
    "y_test": "27ae3e4e09519cfbb04c329615203637",
}
"""MD5 of the four IDX files, unpacked, as published by LeCun, Cortes and Burges."""


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return an `.npz` archive of `arrays`: the same bytes for the same arrays and the same zlib.

    `np.savez_compressed` writes the system's defaults; here time (1980-01-01), system (Unix), permissions and
    level (9: 2 % smaller than 6, and read no slower) are fixed.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for key, array in arrays.items():
            info = zipfile.ZipInfo(f"{key}.npy", (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o644 << 16
            member = io.BytesIO()
            np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)
            archive.writestr(info, member.getvalue(), zipfile.ZIP_DEFLATED, 9)
    return buffer.getvalue()


def build(folder: Path, out: Path) -> str:
    """Write `out` from the original IDX files in `folder` (read, gzipped or not) and return its SHA-256.

    The MD5s are taken of what was parsed, header put back: so they cover the parser too.
    Raises: what `find_idx_files` and `read_idx` raise; ValueError if a file isn't the original.
    """
    arrays = {}
    for key, path in find_idx_files(folder).items():
        array = read_idx(path, 3 if key.startswith("x") else 1)
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        digest = hashlib.md5(header + array.tobytes(), usedforsecurity=False).hexdigest()
        if digest != ORIGINAL_MD5[key]:
            raise DataError(f"{path} must be MNIST's, with MD5 {ORIGINAL_MD5[key]}. Received MD5 {digest}.")
        arrays[key] = array
    content = pack(arrays)
    temporary = out.with_name(out.name + ".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, out)
    return hashlib.sha256(content).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m minicnn.datasets.build", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the four original IDX files, gzipped or not")
    parser.add_argument("--out", type=Path, default=EMBEDDED, help="default: the package's own mnist.npz")
    arguments = parser.parse_args()
    digest = build(arguments.folder, arguments.out)
    print(f"{arguments.out}: SHA-256 {digest}")
    if digest != EMBEDDED_SHA256:
        print("mnist.py has another EMBEDDED_SHA256 (other zlibs pack otherwise): put this one there.")


if __name__ == "__main__":
    main()
