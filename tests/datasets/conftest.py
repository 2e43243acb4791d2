"""Tiny data sets on disk, written by code of their own: `struct` and `gzip`, not the package."""

import gzip
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

NAMES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
Arrays = Mapping[str, np.ndarray]


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (5, 3, 4), np.uint8),
        "y_train": rng.integers(0, 10, 5, np.uint8),
        "x_test": rng.integers(0, 256, (2, 3, 4), np.uint8),
        "y_test": rng.integers(0, 10, 2, np.uint8),
    }


@pytest.fixture(scope="session")
def idx_bytes() -> Callable[[np.ndarray], bytes]:
    def convert(array: np.ndarray) -> bytes:
        return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()

    return convert


@pytest.fixture
def write_folder(tmp_path: Path, idx_bytes: Callable[[np.ndarray], bytes]) -> Callable[..., Path]:
    """write_folder(arrays, rename=lambda name: name, zipped=False) -> the folder."""

    def write(
        arrays: Arrays,
        rename: Callable[[str], str] = lambda name: name,
        zipped: bool = False,
        folder: str = "idx",
    ) -> Path:
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        for key, array in arrays.items():
            content = idx_bytes(array)
            if zipped:
                (place / (rename(NAMES[key]) + ".gz")).write_bytes(gzip.compress(content))
            else:
                (place / rename(NAMES[key])).write_bytes(content)
        return place

    return write
