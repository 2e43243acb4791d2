"""Affine transforms of images, forward and backward: where each output pixel comes from, and what it reads there.

An output pixel in column X and row Y reads the input at

    x = a0·X + a1·Y + a2,    y = b0·X + b1·Y + b2

which `fill_mode` folds back into the image and `interpolation` turns into one pixel or four. The result is linear in
the image, so the backward pass adds each gradient where its value was read, with the same weights.

Numbers are those of TensorFlow's ImageProjectiveTransformV3 (tensorflow/core/kernels/image/image_ops.h), which is
behind Keras's `ops.image.affine_transform`: positions and weights are float32 whatever the images are.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int64

FILL_MODES = ("reflect", "wrap", "constant", "nearest")
INTERPOLATIONS = ("nearest", "bilinear")


class Sampling(NamedTuple):
    """How an image is read between its pixels and beyond its edges. Keras's names."""

    fill_mode: str = "reflect"
    """'reflect' (d c b a | a b c d | d c b a), 'wrap', 'nearest' (the edge goes on) or 'constant'."""
    interpolation: str = "bilinear"
    """'bilinear' or 'nearest'."""
    fill_value: float = 0.0
    """What lies beyond the edges for 'constant'."""


class AffineResiduals(NamedTuple):
    pixels: Int64[np.ndarray, "taps N H W"]
    """Which pixel each tap reads, counted row by row; H·W for the fill value."""
    weights: Float32[np.ndarray, "taps N H W"]


def source_points(
    matrices: Float32[np.ndarray, "N 6"], height: int, width: int
) -> tuple[Float32[np.ndarray, "N H W"], Float32[np.ndarray, "N H W"]]:
    """(x, y): the column and row that each output pixel reads; a matrix is a0 a1 a2 b0 b1 b2."""
    a0, a1, a2, b0, b1, b2 = matrices.T[:, :, None, None]
    rows = np.arange(height, dtype=np.float32)[:, None]
    columns = np.arange(width, dtype=np.float32)
    return a0 * columns + a1 * rows + a2, b0 * columns + b1 * rows + b2


def folded(position: Float32[np.ndarray, "N H W"], size: int, fill_mode: str) -> Float32[np.ndarray, "N H W"]:
    """Positions along an axis of `size` pixels, brought back into [0, size − 1]; 'constant' leaves them as they are."""
    # 'wrap' counts copies of the image by size − 1 as TensorFlow does: wrong from size − 1 pixels beyond an edge on.
    last = np.float32(size - 1)
    if fill_mode == "constant":
        return position
    if fill_mode == "reflect" and size > 1:
        period = np.float32(2 * size)
        from_zero = np.where(position < 0, -position - 1, position)
        from_zero = from_zero - period * np.trunc(from_zero / period)
        inside = np.where(from_zero >= size, period - from_zero - 1, from_zero)
        position = np.where((position < 0) | (position > last), inside, position)
    elif fill_mode == "wrap" and size > 1:
        below = position + np.float32(size) * (np.trunc(-position / last) + 1)
        above = position - np.float32(size) * np.trunc(position / last)
        position = np.where(position < 0, below, np.where(position > last, above, position))
    return np.clip(position, np.float32(0), last)


def taps(matrices: Float32[np.ndarray, "N 6"], size: tuple[int, int], sampling: Sampling) -> AffineResiduals:
    """What every output pixel reads, and with which weights: one tap for 'nearest', four for 'bilinear'."""
    (height, width), fill_mode = size, sampling.fill_mode
    x, y = source_points(matrices, height, width)
    x, y = folded(x, width, fill_mode), folded(y, height, fill_mode)
    if sampling.interpolation == "nearest":
        return AffineResiduals(_pixels(_rounded(y), _rounded(x), size)[None], np.ones_like(x)[None])
    left, top = np.floor(x), np.floor(y)
    right, bottom = left + 1, top + 1
    pixels = [_pixels(i, j, size) for i in (top, bottom) for j in (left, right)]
    weights = [down * across for down in (bottom - y, y - top) for across in (right - x, x - left)]
    return AffineResiduals(np.stack(pixels), np.stack(weights))


def affine_forward(
    x: Float[np.ndarray, "N H W C"], matrices: Float32[np.ndarray, "N 6"], sampling: Sampling
) -> tuple[Float[np.ndarray, "N H W C"], AffineResiduals]:
    """y[n, Y, X] = Σ over the taps of weight · x[n, pixel]."""
    residuals = taps(matrices, x.shape[1:3], sampling)
    flat = x.reshape(len(x), -1, x.shape[3])
    beyond = np.full((len(x), 1, x.shape[3]), sampling.fill_value, x.dtype)
    flat = np.concatenate([flat, beyond], axis=1)
    samples = np.arange(len(x))[:, None, None]
    y = np.zeros_like(x)
    for pixels, weights in zip(*residuals, strict=True):
        y += weights[..., None] * flat[samples, pixels]
    return y, residuals


def affine_backward(
    dy: Float[np.ndarray, "N H W C"], residuals: AffineResiduals
) -> tuple[Float[np.ndarray, "N H W C"]]:
    """Return (dx,): every gradient times its taps' weights, where they were read. The fill value is a constant."""
    n, height, width, channels = dy.shape
    dx = np.zeros((n, height * width + 1, channels), dy.dtype)
    samples = np.arange(n)[:, None, None]
    for pixels, weights in zip(*residuals, strict=True):
        np.add.at(dx, (samples, pixels), weights[..., None] * dy)
    return (dx[:, :-1].reshape(dy.shape),)


def _rounded(position: np.ndarray) -> np.ndarray:
    """To the nearest integer, halves away from zero as C's `round` does."""
    return np.trunc(position + np.copysign(np.float32(0.5), position))


def _pixels(row: np.ndarray, column: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    is_inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return np.where(is_inside, row * width + column, height * width).astype(np.int64)
