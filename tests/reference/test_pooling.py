"""Pooling against brute-force loops: windows, and whole feature maps."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given

from minicnn.geometry import make_window
from minicnn.reference.average_pool2d import average_pool2d_backward, average_pool2d_forward
from minicnn.reference.global_pool2d import (
    global_average_pool2d_backward,
    global_average_pool2d_forward,
    global_max_pool2d_backward,
    global_max_pool2d_forward,
)
from minicnn.reference.max_pool2d import max_pool2d_backward, max_pool2d_forward
from minicnn.testing import oracles, tolerances
from minicnn.testing.strategies import FINITE_VALUES, VALUES, make_array, pool_cases, pool_geometries
from tests.reference.against import arithmetic, assert_exact, assert_within, frozen, pool_window


@given(pool_cases(values=[*VALUES]))
def test_max_pooling(case):
    x, options = case.x, case.geometry.options()
    y, residuals = max_pool2d_forward(*frozen(x), pool_window(case.geometry))
    assert_exact(y, oracles.max_pooling2d_forward(x, **options), x.dtype)
    dy = np.nan_to_num(case.dy, posinf=2.0, neginf=-2.0)
    (dx,) = max_pool2d_backward(*frozen(dy), residuals)
    bound = tolerances.pooling2d_backward_bound(dy, x, kind="max", arithmetic=arithmetic(x), **options)
    assert_within(dx, oracles.max_pooling2d_backward(dy, x, **options), bound, x.dtype)


@pytest.mark.parametrize(
    ("pool_size", "strides", "padding"),
    [
        ((2, 2), (1, 1), "valid"),
        ((2, 2), (1, 1), "same"),
        ((3, 3), (1, 1), "same"),
        ((2, 1), (2, 1), "valid"),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_max_pooling_of_every_tie_nan_and_infinity(pool_size, strides, padding, dtype):
    """All 625 images of 2×2 pixels among five: the first NaN wins, else the first of the largest; padding never."""
    x = np.array(list(product([np.nan, -np.inf, -1.0, 0.5, np.inf], repeat=4)), dtype).reshape(-1, 2, 2, 1)
    window = make_window((2, 2), pool_size, strides, padding)
    y, residuals = max_pool2d_forward(*frozen(x), window)
    assert y.dtype == dtype
    dy = np.full(y.shape, 1.5, dtype)
    (dx,) = max_pool2d_backward(*frozen(dy), residuals)
    expected = np.zeros_like(x)
    for n, i, j in np.ndindex(y.shape[:3]):
        pixels = []
        for p, q in product(*map(range, pool_size)):
            row = i * strides[0] + p - window.pads_before[0]
            column = j * strides[1] + q - window.pads_before[1]
            if 0 <= row < 2 and 0 <= column < 2:
                pixels.append((p * pool_size[1] + q, row, column, x[n, row, column, 0]))
        winner = next((pixel for pixel in pixels if np.isnan(pixel[3])), None)
        if winner is None:
            winner = max(pixels, key=lambda pixel: pixel[3])  # the first of equals
        index, row, column, value = winner
        assert residuals.argmax[n, i, j, 0] == index
        assert_exact(y[n, i, j, 0], value, dtype)
        expected[n, row, column, 0] += 1.5
    assert_exact(dx, expected, dtype)


@given(pool_cases(values=FINITE_VALUES))
def test_average_pooling(case):
    x, dy, options, rules = case.x, case.dy, case.geometry.options(), arithmetic(case.x)
    y, residuals = average_pool2d_forward(*frozen(x), pool_window(case.geometry))
    bound = tolerances.average_pooling2d_bound(x, arithmetic=rules, **options)
    assert_within(y, oracles.average_pooling2d_forward(x, **options), bound, x.dtype)
    (dx,) = average_pool2d_backward(*frozen(dy), residuals)
    bound = tolerances.pooling2d_backward_bound(dy, x, kind="average", arithmetic=rules, **options)
    assert_within(dx, oracles.average_pooling2d_backward(dy, x.shape, **options), bound, x.dtype)


@given(pool_cases(values=FINITE_VALUES))
def test_global_average_pooling(case):
    x = case.x
    whole = {"pool_size": x.shape[1:3]}
    y, residuals = global_average_pool2d_forward(*frozen(x))
    bound = tolerances.average_pooling2d_bound(x, arithmetic=arithmetic(x), **whole)[:, 0, 0]
    assert_within(y, oracles.global_average_pooling2d_forward(x), bound, x.dtype)
    dy = make_array(y.shape, "normal", 0, x.dtype)
    (dx,) = global_average_pool2d_backward(*frozen(dy), residuals)
    exact = oracles.global_average_pooling2d_backward(dy, x.shape)
    assert_within(dx, exact, arithmetic(x).sum_bound(2, np.abs(exact)), x.dtype)


def test_global_max_pooling_gives_the_gradient_to_the_nans():
    """A NaN is the maximum, and it alone; two of them share."""
    x = np.array([[1.0, np.nan, 2.0], [np.nan, 3.0, np.inf]]).reshape(1, 2, 3, 1)
    y, residuals = global_max_pool2d_forward(x)
    assert np.isnan(y).all()
    (dx,) = global_max_pool2d_backward(np.array([[6.0]]), residuals)
    assert_exact(dx, np.array([[0.0, 3.0, 0.0], [3.0, 0.0, 0.0]]).reshape(1, 2, 3, 1), np.float64)


@given(pool_cases(pool_geometries(max_extra=3), values=["distinct", "ties", "negative", "special"]))
def test_global_max_pooling_shares_the_gradient_among_ties(case):
    x = case.x
    y, residuals = global_max_pool2d_forward(*frozen(x))
    assert_exact(y, oracles.global_max_pooling2d_forward(x), x.dtype)
    dy = make_array(y.shape, "integers", 1, x.dtype)
    (dx,) = global_max_pool2d_backward(*frozen(dy), residuals)
    for n, c in np.ndindex(y.shape):
        pixels = x[n, :, :, c]
        tied = np.isnan(pixels) if np.isnan(y[n, c]) else pixels == y[n, c]
        expected = np.where(tied, dy[n, c] / x.dtype.type(tied.sum()), 0)
        assert_exact(dx[n, :, :, c], expected, x.dtype)
