"""Convolution, alone and with ReLU and pooling behind it, against brute-force loops."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minicnn.geometry import make_window
from minicnn.reference.activations import relu_backward, relu_forward
from minicnn.reference.conv2d import conv2d_backward, conv2d_forward
from minicnn.reference.conv_relu_pool import (
    conv_relu_backward,
    conv_relu_forward,
    conv_relu_pool_backward,
    conv_relu_pool_forward,
)
from minicnn.reference.max_pool2d import max_pool2d_backward, max_pool2d_forward
from minicnn.testing import oracles, tolerances
from minicnn.testing.strategies import (
    EXACT_VALUES,
    FINITE_VALUES,
    conv_cases,
    conv_geometries,
    make_array,
)
from tests.reference.against import arithmetic, assert_exact, assert_within, conv_window, frozen

EVERYTHING = conv_geometries(strided_dilation=True)


def run(case, b):
    """(y, dx, dw, db); b may be None."""
    x, w, dy = frozen(case.x, case.w, case.dy)
    y, residuals = conv2d_forward(x, w, b, conv_window(case.geometry), case.geometry.groups)
    return y, *conv2d_backward(dy, residuals)


@given(conv_cases(EVERYTHING, values=FINITE_VALUES), st.booleans())
def test_within_the_rounding_bound(case, use_bias):
    b, options, rules = case.b if use_bias else None, case.geometry.options(), arithmetic(case.x)
    exact = (
        oracles.conv2d_forward(case.x, case.w, b, **options),
        *oracles.conv2d_backward(case.dy, case.x, case.w, **options),
    )
    bounds = (
        tolerances.conv2d_bound(case.x, case.w, b, arithmetic=rules, **options),
        *tolerances.conv2d_backward_bound(case.dy, case.x, case.w, arithmetic=rules, **options),
    )
    for ours, expected, bound in zip(run(case, b), exact, bounds, strict=True):
        assert_within(ours, expected, bound, case.x.dtype)


@given(conv_cases(EVERYTHING, values=EXACT_VALUES))
def test_exact_on_small_integers(case):
    options = case.geometry.options()
    y, *gradients = run(case, case.b)
    assert_exact(y, oracles.conv2d_forward(case.x, case.w, case.b, dtype=np.int64, **options), case.x.dtype)
    expected = oracles.conv2d_backward(case.dy, case.x, case.w, dtype=np.int64, **options)
    for ours, exact in zip(gradients, expected, strict=True):
        assert_exact(ours, exact, case.x.dtype)


@given(conv_cases(EVERYTHING, values=["integers"]), st.integers(0, 2**32 - 1))
def test_nan_and_infinity_of_an_image_stay_where_they_belong(case, seed):
    x, options = make_array(case.x.shape, "special", seed, case.x.dtype), case.geometry.options()
    with np.errstate(invalid="ignore"):
        y, _ = conv2d_forward(x, case.w, None, conv_window(case.geometry), case.geometry.groups)
        expected = oracles.conv2d_forward(x, case.w, **options)
    assert_exact(y, expected, case.x.dtype)


@given(conv_cases(values=EXACT_VALUES), st.tuples(st.integers(1, 3), st.integers(1, 3)))
def test_fused_ops_are_compositions(case, pool_size):
    x, w, b = frozen(case.x, case.w, case.b)
    window = conv_window(case.geometry)
    z, conv = conv2d_forward(x, w, b, window, case.geometry.groups)
    a, relu = relu_forward(z)
    y, residuals = conv_relu_forward(x, w, b, window, case.geometry.groups)
    assert_exact(y, a, case.x.dtype)
    expected = conv2d_backward(relu_backward(case.dy, relu)[0], conv)
    for ours, theirs in zip(conv_relu_backward(case.dy, residuals), expected, strict=True):
        assert_exact(ours, theirs, case.x.dtype)

    if case.geometry.groups > 1:
        return
    pool_size = tuple(np.minimum(pool_size, window.output_size).tolist())
    pool = make_window(window.output_size, pool_size, pool_size)
    pooled, pooling = max_pool2d_forward(a, pool)
    y, residuals = conv_relu_pool_forward(x, w, b, window, pool)
    assert_exact(y, pooled, case.x.dtype)
    dy = np.ones_like(y) * np.arange(1, y.shape[-1] + 1, dtype=y.dtype)
    expected = conv2d_backward(relu_backward(max_pool2d_backward(dy, pooling)[0], relu)[0], conv)
    for ours, theirs in zip(conv_relu_pool_backward(dy, residuals), expected, strict=True):
        assert_exact(ours, theirs, case.x.dtype)


def test_one_group_unless_told_otherwise():
    x, w, window = np.ones((1, 3, 3, 2)), np.ones((2, 2, 2, 4)), make_window((3, 3), (2, 2))
    for forward in (conv2d_forward, conv_relu_forward):
        assert_exact(forward(x, w, None, window)[0], np.full((1, 2, 2, 4), 8.0), np.float64)
