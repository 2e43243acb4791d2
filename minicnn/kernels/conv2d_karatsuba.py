"""Convolution with a 3×3 kernel by the transpose of Karatsuba's product of three terms by three, forward.

Contract: reference.conv2d, for what `applies` says. Karatsuba multiplies g₀ + g₁z + g₂z² by another such polynomial by
six products instead of nine, (g₀ + g₁)·(d₀ + d₁) − g₀d₀ − g₁d₁ standing for both mixed ones (Karatsuba & Ofman 1962;
three terms: Weimerskirch & Paar 2006, "Generalizations of the Karatsuba algorithm", §3). Transposed, it gives three
outputs of five pixels (the transposition of FIR filters and products: Winograd 1980, "Arithmetic complexity of
computations", ch. IV):

    m₀ = g₀·(d₀ − d₁ − d₂)      m₃ = (g₀ + g₁)·d₁      y₀ = m₀ + m₃ + m₄
    m₁ = g₁·(d₂ − d₁ − d₃)      m₄ = (g₀ + g₂)·d₂      y₁ = m₁ + m₃ + m₅
    m₂ = g₂·(d₄ − d₂ − d₃)      m₅ = (g₁ + g₂)·d₃      y₂ = m₂ + m₄ + m₅

Along both axes, y = Aᵀ[Σ_c (G w Gᵀ) ∘ (Bᵀ x B)]A, that makes 36 products instead of 81 for 3×3 outputs of 5×5 pixels.
Every output is a sum of products of its own window's pixels alone: where a window is 0, so is the output, to the last
bit, and a ReLU decides as it does behind a direct sum. F(3×3, 3×3) would take 25 products, but isn't like that.

Rounding: all coefficients are 0 and ±1. Along an axis output i has weight i in one product with three pixels and two
with one, the other two weights in one product with one pixel: the largest number in |Aᵀ|(|G| ∘ |Bᵀ|1) is 5. So errors
stay below 25·γ·Σ_c max|x_c|·Σ|w_c|, with the maximum over the window, less than the 36 and the tile of F(2×2, 3×3).
Integers are exact as long as no sum of products of transformed ones exceeds 2²⁴.

Sums of pixels may overflow on the way: images for which any result isn't finite are computed again by the direct
kernel, from the first pixel to the last.
"""

import numpy as np

from minicnn.geometry import Window
from minicnn.kernels._jit import inner, kernel
from minicnn.kernels._positions import halves, multiply_all
from minicnn.kernels._simd import (
    add_tiles,
    is_finite,
    lanes,
    load_row,
    load_rows,
    relu,
    repeat_rows,
    shifted,
    store_rows,
    subtract_tiles,
    zeros,
)
from minicnn.kernels._sliding import aligned_zeros
from minicnn.kernels._tile import ROW_1
from minicnn.kernels.conv2d_winograd import ROW_3, ROW_5, _five_steps, _load_five, _load_three
from minicnn.kernels.conv2d_winograd_forward import compute_directly, copy_in
from minicnn.recording import run_or_repair

TILES = 18
"""Tiles in a block: three times six rows, enough for 16 images of one tile each."""

POSITIONS = 36

ROW_6 = (0,) * 6


