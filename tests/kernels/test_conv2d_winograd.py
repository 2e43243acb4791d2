"""The kernels that transform a convolution: exact on integers, within their own bound, direct where numbers end."""

from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minicnn.geometry import make_window
from minicnn.kernels import (
    conv2d_karatsuba,
    conv2d_winograd,
    conv2d_winograd_forward,
    conv_relu_pool_winograd,
)
from minicnn.reference import conv2d as reference
from minicnn.testing.tolerances import conv2d_bound
from minicnn.testing.tolerances.arithmetic import Arithmetic
from tests.kernels import test_convolution as direct
from tests.kernels.cases import DTYPES, ConvCase, at_every_alignment
from tests.kernels.test_conv_relu_pool_winograd import SCALES, scaled
from tests.kernels.test_convolution import bias

pytestmark = pytest.mark.jitted  # drawn shapes; test_every_kernel.py has one for plain Python


def scratch(case):
    """NaN, so that a number that is read before it is written shows."""
    return np.full(conv2d_winograd.block_shape(case.channels, case.filters), np.nan, case.dtype)


def transformed(w):
    """As dx reads it: filters before channels."""
    u_t = np.empty((conv2d_winograd.POSITIONS, w.shape[3], w.shape[2]), w.dtype)
    conv2d_winograd.transform_weights(w, u_t)
    return u_t


def forward(case, x, w, b, is_relu=False):
    y = np.full((len(x), *case.window.output_size, case.filters), 7, case.dtype)
    u = np.empty((4, 4, case.channels, case.filters), case.dtype)
    conv_relu_pool_winograd.transform_weights(w, u)
    block = scratch(case)[: conv_relu_pool_winograd.POSITIONS]
    conv2d_winograd_forward.conv2d_winograd_forward(x, (w, b, u), y, block, case.window, is_relu)
    return y


def karatsuba(case, x, w, b, is_relu=False):
    y = np.full((len(x), *case.window.output_size, case.filters), 7, case.dtype)
    u = np.full(conv2d_karatsuba.weights_shape(case.channels, case.filters), np.nan, case.dtype)
    conv2d_karatsuba.transform_weights(w, u)
    block = np.full(conv2d_karatsuba.block_shape(case.channels, case.filters), np.nan, case.dtype)
    conv2d_karatsuba.conv2d_karatsuba_forward(x, (w, b, u), y, block, case.window, is_relu)
    return y


FORWARD = forward, karatsuba


def backward(case, dy, x, w):
    """dx, dw, db; the gradients of the weights are added to 7."""
    assert conv2d_winograd.applies(case.window, 1, case.channels, case.filters)
    dx, dw, db = np.full_like(x, 7), np.full_like(w, 7), np.full(case.filters, 7, case.dtype)
    conv2d_winograd.backward_x(dy, (w, transformed(w)), dx, scratch(case), case.window)
    sums = np.full((conv2d_winograd.POSITIONS, *w.shape[2:]), np.nan, case.dtype)
    conv2d_winograd.backward_w(dy, x, (dw, db), scratch(case), sums, case.window)
    return dx, dw, db


