"""Optimizers: Keras's arguments, state and steps, to the last bit.

Keras on TensorFlow runs a step as single elementwise operations, each rounded once, and ours are written in the same
order; so nothing is tolerated. The exception is the sum in a norm: its order is TensorFlow's own. Gradients of small
integers make it exact, `test_norms_of_real_gradients` bounds the rest.
"""

from contextlib import contextmanager
from itertools import pairwise
from random import Random

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn import optimizers
from minicnn.engine.parameters import Variable, flat_views
from minicnn.testing import strategies as cnn
from tests.keras.agreement import ARITHMETICS, assert_agree, assert_same_signature

NAMES = ["SGD", "RMSprop", "Adam", "AdamW"]
SHAPES = [(3, 4), (4,), (2, 2, 1, 3)]
SEEDS = st.integers(0, 2**32 - 1)
DTYPES = st.sampled_from(["float32", "float64"])
# A step of Keras's costs milliseconds. A share of the profile's examples, so that the nightly run draws more.
FEWER = settings(max_examples=settings.default.max_examples // 2)


def floats(low, high):
    """Python floats whose last digits float32 doesn't hold: drawn directly they would mostly be simple ones."""
    return SEEDS.map(lambda seed: Random(seed).uniform(low, high))


# Far from underflow, which TensorFlow flushes to zero.
FRACTIONS, EPSILONS = floats(0.01, 0.99), floats(1e-7, 0.1)
MOMENTA = st.one_of(st.just(0.0), FRACTIONS, FRACTIONS)
COMMON = {"learning_rate": floats(0.001, 1), "weight_decay": st.none() | FRACTIONS}
CLIPPING = [
    st.just({}),
    *(st.fixed_dictionaries({name: floats(0.1, 8)}) for name in ("clipnorm", "clipvalue", "global_clipnorm")),
]
ADAM = {"beta_1": MOMENTA, "beta_2": FRACTIONS, "epsilon": EPSILONS, "amsgrad": st.booleans()}
HYPERPARAMETERS = {
    "SGD": {"momentum": MOMENTA, "nesterov": st.booleans()},
    "RMSprop": {"rho": FRACTIONS, "momentum": MOMENTA, "epsilon": EPSILONS, "centered": st.booleans()},
    "Adam": ADAM,
    "AdamW": ADAM | {"weight_decay": FRACTIONS},
}


def options_of(name):
    """All hyperparameters of an optimizer, or none: Keras's defaults."""
    drawn = st.fixed_dictionaries(COMMON | HYPERPARAMETERS[name])
    options = st.builds(lambda first, second: first | second, drawn, st.one_of(CLIPPING))
    return st.one_of(options, options, options, options, st.just({}))


@contextmanager
def floatx(dtype):
    """The learning rate takes its type from this, in both libraries; nothing else here does."""
    for module in (keras.config, minicnn.config):
        module.set_floatx(dtype)
    try:
        yield
    finally:
        for module in (keras.config, minicnn.config):
            module.set_floatx("float32")


def make(module, name, options, dtype="float32"):
    with floatx(dtype):
        return getattr(module, name)(**{"name": "optimizer"} | options)


def values_of(seed, dtype):
    return [cnn.make_array(shape, "normal", seed + k, dtype) for k, shape in enumerate(SHAPES)]


def own_variables(values):
    return [Variable(v.copy(), name=f"v{k}") for k, v in enumerate(values)]


def keras_variables(values):
    return [keras.Variable(v, dtype=v.dtype.name, name=f"v{k}") for k, v in enumerate(values)]


def sliced(cuts):
    """Calls a function on slices, the last one first."""

    def slicer(size, function):
        edges = sorted({0, size, *(cut for cut in cuts if cut < size)})
        parts = [slice(start, stop) for start, stop in list(pairwise(edges))[::-1]]
        return lambda: [function(part) for part in parts]

    return slicer


def assert_same_state(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        assert (a.name, a.path, a.shape, a.dtype) == (b.name, b.path, tuple(b.shape), b.dtype)
        np.testing.assert_array_equal(a.array, b.numpy(), err_msg=a.path)


@pytest.mark.parametrize("name", NAMES)
@given(
    data=st.data(),
    dtype=DTYPES,
    rate_dtype=DTYPES,
    seed=SEEDS,
    steps=st.integers(1, 5),
    cuts=st.lists(st.integers(1, 40), max_size=4),
)
@FEWER
def test_steps(name, data, dtype, rate_dtype, seed, steps, cuts):
    """Weights and state after every step; by the user's call and by both backends' flat steps in any slices."""
    options = data.draw(options_of(name))
    has_norm = {"clipnorm", "global_clipnorm"} & options.keys()
    kind = data.draw(st.sampled_from(["integers", "sparse", *([] if has_norm else ["normal", "mixed"])]))
    values = values_of(seed, dtype)
    theirs, their_variables = make(keras.optimizers, name, options, rate_dtype), keras_variables(values)
    ours = {
        backend: (make(optimizers, name, options, rate_dtype), own_variables(values))
        for backend in (None, "reference", "numba")
    }
    for t in range(steps):
        gradients = [cnn.make_array(s, kind, seed + 10 * t + k, dtype) for k, s in enumerate(SHAPES)]
        theirs.apply_gradients(zip(gradients, their_variables, strict=True))
        for backend, (optimizer, variables) in ours.items():
            if backend is None:
                optimizer.apply_gradients(zip(gradients, variables, strict=True))
            else:
                optimizer.build(variables)
                flat, views = flat_views(variables, np.dtype(dtype))
                for view, gradient in zip(views, gradients, strict=True):
                    view[...] = gradient
                optimizer.step(flat, backend, sliced(cuts))
            assert_same_state(variables, their_variables)
            assert_same_state(optimizer.variables, theirs.variables)


@pytest.mark.parametrize("clipping", ["clipnorm", "global_clipnorm"])
@given(seed=SEEDS, dtype=DTYPES, limit=floats(0.1, 8))
@FEWER
def test_norms_of_real_gradients(clipping, seed, dtype, limit):
    gradients = [cnn.make_array(shape, "mixed", seed + k, dtype) for k, shape in enumerate(SHAPES)]
    ours, theirs = own_variables([0 * g for g in gradients]), keras_variables([0 * g for g in gradients])
    options = {"learning_rate": 1.0, clipping: limit}
    make(optimizers, "SGD", options).apply_gradients(zip(gradients, ours, strict=True))
    make(keras.optimizers, "SGD", options).apply_gradients(zip(gradients, theirs, strict=True))
    # A square and a sum of 28 positive ones, halved by the root; root, quotients and products: 4 more.
    operations = sum(g.size for g in gradients) / 2 + 5
    for a, b in zip(ours, theirs, strict=True):
        assert_agree(a.array, b.numpy(), ARITHMETICS[dtype].sum_bound(operations, np.abs(b.numpy())))


@pytest.mark.parametrize("clipping", ["clipnorm", "global_clipnorm", "clipvalue"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 1e30])
def test_gradients_without_a_norm(clipping, value):
    """NaN, infinities, zeros, and squares that overflow; a limit of 0 means none."""
    for limit in (1.0, 0.0):
        ours, theirs = (make_all(values_of(0, "float32")) for make_all in (own_variables, keras_variables))
        gradients = [np.full(shape, value if k == 1 else 0.5, np.float32) for k, shape in enumerate(SHAPES)]
        options = {"learning_rate": 0.5, clipping: limit}
        with np.errstate(over="ignore", invalid="ignore"):
            make(optimizers, "SGD", options).apply_gradients(zip(gradients, ours, strict=True))
        make(keras.optimizers, "SGD", options).apply_gradients(zip(gradients, theirs, strict=True))
        # 28 squares of 1/2, or none but a factor of 1.
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a.array, b.numpy(), rtol=2.0**-22)


def test_variables_without_a_gradient():
    """They stay as they are, with a warning; the step counts."""
    ours, theirs = (make_all(values_of(0, "float32")) for make_all in (own_variables, keras_variables))
    gradients = [np.ones(SHAPES[0], np.float32), None, np.ones(SHAPES[2], np.float32)]
    pair = [make(m, "RMSprop", {"weight_decay": 0.1}) for m in (optimizers, keras.optimizers)]
    for optimizer, variables in zip(pair, (ours, theirs), strict=True):
        with pytest.warns(UserWarning, match="Gradients do not exist for variables"):
            optimizer.apply_gradients(zip(gradients, variables, strict=True))
        with pytest.raises(ValueError, match="No gradients provided for any variable"):
            optimizer.apply([None, None, None], variables)
    assert_same_state(ours, theirs)
    assert_same_state(pair[0].variables, pair[1].variables)
    np.testing.assert_array_equal(ours[1].array, values_of(0, "float32")[1])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("patterns", "spared"),
    [(None, [1]), (["bias"], [1, 3]), (["dense_1", "nothing"], [2, 3]), (["se/k"], [0]), (["^bias"], [])],
)
def test_spared_from_weight_decay(name, patterns, spared):
    """A variable itself, or regular expressions in the variables' paths."""
    keras.backend.clear_session(free_memory=False)  # collecting garbage takes a quarter of a second
    minicnn.backend.clear_session()
    changed = []
    for module in (minicnn, keras):
        model = module.models.Sequential([module.Input((3,)), module.layers.Dense(2), module.layers.Dense(2)])
        model.set_weights([np.full(w.shape, 0.7) for w in model.weights])
        optimizer = make(module.optimizers, name, {"weight_decay": 0.25})
        itself = model.weights[1].value if module is keras else model.weights[1]
        optimizer.exclude_from_weight_decay(
            **({"var_list": [itself]} if patterns is None else {"var_names": patterns})
        )
        optimizer.apply_gradients([(np.zeros(w.shape, np.float32), w) for w in model.weights])
        changed.append([bool((w != np.float32(0.7)).all()) for w in model.get_weights()])
    assert changed[0] == changed[1] == [k not in spared for k in range(4)]


