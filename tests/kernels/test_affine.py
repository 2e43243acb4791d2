"""The affine kernels against the reference: the same positions, so the same pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.kernels import affine
from minicnn.reference.affine import FILL_MODES, INTERPOLATIONS, Sampling, affine_backward, affine_forward


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(1, 3)),
    st.sampled_from(FILL_MODES),
    st.sampled_from(INTERPOLATIONS),
    st.sampled_from([np.float32, np.float64]),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_equals_the_reference(shape, fill_mode, interpolation, dtype, on_halves, seed):
    rng = np.random.default_rng(seed)
    x, dy = rng.normal(size=(2, *shape)).astype(dtype)
    matrices = (
        np.array([1, 0, 0, 0, 1, 0]) + rng.normal(size=(shape[0], 6)) * [0.5, 0.5, 8, 0.5, 0.5, 8]
    ).astype(np.float32)
    if on_halves:  # between two pixels, on an edge
        matrices = np.round(2 * matrices) / np.float32(2)
    expected, residuals = affine_forward(x, matrices, Sampling(fill_mode, interpolation, 0.75))
    mode = FILL_MODES.index(fill_mode), interpolation == "bilinear"
    y = np.full_like(x, np.nan)
    affine.affine_forward(x, matrices, y, *mode, 0.75)
    np.testing.assert_array_equal(y, expected)
    dx = np.full_like(x, np.nan)
    affine.affine_backward(dy, matrices, dx, *mode)
    # The same products, at most 4·36 of them, added in another order.
    scale = affine_backward(np.abs(dy), residuals)[0]
    assert (np.abs(dx - affine_backward(dy, residuals)[0]) <= 144 * np.finfo(dtype).eps * scale).all()


@pytest.mark.parametrize("fill_mode", FILL_MODES)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_every_way_to_read(fill_mode, interpolation):
    """What NUMBA_DISABLE_JIT=1 runs of it, whatever is drawn above."""
    drawn = test_equals_the_reference.hypothesis.inner_test
    for seed in range(4):
        drawn((2, 4, 5, 2), fill_mode, interpolation, np.float32, seed % 2 == 0, seed)
