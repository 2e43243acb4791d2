"""Gradients of a convolution with a 3×3 kernel by the transpose of Winograd's F(3×3, 3×3).

Contract: reference.conv2d, for what `applies` says. F(3×3, 3×3) gives 3×3 outputs of 5×5 pixels by 25 products instead
of 81, y = Aᵀ[Σ_c u ∘ v]A with u = G w Gᵀ and v = Bᵀ x B (Lavin & Gray 2016, "Fast algorithms for convolutional neural
networks", §4; the points are 0, 1, −1, 2 and ∞). Its gradients need as few:

    dx = B [Σ_f u ∘ d]Bᵀ / 36       d = A dy Aᵀ, tiles added where they overlap
    dw = Gᵀ[Σ_t v ∘ d]G / 36        over all tiles t

with G six times as large as usual: all three matrices then hold integers, and a result whose sums stay below 2²⁴
is exact, because 36 divides it. The sums over filters and tiles are matrix products, one for each of the 25 positions,
for blocks of tiles that stay in the cache.

Not for the forward pass: there the outputs of F(3×3, 3×3) depend on pixels outside of their own window by rounding, and
where an image's background is 0 a ReLU would let noise pass. `conv2d_winograd_forward` has no such outputs.

Rounding: its bound is wider than a direct sum's, because a tile's largest number enters all its results; about six
times the direct sum's error where numbers are alike. Transforms spread an infinity over a tile, and huge numbers may
overflow on the way: a result that isn't finite is computed again by the direct kernel, dx image by image.
"""

import numpy as np

from minicnn.geometry import Window
from minicnn.kernels import conv2d
from minicnn.kernels._jit import inner, kernel
from minicnn.kernels._simd import (
    add_rows,
    add_scaled_tile,
    add_tiles,
    copy_transposed,
    divide_tile,
    is_finite,
    lanes,
    load_row,
    load_rows,
    shifted,
    store_rows,
    subtract_tiles,
    zeros,
)
from minicnn.kernels._sliding import aligned_zeros
from minicnn.kernels._tile import (
    ROW_1,
    ROW_2,
    ROW_WIDEST,
    WIDEST,
    ZERO,
    accumulate,
    add_bias_gradient,
    six_steps,
)
from minicnn.kernels.conv2d_winograd_forward import copy_in
from minicnn.recording import run_or_repair

TILES = 24
"""Tiles in a block: their transforms and products should stay in the L2 cache."""

POSITIONS = 25

ROW_3, ROW_5 = (0,) * 3, (0,) * 5


