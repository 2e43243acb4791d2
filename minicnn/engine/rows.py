"""How a chunk takes its rows of the batch's arrays into its workspace, and leaves its rows of the results.

Kernels want their arrays at the same, aligned place every time. Each chunk copies its own rows, in its own thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from minicnn.engine.binding import kernels_only

if TYPE_CHECKING:
    from minicnn.engine.workspace import Workspace

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
    return array.reshape(-1).view(np.uint8)
