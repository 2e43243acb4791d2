"""2D cross-correlation by brute force.

    y[n, i, j, f] = b[f] + sum_{p, q, c} x[n, i*s + p*d - top, j*s + q*d - left, g*Cg + c] * w[p, q, c, f]

where ``g`` is the group of filter ``f``, ``Cg = C // groups``, and taps outside the image count as zero.
SAME padding as TensorFlow documents it (``tf.nn.convolution``, notes on padding): ``ceil(size / stride)``
outputs, the odd row or column at the bottom or right.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
Pair = tuple[int, int]


class ConvGradients(NamedTuple):
    """Gradients of ⟨y, dy⟩ with respect to image, kernel and bias."""

    dx: Array
    dw: Array
    db: Array


def conv_windows(size: int, kernel: int, stride: int, padding: str, dilation: int) -> list[list[int]]:
    """For each window along one axis, the image index under each tap; -1 where the tap is in the padding."""
    span = dilation * (kernel - 1) + 1
    if padding == "valid":
        starts = [start for start in range(0, size, stride) if start + span <= size]
    else:
        count = (size + stride - 1) // stride
        missing = max(0, (count - 1) * stride + span - size)
        starts = [k * stride - missing // 2 for k in range(count)]
    windows = [[start + dilation * tap for tap in range(kernel)] for start in starts]
    return [[r if 0 <= r < size else -1 for r in window] for window in windows]


def _taps(x_shape: tuple[int, ...], kernel_size: Pair, options: dict[str, Any]) -> Iterator[tuple[int, ...]]:
    """Every (i, j, p, q, row, column) whose tap lies inside the image."""
    strides, padding = options.get("strides", (1, 1)), options.get("padding", "valid")
    dilation = options.get("dilation_rate", (1, 1))
    rows = conv_windows(x_shape[1], kernel_size[0], strides[0], padding, dilation[0])
    columns = conv_windows(x_shape[2], kernel_size[1], strides[1], padding, dilation[1])
    for i, window_rows in enumerate(rows):
        for j, window_columns in enumerate(columns):
            for p, row in enumerate(window_rows):
                for q, column in enumerate(window_columns):
                    if row >= 0 and column >= 0:
                        yield i, j, p, q, row, column


def _output_size(x_shape: tuple[int, ...], kernel_size: Pair, options: dict[str, Any]) -> Pair:
    strides, padding = options.get("strides", (1, 1)), options.get("padding", "valid")
    dilation = options.get("dilation_rate", (1, 1))
    rows = conv_windows(x_shape[1], kernel_size[0], strides[0], padding, dilation[0])
    columns = conv_windows(x_shape[2], kernel_size[1], strides[1], padding, dilation[1])
    return len(rows), len(columns)


def conv2d_forward(
    x: Array, w: Array, b: Array | None = None, *, dtype: Any = np.float64, **options: Any
) -> Array:
    """Cross-correlation of ``x (N, H, W, C)`` with ``w (P, Q, C // groups, F)`` plus ``b (F,)``.

    Options: strides, padding, dilation_rate, groups, as in Keras.  Returns ``(N, OH, OW, F)`` of ``dtype``.
    """
    x, w = np.asarray(x).astype(dtype), np.asarray(w).astype(dtype)
    groups = options.get("groups", 1)
    per_group, filters = w.shape[2], w.shape[3] // groups
    y = np.zeros((x.shape[0], *_output_size(x.shape, w.shape[:2], options), w.shape[3]), dtype)
    for i, j, p, q, row, column in _taps(x.shape, w.shape[:2], options):
        for g in range(groups):
            for c in range(per_group):
                pixel = x[:, row, column, g * per_group + c]
                mine = slice(g * filters, (g + 1) * filters)
                y[:, i, j, mine] += pixel[:, None] * w[p, q, c, None, mine]
    return y if b is None else y + np.asarray(b).astype(dtype)


def conv2d_backward(
    dy: Array, x: Array, w: Array, *, dtype: Any = np.float64, **options: Any
) -> ConvGradients:
    """Gradients of ``sum(y * dy)``: ``dx`` like x, ``dw`` like w (summed over the batch), ``db (F,)``."""
    dy, x, w = (np.asarray(a).astype(dtype) for a in (dy, x, w))
    groups = options.get("groups", 1)
    per_group, filters = w.shape[2], w.shape[3] // groups
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for i, j, p, q, row, column in _taps(x.shape, w.shape[:2], options):
        for g in range(groups):
            mine = slice(g * filters, (g + 1) * filters)
            error = dy[:, i, j, mine]
            for c in range(per_group):
                k = g * per_group + c
                dx[:, row, column, k] += (error * w[p, q, c, mine]).sum(axis=1)
                dw[p, q, c, mine] += (error * x[:, row, column, k, None]).sum(axis=0)
    return ConvGradients(dx, dw, dy.sum(axis=(0, 1, 2)))


def conv2d_terms(
    x: Array, w: Array, b: Array | None, index: tuple[int, int, int, int], **options: Any
) -> list[tuple[str, float]]:
    """The terms that sum to ``y[index]``, each with its name: ``x[n,r,s,c] * w[p,q,c,f]`` and the bias."""
    n, wanted_i, wanted_j, f = index
    groups = options.get("groups", 1)
    per_group = w.shape[2]
    g = f // (w.shape[3] // groups)
    terms = []
    for i, j, p, q, row, column in _taps(x.shape, w.shape[:2], options):
        if (i, j) != (wanted_i, wanted_j):
            continue
        for c in range(per_group):
            k = g * per_group + c
            left, right = float(x[n, row, column, k]), float(w[p, q, c, f])
            name = f"x[{n},{row},{column},{k}]·w[{p},{q},{c},{f}] = {left:g} · {right:g}"
            terms.append((name, left * right))
    if b is not None:
        terms.append((f"b[{f}]", float(b[f])))
    return terms
