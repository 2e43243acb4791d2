"""How a chunk takes its rows of the batch's arrays into its workspace, and leaves its rows of the results.

Kernels want their arrays at the same, aligned place every time. Each chunk copies its own rows, in its own thread, and
straight from the data set, where the batch is given as `Rows` of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minicnn.engine.binding import kernels_only

if TYPE_CHECKING:
    from minicnn.engine.workspace import Workspace


class Rows(NamedTuple):
    """A batch that nobody has gathered yet."""

    array: np.ndarray
    """(M, …), C-contiguous."""
    numbers: np.ndarray
    """(n,) int64, C-contiguous: which rows of the array, all of which it has."""

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.numbers), *self.array.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype


def place_of(x: np.ndarray | Rows) -> tuple[tuple[int, int], tuple[int, int]]:
    """(address of the rows, of their numbers or 0), and how far two rows of the batch are apart in each, in bytes."""
    if isinstance(x, Rows):
        return (_address(x.array), _address(x.numbers)), (0, x.numbers.itemsize)
    return (_address(x), 0), (x.strides[0], 0)


def _address(array: np.ndarray) -> int:
    """Faster than `array.ctypes.data`."""
    return array.__array_interface__["data"][0]


def gather(x: np.ndarray | Rows) -> np.ndarray:
    """As an array (n, …) that owns its memory, C-contiguous; one that does already is not copied."""
    return np.ascontiguousarray(x.array[x.numbers] if isinstance(x, Rows) else x)


Copy = Callable[["Workspace", int, np.ndarray], None]
"""copy(ws, k, rows): between `rows` and the chunk's rows of array k of `ws.arrays`."""


def copies(backend: str) -> tuple[Copy, Copy]:
    """The functions that take rows in and give them out."""
    return (_kernel_take_in, _kernel_give_out) if backend == "numba" else (_take_in, _give_out)


def _take_in(ws: Workspace, k: int, rows: np.ndarray) -> None:
    rows[...] = ws.arrays[k][ws.chunk]


def _give_out(ws: Workspace, k: int, rows: np.ndarray) -> None:
    ws.arrays[k][ws.chunk] = rows


@kernels_only
def _kernel_take_in(ws: Workspace, k: int, rows: np.ndarray) -> None:
    from minicnn.kernels._copy import copy_in

    copy_in(_bytes_of(rows), ws.cells, k)


@kernels_only
def _kernel_give_out(ws: Workspace, k: int, rows: np.ndarray) -> None:
    from minicnn.kernels._copy import copy_out

    copy_out(_bytes_of(rows), ws.cells, k)


def _bytes_of(array: np.ndarray) -> np.ndarray:
    """(n, bytes of a row)."""
    return array.reshape(len(array), -1).view(np.uint8)
