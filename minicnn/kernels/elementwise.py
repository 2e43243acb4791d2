"""ReLU, sums of vectors, and whether a vector is finite. Contract: reference.activations.

Arrays are C-contiguous, float32 or float64.
"""

import numpy as np

from minicnn.kernels._jit import kernel
from minicnn.kernels._simd import add_tiles, fetch_to_write, lanes, load_row, store_rows, zeros
from minicnn.kernels._tile import ROW_1

AHEAD = 256
"""How many elements ahead of the sum the lines of each row are asked for: another core may have written them last."""


@kernel
def relu_forward(x: np.ndarray, y: np.ndarray) -> None:
    """y, overwritten = max(x, 0); NaN stays NaN. y may be x."""
    source, target = x.reshape(-1), y.reshape(-1)
    for k in range(source.size):
        value = source[k]
        target[k] = x.dtype.type(0) if value <= 0 else value


@kernel
def relu_backward(dy: np.ndarray, y: np.ndarray, dx: np.ndarray) -> None:
    """dx, overwritten = dy where y > 0, else 0. dx may be dy."""
    gradient, output, target = dy.reshape(-1), y.reshape(-1), dx.reshape(-1)
    for k in range(target.size):
        value = gradient[k]  # read in any case, so that the loop has no branch
        target[k] = value if output[k] > 0 else dy.dtype.type(0)


@kernel
def add_up(total: np.ndarray, rows: np.ndarray, start: int, stop: int) -> None:
    """total[start:stop], overwritten = the sum of the rows, one after the other, which become zero.

    total is (size,), rows are (R, size); start and stop are multiples of 16.
    """
    nothing, size = zeros(total, ROW_1, ROW_1), len(total)
    for k in range(start, stop, lanes(total)):
        tile = load_row(nothing, rows, k, None)
        store_rows(rows, (k,), nothing, None)
        fetch_to_write(total, k + AHEAD)
        fetch_to_write(rows, k + AHEAD)
        for r in range(1, len(rows)):
            fetch_to_write(rows, r * size + k + AHEAD)
            tile = add_tiles(tile, load_row(nothing, rows, r * size + k, None))
            store_rows(rows, (r * size + k,), nothing, None)
        store_rows(total, (k,), tile, None)


@kernel
def all_finite(x: np.ndarray) -> bool:
    """Whether no element of x (size,) is NaN or infinite."""
    number = 0
    for k in range(x.size):
        number += np.isfinite(x[k])
    return number == x.size
