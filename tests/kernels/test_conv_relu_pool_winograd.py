"""The kernels of conv+ReLU+pool for 3×3 taps and many channels: forward by Winograd, dx window by window.

Exact on integers, within their bounds on real numbers, the same bits in any chunk; forward is direct where numbers end.
"""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minicnn.geometry import make_window
from minicnn.kernels import conv_relu_pool_windows, conv_relu_pool_winograd
from minicnn.reference import conv_relu_pool as reference
from minicnn.reference.conv2d import conv2d_backward, conv2d_forward
from minicnn.testing.tolerances import conv2d_bound
from minicnn.testing.tolerances.arithmetic import Arithmetic
from tests.kernels.cases import DTYPES, ConvCase, at_every_alignment
from tests.kernels.test_convolution import bias, pooled

pytestmark = pytest.mark.jitted  # drawn shapes; test_every_kernel.py has one for plain Python


def pool_of(case):
    return make_window(case.window.output_size, (2, 2), (2, 2))


def winograd(case, x, w, b):
    channels, filters = w.shape[2:]
    y = np.full((len(x), *pool_of(case).output_size, filters), 7, case.dtype)
    argmax = np.full(y.shape, 255, np.uint8)
    u = np.empty((4, 4, channels, filters), case.dtype)
    conv_relu_pool_winograd.transform_weights(w, u)
    # NaN, so that a number that is read before it is written shows.
    block = np.full(conv_relu_pool_winograd.block_shape(channels, filters), np.nan, case.dtype)
    assert conv_relu_pool_winograd.applies(case.window, pool_of(case), channels, filters)
    conv_relu_pool_winograd.conv_relu_pool_winograd_forward(
        x, (w, b, u), y, argmax, block, case.window, pool_of(case)
    )
    return y, argmax


def windows(case, maxima, w):
    packed = np.full(conv_relu_pool_windows.packed_shape(*w.shape[2:]), np.nan, case.dtype)
    conv_relu_pool_windows.pack_for_windows(w, packed)
    dx = np.full((len(maxima[0]), *case.window.image_size, case.channels), 7, case.dtype)
    conv_relu_pool_windows.windows_backward_x(*maxima, packed, dx, case.window)
    return dx


