"""Dense layers against brute-force loops, for inputs of any rank."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minicnn.reference.activations import relu_backward, relu_forward
from minicnn.reference.dense import dense_backward, dense_forward, dense_relu_backward, dense_relu_forward
from minicnn.testing import oracles, tolerances
from minicnn.testing.strategies import EXACT_VALUES, FINITE_VALUES, dense_cases, make_array
from tests.reference.against import arithmetic, assert_exact, assert_within, frozen

LEADING = st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple)


@given(dense_cases(values=FINITE_VALUES), st.booleans())
def test_within_the_rounding_bound(case, use_bias):
    b, rules = case.b if use_bias else None, arithmetic(case.x)
    x, w, dy = frozen(case.x, case.w, case.dy)
    y, residuals = dense_forward(x, w, b)
    assert_within(
        y, oracles.dense_forward(x, w, b), tolerances.dense_bound(x, w, b, arithmetic=rules), x.dtype
    )
    bounds = tolerances.dense_backward_bound(dy, x, w, arithmetic=rules)
    for ours, exact, bound in zip(
        dense_backward(dy, residuals), oracles.dense_backward(dy, x, w), bounds, strict=True
    ):
        assert_within(ours, exact, bound, x.dtype)


@given(dense_cases(values=EXACT_VALUES), LEADING)
def test_every_leading_axis_is_a_batch_axis(case, leading):
    x = make_array((*leading, case.geometry.inputs), "integers", 1, case.w.dtype)
    dy = make_array((*leading, case.geometry.units), "integers", 2, case.w.dtype)
    y, residuals = dense_forward(*frozen(x, case.w, case.b))
    assert_exact(y, oracles.dense_forward(x, case.w, case.b, dtype=np.int64), case.w.dtype)
    for ours, exact in zip(
        dense_backward(*frozen(dy), residuals),
        oracles.dense_backward(dy, x, case.w, dtype=np.int64),
        strict=True,
    ):
        assert_exact(ours, exact, case.w.dtype)


@given(dense_cases(values=EXACT_VALUES))
def test_fused_relu_is_the_composition(case):
    z, dense = dense_forward(case.x, case.w, case.b)
    expected, relu = relu_forward(z)
    y, residuals = dense_relu_forward(*frozen(case.x, case.w, case.b))
    assert_exact(y, expected, case.x.dtype)
    for ours, theirs in zip(
        dense_relu_backward(*frozen(case.dy), residuals),
        dense_backward(relu_backward(case.dy, relu)[0], dense),
        strict=True,
    ):
        assert_exact(ours, theirs, case.x.dtype)
