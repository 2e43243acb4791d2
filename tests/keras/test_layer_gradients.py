"""Layers with windows, and Dense, against Keras: outputs and the gradients by input, kernel and bias.

TensorFlow is always asked in channels_last: its channels_first convolution refuses one group and is silently wrong with
several. Each new grouped geometry costs it 0.2 s, so those come from a short list.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from minicnn import layers
from minicnn.testing import strategies, tolerances
from minicnn.testing.geometry import ConvGeometry
from tests.keras.agreement import assert_agree
from tests.keras.floats import ARITHMETIC, EPS, FLOATX
from tests.keras.running import BACKENDS, channels_first, examples, in_keras, in_ours

ACTIVATIONS = ("linear", "relu", "sigmoid", "tanh")
DTYPES = [np.dtype(FLOATX)]


def check_conv2d(case, use_bias, data_format, backend):
    x, w, b, dy = case.x, case.w, case.b, case.dy
    geometry, weights = case.geometry, [w, b][: 2 if use_bias else 1]
    arguments = {
        "filters": geometry.filters,
        "kernel_size": geometry.kernel_size,
        **geometry.options(),
        "use_bias": use_bias,
        "dtype": FLOATX,
    }
    y, dx, dw = in_keras(keras.layers.Conv2D(data_format="channels_last", **arguments), x, dy, weights)
    move = channels_first if data_format == "channels_first" else np.asarray
    ours = layers.Conv2D(data_format=data_format, **arguments)
    own_y, own_dx, own_dw = in_ours(ours, move(x), move(dy), backend, weights)
    bias = b if use_bias else None
    assert_agree(
        own_y, move(y), move(tolerances.conv2d_bound(x, w, bias, arithmetic=ARITHMETIC, **geometry.options()))
    )
    bounds = tolerances.conv2d_backward_bound(dy, x, w, arithmetic=ARITHMETIC, **geometry.options())
    assert_agree(own_dx, move(dx), move(bounds[0]))
    for own, their, bound in zip(own_dw, dw, bounds[1:], strict=False):
        assert_agree(own, their, bound)
    assert ours.compute_output_shape(move(x).shape) == own_y.shape


@examples(100)
@given(
    case=strategies.conv_cases(strategies.conv_geometries(max_groups=1), dtypes=DTYPES),
    use_bias=st.booleans(),
    data_format=st.sampled_from(["channels_last", "channels_first"]),
    backend=st.sampled_from(BACKENDS),
)
def test_conv2d(case, use_bias, data_format, backend):
    check_conv2d(case, use_bias, data_format, backend)


GROUPED = [
    ConvGeometry(2, 7, 6, 4, 6, (3, 2), (1, 1), "same", (1, 1), 2),
    ConvGeometry(1, 8, 9, 6, 3, (2, 2), (2, 3), "valid", (1, 1), 3),
    ConvGeometry(3, 5, 5, 3, 3, (3, 3), (1, 1), "valid", (1, 1), 3),
    ConvGeometry(1, 9, 9, 4, 4, (2, 3), (1, 1), "same", (2, 3), 2),
    ConvGeometry(2, 6, 7, 8, 4, (4, 4), (2, 2), "same", (1, 1), 4),
    ConvGeometry(1, 4, 4, 2, 4, (1, 1), (3, 1), "same", (1, 1), 2),
]


@pytest.mark.parametrize("geometry", GROUPED, ids=str)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_grouped_conv2d(geometry, data_format, backend):
    @examples(2)
    @given(strategies.conv_cases(st.just(geometry), dtypes=DTYPES))
    def check(case):
        check_conv2d(case, True, data_format, backend)

    check()


@pytest.mark.parametrize("kind", ["MaxPooling2D", "AveragePooling2D"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_pooling(kind, backend):
    # Ties too: in both libraries the first maximum of a window wins.
    values = ["distinct", "ties", "sparse"] if kind == "MaxPooling2D" else strategies.MODERATE_VALUES

    @examples(100)
    @given(
        strategies.pool_cases(dtypes=DTYPES, values=values),
        st.sampled_from(["channels_last", "channels_first"]),
    )
    def check(case, data_format):
        x, dy = case.x, case.dy
        options = case.geometry.options()
        y, dx, _ = in_keras(getattr(keras.layers, kind)(data_format="channels_last", **options), x, dy)
        move = channels_first if data_format == "channels_first" else np.asarray
        ours = getattr(layers, kind)(data_format=data_format, **options)
        own_y, own_dx, _ = in_ours(ours, move(x), move(dy), backend)
        average = tolerances.average_pooling2d_bound(np.abs(x), arithmetic=ARITHMETIC, **options)
        assert_agree(own_y, move(y), move(np.zeros(y.shape) if kind == "MaxPooling2D" else average))
        way = "max" if kind == "MaxPooling2D" else "average"
        bound = tolerances.pooling2d_backward_bound(np.abs(dy), x, kind=way, arithmetic=ARITHMETIC, **options)
        assert_agree(own_dx, move(dx), move(bound))

    check()


@pytest.mark.parametrize("kind", ["GlobalMaxPooling2D", "GlobalAveragePooling2D"])
@examples(40)
@given(
    # Ties too: Keras shares the gradient among the maxima, and so do we.
    case=strategies.array_cases(strategies.shapes(min_dims=4), dtypes=DTYPES),
    keepdims=st.booleans(),
    data_format=st.sampled_from(["channels_last", "channels_first"]),
    backend=st.sampled_from(BACKENDS),
)
def test_global_pooling(kind, keepdims, data_format, backend, case):
    axes = (1, 2) if data_format == "channels_last" else (2, 3)
    arguments = {"keepdims": keepdims, "data_format": data_format}
    x, dy = case.x, case.dy.max(axis=axes, keepdims=keepdims)
    y, dx, _ = in_keras(getattr(keras.layers, kind)(**arguments), x, dy)
    own_y, own_dx, _ = in_ours(getattr(layers, kind)(**arguments), x, dy, backend)
    pixels = x.shape[axes[0]] * x.shape[axes[1]]
    # Maxima are exact. A mean is a sum, and a division or a product with a rounded reciprocal.
    mean = ARITHMETIC.sum_bound(pixels + 2, np.abs(x).astype(float).mean(axis=axes, keepdims=keepdims))
    assert_agree(own_y, y, 0 * mean if kind == "GlobalMaxPooling2D" else mean)
    assert_agree(own_dx, dx, ARITHMETIC.sum_bound(3, np.abs(dx)))


@examples(100)
@given(
    case=strategies.dense_cases(dtypes=DTYPES),
    lead=st.sampled_from([(), (2,), (2, 3)]),
    use_bias=st.booleans(),
    backend=st.sampled_from(BACKENDS),
)
def test_dense(case, lead, use_bias, backend):
    x, w, b, dy = case.x, case.w, case.b, case.dy
    shape = (*lead, *x.shape)
    x, dy = (np.ascontiguousarray(np.broadcast_to(a, (*lead, *a.shape))) for a in (x, dy))
    x = x.reshape(shape)
    if x.ndim > 2:  # the batch axis comes first
        x, dy = (np.ascontiguousarray(np.moveaxis(a, -2, 0)) for a in (x, dy))
    weights = [w, b][: 2 if use_bias else 1]
    y, dx, dw = in_keras(keras.layers.Dense(len(b), use_bias=use_bias), x, dy, weights)
    own_y, own_dx, own_dw = in_ours(layers.Dense(len(b), use_bias=use_bias), x, dy, backend, weights)
    magnitude = np.abs(x).astype(float) @ np.abs(w).astype(float) + (np.abs(b) if use_bias else 0)
    assert_agree(own_y, y, ARITHMETIC.sum_bound(len(w) + 1, magnitude))
    assert_agree(
        own_dx, dx, ARITHMETIC.sum_bound(len(b), np.abs(dy).astype(float) @ np.abs(w).astype(float).T)
    )
    rows_x, rows_dy = (np.abs(a).astype(float).reshape(-1, a.shape[-1]) for a in (x, dy))
    assert_agree(own_dw[0], dw[0], ARITHMETIC.sum_bound(len(rows_x), rows_x.T @ rows_dy))
    if use_bias:
        assert_agree(own_dw[1], dw[1], ARITHMETIC.sum_bound(len(rows_x), rows_dy.sum(0)))


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (2, 3, 4, 5)])
def test_flatten(data_format, shape):
    x = np.arange(np.prod(shape), dtype=FLOATX).reshape(shape)
    dy = -x.reshape(shape[0], -1)
    y, dx, _ = in_keras(keras.layers.Flatten(data_format=data_format), x, dy)
    own_y, own_dx, _ = in_ours(layers.Flatten(data_format=data_format), x, dy, "numba")
    np.testing.assert_array_equal(own_y, y)
    np.testing.assert_array_equal(own_dx, dx)


@pytest.mark.parametrize("activation", [*ACTIVATIONS, "softmax"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_activated_conv2d(activation, data_format, backend):
    """Softmax goes along the last axis even when channels come first."""
    rng = np.random.default_rng(1)
    x, dy = rng.normal(size=(2, 5, 6, 3)), rng.normal(size=(2, 4, 4, 4))
    w, b = rng.normal(size=(2, 3, 3, 4)).astype(FLOATX), rng.normal(size=4).astype(FLOATX)
    x, dy = x.astype(FLOATX), dy.astype(FLOATX)
    linear = keras.layers.Conv2D(4, (2, 3), data_format="channels_last")
    linear.build(x.shape)
    linear.set_weights([w, b])
    function, x_tensor = keras.activations.get(activation), tf.constant(x)
    to_first = data_format == "channels_first"
    with tf.GradientTape() as tape:
        tape.watch(x_tensor)
        z = linear(x_tensor)
        y = function(tf.transpose(z, (0, 3, 1, 2)) if to_first else z)
    dy = np.ascontiguousarray(channels_first(dy)) if to_first else dy
    dx, dw, db = tape.gradient(
        y, (x_tensor, linear.kernel.value, linear.bias.value), output_gradients=tf.constant(dy)
    )
    move = channels_first if to_first else np.asarray
    ours = layers.Conv2D(4, (2, 3), activation=activation, data_format=data_format)
    own_y, own_dx, own_dw = in_ours(ours, move(x), dy, backend, [w, b])
    # Eighteen products near 1 before, at most 32 after an activation whose slope is at most 1: some 170 roundings.
    for own, their in ((own_y, y), (own_dx, move(np.array(dx))), (own_dw[0], dw), (own_dw[1], db)):
        np.testing.assert_allclose(own, np.array(their), rtol=0, atol=170 * EPS)
