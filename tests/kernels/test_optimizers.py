"""Optimizer kernels against the reference: to the last bit, because the order of the roundings is the contract."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.optimizers import SGD, Adam, RMSprop
from minicnn.optimizers.optimizer import MOST_NUMBERS, Scalars
from tests.kernels.cases import DTYPES, numbers

OPTIMIZERS = {
    "sgd": SGD(0.1),
    "sgd momentum": SGD(0.1, momentum=0.9),
    "sgd nesterov": SGD(0.1, momentum=0.9, nesterov=True),
    "rmsprop": RMSprop(1e-3),
    "rmsprop momentum": RMSprop(1e-3, momentum=0.5),
    "rmsprop centered": RMSprop(1e-3, centered=True),
    "rmsprop both": RMSprop(1e-3, momentum=0.5, centered=True),
    "adam": Adam(1e-3),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@given(st.integers(1, 70), st.sampled_from(DTYPES), st.integers(0, 2**32 - 1))
@settings(max_examples=15)
def test_a_step_has_the_reference_bits(name, size, dtype, seed):
    optimizer, results = OPTIMIZERS[name], []
    for backend in ("numba", "reference"):
        draw = numbers(seed, dtype, real=True)
        w, g = draw(size), draw(size)
        # The second moment must exceed the square of the first: 10 + g² does.
        slots = [
            10 + draw(size) ** 2 if slot == "velocity" else draw(size) / 10 for slot in optimizer.slot_names
        ]
        for step in (3, 4, 5):
            scalars = Scalars(float(optimizer.learning_rate), step, np.zeros(MOST_NUMBERS))
            used = optimizer.numbers(scalars, np.dtype(dtype))
            scalars.numbers[: len(used)] = used
            optimizer.step_slice(w, g, slots, scalars, backend)
        results.append([w, *slots])
    for ours, theirs in zip(*results, strict=True):
        assert np.isfinite(theirs).all()
        np.testing.assert_array_equal(ours, theirs)
