"""MNIST, embedded in the package, and data sets stored the same way. README.md says where from."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.errors import DataError

from .idx import find_idx_files, read_idx
from .npz import MAGIC, read_npz

Split = tuple[NDArray[np.uint8], NDArray[Any]]

EMBEDDED = Path(__file__).with_name("mnist.npz")
EMBEDDED_SHA256 = "99b6212d8b734503d7fa2e29ea6413bad62226998e56555f4a6b0b30072f1aec"

_RANKS = {"x_train": 3, "y_train": 1, "x_test": 3, "y_test": 1}


def load_data(path: str | os.PathLike[str] | None = None) -> tuple[Split, Split]:
    """Return `(x_train, y_train), (x_test, y_test)`: MNIST, or the data set at `path`.

    path: None for the MNIST that comes with the package; an `.npz` file with the keys x_train, y_train,
      x_test, y_test; or a folder of four IDX files, gzipped or not, named as MNIST's are (see
      `idx.find_idx_files`), which is how Fashion-MNIST, Kuzushiji-MNIST and EMNIST come. Nothing is
      downloaded, nothing unpickled.

    Returns: images uint8 (N, H, W) and labels (N,), uint8 unless an `.npz` has other integers; owned.
      MNIST has 60,000 and 10,000 images of 28 x 28, 0 for paper and 255 for ink, labels 0 to 9.
      Images come as they are stored: EMNIST stores them transposed, `x.transpose(0, 2, 1)` sets them upright.

    Raises:
      TypeError: path is no path.
      FileNotFoundError: there is nothing at path, or an IDX file is missing in the folder.
      DataError (a ValueError): a file is truncated, corrupted, of another kind or dtype, or the four arrays
        don't fit together. The message names the file, what was expected and what came.
    """
    if path is None:
        arrays = _read_embedded()
    else:
        arrays, names = _read_foreign(path)
        _check(arrays, names)
    return (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])


def _read_embedded() -> dict[str, NDArray[Any]]:
    # The digest is of the compressed file, 11 MB instead of 55: 6 ms instead of 30.
    content = EMBEDDED.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != EMBEDDED_SHA256:
        raise DataError(
            f"{EMBEDDED} must be the file that came with the package, with SHA-256 {EMBEDDED_SHA256}. "
            f"Received {len(content)} bytes with SHA-256 {digest}. Install the package again."
        )
    return read_npz(content, _RANKS, str(EMBEDDED))


def _read_foreign(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the arrays at `path`, not yet compared with each other, and what to call each in messages."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(
            f"`path` must be None or the path of an .npz file or a folder. Received path={path!r}."
        )
    place = Path(path)
    if place.is_dir():
        files = find_idx_files(place)
        arrays = {key: read_idx(files[key], rank) for key, rank in _RANKS.items()}
        return arrays, {key: str(file) for key, file in files.items()}
    if not place.exists():
        raise FileNotFoundError(
            f"`path` must be an .npz file or a folder of IDX files that exists. Received path={str(place)!r}."
            " For the MNIST that comes with the package leave it out."
        )
    with open(place, "rb") as file:
        start = file.read(len(MAGIC))
        if start != MAGIC:
            raise DataError(
                f"{place} must be an .npz archive with the keys {', '.join(_RANKS)}, or a folder of IDX files"
                f". Received a file that begins with {start!r}, not {MAGIC!r}."
            )
        content = start + file.read()
    return read_npz(content, _RANKS, str(place)), {key: f"{place}: {key}" for key in _RANKS}


def _check(arrays: dict[str, NDArray[Any]], names: dict[str, str]) -> None:
    for split in ("train", "test"):
        x, y = f"x_{split}", f"y_{split}"
        if arrays[x].dtype != np.uint8:
            raise DataError(f"{names[x]} must hold images of dtype uint8. Received dtype={arrays[x].dtype}.")
        if arrays[y].dtype.kind not in "iu" or arrays[y].min() < 0:
            raise DataError(
                f"{names[y]} must hold labels that are integers from 0 up. "
                f"Received dtype={arrays[y].dtype}, smallest {arrays[y].min()}."
            )
        if len(arrays[x]) != len(arrays[y]):
            raise DataError(
                f"{names[y]} must hold one label for each image of {names[x]}. "
                f"Received {len(arrays[x])} images and {len(arrays[y])} labels."
            )
    if arrays["x_train"].shape[1:] != arrays["x_test"].shape[1:]:
        raise DataError(
            f"{names['x_test']} must hold images of the same size as {names['x_train']}. "
            f"Received {arrays['x_test'].shape[1:]} and {arrays['x_train'].shape[1:]}."
        )
