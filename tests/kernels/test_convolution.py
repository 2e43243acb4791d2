"""Convolution kernels against the reference: exact on integers, within the rounding bound on real numbers."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minicnn.geometry import make_window
from minicnn.kernels import conv2d, conv_relu_pool
from minicnn.reference import conv2d as reference
from minicnn.reference import conv_relu_pool as pool_reference
from minicnn.testing.tolerances.arithmetic import Arithmetic
from tests.kernels.cases import ConvCase, at_every_alignment, conv_cases, conv_pool_cases, large

pytestmark = pytest.mark.jitted  # drawn shapes; test_every_kernel.py has a few of them for plain Python

BOOK_CONV_2 = ConvCase(3, 32, 64, make_window((13, 13), (3, 3)), 1, True, np.float32, 0)
BOOK_CONV_1 = ConvCase(2, 1, 32, make_window((28, 28), (3, 3)), 1, True, np.float32, 1)
POOL_2 = make_window((11, 11), (2, 2), (2, 2))
# A single weight row per tile, a single image, everything of size one.
TINY = ConvCase(1, 1, 1, make_window((1, 1), (1, 1)), 1, False, np.float64, 2)
DEPTHWISE = ConvCase(2, 37, 37, make_window((9, 8), (3, 2), (2, 1), "same"), 37, True, np.float32, 3)


def forward(case, x, w, b, window=None):
    y = np.full((len(x), *case.window.output_size, case.filters), 7, case.dtype)
    conv2d.conv2d_forward(x, w, b, y, window or case.window, case.groups)
    return y


def backward(case, dy, x, w):
    w_t = np.empty((*w.shape[:2], case.filters // case.groups, case.channels), case.dtype)
    conv2d.pack_transposed(w, w_t, case.groups)
    dx, dw, db = np.full_like(x, 7), np.ones_like(w), np.ones(case.filters, case.dtype)
    conv2d.conv2d_backward_x(dy, w_t, dx, case.window, case.groups)
    conv2d.conv2d_backward_w(dy, x, dw, db, case.window, case.groups)
    return dx, dw - 1, db - 1


def bias(b):
    return b if b.size else None


@given(conv_cases())
@example(BOOK_CONV_2)
@example(BOOK_CONV_1)
@example(TINY)
@example(large(BOOK_CONV_1))
@example(DEPTHWISE)
def test_conv2d_is_exact_on_integers(case):
    x, w, b, dy = case.arrays()
    y, residuals = reference.conv2d_forward(x, w, bias(b), case.window, case.groups)
    np.testing.assert_array_equal(forward(case, x, w, b), y)
    for ours, theirs in zip(backward(case, dy, x, w), reference.conv2d_backward(dy, residuals), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@given(conv_cases())
@settings(max_examples=30)
@example(BOOK_CONV_2)
def test_conv2d_is_within_the_rounding_bound(case):
    x, w, b, dy = case.arrays(real=True)
    wide = [a.astype(np.float64) for a in (x, w, b, dy)]
    arithmetic = Arithmetic(case.dtype)

    def all_results(x, w, b, dy):
        y, residuals = reference.conv2d_forward(x, w, bias(b), case.window, case.groups)
        return y, *reference.conv2d_backward(dy, residuals)

    ours = forward(case, x, w, b), *backward(case, dy, x, w)
    pixels = dy.size // case.filters
    terms = w[..., 0].size + 1, dy.size, pixels + 1, pixels + 1
    # dw and db are read from buffers that held 1: that addition and its undoing are two more roundings of about 1.
    extra = 0, 0, 3, 3
    exact, magnitudes = all_results(*wide), all_results(*(np.abs(a) for a in wide))
    for y, expected, magnitude, n, more in zip(ours, exact, magnitudes, terms, extra, strict=True):
        bound = arithmetic.sum_bound(n, magnitude + more)
        assert (np.abs(y - expected) <= bound).all()


@given(conv_cases())
@settings(max_examples=30)
@example(DEPTHWISE)
def test_conv_relu_is_the_composition(case):
    x, w, b, _ = case.arrays()
    y = np.full((case.images, *case.window.output_size, case.filters), 7, case.dtype)
    conv2d.conv_relu_forward(x, w, b, y, case.window, case.groups)
    np.testing.assert_array_equal(y, np.maximum(forward(case, x, w, b), 0))


@given(conv_pool_cases())
@example((BOOK_CONV_2, POOL_2))
@example((BOOK_CONV_1, make_window((26, 26), (2, 2), (2, 2))))
@example((TINY, make_window((1, 1), (1, 1), (1, 1))))
def test_conv_relu_pool_is_exact_on_integers(case_and_pool):
    case, pool = case_and_pool
    x, w, b, _ = case.arrays()
    y, residuals = pool_reference.conv_relu_pool_forward(x, w, bias(b), case.window, pool)
    ours, argmax = pooled(case, pool, x, w, b)
    np.testing.assert_array_equal(ours, y)
    np.testing.assert_array_equal(argmax[y > 0], residuals.pool.argmax[y > 0])
    dy = np.random.default_rng(case.seed).integers(-3, 4, y.shape).astype(case.dtype)
    expected = pool_reference.conv_relu_pool_backward(dy, residuals)
    for a, b in zip(pooled_backward(case, pool, (dy, ours, argmax), x, w), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def pooled(case, pool, x, w, b):
    y = np.full((len(x), *pool.output_size, case.filters), 7, case.dtype)
    argmax = np.full(y.shape, 255, np.uint8)
    conv_relu_pool.conv_relu_pool_forward(x, w, b, y, argmax, case.window, pool)
    return y, argmax


def pooled_backward(case, pool, maxima, x, w):
    packed = np.empty((case.filters, *w.shape[:3]), case.dtype)
    conv_relu_pool.pack_by_filter(w, packed)
    dx, dw, db = np.full_like(x, 7), np.ones_like(w), np.ones(case.filters, case.dtype)
    conv_relu_pool.conv_relu_pool_backward_x(*maxima, packed, dx, case.window, pool)
    conv_relu_pool.conv_relu_pool_backward_w(*maxima, x, dw, db, case.window, pool)
    return dx, dw - 1, db - 1


@given(conv_pool_cases(), st.integers(1, 4))
@settings(max_examples=50)
@example((BOOK_CONV_2, POOL_2), 2)
def test_an_image_has_the_same_bits_in_any_chunk(case_and_pool, cut):
    """Real numbers, every position, every remainder: the other images of a chunk change no bit."""
    case, pool = case_and_pool
    x, w, b, dy = case.arrays(real=True)
    dy_pooled = np.ascontiguousarray(dy[:, : pool.output_size[0], : pool.output_size[1]])

    def results(part):
        y, argmax = pooled(case, pool, x[part], w, b)
        dx = pooled_backward(case, pool, (dy_pooled[part], y, argmax), x[part], w)[0]
        return forward(case, x[part], w, b), backward(case, dy[part], x[part], w)[0], y, argmax, dx

    whole = results(slice(None))
    for n in range(0, len(x), cut):
        for one, all_ in zip(results(slice(n, n + cut)), whole, strict=True):
            np.testing.assert_array_equal(one, all_[n : n + cut])


@given(conv_cases())
@settings(max_examples=20)
@example(BOOK_CONV_2)
@example(DEPTHWISE)
def test_the_place_in_memory_changes_no_bit(case):
    x, w, b, dy = case.arrays(real=True)
    expected = forward(case, x, w, b), *backward(case, dy, x, w)
    for copies in zip(*(at_every_alignment(a) for a in (x, w, b, dy)), strict=True):
        x, w, b, dy = copies
        for ours, theirs in zip((forward(case, x, w, b), *backward(case, dy, x, w)), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("place", [(0, 0), (3, 3), (5, 4), (12, 12)])
def test_nan_passes_through_relu_and_pool(place):
    x, w, b, _ = BOOK_CONV_2.arrays()
    x[1, place[0], place[1], 4] = np.nan
    ours, _ = pooled(BOOK_CONV_2, POOL_2, x, w, b)
    theirs, _ = pool_reference.conv_relu_pool_forward(x, w, b, BOOK_CONV_2.window, POOL_2)
    np.testing.assert_array_equal(ours, theirs)
    assert np.isnan(ours).any() == (max(place) < 12)  # pooling discards what only the last row and column see


def test_a_window_shifted_by_one_is_noticed():
    """The comparison itself: a planted bug must show."""
    x, w, b, _ = BOOK_CONV_2.arrays()
    same = make_window((13, 13), (3, 3), padding="same")
    wrong = same._replace(pads_before=(0, 1), pads_after=(2, 1))
    case = ConvCase(3, 32, 64, same, 1, True, np.float32, 0)
    expected, _ = reference.conv2d_forward(x, w, b, same)
    np.testing.assert_array_equal(forward(case, x, w, b), expected)
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(forward(case, x, w, b, wrong), expected)
