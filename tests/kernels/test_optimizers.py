"""Optimizer kernels against the reference: to the last bit, because the order of the roundings is the contract."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.kernels import optimizers
from minicnn.reference import optimizers as reference
from tests.kernels.cases import DTYPES, numbers

# name, number of slots (None: a slot that is turned off), whether slots come as one tuple, hyperparameters
STEPS = {
    "sgd_step": ((), False, (0.1,)),
    "sgd_momentum_step": ((1,), False, (0.1, 0.9, False)),
    "sgd_momentum_step nesterov": ((1,), False, (0.1, 0.9, True)),
    "rmsprop_step": ((1,), False, (1e-3, 0.9, 1e-7)),
    "rmsprop_full_step": ((1, 0, 0), True, (1e-3, 0.9, 0.5, 1e-7)),
    "rmsprop_full_step momentum": ((1, 1, 0), True, (1e-3, 0.9, 0.5, 1e-7)),
    "rmsprop_full_step centered": ((1, 0, 1), True, (1e-3, 0.9, 0.5, 1e-7)),
    "rmsprop_full_step both": ((1, 1, 1), True, (1e-3, 0.9, 0.5, 1e-7)),
    "adam_step": ((1, 1), True, (3, 1e-3, (0.9, 0.999), 1e-7)),
}


@pytest.mark.parametrize("step", STEPS)
@given(st.integers(1, 70), st.sampled_from(DTYPES), st.integers(0, 2**32 - 1))
@settings(max_examples=15)
def test_a_step_has_the_reference_bits(step, size, dtype, seed):
    slots, is_tuple, hyperparameters = STEPS[step]
    results = []
    for module in (optimizers, reference):
        draw = numbers(seed, dtype, real=True)
        w, g = draw(size), draw(size)
        # The second moment must exceed the square of the first: 10 + g² does.
        state = [
            10 + draw(size) ** 2 if k == 0 else draw(size) / 10 if on else None for k, on in enumerate(slots)
        ]
        if step.startswith("adam"):
            state[1] = 10 + draw(size) ** 2
        arguments = (tuple(state),) if is_tuple else state
        for _ in range(3):
            getattr(module, step.split()[0])(w, g, *arguments, *hyperparameters)
        results.append([w, *(slot for slot in state if slot is not None)])
    for ours, theirs in zip(*results, strict=True):
        assert np.isfinite(theirs).all()
        np.testing.assert_array_equal(ours, theirs)
