"""Activations and softmax against their formulas in float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.reference import activations as reference
from minicnn.reference.softmax import softmax_backward, softmax_forward
from minicnn.testing import oracles, tolerances
from minicnn.testing.strategies import VALUES, array_cases, make_array, shapes
from tests.reference.against import arithmetic, assert_exact, assert_within, frozen

# Where e^x and x³ neither overflow nor vanish; beyond, the formulas have limits that are tested by example below.
MODERATE = ["integers", "ties", "sparse", "normal"]
SCALES = (1.0, 0.01, 5.0)

TABLE = {
    "relu": [{}],
    "sigmoid": [{}],
    "tanh": [{}],
    "silu": [{}],
    "softplus": [{}],
    "elu": [{}, {"alpha": 0.3}, {"alpha": 2.0}],
    "leaky_relu": [{}, {"negative_slope": 0.0}, {"negative_slope": 1.5}],
    "gelu": [{}, {"approximate": True}],
}
CASES = [(name, options) for name, every in TABLE.items() for options in every]


def pair(name):
    return getattr(reference, f"{name}_forward"), getattr(reference, f"{name}_backward")


@pytest.mark.parametrize(("name", "options"), CASES)
@given(case=array_cases(values=MODERATE, scales=SCALES))
def test_value_and_derivative(name, options, case):
    (forward, backward), rules = pair(name), arithmetic(case.x)
    y, residuals = forward(*frozen(case.x), **options)
    exact = oracles.activation_forward(name, case.x, **options)
    assert_within(
        y, exact, tolerances.activation_bound(name, case.x, arithmetic=rules, **options), case.x.dtype
    )
    (dx,) = backward(*frozen(case.dy), residuals)
    exact = oracles.activation_backward(name, case.dy, case.x, **options)
    bound = tolerances.activation_backward_bound(name, case.dy, case.x, arithmetic=rules, **options)
    assert_within(dx, exact, bound, case.x.dtype)


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_limits(name, options, dtype):
    """Far out, where exponentials overflow: no NaN appears that wasn't there, and a NaN stays."""
    x = np.array([-np.inf, -1e12, -800.0, 800.0, 1e12, np.inf, np.nan], dtype)
    with np.errstate(all="ignore"):
        y, residuals = pair(name)[0](x, **options)
        (dx,) = pair(name)[1](np.ones_like(x), residuals)
    assert np.isnan(y[-1])
    finite = slice(1, -2)
    assert np.isfinite(y[finite]).all()
    assert np.isfinite(dx[finite]).all()
    expected = oracles.activation_forward(name, x[finite], **options)
    np.testing.assert_allclose(y[finite], expected, rtol=1e-6, atol=1e-30)  # 6 digits of float32


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_empty_batch_stays_one(name, options, dtype):
    x = np.zeros((0, 3), dtype)
    y, residuals = pair(name)[0](x, **options)
    assert_exact(y, x, dtype)
    assert_exact(pair(name)[1](x, residuals)[0], x, dtype)


EXPONENTIAL = [(name, options) for name, options in CASES if name not in ("relu", "leaky_relu")]


@pytest.mark.parametrize(("name", "options"), EXPONENTIAL)
@given(case=array_cases(dtypes=[np.float32], values=MODERATE, scales=(*SCALES, 30.0)))
def test_float32_is_float64_rounded_once(name, options, case):
    """Widening the inputs changes no bit of the result: nothing on the way is rounded to float32."""
    forward, backward = pair(name)
    y, residuals = forward(case.x, **options)
    exact, exact_residuals = forward(case.x.astype(np.float64), **options)
    assert_exact(y, exact.astype(np.float32), np.float32)
    (dx,) = backward(case.dy, residuals)
    (exact,) = backward(case.dy.astype(np.float64), exact_residuals)
    assert_exact(dx, exact.astype(np.float32), np.float32)