def test_setting_the_learning_rate():
    ours, theirs = (make_all(values_of(0, "float32")) for make_all in (own_variables, keras_variables))
    pair = [make(m, "SGD", {}) for m in (optimizers, keras.optimizers)]
    for rate in (0.3, np.float32(0.125), np.float64(0.7), 2):
        for optimizer, variables in zip(pair, (ours, theirs), strict=True):
            optimizer.learning_rate = rate
            optimizer.apply_gradients([(np.ones(v.shape, np.float32), v) for v in variables])
        assert_same_state(ours, theirs)
        assert pair[0].get_config() == pair[1].get_config()


@pytest.mark.parametrize("name", NAMES)
@given(st.data(), DTYPES)
@FEWER
def test_configurations(name, data, dtype):
    """Equal, in the same order, and there and back through the other library."""
    options = data.draw(options_of(name))
    ours, theirs = make(optimizers, name, options, dtype), make(keras.optimizers, name, options, dtype)
    assert list(ours.get_config().items()) == list(theirs.get_config().items())
    config = keras.optimizers.serialize(theirs)
    assert optimizers.serialize(ours) == config
    with floatx(dtype):
        assert optimizers.serialize(optimizers.deserialize(config)) == config
        assert keras.optimizers.serialize(keras.optimizers.deserialize(optimizers.serialize(ours))) == config


