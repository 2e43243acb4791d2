"""Convolution with a 3×3 kernel, ReLU and a 2×2 max pool by Winograd's F(2×2, 3×3), forward.

Contract: reference.conv_relu_pool, for what `applies` says. A tile of 4×4 pixels gives the 2×2 outputs of exactly one
pooling window by 16 products instead of 36: y = Aᵀ[(G w Gᵀ) ∘ (Bᵀ x B)]A, summed over the channels before the outer
transform (Lavin & Gray 2016, "Fast algorithms for convolutional neural networks", §4.1). So a block of tiles is
transformed, multiplied position by position with the transformed weights `u`, transformed back, and of the four
outputs only the maximum leaves the registers.

Rounding: its bound is wider than a direct sum's, 36·γ·Σ_c max|x_c|·Σ|w_c| with the maximum over the tile (derived in
`testing.tolerances.linear`). Integers are exact as long as no sum of products of transformed ones exceeds 2²⁴.

Transforms mix the pixels of a tile, so that one infinity would become NaN all over it, and huge numbers may overflow
on the way. Images for which any result isn't finite are computed again by the direct kernel, from the first pixel to
the last: their bits are then the direct kernel's, and no other image's change.
"""

import numpy as np

from minicnn.geometry import Window
from minicnn.kernels._jit import inner, kernel
from minicnn.kernels._positions import halves, multiply_all
from minicnn.kernels._simd import (
    add_tiles,
    fold_max,
    is_finite,
    lanes,
    load_row,
    load_rows,
    max_state,
    relu,
    row_fma,
    shifted,
    store_max,
    store_rows,
    subtract_tiles,
    zeros,
)
from minicnn.kernels._sliding import aligned_zeros, pad_images, padded_shape
from minicnn.kernels._tile import ROW_1
from minicnn.kernels.conv_relu_pool import conv_relu_pool_forward
from minicnn.recording import run_or_repair

TILES = 24
"""Tiles in a block: their transforms and products should stay in the cache."""

POSITIONS = 16

ROW_3, ROW_4 = (0,) * 3, (0,) * 4


def applies(window: Window, pool: Window, channels: int, filters: int) -> bool:
    """Whether this kernel can be used, and is faster than the direct one."""
    return (
        window.kernel_size == (3, 3)
        and window.strides == window.dilation == (1, 1)
        and pool.kernel_size == (2, 2)
        and pool.is_tiling
        and channels % 16 == 0
        and filters % 32 == 0
    )


def block_shape(channels: int, filters: int) -> tuple[int, int, int]:
    """For TILES tiles at each of the 16 positions: the transformed channels, and the products."""
    return POSITIONS, TILES, channels + filters


@kernel
def transform_weights(w: np.ndarray, u: np.ndarray) -> None:
    """u (4, 4, C, F), overwritten: 4·G w Gᵀ of w (3, 3, C, F). Without the halves of G no weight can underflow."""
    size = w[0, 0].size
    like = zeros(w, ROW_3, ROW_1)
    for k in range(0, size, lanes(w)):
        places = (k, k + size, k + 2 * size)
        w0, w1 = load_rows(like, w, places, None), load_rows(like, w, shifted(places, 3 * size), None)
        r0, r1, r2, r3 = _weighted(w0, w1, load_rows(like, w, shifted(places, 6 * size), None))
        rows = (k, k + 4 * size, k + 8 * size, k + 12 * size)
        c0, c1 = (r0[0], r1[0], r2[0], r3[0]), (r0[1], r1[1], r2[1], r3[1])
        u0, u1, u2, u3 = _weighted(c0, c1, (r0[2], r1[2], r2[2], r3[2]))
        store_rows(u, rows, u0, None)
        store_rows(u, shifted(rows, size), u1, None)
        store_rows(u, shifted(rows, 2 * size), u2, None)
        store_rows(u, shifted(rows, 3 * size), u3, None)


@inner
def _weighted(w0, w1, w2):  # type: ignore[no-untyped-def]
    """2·G times three tiles."""
    ends = add_tiles(w0, w2)
    return add_tiles(w0, w0), add_tiles(ends, w1), subtract_tiles(ends, w1), add_tiles(w2, w2)


def conv_relu_pool_winograd_forward(
    x: np.ndarray,
    weights: tuple[np.ndarray, np.ndarray, np.ndarray],
    y: np.ndarray,
    argmax: np.ndarray,
    block: np.ndarray,
    window: Window,
    pool: Window,
) -> None:
    """y (N, OH, OW, F) and argmax, overwritten, from x (N, H, W, C) and the weights (w, b, u).

    u is w after `transform_weights`, b is (F,), or (0,) for none; `block`, overwritten, has the shape `block_shape`.
    """
    _, b, u = weights
    finite = np.empty(len(x), np.bool_)

    def repair() -> None:
        for n in np.flatnonzero(~finite):
            one = slice(n, n + 1)
            conv_relu_pool_forward(x[one], *weights[:2], y[one], argmax[one], window, pool)

    run_or_repair(_forward, (x, u, b, y, argmax, finite, block, window), repair)


