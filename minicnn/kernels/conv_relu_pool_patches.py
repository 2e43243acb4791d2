"""Convolution, bias, ReLU and a 2×2 max pool for one channel and a 3×3 kernel: the first layer of a net for digits.

Contract: reference.conv_relu_pool, for what `applies` says. Sums of nine terms are too short to be set up one by one
from lists of offsets. A window of the pool sees a patch of 4×4 pixels, and everything for it is written out
(`_patches`): forward, the nine weights of a vector of filters stay in registers while all windows of an image pass;
for dw, their nine sums do.
"""

import numpy as np

from minicnn.geometry import Window
from minicnn.kernels._jit import inner, kernel
from minicnn.kernels._patches import load_patch, patch_fma, patch_sums
from minicnn.kernels._simd import (
    VECTOR_NBYTES,
    add_rows,
    first_half,
    fold_max,
    lanes,
    load_rows,
    max_state,
    passed_row,
    read,
    relu,
    second_half,
    shifted,
    store_max,
    zeros,
)
from minicnn.kernels._sliding import aligned_zeros, pad_images, padded_shape
from minicnn.kernels._tile import ROW_1, ROW_2, TERMS, ZERO, start_tile
from minicnn.kernels.conv_relu_pool_backward import _add_bias_gradient

COLUMN = ROW_2 if VECTOR_NBYTES == 64 else ROW_1
"""Filters in a column: nine weights or sums for each vector must fit the registers."""

ROW_4, ROW_9 = (0,) * 4, (0,) * 9


def applies(w: np.ndarray, window: Window, pool: Window) -> bool:
    """Whether these kernels can be used."""
    return (
        w.shape[:3] == (3, 3, 1)
        and w.shape[3] % (len(COLUMN) * lanes(w)) == 0
        and w.dtype == np.float32
        and VECTOR_NBYTES >= 32
        and window.strides == window.dilation == (1, 1)
        and pool.kernel_size == (2, 2)
    )


@kernel
def patches_forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray, y: np.ndarray, argmax: np.ndarray, window: Window
) -> None:
    """y (N, OH, OW, F) and argmax, overwritten, from x (N, H, W, 1), w (3, 3, 1, F) and b ((F,), or (0,) for none)."""
    padded = aligned_zeros(padded_shape(x, 1, window), x.dtype)
    starts = _patch_starts(y, padded)
    for n in range(len(x)):
        shift, source = n * x[0].size, x
        if len(padded) > 0:
            pad_images(x, n, 1, window, padded)
            shift, source = 0, padded
        for f in range(0, y.shape[3], len(COLUMN) * lanes(x)):
            _pool(source, shift, w, b, y, argmax, starts, (n, f), COLUMN)


@inner
def _pool(x, shift, w, b, y, argmax, starts, place, width):  # type: ignore[no-untyped-def]
    """A column of filters from f on, all windows of image n; (n, f) = place."""
    n, f = place
    filters, line = y.shape[3], x.shape[2]
    weights = load_rows(zeros(w, ROW_9, width), w, _nine_rows(filters, f), None)
    first = start_tile(ROW_4, width, b, f, None)
    to = n * starts.size * filters + f
    for t in range(starts.size):
        tile = patch_sums(first, x, shift + read(starts, t), line, weights)
        top = first_half(tile)
        state = fold_max(max_state(first_half(top), 0), second_half(top), 1)
        state = fold_max(state, second_half(tile), 2)
        store_max(y, argmax, to, relu(first_half(state)) + second_half(state), None)
        to += filters


@kernel
def patches_backward_w(
    dy: np.ndarray,
    y: np.ndarray,
    argmax: np.ndarray,
    x: np.ndarray,
    dw: np.ndarray,
    db: np.ndarray,
    window: Window,
) -> None:
    """Add the gradients of w and b to dw (3, 3, 1, F) and db ((F,), or (0,) for none), in the order of the images."""
    padded = aligned_zeros(padded_shape(x, 1, window), x.dtype)
    starts = _patch_starts(y, padded)
    _add_bias_gradient(dy, y, db)
    for n in range(len(x)):
        shift, source = n * x[0].size, x
        if len(padded) > 0:
            pad_images(x, n, 1, window, padded)
            shift, source = 0, padded
        for f in range(0, y.shape[3], len(COLUMN) * lanes(x)):
            _correlate(source, shift, dy, y, argmax, dw, starts, (n, f), COLUMN)


@inner
def _correlate(x, shift, dy, y, argmax, dw, starts, place, width):  # type: ignore[no-untyped-def]
    n, f = place
    filters, line, row = dw.shape[3], x.shape[2], zeros(x, ROW_1, width)
    for first in range(0, starts.size, TERMS):
        tile = zeros(x, ROW_9, width)
        at = (n * starts.size + first) * filters + f
        for t in range(first, min(first + TERMS, starts.size)):
            patch = load_patch(x, shift + read(starts, t), line)
            tile = patch_fma(tile, patch, argmax, at, passed_row(row, dy, y, at, None))
            at += filters
        add_rows(dw, _nine_rows(filters, f), tile, None)


@inner
def _patch_starts(y, source):  # type: ignore[no-untyped-def]
    """Offset of the first pixel of every window of one image."""
    starts, t = np.empty(y.shape[1] * y.shape[2], np.int64), 0
    for i in range(y.shape[1]):
        for j in range(y.shape[2]):
            starts[t] = 2 * (i * source.shape[2] + j)
            t += 1
    return starts


@inner
def _nine_rows(step, shift):  # type: ignore[no-untyped-def]
    rows = (ZERO, step, 2 * step, 3 * step, 4 * step, 5 * step, 6 * step, 7 * step, 8 * step)
    return shifted(rows, shift)