@st.composite
def cases(draw, channels=(32, 64, 96), filters=(32, 64, 96)):
    """Maps whose last tiles stick out and others, one tile and several blocks of them."""
    padding = draw(st.sampled_from(("valid", "same")))
    smallest = 5 if padding == "valid" else 3
    sizes = st.integers(smallest, smallest + 11).filter(
        lambda n: conv2d_winograd.applies(make_window((n, n), (3, 3), padding=padding), 1, 32, 32)
    )
    return ConvCase(
        images=draw(st.integers(1, 4)),
        channels=draw(st.sampled_from(channels)),
        filters=draw(st.sampled_from(filters)),
        window=make_window((draw(sizes), draw(sizes)), (3, 3), padding=padding),
        groups=1,
        has_bias=draw(st.booleans()),
        dtype=draw(st.sampled_from(DTYPES)),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


BOOK = ConvCase(26, 64, 64, make_window((5, 5), (3, 3)), 1, True, np.float32, 0)
SAME = ConvCase(2, 32, 96, make_window((8, 11), (3, 3), padding="same"), 1, True, np.float32, 0)


@given(cases())
@settings(max_examples=30)
@example(BOOK)
@example(SAME)
def test_integers_are_exact(case):
    x, w, b, dy = case.arrays()
    y, residuals = reference.conv2d_forward(x, w, bias(b), case.window, 1)
    for run in FORWARD:
        np.testing.assert_array_equal(run(case, x, w, b), y)
        np.testing.assert_array_equal(run(case, x, w, b, is_relu=True), np.maximum(y, 0))
    dx, dw, _ = reference.conv2d_backward(dy, residuals)
    for ours, theirs in zip(backward(case, dy, x, w), (dx, dw + 7, dy.sum((0, 1, 2)) + 7), strict=True):
        np.testing.assert_array_equal(ours, theirs)


# The bound: the same algorithm on absolute values. Its matrices come from the points, not from the kernel.


def matrices(points=(0, 1, -1, 2), outputs=3, taps=3):
    """A, B, G of F(3, 3) by Toom and Cook: Lagrange interpolation at the points and at infinity."""
    n = outputs + taps - 1
    powers = np.array([[p**k for k in range(n)] for p in points], float)
    a = np.vstack([powers[:, :outputs], np.eye(outputs)[-1]])
    denominators = [prod(p - q for q in points if q != p) for p in points]
    g = np.vstack([powers[:, :taps] / np.array(denominators)[:, None], np.eye(taps)[-1]])
    b = np.zeros((n, n))
    for k, p in enumerate(points):
        b[: n - 1, k] = np.poly([q for q in points if q != p])[::-1]
    b[:, -1] = np.poly(points)[::-1]
    return a, b, g


A, B, G = matrices()


def test_the_matrices_are_an_algorithm_for_three_outputs_of_three_taps():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(5), rng.standard_normal(3)
    np.testing.assert_allclose(A.T @ ((G @ w) * (B.T @ x)), np.correlate(x, w), rtol=1e-13)


def test_the_weights_are_transformed_by_six_g():
    w = np.random.default_rng(0).integers(-3, 4, (3, 3, 32, 48)).astype(np.float64)
    expected = 36 * np.einsum("ap, bq, pqcf -> abfc", G, G, w).reshape(25, 48, 32)
    np.testing.assert_allclose(transformed(w), expected, atol=1e-12)


PAIRS = ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2))
"""Karatsuba's six products: of these terms' sums."""


def karatsuba_matrices():
    """A = G and B: what is left of x·w when the products of single terms are taken from those of pairs."""
    g = np.array([[float(k in pair) for k in range(3)] for pair in PAIRS])
    made_of = np.zeros((6, 5))  # of two polynomials: how the coefficient of zᵏ is made of the six
    for row, pair in enumerate(PAIRS):
        made_of[row, sum(pair) * (2 if len(pair) == 1 else 1)] += 1
        if len(pair) == 2:
            for k in pair:
                made_of[PAIRS.index((k,)), sum(pair)] -= 1
    return g, made_of.T


def test_karatsuba_s_matrices():
    """Each output has a weight of 5 along an axis, and reads nothing outside of its window."""
    a, b = karatsuba_matrices()
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(5), rng.standard_normal(3)
    np.testing.assert_allclose(a.T @ ((a @ w) * (b.T @ x)), np.correlate(x, w), rtol=1e-13)
    assert (a.T @ (a * abs(b.T).sum(1)[:, None])).max() == 5
    for i in range(3):
        assert not b.T[a[:, i] > 0][:, [k for k in range(5) if not i <= k < i + 3]].any()


def test_karatsuba_s_weights():
    w = np.random.default_rng(0).integers(-3, 4, (3, 3, 32, 48)).astype(np.float64)
    u = np.full(conv2d_karatsuba.weights_shape(32, 48), np.nan)
    conv2d_karatsuba.transform_weights(w, u)
    g, _ = karatsuba_matrices()
    np.testing.assert_array_equal(u[:, :, :32], np.einsum("ap, bq, pqcf -> abcf", g, g, w))


def karatsuba_bound(case, x, w, b):
    """γ times the same sums of absolute values: at most six additions for both operands, seven for the result."""
    a, b_matrix = karatsuba_matrices()
    u = np.einsum("ap, bq, pqcf -> abcf", a, a, abs(w.astype(float)))
    v = np.einsum("ia, jb, tijc -> tabc", abs(b_matrix), abs(b_matrix), tiles_of(case, x, 5))
    y = np.einsum("ai, bj, tabf -> tijf", a, a, np.einsum("tabc, abcf -> tabf", v, u))
    shape = (len(x), *case.window.output_size, case.filters)
    magnitude, arithmetic = untiled(case, y, shape, 3) + (abs(b) if b.size else 0), Arithmetic(case.dtype)
    return arithmetic.sum_bound(case.channels + 13, magnitude) + 36 * case.channels * arithmetic.eta