@kernel
def _forward(x, u, b, y, argmax, finite, block, window):  # type: ignore[no-untyped-def]
    """The same wherever finite (N,) is True afterwards; returns whether it is everywhere."""
    channels, filters, pixels = x.shape[3], y.shape[3], y.shape[1] * y.shape[2]
    padded = aligned_zeros(padded_shape(x, 1, window), x.dtype)
    v, m = halves(block, channels)
    bias, quarter = b if b.size > 0 else np.zeros(filters, b.dtype), np.full(lanes(x), 0.25, b.dtype)
    for n in range(len(x)):
        finite[n] = True
    is_all_finite = True
    for first in range(0, len(x) * pixels, TILES):
        last = min(first + TILES, len(x) * pixels)
        for t in range(first, last):
            n, i, j = t // pixels, t // y.shape[2] % y.shape[1], t % y.shape[2]
            shift, source = n * x[0].size, x
            if len(padded) > 0:
                if t == first or t % pixels == 0:
                    pad_images(x, n, 1, window, padded)
                shift, source = 0, padded
            at = shift + 2 * (i * source.shape[2] + j) * channels
            _transform_input(source, at, v, (t - first) * channels)
        multiply_all(v, u, m, last - first)
        for t in range(first, last):
            if not _transform_output(m, (t - first) * filters, bias, quarter, y, argmax, t * filters):
                finite[t // pixels] = is_all_finite = False
    return is_all_finite


@inner
def _transform_input(x, at, v, to):  # type: ignore[no-untyped-def]
    """v[·, to:][:C] = Bᵀ x B of the 4×4 pixels from x[at:] on."""
    channels, row = x.shape[3], x.shape[2] * x.shape[3]
    step = v.shape[1] * v.shape[2]
    for c in range(at, at + channels, lanes(x)):
        places = (c, c + channels, c + 2 * channels, c + 3 * channels)
        like = zeros(x, ROW_4, ROW_1)
        r0, r1, r2, r3 = _differences(*_load_four(like, x, places, row))
        c0, c1 = (r0[0], r1[0], r2[0], r3[0]), (r0[1], r1[1], r2[1], r3[1])
        c2, c3 = (r0[2], r1[2], r2[2], r3[2]), (r0[3], r1[3], r2[3], r3[3])
        v0, v1, v2, v3 = _differences(c0, c1, c2, c3)
        rows = (to, to + 4 * step, to + 8 * step, to + 12 * step)
        store_rows(v, rows, v0, None)
        store_rows(v, shifted(rows, step), v1, None)
        store_rows(v, shifted(rows, 2 * step), v2, None)
        store_rows(v, shifted(rows, 3 * step), v3, None)
        to += lanes(x)


@inner
def _load_four(like, x, places, step):  # type: ignore[no-untyped-def]
    """Four tiles like `like`, from the places and one, two and three steps on."""
    return (
        load_rows(like, x, places, None),
        load_rows(like, x, shifted(places, step), None),
        load_rows(like, x, shifted(places, 2 * step), None),
        load_rows(like, x, shifted(places, 3 * step), None),
    )


@inner
def _differences(x0, x1, x2, x3):  # type: ignore[no-untyped-def]
    """Bᵀ times four tiles."""
    return subtract_tiles(x0, x2), add_tiles(x1, x2), subtract_tiles(x2, x1), subtract_tiles(x1, x3)


@inner
def _sums(m0, m1, m2, m3):  # type: ignore[no-untyped-def]
    """Aᵀ times four tiles."""
    return add_tiles(add_tiles(m0, m1), m2), subtract_tiles(subtract_tiles(m1, m2), m3)


@inner
def _transform_output(m, at, b, quarter, y, argmax, to):  # type: ignore[no-untyped-def]
    """y[to:][:F] = max(max(Aᵀ m A) / 4 + b, 0), and argmax. Returns whether all outputs are finite."""
    step = m.shape[1] * m.shape[2]
    like = zeros(m, ROW_4, ROW_1)
    check = zeros(m, ROW_1, ROW_1)
    for f in range(0, m.shape[2], lanes(m)):
        places = (at + f, at + f + step, at + f + 2 * step, at + f + 3 * step)
        r0, r1 = _sums(*_load_four(like, m, places, 4 * step))
        y0, y1 = _sums((r0[0], r1[0]), (r0[1], r1[1]), (r0[2], r1[2]), (r0[3], r1[3]))
        sums = add_tiles(y0, y1)
        check = add_tiles(check, add_tiles(sums[:1], sums[1:]))
        state = fold_max(max_state(y0[:1], 0), (y1[0], y0[1], y1[1]), 1)
        best = row_fma(load_row(check, b, f, None), state[:1], load_row(check, quarter, 0, None))
        store_max(y, argmax, to + f, relu(best) + state[1:], None)
    return is_finite(check)
