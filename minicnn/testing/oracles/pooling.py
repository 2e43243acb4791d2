"""2D pooling by brute force: max, average, and their global forms.

Positions in the padding take no part: the maximum is over the window's real pixels (as if padded with
−inf), the average divides by their number, as Keras does on TensorFlow.  A tie belongs to the first maximum
in row-major order.  NaN wins over everything, and the first NaN of a window gets its gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Pair = tuple[int, int]
Window = list[tuple[int, int]]


def pool_windows(
    size: Pair, pool_size: Pair, strides: Pair | None, padding: str
) -> Iterator[tuple[int, int, Window]]:
    """Every ``(i, j, pixels)``: the window's pixels inside the image, in row-major order."""
    strides = pool_size if strides is None else strides
    axes = []
    for side, pool, stride in zip(size, pool_size, strides, strict=True):
        if padding == "valid":
            starts = [start for start in range(0, side, stride) if start + pool <= side]
        else:
            count = (side + stride - 1) // stride
            missing = max(0, (count - 1) * stride + pool - side)
            starts = [k * stride - missing // 2 for k in range(count)]
        axes.append([[r for r in range(s, s + pool) if 0 <= r < side] for s in starts])
    for i, rows in enumerate(axes[0]):
        for j, columns in enumerate(axes[1]):
            yield i, j, [(r, s) for r in rows for s in columns]


def _output(x: Array, windows: list[tuple[int, int, Window]], dtype: Any) -> Array:
    last_i, last_j, _ = windows[-1]
    return np.zeros((x.shape[0], last_i + 1, last_j + 1, x.shape[3]), dtype)


def max_pooling2d_argmax(
    x: Array, *, pool_size: Pair, strides: Pair | None = None, padding: str = "valid"
) -> Array:
    """Where each maximum was found: ``row * W + column`` of the first one, int64 ``(N, OH, OW, C)``."""
    x = np.asarray(x)
    windows = list(pool_windows(x.shape[1:3], pool_size, strides, padding))
    where = _output(x, windows, np.int64)
    for i, j, pixels in windows:
        best = x[:, pixels[0][0], pixels[0][1], :]
        found = np.full(best.shape, pixels[0][0] * x.shape[2] + pixels[0][1])
        for row, column in pixels[1:]:
            new = x[:, row, column, :]
            wins = ~np.isnan(best) & ((new > best) | np.isnan(new))
            best, found = np.where(wins, new, best), np.where(wins, row * x.shape[2] + column, found)
        where[:, i, j, :] = found
    return where


def max_pooling2d_forward(
    x: Array, *, pool_size: Pair, strides: Pair | None = None, padding: str = "valid"
) -> Array:
    """The largest pixel of each window, in the dtype of ``x``: no arithmetic, so equality is exact."""
    x = np.asarray(x)
    where = max_pooling2d_argmax(x, pool_size=pool_size, strides=strides, padding=padding)
    n = np.arange(x.shape[0])[:, None, None, None]
    return np.asarray(x[n, where // x.shape[2], where % x.shape[2], np.arange(x.shape[3])])


def max_pooling2d_backward(
    dy: Array,
    x: Array,
    *,
    pool_size: Pair,
    strides: Pair | None = None,
    padding: str = "valid",
    dtype: Any = np.float64,
) -> Array:
    """``dy`` added at the first maximum of each window; where windows overlap, contributions add up."""
    dy, x = np.asarray(dy).astype(dtype), np.asarray(x)
    where = max_pooling2d_argmax(x, pool_size=pool_size, strides=strides, padding=padding)
    dx = np.zeros(x.shape, dtype)
    for n, i, j, c in np.ndindex(*dy.shape):
        row, column = divmod(int(where[n, i, j, c]), x.shape[2])
        dx[n, row, column, c] += dy[n, i, j, c]
    return dx


def average_pooling2d_forward(
    x: Array, *, pool_size: Pair, strides: Pair | None = None, padding: str = "valid", dtype: Any = np.float64
) -> Array:
    """The mean of each window's real pixels."""
    x = np.asarray(x).astype(dtype)
    windows = list(pool_windows(x.shape[1:3], pool_size, strides, padding))
    y = _output(x, windows, dtype)
    for i, j, pixels in windows:
        for row, column in pixels:
            y[:, i, j, :] += x[:, row, column, :]
        y[:, i, j, :] /= len(pixels)
    return y


def average_pooling2d_backward(
    dy: Array,
    x_shape: tuple[int, ...],
    *,
    pool_size: Pair,
    strides: Pair | None = None,
    padding: str = "valid",
    dtype: Any = np.float64,
) -> Array:
    """Each ``dy`` spread evenly over its window's real pixels."""
    dy = np.asarray(dy).astype(dtype)
    dx = np.zeros(x_shape, dtype)
    for i, j, pixels in pool_windows((x_shape[1], x_shape[2]), pool_size, strides, padding):
        for row, column in pixels:
            dx[:, row, column, :] += dy[:, i, j, :] / len(pixels)
    return dx


def global_max_pooling2d_forward(x: Array) -> Array:
    """The largest pixel of each channel, ``(N, C)`` in the dtype of ``x``."""
    x = np.asarray(x)
    return max_pooling2d_forward(x, pool_size=(x.shape[1], x.shape[2]))[:, 0, 0, :]


def global_max_pooling2d_backward(dy: Array, x: Array) -> Array:
    """``dy (N, C)`` at the first maximum of each channel."""
    x = np.asarray(x)
    return max_pooling2d_backward(np.asarray(dy)[:, None, None, :], x, pool_size=(x.shape[1], x.shape[2]))


def global_average_pooling2d_forward(x: Array, dtype: Any = np.float64) -> Array:
    """The mean of each channel, ``(N, C)``."""
    x = np.asarray(x)
    return average_pooling2d_forward(x, pool_size=(x.shape[1], x.shape[2]), dtype=dtype)[:, 0, 0, :]


def global_average_pooling2d_backward(dy: Array, x_shape: tuple[int, ...], dtype: Any = np.float64) -> Array:
    """``dy (N, C)`` spread evenly over each channel."""
    pool = (x_shape[1], x_shape[2])
    return average_pooling2d_backward(np.asarray(dy)[:, None, None, :], x_shape, pool_size=pool, dtype=dtype)
