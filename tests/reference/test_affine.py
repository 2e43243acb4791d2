"""Affine transforms: against a loop in Python, their adjoint, and what the random ones draw."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.reference.affine import FILL_MODES, INTERPOLATIONS, Sampling, affine_backward, affine_forward
from minicnn.reference.draws import Draw, uniform
from minicnn.reference.random_affine import KINDS, random_affine_forward, random_matrices
from tests.reference.against import frozen

SAMPLINGS = [Sampling(mode, how, 0.75) for mode in FILL_MODES for how in INTERPOLATIONS]
IDENTITY = np.float32([[1, 0, 0, 0, 1, 0]])


def beyond(position, size, mode):
    """The pixel that stands for pixel `position` of an endless axis, None for the fill value; from the pictures
    (d c b a | a b c d | d c b a), … in Keras's documentation. TensorFlow's 'wrap' keeps to it near the image only."""
    if mode == "constant":
        return position if 0 <= position < size else None
    if mode == "nearest":
        return min(max(position, 0), size - 1)
    if mode == "wrap":
        return position % size
    position %= 2 * size
    return position if position < size else 2 * size - 1 - position


@pytest.mark.parametrize("mode", FILL_MODES)
@pytest.mark.parametrize("how", INTERPOLATIONS)
@pytest.mark.parametrize("shift", [(0, 0), (2, -1), (-3, 4), (7, 9), (-11, -8)])
def test_whole_shifts_read_the_pixels_that_the_fill_mode_says(mode, how, shift):
    image = np.random.default_rng(0).normal(size=(1, 4, 5, 2))
    matrix = np.float32([[1, 0, shift[1], 0, 1, shift[0]]])
    y, _ = affine_forward(*frozen(image, matrix), Sampling(mode, how, 0.75))
    for i, j in np.ndindex(4, 5):
        if mode == "wrap" and not (-3 < i + shift[0] < 6 and -4 < j + shift[1] < 8):
            continue
        row, column = beyond(i + shift[0], 4, mode), beyond(j + shift[1], 5, mode)
        expected = 0.75 if row is None or column is None else image[0, row, column]
        np.testing.assert_array_equal(y[0, i, j], np.broadcast_to(expected, 2))


def test_between_pixels():
    image = np.float32([[0, 10], [20, 60]])[None, :, :, None]
    quarter = np.float32([[1, 0, 0.25, 0, 1, 0.5]])
    y, _ = affine_forward(image, quarter, Sampling("constant", "bilinear", 100.0))
    # (0.75·0 + 0.25·10)/2 + (0.75·20 + 0.25·60)/2 in the corner; elsewhere the fill value takes its share.
    expected = [[1.25 + 15, 0.75 * 35 + 25], [0.5 * 30 + 50, 0.75 * 30 + 0.25 * 50 + 50]]
    np.testing.assert_array_equal(y[0, :, :, 0], np.float32(expected))
    y, _ = affine_forward(image, quarter, Sampling("constant", "nearest", 100.0))
    np.testing.assert_array_equal(y[0, :, :, 0], np.float32([[20, 60], [100, 100]]))  # halves away from zero


@given(
    st.integers(0, 2**31), st.sampled_from(SAMPLINGS), st.tuples(*[st.integers(1, 6)] * 3), st.integers(1, 3)
)
def test_backward_is_the_adjoint(seed, sampling, shape, n):
    rng = np.random.default_rng(seed)
    x, dy = rng.normal(size=(2, n, *shape))
    matrices = (IDENTITY + rng.normal(size=(n, 6)) * [0.5, 0.5, 4, 0.5, 0.5, 4]).astype(np.float32)
    zero = sampling._replace(fill_value=0.0)
    y, residuals = affine_forward(*frozen(x, matrices), zero)
    (dx,) = affine_backward(*frozen(dy), residuals)
    # Sums of at most 4·6·6·3·3 products of normal numbers.
    assert abs(np.sum(y * dy) - np.sum(x * dx)) <= 1e-12 * max(1, np.abs(y * dy).sum())
    constant, _ = affine_forward(np.zeros_like(x), matrices, sampling)
    np.testing.assert_allclose(affine_forward(x, matrices, sampling)[0], y + constant, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "numbers"), [("translation", 2), ("rotation", 1), ("zoom", 2), ("shear", 3)]
)
def test_zero_moves_nothing(kind, numbers):
    matrices = random_matrices(3, (7, 8), kind, ((0.0, 0.0),) * numbers, Draw(1, 2, 3))
    np.testing.assert_array_equal(matrices, np.repeat(IDENTITY, 3, axis=0))


IMAGE = np.arange(12.0).reshape(1, 3, 4, 1)


@pytest.mark.parametrize(
    ("kind", "bounds", "expected"),
    [
        ("translation", ((1 / 3, 1 / 3), (-0.25, -0.25)), [[0, 0, 0, 0], [1, 2, 3, 0], [5, 6, 7, 0]]),
        ("rotation", ((0.5, 0.5),), IMAGE[0, ::-1, ::-1, 0]),
        ("zoom", ((-0.5, -0.5), (0.0, 0.0)), (IMAGE[0, [1], :, 0] + [[-2.0], [0.0], [2.0]])),
        ("shear", ((0.0, 0.0), (1.0, 1.0), (0.0, 0.0)), [[0, 1, 2, 3], [5, 6, 7, 0], [10, 11, 0, 0]]),
        ("shear", ((1.0, 1.0), (1.0, 1.0), (0.0, 0.0)), [[0, 1, 2, 3], [0, 4, 5, 6], [0, 0, 8, 9]]),
        ("horizontal", ((0.0, 0.0),), IMAGE[0, :, ::-1, 0]),
        ("vertical", ((0.0, 0.0),), IMAGE[0, ::-1, :, 0]),
        ("horizontal_and_vertical", ((0.0, 0.0),), IMAGE[0, ::-1, ::-1, 0]),
        ("horizontal", ((0.6, 0.6),), IMAGE[0, :, :, 0]),
    ],
)
def test_what_each_kind_does(kind, bounds, expected):
    """Down and to the left; half a turn; twice as large; rows slid to either side; flips."""
    y, _ = random_affine_forward(IMAGE, kind, bounds, Sampling("constant", "bilinear"), Draw(0, 0, 0))
    # Positions are float32: an image of numbers up to 11 read 1e-6 beside a pixel.
    np.testing.assert_allclose(y[0, :, :, 0], expected, atol=2e-5)


def test_draws_depend_on_seed_step_and_place_and_on_nothing_else():
    def drawn(seed, step, first, n=6):
        return random_matrices(n, (8, 9), "translation", ((-0.5, 0.5),) * 2, Draw(seed, step, first))

    whole = drawn(1, 2, 0)
    np.testing.assert_array_equal(whole[2:5], drawn(1, 2, 2, 3))
    assert len(np.unique(whole[:, [2, 5]])) == 12
    for other in (drawn(2, 2, 0), drawn(1, 3, 0), drawn(1, 2, 6)):
        assert not np.isin(other[:, [2, 5]], whole[:, [2, 5]]).any()


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_are_uniform_between_their_bounds(kind):
    """Five standard deviations of the mean of 2,000 uniform numbers; the seed is fixed."""
    numbers = uniform(Draw(5, 0, 0), 2000, 3)
    assert (numbers >= 0).all() and (numbers < 1).all()
    assert (np.abs(numbers.mean(0) - 0.5) < 5 / np.sqrt(12 * 2000)).all()
    count = {"translation": 2, "zoom": 2, "shear": 3}.get(kind, 1)
    numbers = uniform(Draw(5, 0, 0), 2000, count)
    matrices = random_matrices(2000, (11, 11), kind, ((0.0, 1.0),) * count, Draw(5, 0, 0))
    if kind in ("horizontal", "vertical", "horizontal_and_vertical"):
        flipped = (matrices[:, [0, 4]] == -1).any(1)
        np.testing.assert_array_equal(flipped, numbers[:, 0] <= 0.5)
    else:
        assert len(np.unique(matrices, axis=0)) == 2000
