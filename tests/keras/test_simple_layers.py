"""Layers without weights and windows against Keras: outputs and gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from minicnn import layers
from minicnn.testing import strategies, tolerances
from tests.keras.agreement import assert_agree
from tests.keras.floats import ARITHMETIC, FLOATX
from tests.keras.running import BACKENDS, examples, in_keras, in_ours

pytestmark = pytest.mark.filterwarnings("ignore:You are using a softmax over axis")
DTYPES = [np.dtype(FLOATX)]
MODERATE = ["integers", "ties", "sparse", "normal"]
RANK_2_TO_4 = strategies.shapes(min_dims=2)
backends = st.sampled_from(BACKENDS)

ACTIVATIONS = [
    "linear",
    "relu",
    "sigmoid",
    "tanh",
    "elu",
    "leaky_relu",
    "silu",
    "softplus",
    "gelu",
    "softmax",
]
# In float64 Keras rounds gelu's √2 and leaky_relu's 0.2 to float32 on their way: see differences.py.
ACTIVATIONS = [name for name in ACTIVATIONS if FLOATX == "float32" or name not in ("gelu", "leaky_relu")]


def held(constant):
    """The nearest number that float32 holds."""
    return float(np.float32(constant))


def agree(kind, arguments, case, backend, bounds):
    """Outputs and gradients by the input within `bounds`."""
    y, dx, _ = in_keras(getattr(keras.layers, kind)(**arguments), case.x, case.dy)
    own_y, own_dx, _ = in_ours(getattr(layers, kind)(**arguments), case.x, case.dy, backend)
    assert_agree(own_y, y, bounds[0])
    assert_agree(own_dx, dx, bounds[1])


@pytest.mark.parametrize("name", ACTIVATIONS)
@examples(40)
@given(
    case=strategies.array_cases(RANK_2_TO_4, dtypes=DTYPES, values=MODERATE, scales=(1, 0.01, 5)),
    backend=backends,
)
def test_activation(name, case, backend):
    bounds = (
        tolerances.activation_bound(name, case.x, arithmetic=ARITHMETIC),
        tolerances.activation_backward_bound(name, case.dy, case.x, arithmetic=ARITHMETIC),
    ) if name != "softmax" else softmax_bounds(case, -1)  # fmt: skip
    agree("Activation", {"activation": name}, case, backend, bounds)


def softmax_bounds(case, axis):
    return (
        tolerances.softmax_bound(case.x, axis=axis, arithmetic=ARITHMETIC),
        tolerances.softmax_backward_bound(case.dy, case.x, axis=axis, arithmetic=ARITHMETIC),
    )


@given(
    case=strategies.array_cases(RANK_2_TO_4, dtypes=DTYPES, values=MODERATE, scales=(1, 30)),
    data=st.data(),
    backend=backends,
)
def test_softmax_along_any_axis(case, data, backend):
    rank = case.x.ndim
    axis = data.draw(st.sampled_from([axis for axis in range(-rank, rank) if axis % rank]))
    agree("Softmax", {"axis": axis}, case, backend, softmax_bounds(case, axis))


@given(
    case=strategies.array_cases(
        RANK_2_TO_4,
        dtypes=DTYPES,
        values=[*MODERATE, "mixed"],
        layouts=["contiguous", "reversed", "every other"],
    ),
    max_value=st.sampled_from([None, 0.0, 2.0, 6.0]),
    negative_slope=st.sampled_from([0.0, held(0.1), 1.5]),
    threshold=st.sampled_from([0.0, 1.0, held(0.3)]),
    backend=backends,
)
def test_relu(case, max_value, negative_slope, threshold, backend):
    arguments = {"max_value": max_value, "negative_slope": negative_slope, "threshold": threshold}
    # A rounded constant, a difference, a product.
    size = np.abs(case.x).astype(np.float64) + threshold
    bounds = (
        ARITHMETIC.sum_bound(3, max(1.0, negative_slope) * size),
        ARITHMETIC.sum_bound(2, max(1.0, negative_slope) * np.abs(case.dy).astype(np.float64)),
    )
    # At max_value both 0 and 1 are valid slopes. Keras takes 0 for 6 and 1 for every other.
    if max_value is not None:
        case.dy[case.x == max_value] = 0
    agree("ReLU", arguments, case, backend, bounds)


@given(
    case=strategies.array_cases(RANK_2_TO_4, dtypes=DTYPES),
    scale=st.sampled_from([held(1 / 255), -2.0, 0.0, "each"]),
    offset=st.sampled_from([0.0, held(0.1), "each"]),
    backend=backends,
)
def test_rescaling(case, scale, offset, backend):
    channels = case.x.shape[-1]
    scale = [1.5 - k for k in range(channels)] if scale == "each" else scale
    offset = [0.25 * k for k in range(channels)] if offset == "each" else offset
    wide = np.abs(case.x).astype(np.float64)
    bounds = (
        ARITHMETIC.sum_bound(4, wide * np.abs(scale) + np.abs(offset)),
        ARITHMETIC.sum_bound(2, np.abs(case.dy).astype(np.float64) * np.abs(scale)),
    )
    agree("Rescaling", {"scale": scale, "offset": offset}, case, backend, bounds)


@given(
    shape=strategies.shapes(min_dims=4),
    sides=st.tuples(*[st.integers(0, 3)] * 4),
    form=st.sampled_from(["one", "two", "four"]),
    data_format=st.sampled_from(["channels_last", "channels_first"]),
    backend=backends,
)
def test_zero_padding(shape, sides, form, data_format, backend):
    top, bottom, left, right = sides
    padding = {"one": top, "two": (top, left), "four": ((top, bottom), (left, right))}[form]
    arguments = {"padding": padding, "data_format": data_format}
    x = strategies.make_array(shape, "distinct", 1, FLOATX)
    ours = layers.ZeroPadding2D(**arguments)
    dy = strategies.make_array(ours.compute_output_shape(shape), "distinct", 2, FLOATX)
    y, dx, _ = in_keras(keras.layers.ZeroPadding2D(**arguments), x, dy)
    own_y, own_dx, _ = in_ours(ours, x, dy, backend)
    np.testing.assert_array_equal(own_y, y)
    np.testing.assert_array_equal(own_dx, dx)


@given(
    case=strategies.array_cases(RANK_2_TO_4, dtypes=DTYPES, values=["distinct", "special"]),
    data_format=st.sampled_from(["channels_last", "channels_first"]),
    backend=backends,
)
def test_flatten(case, data_format, backend):
    dy = strategies.make_array((len(case.x), case.x[0].size), "distinct", 3, FLOATX)
    y, dx, _ = in_keras(keras.layers.Flatten(data_format=data_format), case.x, dy)
    own_y, own_dx, _ = in_ours(layers.Flatten(data_format=data_format), case.x, dy, backend)
    np.testing.assert_array_equal(own_y, y)
    np.testing.assert_array_equal(own_dx, dx)


# Dropout draws other bits than Keras's; what can be compared is the distribution, and what it does with a mask.

LARGE = np.ones((64, 1000), FLOATX)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.75])
def test_dropout_in_training(rate):
    theirs = np.array(keras.layers.Dropout(rate, seed=1)(LARGE, training=True))
    layer = layers.Dropout(rate, seed=1)
    for ours in (layer(LARGE, training=True), layer.forward(LARGE)[0]):
        assert ours.dtype == theirs.dtype
        assert set(np.unique(ours)) == set(np.unique(theirs))  # 0 and 1 / (1 − rate), rounded alike
        for dropped in (ours == 0, theirs == 0):
            # Five standard deviations of a binomial share; both seeds are fixed.
            assert abs(dropped.mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / LARGE.size)


@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
def test_dropout_outside_training_and_at_both_ends(rate):
    x = strategies.make_array((3, 4, 5), "normal", 0, FLOATX)
    theirs, ours = keras.layers.Dropout(rate), layers.Dropout(rate)
    np.testing.assert_array_equal(ours(x), np.array(theirs(x)))
    np.testing.assert_array_equal(ours(x), x)
    if rate in (0.0, 1.0):
        own_y, own_dx, _ = in_ours(ours, x, x, "numba")
        np.testing.assert_array_equal(own_y, np.array(theirs(x, training=True)))
        np.testing.assert_array_equal(own_dx, own_y)


@pytest.mark.parametrize("backend", BACKENDS)
def test_dropout_passes_the_gradient_where_it_passed_the_input(backend):
    rng = np.random.default_rng(0)
    x, dy = (rng.normal(size=(8, 50)).astype(FLOATX) for _ in range(2))
    y, dx, _ = in_ours(layers.Dropout(0.5, seed=3), x, dy, backend)
    with tf.GradientTape() as tape:
        tensor = tf.constant(x)
        tape.watch(tensor)
        same = tensor * tf.constant(y / x)
    np.testing.assert_array_equal(dx, np.array(tape.gradient(same, tensor, output_gradients=tf.constant(dy))))
    assert 0 < (y == 0).mean() < 1