@pytest.mark.parametrize("name", NAMES)
def test_arguments(name):
    assert_same_signature(getattr(optimizers, name), getattr(keras.optimizers, name))


def test_names_are_numbered_alike():
    for module in (keras.backend, minicnn.backend):
        module.clear_session()
    for name in NAMES * 2:
        assert getattr(optimizers, name)().name == getattr(keras.optimizers, name)().name


def test_string_identifiers():
    for name in ("rmsprop", "SGD", "Adam", "adamW"):
        assert type(optimizers.get(name)).__name__ == type(keras.optimizers.get(name)).__name__
    for module in (optimizers, keras.optimizers):
        for wrong in ("nope", 3, print):
            with pytest.raises(ValueError, match="optimizer"):
                module.get(wrong)


@pytest.mark.parametrize(
    "arguments",
    [
        {"clipnorm": 1.0, "clipvalue": 1.0},
        {"clipnorm": 1.0, "global_clipnorm": 1.0},
        {"momentum": -0.5},
        {"momentum": 1.5},
        {"learning_rate": "fast"},
        {"nope": 1},
    ],
    ids=str,
)
def test_both_refuse(arguments):
    for module in (optimizers, keras.optimizers):
        with pytest.raises((ValueError, TypeError)):
            module.SGD(**arguments)


def test_both_refuse_strangers():
    for module, make_all in ((optimizers, own_variables), (keras.optimizers, keras_variables)):
        optimizer, variables = module.Adam(), make_all(values_of(0, "float32"))
        with pytest.raises(ValueError, match="build"):
            optimizer.apply([np.ones(3, np.float32)])
        optimizer.build(variables[:2])
        with pytest.raises(ValueError, match="Unknown variable"):
            optimizer.apply_gradients([(np.zeros(SHAPES[2], np.float32), variables[2])])
