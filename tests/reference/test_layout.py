"""Ops that move numbers or scale them: transposes, zero padding, rescaling, dropout."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.reference.draws import Draw
from minicnn.reference.dropout import dropout_backward, dropout_forward, keep_mask
from minicnn.reference.layout import transpose_backward, transpose_forward
from minicnn.reference.padding import pad, unpad, zero_pad2d_backward, zero_pad2d_forward
from minicnn.reference.rescaling import rescaling_backward, rescaling_forward
from minicnn.testing.strategies import VALUES, array_cases, conv_geometries, make_array, shapes
from tests.reference.against import arithmetic, assert_exact, assert_within, conv_window, frozen

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


@given(conv_geometries(strided_dilation=True), st.sampled_from([np.float32, np.float64, np.bool_]))
def test_padding_is_what_the_window_reads_and_no_more(geometry, dtype):
    window = conv_window(geometry)
    (h, w), (top, left) = window.image_size, window.pads_before
    x = np.ones((2, h, w, 3), dtype)
    padded = pad(*frozen(x), window)
    reads = list(window.taps())
    height, width = (max(tap[axis].stop for tap in reads) for axis in (2, 3))
    assert padded.shape == (2, max(height, top + h), max(width, left + w), 3)
    expected = np.zeros(padded.shape, dtype)
    for i, j in np.ndindex(h, w):
        expected[:, top + i, left + j] = 1
    assert_exact(padded, expected, dtype)
    assert_exact(unpad(padded, window), x, dtype)


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


def philox4x64(counter, key):
    """Ten rounds of Philox4x64: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 4.3."""
    (a, b, c, d), (k, m) = counter, key
    for _ in range(10):
        first, second = 0xD2E7470EE14C6C93 * a, 0xCA5A826395121157 * c
        a, b, c, d = (second >> 64) ^ b ^ k, second % 2**64, (first >> 64) ^ d ^ m, first % 2**64
        k, m = (k + 0x9E3779B97F4A7C15) % 2**64, (m + 0xBB67AE8584CAA73B) % 2**64
    return a, b, c, d


def uniforms(draw, n, size):
    """The `size` numbers of 24 bits that decide on sample `n`: counters 1, 2, …, low half of each word first."""
    words = []
    for block in range(1, 2 + size // 8):
        for word in philox4x64((block, draw.first_sample + n, draw.step, 0), (draw.seed, 0)):
            words += [word % 2**32, word >> 32]
    return np.array(words[:size]) >> 8


@pytest.mark.parametrize("shape", [(2, 1), (3, 7), (2, 8), (2, 3, 5)])
def test_the_bits_are_those_of_philox(shape):
    """Any program can draw the same mask: saved runs and other implementations depend on these very bits."""
    draw, size = Draw(seed=2**40 + 7, step=12345, first_sample=99), int(np.prod(shape[1:]))
    expected = np.stack([uniforms(draw, n, size) for n in range(shape[0])]).reshape(shape)
    for rate in (0.0, 0.25, 0.5, 0.9, 1.0):
        np.testing.assert_array_equal(keep_mask(shape, rate, draw), expected / 2**24 >= rate)
    # Exactly at a number that was drawn, its element is kept: P(u < rate) = rate for u = 0, 1, …, 2²⁴ − 1.
    for value in expected.ravel():
        np.testing.assert_array_equal(keep_mask(shape, value / 2**24, draw), expected >= value)


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
