"""Dense, pooling, ReLU and cross-entropy kernels against the reference."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minicnn.geometry import make_window
from minicnn.kernels import average_pool2d, dense, elementwise, max_pool2d
from minicnn.kernels import softmax_crossentropy as ce
from minicnn.reference import average_pool2d as average_reference
from minicnn.reference import crossentropy as ce_reference
from minicnn.reference import dense as dense_reference
from minicnn.reference import max_pool2d as max_reference
from tests.kernels.cases import DTYPES, WIDTHS, numbers, pool_windows

pytestmark = pytest.mark.jitted  # drawn shapes; test_every_kernel.py has a few of them for plain Python

dense_shapes = st.tuples(
    st.integers(1, 20), st.sampled_from((*WIDTHS, 511, 513, 1200)), st.sampled_from((*WIDTHS, 10))
)
dtypes, seeds = st.sampled_from(DTYPES), st.integers(0, 2**32 - 1)


def dense_results(x, w, b, dy):
    y, dx = np.full_like(dy, 7), np.full_like(x, 7)
    dw, db = np.ones_like(w), np.ones_like(b)
    dense.dense_forward(x, w, b, y)
    dense.dense_backward_x(dy, w, dx)
    dense.dense_backward_w(dy, x, dw, db, 0, len(w))
    return y, dx, dw, db


@given(dense_shapes, dtypes, st.booleans(), seeds)
@example((16, 576, 64), np.float32, True, 0)
@example((64, 3000, 64), np.float32, True, 0)
@example((1, 1, 1), np.float64, False, 0)
def test_dense_is_exact_on_integers(shape, dtype, has_bias, seed):
    n, c, f = shape
    draw = numbers(seed, dtype)
    x, w, b, dy = draw(n, c), draw(c, f), draw(f if has_bias else 0), draw(n, f)
    expected_y, residuals = dense_reference.dense_forward(x, w, b if has_bias else None)
    expected = expected_y, *dense_reference.dense_backward(dy, residuals)
    ours = dense_results(x, w, b, dy)
    np.testing.assert_array_equal(ours[0], expected[0])
    np.testing.assert_array_equal(ours[1], expected[1])
    np.testing.assert_array_equal(ours[2] - 1, expected[2])
    np.testing.assert_array_equal(ours[3] - 1, expected[3] if has_bias else ours[3] - 1)


@given(dense_shapes, st.integers(1, 19), st.integers(0, 1200), seeds)
@settings(max_examples=50)
def test_dense_bits_depend_on_neither_chunk_nor_slices(shape, cut, row, seed):
    n, c, f = shape
    draw = numbers(seed, np.float32, real=True)
    x, w, b, dy = draw(n, c), draw(c, f), draw(f), draw(n, f)
    y, dx, dw, db = dense_results(x, w, b, dy)
    for first in range(0, n, cut):
        part = slice(first, first + cut)
        y_part, dx_part, _, _ = dense_results(x[part], w, b, dy[part])
        np.testing.assert_array_equal(y_part, y[part])
        np.testing.assert_array_equal(dx_part, dx[part])
    sliced, sliced_b, row = np.ones_like(w), np.ones_like(b), min(row, c)
    dense.dense_backward_w(dy, x, sliced, sliced_b, 0, row)
    dense.dense_backward_w(dy, x, sliced, sliced_b, row, c)
    np.testing.assert_array_equal(sliced, dw)
    # With row = 0 both calls start at 0: the caller's slices never do, and b would be added twice.
    if row > 0:
        np.testing.assert_array_equal(sliced_b, db)


@given(pool_windows(), st.integers(1, 3), st.sampled_from(WIDTHS), dtypes, st.booleans(), seeds)
@example(make_window((40, 33), (20, 16), (3, 3), "same"), 1, 2, np.float32, True, 0)
@example(make_window((1, 1), (1, 1)), 1, 1, np.float32, True, 0)
@example(make_window((26, 26), (2, 2), (2, 2)), 2, 32, np.float32, False, 0)
def test_max_pooling_equals_the_reference(window, images, channels, dtype, has_specials, seed):
    """Bit for bit, winners included, with ties everywhere and some NaN and −∞."""
    draw = numbers(seed, dtype)
    x = draw(images, *window.image_size, channels)
    if has_specials:
        x[draw(*x.shape) == 3] = np.nan
        x[draw(*x.shape) >= 1] = -np.inf
    taps = window.kernel_size[0] * window.kernel_size[1]
    y = np.full((images, *window.output_size, channels), 7, dtype)
    argmax = np.zeros(y.shape, np.uint8 if taps <= 255 else np.int32)
    max_pool2d.max_pool2d_forward(x, y, argmax, window)
    expected, residuals = max_reference.max_pool2d_forward(x, window)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(argmax, residuals.argmax)
    dy, dx = draw(*y.shape), np.full_like(x, 7)
    max_pool2d.max_pool2d_backward(dy, argmax, dx, window)
    np.testing.assert_array_equal(dx, max_reference.max_pool2d_backward(dy, residuals)[0])


@given(pool_windows(), st.integers(1, 3), st.sampled_from(WIDTHS), dtypes, seeds)
def test_average_pooling_equals_the_reference(window, images, channels, dtype, seed):
    draw = numbers(seed, dtype)
    x = draw(images, *window.image_size, channels)
    y, dx = np.full((images, *window.output_size, channels), 7, dtype), np.full_like(x, 7)
    average_pool2d.average_pool2d_forward(x, y, window)
    expected, residuals = average_reference.average_pool2d_forward(x, window)
    # Sums of integers are exact; a division may become a multiplication by the reciprocal ("arcp"): one rounding.
    np.testing.assert_allclose(y, expected, rtol=2 * np.finfo(dtype).eps)
    dy = draw(*y.shape)
    average_pool2d.average_pool2d_backward(dy, dx, window)
    (expected_dx,) = average_reference.average_pool2d_backward(dy, residuals)
    # At most 16 shares of at most 3, each with one rounding, and as many additions.
    np.testing.assert_allclose(dx, expected_dx, rtol=0, atol=32 * 3 * 16 * np.finfo(dtype).eps)


@given(st.integers(1, 300), dtypes, seeds)
@settings(max_examples=30)
def test_relu_in_place_and_not(size, dtype, seed):
    draw = numbers(seed, dtype)
    x, dy = draw(size), draw(size)
    x[0] = np.nan
    y, dx = np.empty_like(x), np.empty_like(x)
    elementwise.relu_forward(x, y)
    np.testing.assert_array_equal(y, np.maximum(x, 0))
    elementwise.relu_backward(dy, y, dx)
    np.testing.assert_array_equal(dx, np.where(y > 0, dy, 0))
    elementwise.relu_forward(x, x)
    elementwise.relu_backward(dy, y, dy)
    np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(dy, dx)


def crossentropy_in_long_double(z, t):
    """(loss, softmax) with 11 more bits than float64."""
    shifted = z.astype(np.longdouble) - z.max(-1, keepdims=True)
    total = np.exp(shifted).sum(-1, keepdims=True)
    others = np.exp(np.where(np.arange(z.shape[1]) == z.argmax(-1)[:, None], -np.inf, shifted)).sum(
        -1, keepdims=True
    )
    terms = np.where(t != 0, np.log1p(others) - shifted, 0) * t
    return terms.sum(-1), np.exp(shifted) / total


def ulps(ours, exact):
    """The largest error in units in the last place of the nearest number to the exact one."""
    return np.max(np.abs(ours - exact) / np.spacing(np.abs(exact).astype(ours.dtype)), initial=0)


@given(st.integers(1, 9), st.integers(1, 40), st.sampled_from((0.01, 1, 30, 1e4)), dtypes, seeds)
@example(6, 32, 0.01, np.float64, 4)  # 4.3 ULP, by the sum of 32 exponentials
def test_softmax_crossentropy(samples, classes, scale, dtype, seed):
    draw = numbers(seed, dtype, real=True)
    z, dloss = draw(samples, classes) * dtype(scale), draw(samples)
    if classes > 2:
        z[0, 1] = -np.inf
    t = np.eye(classes, dtype=dtype)[np.random.default_rng(seed).integers(0, classes, samples)]
    t[0] = np.eye(classes, dtype=dtype)[0]
    p, loss, dz = np.empty_like(z), np.empty(samples, dtype), np.empty_like(z)
    ce.softmax_crossentropy_forward(z, t, p, loss)
    ce.softmax_crossentropy_backward(z, t, dloss, dz)
    alone = np.full_like(z, 7)
    ce.softmax_forward(z, alone)
    np.testing.assert_array_equal(alone, p)
    expected, exact_p = crossentropy_in_long_double(z, t)
    # The package's own bars: 8 ULP for a loss, 4 for a softmax. In float64 the logits' differences are rounded too,
    # exp turns an error of u·|difference| into as many units of its result, and their sum has K − 1 roundings.
    shift = 0.0
    if dtype == np.float64:
        shift = np.max(np.where(np.isinf(z), 0, z.max(-1, keepdims=True) - z)) + classes - 1
    assert ulps(loss, expected) <= 8 + shift
    normal = exact_p >= np.finfo(dtype).tiny  # ULPs of subnormal numbers are no measure
    assert ulps(p[normal], exact_p[normal]) <= 4 + shift
    residuals = ce_reference.FromLogitsResiduals(p, t, z)
    (expected_dz,) = ce_reference.softmax_crossentropy_backward(dloss, residuals)
    # Both in float64: in float32 the same number rounded once, at most one step apart. In float64 three roundings of
    # numbers below 1, times dloss; exp may differ, and the kernel may fuse one.
    info = np.finfo(dtype)
    bound = 3 * info.eps * np.abs(dloss)[:, None]
    if dtype == np.float32:
        bound = info.eps * np.abs(expected_dz) + info.smallest_subnormal
    assert (np.abs(dz - expected_dz) <= bound).all()


@pytest.mark.parametrize("largest", [1e30, -1e30, 80.0])
def test_softmax_of_extreme_logits(largest):
    z = np.array([[largest, largest, -np.inf], [largest, 0, 0]], np.float32)
    t, p, loss = np.eye(3, dtype=np.float32)[:2], np.empty_like(z), np.empty(2, np.float32)
    ce.softmax_crossentropy_forward(z, t, p, loss)
    np.testing.assert_allclose(loss[0], np.log(2), rtol=1e-7)  # one rounding of float32
    np.testing.assert_array_equal(p[0], [0.5, 0.5, 0])
    assert np.isfinite(p).all()