@st.composite
def cases(draw, channels=(16, 32, 80), filters=(32, 64, 96)):
    """Odd and even maps, one tile and several blocks of them, one part of 64 channels and two."""
    padding = draw(st.sampled_from(("valid", "same")))
    size = draw(st.tuples(st.integers(4, 13), st.integers(4, 13)))
    return ConvCase(
        images=draw(st.integers(1, 5)),
        channels=draw(st.sampled_from(channels)),
        filters=draw(st.sampled_from(filters)),
        window=make_window(size, (3, 3), padding=padding),
        groups=1,
        has_bias=draw(st.booleans()),
        dtype=draw(st.sampled_from(DTYPES)),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


BOOK = ConvCase(3, 32, 64, make_window((13, 13), (3, 3)), 1, True, np.float32, 0)


@given(cases())
@example(BOOK)
def test_integers_are_exact_and_the_first_maximum_wins(case):
    x, w, b, _ = case.arrays()
    y, argmax = winograd(case, x, w, b)
    expected, residuals = reference.conv_relu_pool_forward(x, w, bias(b), case.window, pool_of(case))
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(argmax[y > 0], residuals.pool.argmax[y > 0])
    dy = np.random.default_rng(case.seed).integers(-3, 4, y.shape).astype(case.dtype)
    dx, _, _ = reference.conv_relu_pool_backward(dy, residuals)
    np.testing.assert_array_equal(windows(case, (dy, y, argmax), w), dx)


SCALES = st.sampled_from(("normal", "after a ReLU", "one sign", "sizes from 2⁻¹⁰ to 2¹⁰", "subnormal"))


def scaled(x, kind, rng):
    if kind == "after a ReLU":
        return np.maximum(x, 0)
    if kind == "one sign":
        return abs(x)
    if kind == "subnormal":
        return x * x.dtype.type(np.finfo(x.dtype).tiny)
    return x * np.exp2(rng.integers(-10, 11, x.shape)).astype(x.dtype) if kind.startswith("sizes") else x


@given(cases(channels=(16, 80), filters=(32,)), SCALES, SCALES)
@settings(max_examples=30, deadline=None)
@example(BOOK, "after a ReLU", "normal")
def test_real_numbers_are_within_winograds_bound(case, of_x, of_w):
    """Pooling takes the maximum of four numbers, so it is off by no more than the worst of them."""
    x, w, b, _ = case.arrays(real=True)
    rng = np.random.default_rng(case.seed)
    x, w = scaled(x, of_x, rng), scaled(w, of_w, rng)
    padding = "same" if case.window.pads_before != (0, 0) else "valid"
    arithmetic = Arithmetic(case.dtype, algorithm="winograd")
    bounds = conv2d_bound(x, w, bias(b), arithmetic=arithmetic, padding=padding)
    wide = [a.astype(np.float64) for a in (x, w, b)]
    exact, _ = reference.conv_relu_pool_forward(*wide[:2], bias(wide[2]), case.window, pool_of(case))
    y, _ = winograd(case, x, w, b)
    (height, width), tiles = pool_of(case).output_size, bounds[:, : 2 * y.shape[1], : 2 * y.shape[2]]
    worst = tiles.reshape(len(x), height, 2, width, 2, -1).max(axis=(2, 4))
    assert (abs(y - exact) <= worst).all()


@given(cases())
@settings(max_examples=30)
@example(BOOK)
def test_dx_is_within_the_rounding_bound(case):
    x, w, b, _ = case.arrays(real=True)
    y, argmax = winograd(case, x, w, b)
    dy = np.random.default_rng(case.seed).standard_normal(y.shape).astype(case.dtype)
    exact, magnitude = (
        routed_dx(case, *(a.astype(np.float64) for a in arrays), y, argmax)
        for arrays in ((dy, w), (abs(dy), abs(w)))
    )
    # An element gets at most one product of each filter from each of four windows.
    bound = Arithmetic(case.dtype).sum_bound(4 * case.filters, magnitude)
    assert (abs(windows(case, (dy, y, argmax), w) - exact) <= bound).all()


def routed_dx(case, dy, w, y, argmax):
    """dx in float64 by the reference of the convolution alone: dy goes to where argmax says."""
    (height, width), dz = case.window.output_size, np.zeros((len(dy), *case.window.output_size, case.filters))
    for tap in range(4):
        rows, columns = slice(tap // 2, height // 2 * 2, 2), slice(tap % 2, width // 2 * 2, 2)
        dz[:, rows, columns] = np.where((argmax == tap) & (y > 0), dy, 0)
    x = np.zeros((len(dy), *case.window.image_size, case.channels))
    return conv2d_backward(dz, conv2d_forward(x, w, None, case.window)[1])[0]


@given(cases(), st.integers(1, 4))
@settings(max_examples=30)
@example(BOOK, 2)
def test_an_image_has_the_same_bits_in_any_chunk(case, cut):
    x, w, b, _ = case.arrays(real=True)
    y, argmax = winograd(case, x, w, b)
    dy = np.random.default_rng(case.seed).standard_normal(y.shape).astype(case.dtype)
    dx = windows(case, (dy, y, argmax), w)
    for first in range(0, len(x), cut):
        part = slice(first, first + cut)
        parts = *winograd(case, x[part], w, b), windows(case, (dy[part], y[part], argmax[part]), w)
        for ours, whole in zip(parts, (y, argmax, dx), strict=True):
            np.testing.assert_array_equal(ours, whole[part])


@given(cases())
@settings(max_examples=10)
@example(BOOK)
def test_the_place_in_memory_changes_no_bit(case):
    x, w, b, _ = case.arrays(real=True)
    expected = y, argmax = winograd(case, x, w, b)
    dx = windows(case, (y, y, argmax), w)
    for copies in zip(*(at_every_alignment(a) for a in (x, w, b, y)), strict=True):
        for ours, theirs in zip(winograd(case, *copies[:3]), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(windows(case, (copies[3], copies[3], argmax), copies[1]), dx)


@pytest.mark.parametrize(
    ("number", "size"),
    [(np.nan, 1), (np.inf, 1), (-np.inf, 1), (3e38, 2)],
    ids=["NaN", "∞", "-∞", "overflow"],
)
@pytest.mark.parametrize("place", [(0, 0), (3, 3), (5, 4), (10, 10), (12, 12)])
def test_an_image_with_a_number_that_does_not_stay_finite_is_computed_directly(number, size, place):
    """Sums of neighbours of 3e38 overflow; the direct kernel multiplies each by a small weight first."""
    x, w, b, _ = BOOK.arrays(real=True)
    w /= 64
    expected, expected_argmax = winograd(BOOK, x, w, b)
    x[1, place[0] : place[0] + size, place[1] : place[1] + size, :2] = number
    y, argmax = winograd(BOOK, x, w, b)
    direct, direct_argmax = pooled(BOOK, pool_of(BOOK), x, w, b)
    assert size == 1 or np.isfinite(direct).all()
    for n in range(3):
        # What lies in the last row and column is discarded by the pool: no result of image 1 can tell.
        is_direct = n == 1 and max(place) < 12
        np.testing.assert_array_equal(y[n], direct[n] if is_direct else expected[n])
        np.testing.assert_array_equal(argmax[n], direct_argmax[n] if is_direct else expected_argmax[n])


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_weight_or_a_bias_that_is_not_finite_reaches_what_it_reaches_directly(number):
    x, w, b, _ = BOOK.arrays()
    for array, place in ((w, (0, 2, 5, 7)), (b, (9,))):
        before = array[place]
        array[place] = number
        np.testing.assert_array_equal(winograd(BOOK, x, w, b)[0], pooled(BOOK, pool_of(BOOK), x, w, b)[0])
        array[place] = before


def test_what_it_is_not_made_for():
    window, pool = BOOK.window, pool_of(BOOK)
    assert conv_relu_pool_winograd.applies(window, pool, 32, 64)
    for other in (
        make_window((13, 13), (3, 3), (2, 2)),
        make_window((13, 13), (3, 3), dilation=(2, 2)),
        make_window((13, 13), (2, 3)),
    ):
        assert not conv_relu_pool_winograd.applies(
            other, make_window(other.output_size, (2, 2), (2, 2)), 32, 64
        )
    assert not conv_relu_pool_winograd.applies(window, make_window((11, 11), (2, 3), (2, 3)), 32, 64)
    assert not conv_relu_pool_winograd.applies(window, pool, 1, 64)
    assert not conv_relu_pool_winograd.applies(window, pool, 32, 10)


def test_the_direct_kernel_gives_other_bits():
    """Otherwise the tests above could not tell the two apart."""
    x, w, b, _ = BOOK.arrays(real=True)
    assert (winograd(BOOK, x, w, b)[0] != pooled(BOOK, pool_of(BOOK), x, w, b)[0]).any()
