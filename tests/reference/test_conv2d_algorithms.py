"""Every algorithm of a convolution against brute-force loops: one table, one test for all."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.geometry import make_window
from minicnn.reference import conv2d_fft, conv2d_im2col, conv2d_loops, conv2d_windows, conv2d_winograd
from minicnn.testing import oracles, tolerances
from minicnn.testing.strategies import EXACT_VALUES, FINITE_VALUES, conv_cases, conv_geometries
from minicnn.testing.tolerances import Arithmetic
from tests.reference.against import assert_exact, assert_within, conv_window, frozen

EVERYTHING = conv_geometries(strided_dilation=True)
ALIKE = conv_geometries(kernel_sizes=((3, 3),), max_stride=1, max_dilation=1, max_groups=1)

# Name → module, geometries, the kit's name of its arithmetic, and values on which it doesn't round.
ALGORITHMS = {
    "loops": (conv2d_loops, EVERYTHING, "direct", EXACT_VALUES),
    "windows": (conv2d_windows, EVERYTHING, "direct", EXACT_VALUES),
    "im2col": (conv2d_im2col, EVERYTHING, "direct", EXACT_VALUES),
    "winograd": (conv2d_winograd, ALIKE, "winograd", ["multiples of four"]),
    "winograd4": (conv2d_winograd, ALIKE, "winograd4", None),
    "fft": (conv2d_fft, conv_geometries(max_stride=1, max_groups=1), "fft", None),
}


def run(name, case, b):
    """(y, dx, dw, db)."""
    module = ALGORITHMS[name][0]
    forward, backward = (getattr(module, f"conv2d_{name}_{which}") for which in ("forward", "backward"))
    x, w, dy = frozen(case.x, case.w, case.dy)
    y, residuals = forward(x, w, b, conv_window(case.geometry), case.geometry.groups)
    return y, *backward(dy, residuals)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_within_the_rounding_bound(name):
    _, geometries, arithmetic, _ = ALGORITHMS[name]

    @given(conv_cases(geometries, values=FINITE_VALUES), st.booleans())
    @settings(max_examples=40)
    def check(case, use_bias):
        b, options = case.b if use_bias else None, case.geometry.options()
        rules = Arithmetic(case.x.dtype, algorithm=arithmetic)
        exact = (
            oracles.conv2d_forward(case.x, case.w, b, **options),
            *oracles.conv2d_backward(case.dy, case.x, case.w, **options),
        )
        bounds = (
            tolerances.conv2d_bound(case.x, case.w, b, arithmetic=rules, **options),
            *tolerances.conv2d_backward_bound(case.dy, case.x, case.w, arithmetic=rules, **options),
        )
        for ours, expected, bound in zip(run(name, case, b), exact, bounds, strict=True):
            assert_within(ours, expected, bound, case.x.dtype)

    check()


@pytest.mark.parametrize("name", [name for name, row in ALGORITHMS.items() if row[3]])
def test_exact_on_small_integers(name):
    _, geometries, _, values = ALGORITHMS[name]

    @given(conv_cases(geometries, values=values))
    @settings(max_examples=40)
    def check(case):
        options = case.geometry.options()
        y, *gradients = run(name, case, case.b)
        expected = oracles.conv2d_backward(case.dy, case.x, case.w, dtype=np.int64, **options)
        assert_exact(
            y, oracles.conv2d_forward(case.x, case.w, case.b, dtype=np.int64, **options), case.x.dtype
        )
        for ours, exact in zip(gradients, expected, strict=True):
            assert_exact(ours, exact, case.x.dtype)

    check()


@pytest.mark.parametrize("transforms", [conv2d_winograd.F2, conv2d_winograd.F4])
def test_winograds_matrices_are_an_algorithm(transforms):
    a, b, g = transforms
    pixels, weights = np.random.default_rng(0).normal(size=(2, len(a)))
    y = a.T @ ((g @ weights[:3]) * (b.T @ pixels))
    np.testing.assert_allclose(y, np.correlate(pixels, weights[:3]), rtol=1e-12)  # float64, a few sums


def test_refusals_say_why():
    strided, dilated, wide = (
        make_window((9, 9), (3, 3), (1, 2)),
        make_window((9, 9), (3, 3), dilation=(2, 1)),
        make_window((9, 9), (3, 2)),
    )
    plain = make_window((9, 9), (3, 3))
    assert conv2d_winograd.refusal(plain) == conv2d_fft.refusal(plain) == conv2d_fft.refusal(dilated) == ""
    assert conv2d_fft.refusal(wide) == ""
    assert "stride 1" in conv2d_winograd.refusal(strided) and "stride 1" in conv2d_winograd.refusal(dilated)
    assert "3×3" in conv2d_winograd.refusal(wide) and "thrown away" in conv2d_fft.refusal(strided)
    assert "groups" in conv2d_winograd.refusal(plain, 2) and "groups" in conv2d_fft.refusal(plain, 2)


@pytest.mark.parametrize("size", [1, 2, 7, 11, 13, 14, 30, 31, 49, 97])
def test_transforms_have_the_next_smooth_length(size):
    window = make_window((size, 1), (1, 1))
    length, _ = conv2d_fft.transform_size(window)
    smooth = partial(math.gcd, 2**9 * 3**6 * 5**4)
    assert smooth(length) == length >= size
    assert all(smooth(k) < k for k in range(size, length))