def applies(window: Window, groups: int, channels: int, filters: int) -> bool:
    """Whether this kernel can be used, and is faster than the direct one and Winograd's F(2×2, 3×3).

    Outputs past the edge of the last tiles are computed in vain, and times go with what is multiplied: 9×9 outputs
    take 0.81 of F(2×2, 3×3)'s products and 0.80 of its time, 6×6 the same of both.
    """
    if window.kernel_size != (3, 3) or window.strides != (1, 1) or window.dilation != (1, 1) or groups != 1:
        return False
    out_h, out_w = window.output_size
    multiplied = POSITIONS * -(-out_h // 3) * -(-out_w // 3)
    by_winograd = 16 * -(-out_h // 2) * -(-out_w // 2)
    return (
        channels % 16 == 0
        and filters % 32 == 0
        and 5 * multiplied <= 3 * 9 * out_h * out_w
        and 10 * multiplied <= 9 * by_winograd
    )


def block_shape(channels: int, filters: int) -> tuple[int, int, int]:
    """For TILES tiles at each of the 36 positions: the transformed channels, and the products."""
    return POSITIONS, TILES, channels + filters


def weights_shape(channels: int, filters: int) -> tuple[int, int, int, int]:
    """Of the transformed weights: a channel more, which isn't used.

    16 KB apart, 36 numbers that are written one after another would share one set of L1: 22 µs instead of 9.
    """
    return 6, 6, channels + 1, filters


@kernel
def transform_weights(w: np.ndarray, u: np.ndarray) -> None:
    """u, overwritten but for the channel that isn't used: G w Gᵀ of w (3, 3, C, F)."""
    size = w[0, 0].size
    like = zeros(w, ROW_3, ROW_1)
    for k in range(0, size, lanes(w)):
        half = _weighted(*_load_three(like, w, (k, k + 3 * size, k + 6 * size), size))
        _store_square(u, k, u[0, 0].size, _weighted(*_three_of_six(half)))


def conv2d_karatsuba_forward(
    x: np.ndarray,
    weights: tuple[np.ndarray, np.ndarray, np.ndarray],
    y: np.ndarray,
    block: np.ndarray,
    window: Window,
    is_relu: bool,
) -> None:
    """y (N, OH, OW, F), overwritten, from x (N, H, W, C) and the weights (w, b, u); max(y, 0) if `is_relu`.

    u is w after `transform_weights`, b is (F,), or (0,) for none; `block`, overwritten, has the shape `block_shape`.
    """
    w, b, u = weights
    finite = np.empty(len(x), np.bool_)

    def repair() -> None:
        compute_directly(~finite, x, (w, b), y, window, is_relu)

    run_or_repair(_forward, (x, u, b, y, finite, block, window, int(is_relu)), repair)


@kernel
def _forward(x, u, b, y, finite, block, window, is_relu):  # type: ignore[no-untyped-def]
    """The same wherever finite (N,) is True afterwards; returns whether it is everywhere."""
    rows, columns, channels = (y.shape[1] + 2) // 3, (y.shape[2] + 2) // 3, x.shape[3]
    v, m = halves(block, channels)
    image = aligned_zeros((1, 3 * rows + 2, 3 * columns + 2, channels), x.dtype)
    bias = b if b.size > 0 else np.zeros(y.shape[3], b.dtype)
    for n in range(len(x)):
        finite[n] = True
    is_all_finite = True
    for first in range(0, len(x) * rows * columns, TILES):
        last = min(first + TILES, len(x) * rows * columns)
        for t in range(first, last):
            n, i, j = t // (rows * columns), t // columns % rows, t % columns
            if i == 0 and j == 0:
                copy_in(x, n, window.pads_before, image[0])
            _transform_pixels(image, 3 * (i * image.shape[2] + j) * channels, v, (t - first) * channels)
        multiply_all(v, u, m, last - first)
        for t in range(first, last):
            n, i, j = t // (rows * columns), t // columns % rows, t % columns
            if not _transform_products(m, t - first, bias, y, (n, 3 * i, 3 * j), is_relu):
                finite[n] = is_all_finite = False
    return is_all_finite


# Transforms of one tile, `lanes` numbers of each pixel at a time


@inner
def _transform_pixels(image, at, v, to):  # type: ignore[no-untyped-def]
    """v[·, to:][:C] = Bᵀ x B of the 5×5 pixels from image[at:] on."""
    channels, line, step = image.shape[3], image.shape[2] * image.shape[3], v.shape[1] * v.shape[2]
    like = zeros(image, ROW_5, ROW_1)
    for c in range(0, channels, lanes(image)):
        half = _differences(*_load_five(like, image, _five_steps(at + c, line), channels))
        _store_square(v, to + c, step, _differences(*_five_of_six(half)))


@inner
def _transform_products(m, t, b, y, place, is_relu):  # type: ignore[no-untyped-def]
    """y[place] = Aᵀ m[·, t] A + b where that lies inside y. Returns whether all of it is finite."""
    filters, step, (n, i, j) = m.shape[2], m.shape[1] * m.shape[2], place
    to, line = ((n * y.shape[1] + i) * y.shape[2] + j) * filters, y.shape[2] * filters
    columns = min(3, y.shape[2] - j)
    like, check = zeros(m, ROW_6, ROW_1), zeros(m, ROW_1, ROW_1)
    for f in range(0, filters, lanes(m)):
        half = _sums(*_load_square(like, m, t * filters + f, step))
        top, middle, bottom = _sums(*_six_of_three(half))
        each = add_tiles(add_tiles(top, middle), bottom)
        check = add_tiles(check, add_tiles(add_tiles(each[:1], each[1:2]), each[2:]))
        bias = repeat_rows(each, load_row(check, b, f, None))
        _store_row(y, to + f, columns, add_tiles(top, bias), is_relu)
        if i + 1 < y.shape[1]:
            _store_row(y, to + f + line, columns, add_tiles(middle, bias), is_relu)
        if i + 2 < y.shape[1]:
            _store_row(y, to + f + 2 * line, columns, add_tiles(bottom, bias), is_relu)
    return is_finite(check)


@inner
def _store_row(y, at, columns, row, is_relu):  # type: ignore[no-untyped-def]
    """Up to three outputs side by side."""
    filters = y.shape[3]
    if is_relu:
        row = relu(row)
    store_rows(y, (at,), row[:1], None)
    if columns > 1:
        store_rows(y, (at + filters,), row[1:2], None)
    if columns > 2:
        store_rows(y, (at + 2 * filters,), row[2:], None)


# The matrices, each times a column of tiles


@inner
def _weighted(w0, w1, w2):  # type: ignore[no-untyped-def]
    """G."""
    return w0, w1, w2, add_tiles(w0, w1), add_tiles(w0, w2), add_tiles(w1, w2)


@inner
def _differences(x0, x1, x2, x3, x4):  # type: ignore[no-untyped-def]
    """Bᵀ."""
    return (
        subtract_tiles(x0, add_tiles(x1, x2)),
        subtract_tiles(x2, add_tiles(x1, x3)),
        subtract_tiles(x4, add_tiles(x2, x3)),
        x1,
        x2,
        x3,
    )


@inner
def _sums(m0, m1, m2, m3, m4, m5):  # type: ignore[no-untyped-def]
    """Aᵀ."""
    return (
        add_tiles(add_tiles(m0, m3), m4),
        add_tiles(add_tiles(m1, m3), m5),
        add_tiles(add_tiles(m2, m4), m5),
    )


# Columns of tiles


@inner
def _six_apart(at, step):  # type: ignore[no-untyped-def]
    return at, at + step, at + 2 * step, at + 3 * step, at + 4 * step, at + 5 * step


@inner
def _load_square(like, x, at, step):  # type: ignore[no-untyped-def]
    """Six tiles of six vectors, column by column; a row's vectors are `step` apart."""
    places = _six_apart(at, 6 * step)
    x0, x1, x2, x3, x4 = _load_five(like, x, places, step)
    return x0, x1, x2, x3, x4, load_rows(like, x, shifted(places, 5 * step), None)


@inner
def _store_square(x, at, step, tiles):  # type: ignore[no-untyped-def]
    """Six tiles of six vectors, row by row."""
    t0, t1, t2, t3, t4, t5 = tiles
    places = _six_apart(at, step)
    store_rows(x, places, t0, None)
    store_rows(x, shifted(places, 6 * step), t1, None)
    store_rows(x, shifted(places, 12 * step), t2, None)
    store_rows(x, shifted(places, 18 * step), t3, None)
    store_rows(x, shifted(places, 24 * step), t4, None)
    store_rows(x, shifted(places, 30 * step), t5, None)


@inner
def _six(tiles, k):  # type: ignore[no-untyped-def]
    """Vector k of each of six tiles."""
    t0, t1, t2, t3, t4, t5 = tiles
    return t0[k], t1[k], t2[k], t3[k], t4[k], t5[k]


@inner
def _three_of_six(tiles):  # type: ignore[no-untyped-def]
    """Six tiles of three vectors as three of six."""
    return _six(tiles, 0), _six(tiles, 1), _six(tiles, 2)


@inner
def _five_of_six(tiles):  # type: ignore[no-untyped-def]
    """Six tiles of five vectors as five of six."""
    return _six(tiles, 0), _six(tiles, 1), _six(tiles, 2), _six(tiles, 3), _six(tiles, 4)


@inner
def _six_of_three(tiles):  # type: ignore[no-untyped-def]
    """Three tiles of six vectors as six of three."""
    t0, t1, t2 = tiles
    return (
        (t0[0], t1[0], t2[0]),
        (t0[1], t1[1], t2[1]),
        (t0[2], t1[2], t2[2]),
        (t0[3], t1[3], t2[3]),
        (t0[4], t1[4], t2[4]),
        (t0[5], t1[5], t2[5]),
    )