def tiles_of(case, x, size):
    """Tiles of x (N, H, W, C), zeros outside: (tiles, size, size, C). 5 for pixels, 3 for outputs."""
    rows, columns = (-(-extent // 3) for extent in case.window.output_size)
    before = case.window.pads_before if size == 5 else (0, 0)
    whole = np.zeros((len(x), 3 * rows + size - 3, 3 * columns + size - 3, x.shape[3]))
    whole[:, before[0] : before[0] + x.shape[1], before[1] : before[1] + x.shape[2]] = abs(x)
    windows = np.lib.stride_tricks.sliding_window_view(whole, (size, size), axis=(1, 2))[:, ::3, ::3]
    return np.moveaxis(windows, 3, -1).reshape(-1, size, size, x.shape[3])


def untiled(case, tiles, shape, size):
    """The sum of tiles where they lie in an array of `shape` (N, H, W, C)."""
    rows, columns = (-(-extent // 3) for extent in case.window.output_size)
    before = case.window.pads_before if size == 5 else (0, 0)
    whole = np.zeros((shape[0], 3 * rows + size - 3, 3 * columns + size - 3, shape[3]))
    for k, tile in enumerate(tiles):
        n, i, j = k // (rows * columns), k // columns % rows, k % columns
        whole[n, 3 * i : 3 * i + size, 3 * j : 3 * j + size] += tile
    return whole[:, before[0] : before[0] + shape[1], before[1] : before[1] + shape[2]]


def bounds(case, x, w, b, dy):
    """γ times the same sums of absolute values, for dx and dw; y has the bound of F(2×2, 3×3).

    Every transform adds at most five numbers along each axis: 20 roundings for both operands, 10 for the result.
    """
    a, b_matrix, g = abs(A), abs(B), abs(G)
    u = np.einsum("ap, bq, pqcf -> abcf", g, g, abs(w.astype(float)))
    v = np.einsum("ia, jb, tijc -> tabc", b_matrix, b_matrix, tiles_of(case, x, 5))
    d = np.einsum("ai, bj, tijf -> tabf", a, a, tiles_of(case, dy, 3))
    dx = np.einsum("ia, jb, tabc -> tijc", b_matrix, b_matrix, np.einsum("tabf, abcf -> tabc", d, u))
    dw = np.einsum("ap, bq, abcf -> pqcf", g, g, np.einsum("tabc, tabf -> abcf", v, d))
    arithmetic, tiles = Arithmetic(case.dtype), len(v)
    padding = "same" if case.window.pads_before != (0, 0) else "valid"
    winograd = Arithmetic(case.dtype, algorithm="winograd")
    return [
        conv2d_bound(x, w, bias(b), arithmetic=winograd, padding=padding),
        *(
            arithmetic.sum_bound(terms + 30, magnitude) + 36 * terms * arithmetic.eta
            for terms, magnitude in ((case.filters, untiled(case, dx, x.shape, 5)), (tiles, dw + 7))
        ),
    ]


@given(cases(channels=(32,), filters=(32, 64)), SCALES, SCALES)
@settings(max_examples=20, deadline=None)
@example(BOOK, "after a ReLU", "normal")
@example(SAME, "sizes from 2⁻¹⁰ to 2¹⁰", "normal")
def test_real_numbers_are_within_their_bound(case, of_x, of_w):
    x, w, b, dy = case.arrays(real=True)
    rng = np.random.default_rng(case.seed)
    x, w = scaled(x, of_x, rng), scaled(w, of_w, rng)
    wide = [a.astype(np.float64) for a in (x, w, b, dy)]
    y, residuals = reference.conv2d_forward(*wide[:2], bias(wide[2]), case.window, 1)
    dx, dw, _ = reference.conv2d_backward(wide[3], residuals)
    ours = (forward(case, x, w, b), *backward(case, dy, x, w)[:2])
    for number, exact, bound in zip(ours, (y, dx, dw + 7), bounds(case, x, w, b, dy), strict=True):
        assert (abs(number - exact) <= bound).all()
    assert (abs(karatsuba(case, x, w, b) - y) <= karatsuba_bound(case, x, w, b)).all()


@pytest.mark.parametrize("run", FORWARD)
def test_a_window_of_zeros_gives_the_bias_to_the_last_bit(run):
    """Where an image's background is 0, a ReLU must decide as behind a direct sum: rounding would let noise pass."""
    x, w, _, _ = SAME.arrays(real=True)
    x[:, 3:, 2:] = 0
    y = run(SAME, x, w, np.empty(0, np.float32))
    assert not y[:, 4:, 3:].any()
    assert y[:, :4, :3].all()


@given(cases(), st.integers(1, 4))
@settings(max_examples=20)
@example(BOOK, 5)
def test_an_image_has_the_same_bits_in_any_chunk(case, cut):
    x, w, b, dy = case.arrays(real=True)
    whole, (dx, _, _) = [run(case, x, w, b) for run in FORWARD], backward(case, dy, x, w)
    for first in range(0, len(x), cut):
        part = slice(first, first + cut)
        for run, y in zip(FORWARD, whole, strict=True):
            np.testing.assert_array_equal(run(case, x[part], w, b), y[part])
        np.testing.assert_array_equal(backward(case, dy[part], x[part], w)[0], dx[part])


def test_the_place_in_memory_changes_no_bit():
    x, w, b, dy = SAME.arrays(real=True)
    expected = (*[run(SAME, x, w, b) for run in FORWARD], *backward(SAME, dy, x, w))
    for x2, w2, b2, dy2 in zip(*(at_every_alignment(a) for a in (x, w, b, dy)), strict=True):
        moved = (*[run(SAME, x2, w2, b2) for run in FORWARD], *backward(SAME, dy2, x2, w2))
        for ours, theirs in zip(moved, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 3e38], ids=["NaN", "∞", "-∞", "overflow"])
@pytest.mark.parametrize("place", [(0, 0), (3, 4), (7, 10)])
def test_what_does_not_stay_finite_is_computed_directly(number, place):
    """The transforms add neighbours, or double their differences: 3e38 overflows, but not times a small weight."""
    x, w, b, dy = SAME.arrays(real=True)
    w /= 64
    dx, _, _ = backward(SAME, dy, x, w)
    bad_x, bad_dy = x.copy(), dy.copy()
    bad_x[1, place[0] : place[0] + 2, place[1] : place[1] + 2], bad_dy[(1, *place)] = number, number
    for run, is_relu in product(FORWARD, (False, True)):
        y, ours = run(SAME, x, w, b), run(SAME, bad_x, w, b, is_relu)
        np.testing.assert_array_equal(ours[0], np.maximum(y[0], 0) if is_relu else y[0])
        one = direct.forward(SAME, bad_x[1:], w, b)
        np.testing.assert_array_equal(ours[1], np.maximum(one[0], 0) if is_relu else one[0])
    ours = backward(SAME, bad_dy, x, w)
    np.testing.assert_array_equal(ours[0][0], dx[0])
    np.testing.assert_array_equal(ours[0][1:], direct.backward(SAME, bad_dy[1:], x[1:], w)[0])
    theirs = direct.backward(SAME, bad_dy, x, w)
    np.testing.assert_array_equal(np.isfinite(ours[1]), np.isfinite(theirs[1]))


@pytest.mark.parametrize("kernel", [conv2d_winograd, conv2d_winograd_forward, conv2d_karatsuba])
def test_what_they_are_not_made_for(kernel):
    size = 15 if kernel is conv2d_karatsuba else 14
    window = make_window((size, size), (3, 3), padding="same")
    assert kernel.applies(window, 1, 32, 32)
    for other in (
        make_window((14, 14), (3, 3), (2, 2)),
        make_window((14, 14), (3, 3), dilation=(2, 2)),
        make_window((14, 14), (5, 3)),
        make_window((3, 3), (3, 3)),  # one output of a whole tile
    ):
        assert not kernel.applies(other, 1, 32, 32)
    assert not kernel.applies(window, 2, 32, 32)
    assert not kernel.applies(window, 1, 8, 32)
    assert not kernel.applies(window, 1, 32, 48)


def test_the_book_s_third_convolution_is_one_tile():
    """Of F(3×3, 3×3) and of Karatsuba's product; four of F(2×2, 3×3) hardly save any."""
    assert conv2d_winograd.applies(BOOK.window, 1, 64, 64)
    assert conv2d_karatsuba.applies(BOOK.window, 1, 64, 64)
    assert not conv2d_winograd_forward.applies(BOOK.window, 1, 64, 64)


@pytest.mark.parametrize(
    ("size", "expected"), [(3, True), (4, False), (6, False), (9, True), (10, False), (112, False)]
)
def test_karatsuba_s_product_is_taken_where_it_has_fewer_products(size, expected):
    assert conv2d_karatsuba.applies(make_window((size, size), (3, 3), padding="same"), 1, 32, 32) == expected


def test_the_direct_kernels_give_other_bits():
    """Otherwise the tests above could not tell them apart."""
    x, w, b, dy = BOOK.arrays(real=True)
    for run in FORWARD:
        assert (run(BOOK, x, w, b) != direct.forward(BOOK, x, w, b)).any()
    for ours, theirs in zip(backward(BOOK, dy, x, w)[:2], direct.backward(BOOK, dy, x, w)[:2], strict=True):
        assert (ours != theirs).any()