@pytest.mark.parametrize("negative_slope", [0.0, 0.25])
@pytest.mark.parametrize("max_value", [None, 0.0, 2.0])
@pytest.mark.parametrize("threshold", [0.0, 0.5])
@given(case=array_cases(values=["integers", "ties", "normal"], dtypes=[np.float64]))
def test_clipped_relu(negative_slope, max_value, threshold, case):
    def value_and_slope(x):
        if x <= threshold:
            return (
                min(0.0, np.inf if max_value is None else max_value) - negative_slope * (threshold - x),
                negative_slope if x < threshold else 0.0,
            )
        if max_value is not None and x >= max_value:
            return max_value, 0.0
        return x, 1.0

    y, residuals = reference.clipped_relu_forward(*frozen(case.x), negative_slope, max_value, threshold)
    (dx,) = reference.clipped_relu_backward(*frozen(case.dy), residuals)
    for index in np.ndindex(case.x.shape):
        value, slope = value_and_slope(float(case.x[index]))
        assert y[index] == value
        assert dx[index] == slope * case.dy[index]


def test_clipped_relu_at_its_kinks_and_by_default():
    x = np.array([-2.0, 0.0, 1.5, 3.0, 4.0])
    for dtype in (np.float32, np.float64):
        y, residuals = reference.clipped_relu_forward(x.astype(dtype), 0.5, 3.0, 1.5)
        assert_exact(y, np.array([-1.75, -0.75, 0.0, 3.0, 3.0]), dtype)
        assert_exact(
            reference.clipped_relu_backward(np.ones(5, dtype), residuals)[0],
            np.array([0.5, 0.5, 0, 0, 0]),
            dtype,
        )
    x = np.array([-2.0, 0.0, 0.5, 4.0])
    y, residuals = reference.clipped_relu_forward(x)
    assert_exact(y, np.maximum(x, 0), np.float64)
    assert_exact(
        reference.clipped_relu_backward(np.ones(4), residuals)[0], np.array([0.0, 0, 1, 1]), np.float64
    )


@given(array_cases(shapes(min_dims=2), values=MODERATE, scales=(*SCALES, 30.0, 300.0)))
def test_softmax(case):
    rules = arithmetic(case.x)
    z, dy = frozen(case.x, case.dy)
    y, residuals = softmax_forward(z)
    exact = oracles.softmax_forward(z)
    assert_within(y, exact, tolerances.softmax_bound(z, arithmetic=rules), z.dtype)
    if z.dtype == np.float32:
        # Computed in float64 and rounded once: half an ULP, and what float64 itself is off by.
        assert tolerances.ulps(y - exact, exact).max() <= 0.51
    (dz,) = softmax_backward(dy, residuals)
    bound = tolerances.softmax_backward_bound(dy, z, arithmetic=rules)
    assert_within(dz, oracles.softmax_backward(dy, z), bound, z.dtype)


@given(array_cases(shapes(min_dims=2), dtypes=[np.float32], values=MODERATE, scales=(*SCALES, 30.0)))
def test_softmax_in_float32_is_float64_rounded_once(case):
    y, residuals = softmax_forward(case.x)
    exact, exact_residuals = softmax_forward(case.x.astype(np.float64))
    assert_exact(y, exact.astype(np.float32), np.float32)
    (dz,) = softmax_backward(case.dy, residuals)
    (exact,) = softmax_backward(case.dy.astype(np.float64), exact_residuals)
    assert_exact(dz, exact.astype(np.float32), np.float32)


@given(st.sampled_from([k for k in VALUES if k != "special"]), st.integers(0, 2**32 - 1))
def test_softmax_of_extreme_logits(values, seed):
    z = make_array((4, 6), values, seed, np.float32)
    y, _ = softmax_forward(z)
    assert np.isfinite(y).all()
    # Six summands, each half an ULP of at most one off.
    np.testing.assert_allclose(y.sum(-1), 1, rtol=0, atol=6 * 2.0**-24)
    shifted, _ = softmax_forward(np.float32(2) + np.rint(np.clip(z, -100, 100)))
    assert_exact(shifted, softmax_forward(np.rint(np.clip(z, -100, 100)))[0], np.float32)
