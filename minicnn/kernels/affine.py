"""Affine transforms of images. Contract: reference.affine; positions and weights have the reference's bits.

`fill_mode` is its place in reference.affine's FILL_MODES. Compiled without fast math: a position rounded another way
may fall on another pixel.
"""

import numpy as np

from minicnn.kernels._jit import exact_inner, exact_kernel

REFLECT, WRAP, CONSTANT, NEAREST = range(4)


@exact_kernel
def affine_forward(
    x: np.ndarray, matrices: np.ndarray, y: np.ndarray, fill_mode: int, is_bilinear: bool, fill_value: float
) -> None:
    """y (N, H, W, C), overwritten = x (N, H, W, C) read where matrices (N, 6) float32 say."""
    number, height, width, channels = x.shape
    fill = x.dtype.type(fill_value)
    for n in range(number):
        for i in range(height):
            for j in range(width):
                across, down = _source(matrices, n, i, j, height, width, fill_mode)
                if not is_bilinear:
                    p, q = _rounded(down), _rounded(across)
                    for c in range(channels):
                        y[n, i, j, c] = _read(x, n, p, q, c, fill)
                    continue
                p, q, above, below, before, behind = _weights(across, down)
                for c in range(channels):
                    total = above * before * _read(x, n, p, q, c, fill)
                    total += above * behind * _read(x, n, p, q + 1, c, fill)
                    total += below * before * _read(x, n, p + 1, q, c, fill)
                    total += below * behind * _read(x, n, p + 1, q + 1, c, fill)
                    y[n, i, j, c] = total


@exact_kernel
def affine_backward(
    dy: np.ndarray, matrices: np.ndarray, dx: np.ndarray, fill_mode: int, is_bilinear: bool
) -> None:
    """dx (N, H, W, C), overwritten: every gradient times its taps' weights, added where they were read."""
    number, height, width, channels = dy.shape
    dx[:] = 0
    for n in range(number):
        for i in range(height):
            for j in range(width):
                across, down = _source(matrices, n, i, j, height, width, fill_mode)
                if not is_bilinear:
                    p, q = _rounded(down), _rounded(across)
                    for c in range(channels):
                        _add(dx, n, p, q, c, dy[n, i, j, c])
                    continue
                p, q, above, below, before, behind = _weights(across, down)
                for c in range(channels):
                    gradient = dy[n, i, j, c]
                    _add(dx, n, p, q, c, above * before * gradient)
                    _add(dx, n, p, q + 1, c, above * behind * gradient)
                    _add(dx, n, p + 1, q, c, below * before * gradient)
                    _add(dx, n, p + 1, q + 1, c, below * behind * gradient)


@exact_inner
def _source(matrices, n, i, j, height, width, fill_mode):  # type: ignore[no-untyped-def]
    """(x, y), float32: where output row i, column j of sample n reads."""
    row, column = np.float32(i), np.float32(j)
    across = matrices[n, 0] * column + matrices[n, 1] * row + matrices[n, 2]
    down = matrices[n, 3] * column + matrices[n, 4] * row + matrices[n, 5]
    return _folded(across, width, fill_mode), _folded(down, height, fill_mode)


@exact_inner
def _folded(position, size, fill_mode):  # type: ignore[no-untyped-def]
    last, one = np.float32(size - 1), np.float32(1)
    if fill_mode == CONSTANT:
        return position
    if (position < 0 or position > last) and size > 1:
        if fill_mode == REFLECT:
            period = np.float32(2 * size)
            if position < 0:
                position = -position - one
            position -= period * np.trunc(position / period)
            if position >= size:
                position = period - position - one
        elif fill_mode == WRAP:
            if position < 0:
                position += np.float32(size) * (np.trunc(-position / last) + one)
            else:
                position -= np.float32(size) * np.trunc(position / last)
    return min(max(position, np.float32(0)), last)


@exact_inner
def _rounded(position):  # type: ignore[no-untyped-def]
    """To the nearest integer, halves away from zero."""
    return int(np.trunc(position + np.copysign(np.float32(0.5), position)))


@exact_inner
def _weights(across, down):  # type: ignore[no-untyped-def]
    """Row and column of the upper left of four pixels, and the shares of the rows and columns, float32."""
    one, top, left = np.float32(1), np.floor(down), np.floor(across)
    return int(top), int(left), top + one - down, down - top, left + one - across, across - left


@exact_inner
def _read(x, n, p, q, c, fill):  # type: ignore[no-untyped-def]
    return x[n, p, q, c] if 0 <= p < x.shape[1] and 0 <= q < x.shape[2] else fill


@exact_inner
def _add(dx, n, p, q, c, gradient):  # type: ignore[no-untyped-def]
    if 0 <= p < dx.shape[1] and 0 <= q < dx.shape[2]:
        dx[n, p, q, c] += gradient
