"""Ops that move numbers or scale them: transposes, zero padding, rescaling, dropout."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.reference.dropout import Draw, dropout_backward, dropout_forward, keep_mask
from minicnn.reference.layout import transpose_backward, transpose_forward
from minicnn.reference.padding import zero_pad2d_backward, zero_pad2d_forward
from minicnn.reference.rescaling import rescaling_backward, rescaling_forward
from minicnn.testing.strategies import VALUES, array_cases, make_array, shapes
from tests.reference.against import arithmetic, assert_exact, assert_within, frozen

IMAGES = shapes(min_dims=4, max_dims=4, max_side=4)


@pytest.mark.parametrize("axes", [axes for rank in (1, 2, 3) for axes in permutations(range(rank))])
def test_transpose(axes):
    shape = (2, 3, 4, 5)[: len(axes) + 1]
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    y, residuals = transpose_forward(*frozen(x), axes)
    for index in np.ndindex(y.shape):
        source = [index[0], *([0] * len(axes))]
        for k, axis in enumerate(axes):
            source[1 + axis] = index[1 + k]
        assert y[index] == x[tuple(source)]
    assert_exact(transpose_backward(y, residuals)[0], x, np.float32)


@given(array_cases(IMAGES, values=[*VALUES]), st.tuples(*[st.integers(0, 3)] * 4))
def test_zero_padding(case, sides):
    top, bottom, left, right = sides
    pads = ((top, bottom), (left, right))
    (n, h, w, c), dtype = case.x.shape, case.x.dtype
    y, residuals = zero_pad2d_forward(*frozen(case.x), pads)
    expected = np.zeros((n, top + h + bottom, left + w + right, c), dtype)
    for i, j in np.ndindex(h, w):
        expected[:, top + i, left + j] = case.x[:, i, j]
    assert_exact(y, expected, dtype)
    dy = make_array(y.shape, "distinct", 0, dtype)
    (dx,) = zero_pad2d_backward(*frozen(dy), residuals)
    for i, j in np.ndindex(h, w):
        assert_exact(dx[:, i, j], dy[:, top + i, left + j], dtype)


@given(array_cases(shapes(min_dims=2)), st.booleans(), st.booleans())
def test_rescaling(case, scales_each, offsets_each):
    channels, rules = case.x.shape[-1], arithmetic(case.x)
    scale = tuple(1.5 + k for k in range(channels)) if scales_each else 1 / 255
    offset = tuple(-2.0 * k for k in range(channels)) if offsets_each else 0.1
    y, residuals = rescaling_forward(*frozen(case.x), scale, offset)
    wide = case.x.astype(np.float64)
    # Two roundings of the constants, a product, a sum.
    bound = rules.sum_bound(4, np.abs(wide * scale) + np.abs(offset))
    assert_within(y, wide * scale + offset, bound, case.x.dtype)
    (dx,) = rescaling_backward(*frozen(case.dy), residuals)
    exact = case.dy.astype(np.float64) * scale
    assert_within(dx, exact, rules.sum_bound(2, np.abs(exact)), case.x.dtype)


@given(array_cases(shapes(min_dims=2)), st.floats(0, 1), st.integers(0, 2**31), st.integers(0, 2**31))
def test_dropout_scales_what_it_keeps(case, rate, seed, step):
    draw, rules = Draw(seed, step, 0), arithmetic(case.x)
    y, residuals = dropout_forward(*frozen(case.x), rate, draw)
    (dx,) = dropout_backward(*frozen(case.dy), residuals)
    keep = keep_mask(case.x.shape, rate, draw)
    for ours, given_ in ((y, case.x), (dx, case.dy)):
        assert (ours[~keep] == 0).all()
        exact = given_[keep].astype(np.float64) / max(1 - rate, 2.0**-53)
        assert_within(ours[keep], exact, rules.sum_bound(3, np.abs(exact)), case.x.dtype)


def test_dropout_at_both_ends():
    x = np.ones((3, 100), np.float32)
    assert_exact(dropout_forward(x, 0.0, Draw(1, 2, 3))[0], x, np.float32)
    assert_exact(dropout_forward(x, 1.0, Draw(1, 2, 3))[0], 0 * x, np.float32)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_dropped_is_the_rate(rate):
    dropped = ~keep_mask((50, 1000), rate, Draw(3, 0, 0))
    # Five standard deviations of a binomial share: one failure in two million seeds, and the seed is fixed.
    assert abs(dropped.mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / dropped.size)
    for axis in (0, 1):
        share = dropped.mean(axis)
        assert (np.abs(share - rate) < 5 * np.sqrt(rate * (1 - rate) / dropped.shape[axis])).all()


def test_masks_depend_on_seed_step_and_place_and_on_nothing_else():
    def mask(seed, step, first, n=6):
        return keep_mask((n, 40), 0.5, Draw(seed, step, first))

    whole = mask(1, 2, 0)
    np.testing.assert_array_equal(whole, mask(1, 2, 0))
    np.testing.assert_array_equal(whole[2:5], mask(1, 2, 2, 3))
    for other in (mask(2, 2, 0), mask(1, 3, 0), mask(1, 2, 6)):
        # Independent masks agree in half of the places: 240 ± 5 · 15.5 of 480 halves.
        assert abs((whole == other).mean() - 0.5) < 5 * 0.5 / np.sqrt(whole.size)
    assert len({row.tobytes() for row in whole}) == len(whole)
