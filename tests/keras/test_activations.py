"""Activations: Keras's arguments, values and derivatives."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from minicnn import activations, layers
from minicnn.testing import strategies as cnn
from minicnn.testing import tolerances
from tests.keras.agreement import ARITHMETICS, assert_agree, assert_same_signature

NAMES = ["elu", "gelu", "leaky_relu", "linear", "relu", "sigmoid", "silu", "softmax", "softplus", "tanh"]
DTYPES = st.sampled_from(["float32", "float64"])
ARRAYS = {
    dtype: st.sampled_from([(7,), (3, 4), (2, 3, 5), (2, 2, 2, 3)]).flatmap(
        lambda shape, dtype=dtype: cnn.arrays(shape, dtype=np.dtype(dtype), layouts=["contiguous"])
    )
    for dtype in ("float32", "float64")
}


def bound_of(name, x, dtype, **options):
    if name == "softmax":
        return tolerances.softmax_bound(x, arithmetic=ARITHMETICS[dtype])
    bound = tolerances.activation_bound(name, x, arithmetic=ARITHMETICS[dtype], **options)
    return bound + constants_error(name, np.abs(x), dtype, options.get("negative_slope", 0.2))


def constants_error(name, magnitude, dtype, slope=0.2):
    """What TensorFlow's float64 loses by constants that it rounds to float32: √2 in gelu, the slope in leaky_relu."""
    if dtype == "float32" or name not in ("gelu", "leaky_relu"):
        return 0.0
    # Φ's argument is off by one float32 rounding, and |z·φ(z)| < 1; the slope is a factor.
    return 2.0**-24 * magnitude * (1 if name == "gelu" else slope)


@pytest.mark.parametrize("name", [*NAMES, "swish"])
def test_arguments_and_names(name):
    ours, theirs = getattr(activations, name), getattr(keras.activations, name, keras.activations.silu)
    assert_same_signature(ours, theirs)
    assert activations.get(name) is ours
    assert activations.serialize(ours) == keras.activations.serialize(keras.activations.get(name))
    assert activations.deserialize(keras.activations.serialize(theirs)) is ours


def test_unknown_names_are_refused_by_both():
    for module in (activations, keras.activations):
        for wrong in ("nope", "ReLU", 3):
            with pytest.raises(ValueError, match="ctivation"):
                module.get(wrong)


@pytest.mark.parametrize("name", NAMES)
@given(st.data(), DTYPES)
def test_values(name, data, dtype):
    x = data.draw(ARRAYS[dtype])
    ours, theirs = getattr(activations, name)(x), np.array(getattr(keras.activations, name)(x))
    assert ours.dtype == theirs.dtype
    assert_agree(ours, theirs, bound_of(name, x.astype(np.float64), dtype))


@pytest.mark.parametrize("name", NAMES)
@given(st.data(), DTYPES, st.sampled_from(["reference", "numba"]))
def test_derivatives(name, data, dtype, backend):
    """Through the layer: the op that the activation lowers to."""
    x = data.draw(ARRAYS[dtype].filter(lambda x: x.ndim > 1))
    dy = data.draw(cnn.arrays(x.shape, dtype=np.dtype(dtype), layouts=["contiguous"]))
    layer = layers.Activation(name, dtype=dtype)
    y, residuals = layer.forward(x, backend=backend)
    ours = layer.backward(dy, residuals).dx
    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        # A plain tensor: with a variable, `linear` would hand back the variable itself.
        result = getattr(keras.activations, name)(tf.identity(variable))
    theirs = tape.gradient(result, variable, output_gradients=tf.constant(dy))
    x, dy = x.astype(np.float64), dy.astype(np.float64)
    if name == "softmax":
        bound = tolerances.softmax_backward_bound(dy, x, arithmetic=ARITHMETICS[dtype])
    else:
        bound = tolerances.activation_backward_bound(name, dy, x, arithmetic=ARITHMETICS[dtype])
    # gelu's derivative Φ(z) + z·φ(z) has a slope below 1.2, and its argument is off by |z| float32 roundings.
    bound = bound + np.abs(dy) * constants_error(name, 1 + 1.2 * np.abs(x), dtype)
    assert_agree(y, result, bound_of(name, x, dtype))
    assert_agree(ours, theirs, bound)


@given(
    st.data(),
    st.sampled_from([0.0, 0.2, 1.5]),
    st.sampled_from([None, 0.5, 6, 100.0]),
    st.sampled_from([0.0, 0.5, 2.0]),
    DTYPES,
)
def test_general_relu(data, slope, limit, threshold, dtype):
    x = data.draw(ARRAYS[dtype])
    options = {"negative_slope": slope, "max_value": limit, "threshold": threshold}
    ours, theirs = activations.relu(x, **options), np.array(keras.activations.relu(x, **options))
    # A difference and a product: two roundings of what is subtracted, one of the whole. With a slope alone Keras calls
    # leaky_relu.
    magnitude = (np.abs(x.astype(np.float64)) + threshold) * (1 + slope)
    bound = ARITHMETICS[dtype].sum_bound(4, magnitude) + constants_error(
        "leaky_relu", magnitude, dtype, slope
    )
    assert_agree(ours, theirs, bound)


@given(st.data(), st.just(0.0) | st.floats(0.015625, 3, width=32), st.booleans(), DTYPES)
def test_parameters(data, parameter, approximate, dtype):
    x = data.draw(ARRAYS[dtype])
    x64 = x.astype(np.float64)
    assert_agree(
        activations.elu(x, parameter),
        keras.activations.elu(x, parameter),
        bound_of("elu", x64, dtype, alpha=parameter),
    )
    assert_agree(
        activations.leaky_relu(x, parameter),
        keras.activations.leaky_relu(x, parameter),
        bound_of("leaky_relu", x64, dtype, negative_slope=parameter),
    )
    if approximate:
        # tanh of a cubic: its derivative is at most 1/|argument|, so the argument's 5 roundings weigh no more than its
        # value's; and √(2/π) and 0.044715 as float32 constants in TensorFlow's float64.
        u = 8 * ARITHMETICS[dtype].gamma(tolerances.FUNCTION) + 2.0**-22 * (dtype == "float64")
        assert_agree(activations.gelu(x, True), keras.activations.gelu(x, True), np.abs(x64) * u + 1e-300)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
@given(seed=st.integers(0, 2**32 - 1))
def test_softmax_along_an_axis(axis, seed):
    x = cnn.make_array((2, 3, 4), "normal", seed, np.float32)
    bound = tolerances.softmax_bound(x, axis=axis, arithmetic=ARITHMETICS["float32"])
    assert_agree(activations.softmax(x, axis), keras.activations.softmax(x, axis), bound)
