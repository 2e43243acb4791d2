"""Activations on arrays: shapes, dtypes, values by the formulas, and the ops they stand for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import activations, config
from minicnn.engine import ops
from minicnn.engine.parallel import Executor
from minicnn.engine.plan import make_plan
from minicnn.testing import oracles, tolerances
from minicnn.testing import strategies as cnn

NAMES = ["elu", "gelu", "leaky_relu", "linear", "relu", "sigmoid", "silu", "softmax", "softplus", "tanh"]
ARITHMETICS = {"float32": tolerances.FLOAT32, "float64": tolerances.FLOAT64}


def expected(name, x, dtype):
    """(value, bound on the error)."""
    if name == "softmax":
        return oracles.softmax_forward(x), tolerances.softmax_bound(x, arithmetic=ARITHMETICS[dtype])
    value = oracles.activation_forward(name, x)
    return value, tolerances.activation_bound(name, x, arithmetic=ARITHMETICS[dtype])


@pytest.mark.parametrize("name", NAMES)
@given(st.data(), st.sampled_from(["float32", "float64"]))
def test_values(name, data, dtype):
    shape = data.draw(st.sampled_from([(3,), (2, 5), (2, 3, 4)]))
    x = data.draw(cnn.arrays(shape, dtype=np.dtype(dtype)))
    before = x.copy()
    y = getattr(activations, name)(x)
    assert y.shape == shape
    assert y.dtype == dtype
    np.testing.assert_array_equal(x, before)
    assert not np.shares_memory(x, y)
    value, bound = expected(name, x.astype(np.float64), dtype)
    assert (np.abs(y - value) <= bound).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("given_x", [[[-1, 2]], np.array([[-1, 2]]), [[-1.0, 2.0]], np.float16([[-1, 2]])])
def test_other_numbers_become_floatx(name, given_x):
    function = getattr(activations, name)
    y = function(given_x)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, function(np.float32([[-1, 2]])))
    config.set_floatx("float64")
    try:
        assert function(given_x).dtype == np.float64
    finally:
        config.set_floatx("float32")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("x", [["a"], [1j], [None]])
def test_not_numbers(name, x):
    with pytest.raises(TypeError, match="real numbers"):
        getattr(activations, name)(x)


@pytest.mark.parametrize("name", NAMES)
def test_lowers_to_the_op_that_computes_it(name):
    function = activations.get(name)
    lowered = activations.lower(function, "layer")
    x = np.float32([[-2, -0.5, 0, 0.5, 2]])
    if name == "linear":
        assert lowered == ()
        return
    assert [op.name for op in lowered] == ["layer"]
    y = Executor(make_plan(lowered, (5,), backend="reference")).run({}, x).outputs
    np.testing.assert_array_equal(y, function(x))


def test_parameters():
    x = np.float32([-2, 0.5, 3, 9])
    np.testing.assert_array_equal(
        activations.relu(x, negative_slope=0.5, max_value=6, threshold=1), [-1.5, -0.25, 3, 6]
    )
    np.testing.assert_array_equal(activations.leaky_relu(x, 0.5), [-1, 0.5, 3, 9])
    np.testing.assert_allclose(activations.elu(x, 2.0)[0], 2 * np.expm1(-2), rtol=1e-6)  # 8 roundings of 2⁻²⁴
    assert activations.gelu(x, approximate=True)[1] != activations.gelu(x)[1]


@pytest.mark.parametrize("parameter", ["negative_slope", "max_value", "threshold"])
def test_parameters_that_make_no_sense(parameter):
    for value in (-1.0, "1", float("nan")):
        with pytest.raises(ValueError, match=parameter):
            activations.relu(np.zeros(2), **{parameter: value})


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_softmax_along_an_axis(axis):
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    y = activations.softmax(x, axis=axis)
    np.testing.assert_allclose(y.sum(axis), 1, rtol=1e-15)  # at most 4 terms, each rounded once
    np.testing.assert_array_equal(
        np.moveaxis(y, axis, -1), activations.softmax(np.moveaxis(x, axis, -1).copy())
    )


@pytest.mark.parametrize("axis", [3, -4, 1.0, None, (0, 1), True])
def test_softmax_needs_one_axis(axis):
    with pytest.raises(ValueError, match=r"`axis` must be an integer and an axis of x\. Received axis="):
        activations.softmax(np.zeros((2, 3, 4)), axis=axis)


def test_identifiers():
    assert activations.get(None) is activations.linear
    assert activations.get("swish") is activations.get("silu") is activations.swish
    assert activations.serialize(activations.swish) == "silu"
    assert activations.deserialize("relu") is activations.relu
    assert activations.get(activations.relu) is activations.relu


def test_a_model_takes_no_function_without_derivative():
    own = activations.get(np.sin)
    with pytest.raises(ValueError, match=r"must be one of minicnn\.activations.*Received <ufunc 'sin'>"):
        activations.lower(own, "layer")


def test_ops_are_frozen_and_named():
    assert activations.lower(activations.relu, "a") == (ops.ReLU(name="a"),)
