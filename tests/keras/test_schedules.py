"""Learning-rate schedules against Keras: the rates, in both float types, and what they do to an optimizer."""

from random import Random

import keras
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minicnn import optimizers
from minicnn.engine.parameters import Variable
from minicnn.optimizers import schedules
from minicnn.testing.tolerances import Arithmetic
from tests.keras.agreement import assert_agree
from tests.keras.test_optimizers import floatx

DTYPES = st.sampled_from(["float32", "float64"])
ARITHMETIC = Arithmetic(np.dtype("float32"), flush_to_zero=True)
"""Keras computes rates in float32, whatever floatx is."""


def floats(low, high):
    return st.integers(0, 2**32 - 1).map(lambda seed: Random(seed).uniform(low, high))


RATES, STEPS = floats(1e-4, 1), st.integers(1, 50) | floats(0.5, 50)
PERIODS = {
    "initial_learning_rate": RATES,
    "decay_steps": STEPS,
    "decay_rate": floats(0.01, 1.5),
    "staircase": st.booleans(),
}
SCHEDULES = {
    "ExponentialDecay": (PERIODS, {}),
    "InverseTimeDecay": (PERIODS, {}),
    "PolynomialDecay": (
        {"initial_learning_rate": RATES, "decay_steps": STEPS},
        {"end_learning_rate": RATES, "power": floats(0.1, 3), "cycle": st.booleans()},
    ),
    "CosineDecay": (
        {"initial_learning_rate": RATES, "decay_steps": STEPS},
        {"alpha": floats(0, 1), "warmup_target": st.none() | RATES, "warmup_steps": st.integers(0, 30)},
    ),
    "CosineDecayRestarts": (
        {"initial_learning_rate": RATES, "first_decay_steps": STEPS},
        {
            "t_mul": st.just(1.0) | st.just(2.0) | floats(1.1, 3),
            "m_mul": floats(0.1, 1),
            "alpha": floats(0, 1),
        },
    ),
}
ROUNDINGS = 64
"""Of the exponent p ≤ 200 in rᵖ, which |log r| ≤ 5 makes errors of the result, and of the few operations around it."""


def drawn(name):
    required, optional = SCHEDULES[name]
    return st.fixed_dictionaries(required, optional=optional)


@pytest.mark.parametrize("name", SCHEDULES)
@given(data=st.data(), dtype=DTYPES, step=st.integers(0, 100))
def test_rates(name, data, dtype, step):
    """ExponentialDecay, InverseTimeDecay, PolynomialDecay, CosineDecay, CosineDecayRestarts: any step."""
    options = data.draw(drawn(name))
    with floatx(dtype):
        ours, theirs = (getattr(m, name)(**options) for m in (schedules, keras.optimizers.schedules))
        expected = theirs(keras.Variable(step, dtype="int64").value).numpy()
        rate = ours(np.int64(step))
    assert rate.dtype == expected.dtype == np.float32
    if name == "CosineDecayRestarts":
        assume(not is_near_a_restart(step, options))
    largest = max(1.0, float(expected))  # every rate that goes into it is at most 1
    assert_agree(rate, expected, ARITHMETIC.sum_bound(ROUNDINGS, largest))


def is_near_a_restart(step, options):
    """Whether a rounding decides which period the step belongs to: either answer is right then."""
    done, growth = step / options["first_decay_steps"], options.get("t_mul", 2.0)
    restarts = done if growth == 1 else np.log(1 - done * (1 - growth)) / np.log(growth)
    return abs(restarts - round(restarts)) < 1e-4


@given(values=st.lists(RATES, min_size=1, max_size=5), data=st.data(), dtype=DTYPES, step=st.integers(0, 100))
def test_pieces(values, data, dtype, step):
    """PiecewiseConstantDecay, to the bit; whole and broken boundaries, a step on a boundary and beside it."""
    kinds = st.integers(1, 60) | floats(1, 60)
    boundaries = sorted(data.draw(st.lists(kinds, min_size=len(values), max_size=len(values), unique=True)))
    values = [*values, 0.5]
    step = data.draw(st.sampled_from([step, *map(int, boundaries)]))
    with floatx(dtype):
        ours, theirs = (
            m.PiecewiseConstantDecay(boundaries, values) for m in (schedules, keras.optimizers.schedules)
        )
        assert ours(np.int64(step)) == theirs(keras.Variable(step, dtype="int64").value).numpy()


@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adam", "AdamW"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_optimizer_follows_its_schedule(name, dtype):
    """The rates, the weights and the state of ten steps; the rate is not part of the state."""
    made = []
    with floatx(dtype):
        for module, make in ((optimizers, own), (keras.optimizers, theirs)):
            schedule = module.schedules.PiecewiseConstantDecay([2, 5], [0.5, 0.25, 0.1])
            optimizer, variable = getattr(module, name)(schedule), make(dtype)
            rates = []
            for k in range(10):
                rates.append(float(np.asarray(optimizer.learning_rate)))
                optimizer.apply_gradients([(np.full(3, k - 4.0, dtype), variable)])
            made.append((rates, np.asarray(variable), [v.name for v in optimizer.variables]))
    assert made[0][0] == made[1][0] == [0.5] * 3 + [0.25] * 3 + [np.float32(0.1)] * 4
    np.testing.assert_array_equal(made[0][1], made[1][1])
    assert made[0][2] == made[1][2]


def own(dtype):
    return Variable(np.arange(3, dtype=dtype), name="v")


def theirs(dtype):
    return keras.Variable(np.arange(3), dtype=dtype, name="v")


@pytest.mark.parametrize("name", SCHEDULES)
@given(data=st.data())
def test_configurations(name, data):
    """Equal, and there and back through the other library, alone and inside an optimizer."""
    options = data.draw(drawn(name))
    ours, theirs = (getattr(m, name)(**options) for m in (schedules, keras.optimizers.schedules))
    config = keras.optimizers.schedules.serialize(theirs)
    assert schedules.serialize(ours) == config
    assert schedules.serialize(schedules.deserialize(config)) == config
    assert keras.optimizers.schedules.deserialize(schedules.serialize(ours)).get_config() == ours.get_config()
    inside = keras.optimizers.serialize(keras.optimizers.SGD(theirs, name="optimizer"))
    assert optimizers.serialize(optimizers.SGD(ours, name="optimizer")) == inside
    assert optimizers.serialize(optimizers.deserialize(inside)) == inside


def test_both_refuse():
    for module in (optimizers, keras.optimizers):
        for wrong in (
            lambda s: s.ExponentialDecay(0.1, 0, 0.5),
            lambda s: s.CosineDecay(0.1, -1),
            lambda s: s.PiecewiseConstantDecay([1, 2], [0.1, 0.2]),
        ):
            with pytest.raises(ValueError):
                wrong(module.schedules)
        optimizer = module.SGD(module.schedules.CosineDecay(0.1, 10))
        with pytest.raises(TypeError):
            optimizer.learning_rate = 0.1
        optimizer.learning_rate = module.schedules.ExponentialDecay(0.5, 10, 0.5)
        assert float(np.asarray(optimizer.learning_rate)) == 0.5
