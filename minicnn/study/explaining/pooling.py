"""Pooling: which maximum was chosen and which windows send their gradient where; means as sums."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn.engine import ops
from minicnn.geometry import Window
from minicnn.study.explaining.linear import grid, read, windows_over
from minicnn.study.explaining.steps import Choice, Index, Mean, Sum


def look(window: Window, x: np.ndarray, index: Index) -> tuple[np.ndarray, np.ndarray]:
    """((P, Q, 2) pixels, (P, Q) values, −∞ outside the image) of the pooling window that gives y[index]."""
    n, i, j, c = index
    p, q = np.meshgrid(*(np.arange(size) for size in window.kernel_size), indexing="ij")
    row, column, inside = read(window, i, j, p, q)
    values = np.where(inside, x[n, np.where(inside, row, 0), np.where(inside, column, 0), c], -np.inf)
    return np.stack([row, column], -1), values


def max_pool2d_output(op: ops.MaxPool2D, x: np.ndarray, index: Index, about: Mapping[str, Any]) -> Choice:
    """y = the first maximum of the window in row-major order; a NaN wins over everything."""
    pixels, values = look(op.window, x, index)
    # argmax takes the first NaN, if there is one; but −∞ in the image must win over padding.
    _, _, inside = read(op.window, index[1], index[2], *np.indices(op.window.kernel_size))
    at = int(np.flatnonzero(inside)[values[inside].argmax()])
    winner = divmod(at, op.window.kernel_size[1])
    best = values[winner]
    ties = int((values[inside] == best).sum()) if not np.isnan(best) else 1
    return Choice(**about, pixels=pixels, values=values, winner=winner, ties=ties)


def max_pool2d_input(
    op: ops.MaxPool2D, x: np.ndarray, dy: np.ndarray, index: Index, about: Mapping[str, Any]
) -> Sum:
    """dx = Σ dy of the windows over this pixel, of each the whole or nothing: it goes to the pixel that won."""
    n, row, column, c = index
    places = windows_over(op.window, row, column)
    won = [float(_winner(op, x, (n, i, j, c)) == (p, q)) for p, q, i, j in zip(*places.values(), strict=True)]
    return Sum(
        **about,
        indices=places,
        first=dy[n, places["i"], places["j"], c],
        second=np.array(won, dy.dtype),
        factors=("dy", "won"),
        groups=np.arange(len(won)),
    )


def _winner(op: ops.MaxPool2D, x: np.ndarray, index: Index) -> Index | None:
    about = {"op": "MaxPool2D", "name": op.name, "index": index, "stored": 0.0}
    return max_pool2d_output(op, x, index, about).winner


def average_pool2d_output(
    op: ops.AveragePool2D, x: np.ndarray, index: Index, about: Mapping[str, Any]
) -> Sum:
    """y = Σ x of the window ÷ the number of its taps inside the image."""
    n, i, j, c = index
    at = grid(**{name: np.arange(size) for name, size in zip("pq", op.window.kernel_size, strict=True)})
    row, column, inside = read(op.window, i, j, at["p"], at["q"])
    values = np.where(inside, x[n, np.where(inside, row, 0), np.where(inside, column, 0), c], 0)
    return Sum(
        **about,
        indices={**at, "row": row, "column": column},
        first=values,
        factors=("x",),
        groups=np.arange(len(values)),
        is_inside=inside,
        divisor=float(inside.sum()),
    )


def average_pool2d_input(
    op: ops.AveragePool2D, dy: np.ndarray, index: Index, about: Mapping[str, Any]
) -> Sum:
    """dx = Σ dy ÷ pixels over the windows that hold this pixel."""
    n, row, column, c = index
    places = windows_over(op.window, row, column)
    p, q = np.meshgrid(*(np.arange(size) for size in op.window.kernel_size), indexing="ij")
    pixels = [read(op.window, i, j, p, q)[2].sum() for i, j in zip(places["i"], places["j"], strict=True)]
    return Sum(
        **about,
        indices=places,
        first=dy[n, places["i"], places["j"], c],
        second=np.array(pixels, float),
        factors=("dy", "pixels"),
        divides=True,
        groups=np.arange(len(pixels)),
    )


def global_average_output(x: np.ndarray, index: Index, about: Mapping[str, Any]) -> Sum:
    """y[n,c] = Σ x[n,:,:,c] ÷ (H·W)."""
    n, c = index
    _, height, width, _ = x.shape
    at = grid(row=np.arange(height), column=np.arange(width))
    return Sum(**about, indices=at, first=x[n, ..., c].ravel(), factors=("x",), divisor=float(height * width))


def global_average_input(x: np.ndarray, dy: np.ndarray, index: Index, about: Mapping[str, Any]) -> Sum:
    """dx = dy ÷ (H·W)."""
    n, _, _, c = index
    pixels = np.array([x.shape[1] * x.shape[2]], float)
    return Sum(
        **about, indices={}, first=dy[n, c][None], second=pixels, factors=("dy", "pixels"), divides=True
    )


def global_max_output(x: np.ndarray, index: Index, about: Mapping[str, Any]) -> Choice:
    """y[n,c] = the maximum of x[n,:,:,c]."""
    n, c = index
    values = x[n, ..., c].astype(float)
    pixels = np.moveaxis(np.indices(values.shape), 0, -1)
    return Choice(
        **about, pixels=pixels, values=values, winner=None, ties=int((values == values.max()).sum())
    )


def global_max_input(x: np.ndarray, dy: np.ndarray, index: Index, about: Mapping[str, Any]) -> Sum:
    """dx = dy ÷ the number of pixels that have the maximum, for each of them; 0 for the others."""
    n, row, column, c = index
    values = x[n, ..., c]
    is_top = values == values.max()
    is_mine = bool(is_top[row, column])
    return Sum(
        **about,
        indices={},
        first=dy[n, c][None] if is_mine else dy[:0, 0],
        second=np.array([is_top.sum()] if is_mine else [], float),
        factors=("dy", "ties"),
        divides=True,
    )


def goes_into(op: ops.MaxPool2D | ops.AveragePool2D, x: np.ndarray, index: Index, y: np.ndarray) -> list[Any]:
    """One Choice or Mean for each window of the pool that holds x[index]."""
    n, row, column, c = index
    places = windows_over(op.window, row, column)
    steps: list[Any] = []
    for i, j in zip(places["i"], places["j"], strict=True):
        at = (n, int(i), int(j), c)
        about: dict[str, Any] = {
            "op": type(op).__name__,
            "name": op.name,
            "index": at,
            "stored": float(y[at]),
        }
        if isinstance(op, ops.MaxPool2D):
            steps.append(max_pool2d_output(op, x, at, about))
        else:
            pixels, values = look(op.window, x, at)
            steps.append(Mean(**about, pixels=pixels, values=values))
    return steps
