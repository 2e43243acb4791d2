"""The kernels of conv+ReLU+pool for one channel: the properties of the general ones, where those are picked."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minicnn.geometry import make_window
from minicnn.kernels._simd import VECTOR_NBYTES
from minicnn.kernels.conv_relu_pool_patches import applies
from minicnn.reference import conv_relu_pool as reference
from tests.kernels import test_convolution as convolution
from tests.kernels.cases import ConvCase, at_every_alignment

pytestmark = [
    pytest.mark.jitted,  # drawn shapes; test_every_kernel.py has one for plain Python
    pytest.mark.skipif(VECTOR_NBYTES < 32, reason="needs vectors of eight numbers"),
]


@st.composite
def cases(draw):
    """Odd and even maps, one window and more than a partial sum has, with a border of zeros and without."""
    size = draw(st.tuples(st.integers(4, 21), st.integers(4, 21)))
    case = ConvCase(
        images=draw(st.integers(1, 4)),
        channels=1,
        filters=draw(st.sampled_from((32, 64, 96))),
        window=make_window(size, (3, 3), padding=draw(st.sampled_from(("valid", "same")))),
        groups=1,
        has_bias=draw(st.booleans()),
        dtype=np.float32,
        seed=draw(st.integers(0, 2**32 - 1)),
    )
    return case, pool_of(case)


def pool_of(case):
    return make_window(case.window.output_size, (2, 2), (2, 2))


BOOK = ConvCase(2, 1, 32, make_window((28, 28), (3, 3)), 1, True, np.float32, 1)


def drawn(test, *args):
    test.hypothesis.inner_test(*args)


@given(cases())
@example((BOOK, pool_of(BOOK)))
def test_integers_are_exact_and_the_first_maximum_wins(case_and_pool):
    case, pool = case_and_pool
    assert applies(case.arrays()[1], case.window, pool)
    drawn(convolution.test_conv_relu_pool_is_exact_on_integers, case_and_pool)


@given(cases(), st.integers(1, 3))
@settings(max_examples=30)
def test_an_image_has_the_same_bits_in_any_chunk(case_and_pool, cut):
    drawn(convolution.test_an_image_has_the_same_bits_in_any_chunk, case_and_pool, cut)


@given(cases())
@settings(max_examples=20)
def test_the_place_in_memory_changes_no_bit(case_and_pool):
    case, pool = case_and_pool
    x, w, b, dy = case.arrays(real=True)
    y, argmax = convolution.pooled(case, pool, x, w, b)
    dy = dy[:, : pool.output_size[0], : pool.output_size[1]].copy()
    _, dw, db = convolution.pooled_backward(case, pool, (dy, y, argmax), x, w)
    copies = zip(*(at_every_alignment(a) for a in (x, w, b, dy, y)), strict=True)
    for x_there, w_there, b_there, dy_there, y_there in copies:
        for ours, expected in zip(
            convolution.pooled(case, pool, x_there, w_there, b_there), (y, argmax), strict=True
        ):
            np.testing.assert_array_equal(ours, expected)
        maxima = dy_there, y_there, argmax
        for ours, expected in zip(
            convolution.pooled_backward(case, pool, maxima, x_there, w)[1:], (dw, db), strict=True
        ):
            np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (5, 4), (13, 14), (27, 27)])
def test_what_is_not_finite_passes_through_relu_and_pool(place, number):
    x, w, b, _ = BOOK.arrays()
    x[1, *place, 0] = number
    ours, argmax = convolution.pooled(BOOK, pool_of(BOOK), x, w, b)
    theirs, residuals = reference.conv_relu_pool_forward(x, w, b, BOOK.window, pool_of(BOOK))
    np.testing.assert_array_equal(ours, theirs)
    assert not np.isfinite(ours[1]).all()
    where = ~(ours <= 0)
    np.testing.assert_array_equal(argmax[where], residuals.pool.argmax[where])


@pytest.mark.parametrize(
    "change",
    [
        {"window": make_window((9, 9), (3, 3), (2, 1))},
        {"window": make_window((9, 9), (3, 3), dilation=(1, 2))},
        {"window": make_window((9, 9), (3, 2))},
        {"filters": 33},
        {"channels": 2},
        {"dtype": np.float64},
    ],
    ids=str,
)
def test_other_geometries_are_left_to_the_general_kernels(change):
    fields = {"channels": 1, "filters": 32, "window": make_window((9, 9), (3, 3)), "dtype": np.float32}
    changed = fields | change
    case = ConvCase(images=2, groups=1, has_bias=True, seed=0, **changed)
    assert not applies(case.arrays()[1], case.window, pool_of(case))
    drawn(convolution.test_conv_relu_pool_is_exact_on_integers, (case, pool_of(case)))