def applies(window: Window, groups: int, channels: int, filters: int) -> bool:
    """Whether these kernels can be used, and are faster than the direct ones.

    Outputs past the edge of the last tiles are computed in vain: with them there must be less to multiply.
    """
    if window.kernel_size != (3, 3) or window.strides != (1, 1) or window.dilation != (1, 1) or groups != 1:
        return False
    out_h, out_w = window.output_size
    multiplied = POSITIONS * -(-out_h // 3) * -(-out_w // 3)
    return channels % 32 == 0 and filters % 32 == 0 and 2 * multiplied <= 9 * out_h * out_w


def block_shape(channels: int, filters: int) -> tuple[int, int, int]:
    """For TILES tiles at each position: what is transformed, and the products."""
    return POSITIONS, TILES, channels + filters


@kernel
def transform_weights(w: np.ndarray, u_t: np.ndarray) -> None:
    """u_t (25, F, C), overwritten: G w Gᵀ of w (3, 3, C, F), as dx reads it. A square block of vectors at a time."""
    channels, filters = w.shape[2], w.shape[3]
    like, square = zeros(w, ROW_3, ROW_1), lanes(w) * lanes(w)
    turned = aligned_zeros((9, lanes(w), lanes(w)), w.dtype)
    for c in range(0, channels, lanes(w)):
        for f in range(0, filters, lanes(w)):
            for tap in range(9):
                copy_transposed(
                    turned, tap * square, lanes(w), w, (tap * channels + c) * filters + f, filters
                )
            for k in range(lanes(w)):
                places = (k * lanes(w), k * lanes(w) + 3 * square, k * lanes(w) + 6 * square)
                half = _weighted(*_load_three(like, turned, places, square))
                at = (f + k) * channels + c
                _store_square(u_t, at, filters * channels, _weighted(*_three_of_five(half)))


def backward_x(
    dy: np.ndarray, weights: tuple[np.ndarray, np.ndarray], dx: np.ndarray, block: np.ndarray, window: Window
) -> None:
    """dx (N, H, W, C), overwritten, from dy (N, OH, OW, F) and the weights (w, u_t), w after `transform_weights`."""
    w, u_t = weights
    finite = np.empty(len(dy), np.bool_)

    def repair() -> None:
        w_t = np.empty((*w.shape[:2], w.shape[3], w.shape[2]), w.dtype)
        conv2d.pack_transposed(w, w_t, 1)
        for n in np.flatnonzero(~finite):
            conv2d.conv2d_backward_x(dy[n : n + 1], w_t, dx[n : n + 1], window, 1)

    run_or_repair(_backward_x, (dy, u_t, dx, finite, block, window), repair)


def backward_w(
    dy: np.ndarray,
    x: np.ndarray,
    gradients: tuple[np.ndarray, np.ndarray],
    block: np.ndarray,
    sums: np.ndarray,
    window: Window,
) -> None:
    """Add the gradients of w and b to (dw, db), (3, 3, C, F) and (F,), or (0,) for none.

    `sums` (25, C, F) is overwritten.
    """

    def repair() -> None:
        conv2d.conv2d_backward_w(dy, x, *gradients, window, 1)

    run_or_repair(_backward_w, (dy, x, *gradients, block, sums, window), repair)


@kernel
def _backward_x(dy, u_t, dx, finite, block, window):  # type: ignore[no-untyped-def]
    """`backward_x` wherever finite (N,) is True afterwards; returns whether it is everywhere."""
    (rows, columns), channels = _grid(window), dx.shape[3]
    d, m = _halves(block, dy.shape[3])
    gradient = aligned_zeros((3 * rows, 3 * columns, dy.shape[3]), dy.dtype)
    image = aligned_zeros((3 * rows + 2, 3 * columns + 2, channels), dx.dtype)
    is_all_finite = True
    for first in range(0, len(dy) * rows * columns, TILES):
        last = min(first + TILES, len(dy) * rows * columns)
        for t in range(first, last):
            n, i, j = _place(t, rows, columns)
            if i == 0 and j == 0:
                copy_in(dy, n, (0, 0), gradient)
            _transform_gradient(gradient, 3 * (i * gradient.shape[1] + j) * dy.shape[3], d, t - first)
        _multiply_all(d, u_t, m, last - first)
        for t in range(first, last):
            n, i, j = _place(t, rows, columns)
            _add_pixels(m, t - first, image, 3 * (i * image.shape[1] + j) * channels)
            if i == rows - 1 and j == columns - 1:
                finite[n] = _move_out(image, window.pads_before, dx, n)
                is_all_finite = is_all_finite and finite[n]
    return is_all_finite


@kernel
def _backward_w(dy, x, dw, db, block, sums, window):  # type: ignore[no-untyped-def]
    """`backward_w`, unless it returns False because a result isn't finite; then nothing is changed."""
    rows, columns = _grid(window)
    v, d = _halves(block, x.shape[3])
    image = aligned_zeros((3 * rows + 2, 3 * columns + 2, x.shape[3]), x.dtype)
    gradient = aligned_zeros((3 * rows, 3 * columns, dy.shape[3]), dy.dtype)
    for first in range(0, len(x) * rows * columns, TILES):
        last = min(first + TILES, len(x) * rows * columns)
        for t in range(first, last):
            n, i, j = _place(t, rows, columns)
            if i == 0 and j == 0:
                copy_in(x, n, window.pads_before, image)
                copy_in(dy, n, (0, 0), gradient)
            _transform_pixels(image, 3 * (i * image.shape[1] + j) * x.shape[3], v, t - first)
            _transform_gradient(gradient, 3 * (i * gradient.shape[1] + j) * dy.shape[3], d, t - first)
        _correlate_all(v, d, sums, last - first, first == 0)
    if not _is_finite(sums):
        return False
    add_bias_gradient(dy, db)
    _add_weights(sums, dw)
    return True


# Blocks


@inner
def _grid(window):  # type: ignore[no-untyped-def]
    """Tiles along each axis."""
    return (window.output_size[0] + 2) // 3, (window.output_size[1] + 2) // 3


@inner
def _place(t, rows, columns):  # type: ignore[no-untyped-def]
    """Image, row and column of tile t."""
    return t // (rows * columns), t // columns % rows, t % columns


@inner
def _halves(block, size):  # type: ignore[no-untyped-def]
    """`block` as (25, TILES, size) and what is left."""
    flat, cut = block.reshape(-1), POSITIONS * TILES * size
    return flat[:cut].reshape((POSITIONS, TILES, size)), flat[cut:].reshape(
        (POSITIONS, TILES, block.shape[2] - size)
    )


@inner
def _move_out(image, before, dx, n):  # type: ignore[no-untyped-def]
    """dx[n] becomes the middle of `image` / 36, and `image` 0. Returns whether dx[n] is finite."""
    check = zeros(dx, ROW_1, ROW_1)
    channels = dx.shape[3]
    for h in range(dx.shape[1]):
        at = ((before[0] + h) * image.shape[1] + before[1]) * channels
        to = (n * dx.shape[1] + h) * dx.shape[2] * channels
        for k in range(0, dx.shape[2] * channels, lanes(dx)):
            row = divide_tile(load_row(check, image, at + k, None), 36.0)
            check = add_tiles(check, row)
            store_rows(dx, (to + k,), row, None)
    flat = image.reshape(-1)
    for k in range(flat.size):
        flat[k] = 0
    return is_finite(check)


@inner
def _is_finite(x):  # type: ignore[no-untyped-def]
    check = zeros(x, ROW_1, ROW_1)
    for k in range(0, x.size, lanes(x)):
        check = add_tiles(check, load_row(check, x, k, None))
    return is_finite(check)


# Products


@inner
def _multiply_all(v, u, m, tiles):  # type: ignore[no-untyped-def]
    """m[k, t] = v[k, t] · u[k] for every position k and the first `tiles` tiles."""
    f, filters = ZERO, m.shape[2]
    while f < filters:
        if filters - f >= WIDEST * lanes(v):
            _multiply(v, u, m, tiles, f, ROW_WIDEST)
            f += WIDEST * lanes(v)
        else:
            _multiply(v, u, m, tiles, f, ROW_2)
            f += 2 * lanes(v)


@inner
def _multiply(v, u, m, tiles, f, width):  # type: ignore[no-untyped-def]
    channels, filters, row = v.shape[2], m.shape[2], zeros(v, ROW_1, width)
    for k in range(POSITIONS):
        for t in range(0, tiles, 6):
            offsets = six_steps(t, tiles - 1, channels, k * TILES * channels)
            tile, start = zeros(v, offsets, width), k * channels * filters + f
            tile = accumulate(tile, row, v, offsets, 1, u, start, filters, channels, None)
            store_rows(m, six_steps(t, tiles - 1, filters, k * TILES * filters + f), tile, None)


@inner
def _correlate_all(v, d, sums, tiles, is_first):  # type: ignore[no-untyped-def]
    """sums[k] (+)= v[k]ᵀ · d[k] for every position k, over the first `tiles` tiles."""
    f, filters = ZERO, d.shape[2]
    while f < filters:
        if filters - f >= WIDEST * lanes(v):
            _correlate(v, d, sums, tiles, is_first, f, ROW_WIDEST)
            f += WIDEST * lanes(v)
        else:
            _correlate(v, d, sums, tiles, is_first, f, ROW_2)
            f += 2 * lanes(v)


@inner
def _correlate(v, d, sums, tiles, is_first, f, width):  # type: ignore[no-untyped-def]
    channels, filters, row = v.shape[2], d.shape[2], zeros(v, ROW_1, width)
    for k in range(POSITIONS):
        for c in range(0, channels, 6):
            offsets = six_steps(c, channels - 1, 1, k * TILES * channels)
            places = six_steps(c, channels - 1, filters, k * channels * filters + f)
            tile, start = zeros(v, offsets, width), k * TILES * filters + f
            tile = accumulate(tile, row, v, offsets, channels, d, start, filters, tiles, None)
            if is_first:
                store_rows(sums, places, tile, None)
            else:
                add_rows(sums, places, tile, None)


# Transforms of one tile, `lanes` channels at a time


@inner
def _transform_pixels(image, at, v, t):  # type: ignore[no-untyped-def]
    """v[·, t] = Bᵀ x B of the 5×5 pixels from image[at:] on."""
    channels = v.shape[2]
    line = image.shape[1] * channels
    like = zeros(v, ROW_5, ROW_1)
    for c in range(0, channels, lanes(v)):
        half = _differences(*_load_five(like, image, _five_steps(at + c, line), channels))
        _store_square(v, t * channels + c, TILES * channels, _differences(*_five_of_five(half)))


@inner
def _transform_gradient(gradient, at, d, t):  # type: ignore[no-untyped-def]
    """d[·, t] = A dy Aᵀ of the 3×3 gradients from gradient[at:] on."""
    filters = d.shape[2]
    line = gradient.shape[1] * filters
    like = zeros(d, ROW_3, ROW_1)
    for f in range(0, filters, lanes(d)):
        places = (at + f, at + f + line, at + f + 2 * line)
        half = _spread(*_load_three(like, gradient, places, filters))
        _store_square(d, t * filters + f, TILES * filters, _spread(*_three_of_five(half)))


@inner
def _add_pixels(m, t, image, at):  # type: ignore[no-untyped-def]
    """The 5×5 pixels from image[at:] on += B m[·, t] Bᵀ."""
    channels, step = m.shape[2], TILES * m.shape[2]
    line = image.shape[1] * channels
    like = zeros(m, ROW_5, ROW_1)
    for c in range(0, channels, lanes(m)):
        half = _scattered(*_load_five(like, m, _five_steps(t * channels + c, 5 * step), step))
        x0, x1, x2, x3, x4 = _scattered(*_five_of_five(half))
        places = _five_steps(at + c, channels)
        add_rows(image, places, x0, None)
        add_rows(image, shifted(places, line), x1, None)
        add_rows(image, shifted(places, 2 * line), x2, None)
        add_rows(image, shifted(places, 3 * line), x3, None)
        add_rows(image, shifted(places, 4 * line), x4, None)


@inner
def _add_weights(sums, dw):  # type: ignore[no-untyped-def]
    """dw += Gᵀ sums G / 36."""
    size = dw[0, 0].size
    like = zeros(dw, ROW_5, ROW_1)
    for k in range(0, size, lanes(dw)):
        half = _gathered(*_load_five(like, sums, _five_steps(k, 5 * size), size))
        w0, w1, w2 = _gathered(*_five_of_three(half))
        places = (k, k + size, k + 2 * size)
        add_rows(dw, places, divide_tile(w0, 36.0), None)
        add_rows(dw, shifted(places, 3 * size), divide_tile(w1, 36.0), None)
        add_rows(dw, shifted(places, 6 * size), divide_tile(w2, 36.0), None)


# The matrices, each times a column of tiles


@inner
def _weighted(w0, w1, w2):  # type: ignore[no-untyped-def]
    """G: 3·w0, −3·(w0 + w1 + w2), −(w0 − w1 + w2), w0 + 2·w1 + 4·w2, 6·w2."""
    ends, nothing = add_tiles(w0, w2), subtract_tiles(w0, w0)
    return (
        add_scaled_tile(nothing, 3.0, w0),
        add_scaled_tile(nothing, -3.0, add_tiles(ends, w1)),
        subtract_tiles(w1, ends),
        add_scaled_tile(add_scaled_tile(w0, 2.0, w1), 4.0, w2),
        add_scaled_tile(nothing, 6.0, w2),
    )


@inner
def _gathered(m0, m1, m2, m3, m4):  # type: ignore[no-untyped-def]
    """Gᵀ."""
    first = add_scaled_tile(m3, -3.0, m1)
    return (
        subtract_tiles(add_scaled_tile(first, 3.0, m0), m2),
        add_tiles(add_tiles(first, m3), m2),
        add_scaled_tile(add_scaled_tile(subtract_tiles(first, m2), 3.0, m3), 6.0, m4),
    )


@inner
def _differences(x0, x1, x2, x3, x4):  # type: ignore[no-untyped-def]
    """Bᵀ."""
    outer, inside = subtract_tiles(x3, x1), subtract_tiles(x3, x2)
    return (
        add_scaled_tile(outer, 2.0, subtract_tiles(x0, x2)),
        add_scaled_tile(inside, -2.0, x1),
        add_scaled_tile(inside, 2.0, subtract_tiles(x1, x2)),
        outer,
        add_scaled_tile(subtract_tiles(x4, x2), -2.0, outer),
    )


@inner
def _scattered(m0, m1, m2, m3, m4):  # type: ignore[no-untyped-def]
    """B."""
    both, middle = add_tiles(m1, m2), subtract_tiles(m2, m1)
    outer = add_scaled_tile(add_tiles(m0, m3), -2.0, m4)
    inside = add_scaled_tile(add_tiles(both, m4), 2.0, add_tiles(m0, m2))
    return (
        add_tiles(m0, m0),
        subtract_tiles(add_tiles(middle, middle), outer),
        subtract_tiles(subtract_tiles(m0, m0), inside),
        add_tiles(outer, both),
        m4,
    )


@inner
def _spread(d0, d1, d2):  # type: ignore[no-untyped-def]
    """A."""
    ends = add_tiles(d0, d2)
    return (
        d0,
        add_tiles(ends, d1),
        subtract_tiles(ends, d1),
        add_scaled_tile(add_scaled_tile(d0, 2.0, d1), 4.0, d2),
        d2,
    )


# Columns of tiles


@inner
def _five_steps(at, step):  # type: ignore[no-untyped-def]
    return at, at + step, at + 2 * step, at + 3 * step, at + 4 * step


@inner
def _load_three(like, x, places, step):  # type: ignore[no-untyped-def]
    """Three tiles like `like`: from the places, one step and two steps on."""
    return (
        load_rows(like, x, places, None),
        load_rows(like, x, shifted(places, step), None),
        load_rows(like, x, shifted(places, 2 * step), None),
    )


@inner
def _load_five(like, x, places, step):  # type: ignore[no-untyped-def]
    """Five of them."""
    first, second, third = _load_three(like, x, places, step)
    return (
        first,
        second,
        third,
        load_rows(like, x, shifted(places, 3 * step), None),
        load_rows(like, x, shifted(places, 4 * step), None),
    )


@inner
def _store_square(x, at, step, tiles):  # type: ignore[no-untyped-def]
    """Five tiles of five vectors, row by row, `step` apart."""
    t0, t1, t2, t3, t4 = tiles
    places = _five_steps(at, step)
    store_rows(x, places, t0, None)
    store_rows(x, shifted(places, 5 * step), t1, None)
    store_rows(x, shifted(places, 10 * step), t2, None)
    store_rows(x, shifted(places, 15 * step), t3, None)
    store_rows(x, shifted(places, 20 * step), t4, None)


@inner
def _three_of_five(tiles):  # type: ignore[no-untyped-def]
    """Five tiles of three vectors as three of five."""
    t0, t1, t2, t3, t4 = tiles
    return (
        (t0[0], t1[0], t2[0], t3[0], t4[0]),
        (t0[1], t1[1], t2[1], t3[1], t4[1]),
        (t0[2], t1[2], t2[2], t3[2], t4[2]),
    )


@inner
def _five_of_three(tiles):  # type: ignore[no-untyped-def]
    """Three tiles of five vectors as five of three."""
    t0, t1, t2 = tiles
    return (
        (t0[0], t1[0], t2[0]),
        (t0[1], t1[1], t2[1]),
        (t0[2], t1[2], t2[2]),
        (t0[3], t1[3], t2[3]),
        (t0[4], t1[4], t2[4]),
    )


@inner
def _five_of_five(tiles):  # type: ignore[no-untyped-def]
    """Rows become columns."""
    t0, t1, t2, t3, t4 = tiles
    return (
        (t0[0], t1[0], t2[0], t3[0], t4[0]),
        (t0[1], t1[1], t2[1], t3[1], t4[1]),
        (t0[2], t1[2], t2[2], t3[2], t4[2]),
        (t0[3], t1[3], t2[3], t3[3], t4[3]),
        (t0[4], t1[4], t2[4], t3[4], t4[4]),
    )
