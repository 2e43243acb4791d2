"""Convolution, dense layer and rescaling: which products sum to an element of y, dx, dw or db.

The order of the terms is the reference's: taps row by row, in a tap channel by channel (filter by filter in dx), in dw
and db sample by sample, row by row.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn.engine import ops
from minicnn.geometry import Window
from minicnn.study.explaining.steps import Index, Sum

Weights = tuple[np.ndarray, ...]


def grid(**axes: Any) -> dict[str, np.ndarray]:
    """Every combination of the axes' numbers in row-major order, one flat array an axis."""
    return dict(zip(axes, (a.ravel() for a in np.meshgrid(*axes.values(), indexing="ij")), strict=True))


def read(window: Window, i: Any, j: Any, p: Any, q: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows, columns, whether they lie in the image) that taps (p, q) of the windows at (i, j) read."""
    row = i * window.strides[0] + p * window.dilation[0] - window.pads_before[0]
    column = j * window.strides[1] + q * window.dilation[1] - window.pads_before[1]
    height, width = window.image_size
    return row, column, (row >= 0) & (row < height) & (column >= 0) & (column < width)


def windows_over(window: Window, row: int, column: int) -> dict[str, np.ndarray]:
    """p, q, i, j of every tap that reads the pixel, in the order of the taps: at most one window for each tap."""
    found = []
    for p in range(window.kernel_size[0]):
        for q in range(window.kernel_size[1]):
            i, down = divmod(row + window.pads_before[0] - p * window.dilation[0], window.strides[0])
            j, right = divmod(column + window.pads_before[1] - q * window.dilation[1], window.strides[1])
            height, width = window.output_size
            if down == right == 0 and 0 <= i < height and 0 <= j < width:
                found.append((p, q, i, j))
    table = np.array(found, int).reshape(-1, 4)
    return dict(zip("pqij", table.T, strict=True))


def conv2d_output(op: ops.Conv2D, x: np.ndarray, w: Weights, index: Index, about: Mapping[str, Any]) -> Sum:
    """y[n,i,j,f] = Σ x[n, row, column, c]·w[p,q,c,f] + b[f]."""
    (n, i, j, f), kernel, window = index, w[0], op.window
    channels = kernel.shape[2]
    first = f // (op.filters // op.groups) * channels
    at = grid(p=np.arange(kernel.shape[0]), q=np.arange(kernel.shape[1]), c=np.arange(channels))
    row, column, inside = read(window, i, j, at["p"], at["q"])
    c = first + at["c"]
    values = np.where(inside, x[n, np.where(inside, row, 0), np.where(inside, column, 0), c], 0)
    return Sum(
        **about,
        indices={"p": at["p"], "q": at["q"], "row": row, "column": column, "c": c},
        first=values,
        second=kernel[at["p"], at["q"], at["c"], f],
        groups=at["p"] * kernel.shape[1] + at["q"],
        is_inside=inside,
        bias=float(w[1][f]) if len(w) > 1 else None,
    )


def conv2d_input(op: ops.Conv2D, dy: np.ndarray, w: Weights, index: Index, about: Mapping[str, Any]) -> Sum:
    """dx[n, row, column, c] = Σ dy[n,i,j,f]·w[p,q,c,f] over the windows and filters that read the pixel."""
    n, row, column, c = index
    channels, filters = w[0].shape[2], op.filters // op.groups
    places = windows_over(op.window, row, column)
    at = grid(place=np.arange(len(places["p"])), f=c // channels * filters + np.arange(filters))
    p, q, i, j = (places[name][at["place"]] for name in "pqij")
    return Sum(
        **about,
        indices={"p": p, "q": q, "i": i, "j": j, "f": at["f"]},
        first=dy[n, i, j, at["f"]],
        second=w[0][p, q, c % channels, at["f"]],
        factors=("dy", "w"),
        groups=p * op.window.kernel_size[1] + q,
    )


def conv2d_weight(
    op: ops.Conv2D, x: np.ndarray, dy: np.ndarray, index: Index, about: Mapping[str, Any]
) -> Sum:
    """dw[p,q,c,f] = Σ x[n, row, column, c]·dy[n,i,j,f] over every sample and window."""
    p, q, c, f = index
    c += f // (op.filters // op.groups) * (x.shape[-1] // op.groups)
    at = grid(n=np.arange(len(x)), i=np.arange(dy.shape[1]), j=np.arange(dy.shape[2]))
    row, column, inside = read(op.window, at["i"], at["j"], p, q)
    values = np.where(inside, x[at["n"], np.where(inside, row, 0), np.where(inside, column, 0), c], 0)
    return Sum(
        **about,
        indices={"n": at["n"], "i": at["i"], "j": at["j"], "row": row, "column": column},
        first=values,
        second=dy[at["n"], at["i"], at["j"], f],
        factors=("x", "dy"),
        is_inside=inside,
    )


def conv2d_bias(dy: np.ndarray, index: Index, about: Mapping[str, Any]) -> Sum:
    """db[f] = Σ dy[n,i,j,f]."""
    at = grid(n=np.arange(len(dy)), i=np.arange(dy.shape[1]), j=np.arange(dy.shape[2]))
    return Sum(**about, indices=at, first=dy[..., index[0]].ravel(), factors=("dy",))


def dense_output(x: np.ndarray, w: Weights, index: Index, about: Mapping[str, Any]) -> Sum:
    """y[…,f] = Σ_c x[…,c]·w[c,f] + b[f]."""
    *sample, f = index
    return Sum(
        **about,
        indices={"c": np.arange(x.shape[-1])},
        first=x[tuple(sample)],
        second=w[0][:, f],
        bias=float(w[1][f]) if len(w) > 1 else None,
    )


def dense_input(dy: np.ndarray, w: Weights, index: Index, about: Mapping[str, Any]) -> Sum:
    """dx[…,c] = Σ_f dy[…,f]·w[c,f]."""
    *sample, c = index
    return Sum(
        **about,
        indices={"f": np.arange(dy.shape[-1])},
        first=dy[tuple(sample)],
        second=w[0][c],
        factors=("dy", "w"),
    )


def dense_weight(x: np.ndarray, dy: np.ndarray, index: Index, about: Mapping[str, Any]) -> Sum:
    """dw[c,f] = Σ x[…,c]·dy[…,f] over all samples."""
    c, f = index
    return Sum(
        **about,
        indices=_samples(x.shape[:-1]),
        first=x[..., c].ravel(),
        second=dy[..., f].ravel(),
        factors=("x", "dy"),
    )


def dense_bias(dy: np.ndarray, index: Index, about: Mapping[str, Any]) -> Sum:
    """db[f] = Σ dy[…,f]."""
    return Sum(**about, indices=_samples(dy.shape[:-1]), first=dy[..., index[0]].ravel(), factors=("dy",))


def _samples(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    names = ("n", *(f"axis {k}" for k in range(1, len(shape))))
    return grid(**{name: np.arange(size) for name, size in zip(names, shape, strict=True)})


def rescaling_output(op: ops.Rescaling, x: np.ndarray, index: Index, about: Mapping[str, Any]) -> Sum:
    """y = x·scale + offset."""
    scale, offset = (_factor(factor, index, x.dtype) for factor in (op.scale, op.offset))
    return Sum(
        **about,
        indices={},
        first=x[index][None],
        second=scale[None],
        factors=("x", "scale"),
        bias=float(offset),
    )


def rescaling_input(op: ops.Rescaling, dy: np.ndarray, index: Index, about: Mapping[str, Any]) -> Sum:
    """dx = dy·scale."""
    scale = _factor(op.scale, index, dy.dtype)
    return Sum(**about, indices={}, first=dy[index][None], second=scale[None], factors=("dy", "scale"))


def _factor(factor: float | tuple[float, ...], index: Index, dtype: np.dtype) -> np.ndarray:
    return np.asarray(factor[index[-1]] if isinstance(factor, tuple) else factor, dtype)
