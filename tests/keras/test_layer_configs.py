"""What a layer says about itself is what Keras's says: configuration, names, shapes, numbers of weights."""

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import layers
from minicnn.errors import ShapeError
from minicnn.naming import reset_names
from minicnn.testing.strategies import conv_geometries, pool_geometries
from tests.keras.differences import CONFIGS

IMAGES, IMAGES_FIRST = (None, 9, 8, 4), (None, 4, 9, 8)
CASES = [
    ("Conv2D", {"filters": 3, "kernel_size": 2}, IMAGES),
    ("Conv2D", {"filters": 4, "kernel_size": [2, 3], "strides": 2, "padding": "SAME", "groups": 2}, IMAGES),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "dilation_rate": (1, 2), "use_bias": False}, IMAGES),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "activation": "relu", "trainable": False}, IMAGES),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "data_format": "channels_first", "name": "own"}, IMAGES_FIRST),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "kernel_initializer": "he_normal", "dtype": "float64"}, IMAGES),
    ("Conv2D", {"filters": 4, "kernel_size": 3}, (7, None, 8, 2)),
    ("MaxPooling2D", {}, IMAGES),
    ("MaxPooling2D", {"pool_size": (3, 2), "strides": (2, 1), "padding": "same"}, IMAGES),
    ("MaxPooling2D", {"pool_size": 3, "data_format": "channels_first"}, IMAGES_FIRST),
    ("AveragePooling2D", {"pool_size": 3}, IMAGES),
    ("AveragePooling2D", {"pool_size": 2, "strides": 3, "padding": "same"}, (None, None, None, 5)),
    ("GlobalMaxPooling2D", {}, IMAGES),
    ("GlobalAveragePooling2D", {"keepdims": True}, IMAGES),
    ("GlobalMaxPooling2D", {"data_format": "channels_first", "keepdims": True}, IMAGES_FIRST),
    ("GlobalAveragePooling2D", {"data_format": "channels_first"}, IMAGES_FIRST),
    ("Flatten", {}, IMAGES),
    ("Flatten", {"data_format": "channels_first"}, (None, 6)),
    ("Dense", {"units": 3}, (None, 5)),
    ("Dense", {"units": 3, "activation": "softmax", "use_bias": False, "bias_initializer": "ones"}, (None, 2, None, 5)),
    ("Activation", {"activation": "tanh"}, IMAGES),
    ("Activation", {"activation": "linear"}, (None, 3)),
    ("ReLU", {}, IMAGES),
    ("ReLU", {"max_value": 6.0, "negative_slope": 0.1, "threshold": 0.5}, IMAGES),
    ("Softmax", {}, (None, 3)),
    ("Softmax", {"axis": 1}, IMAGES),
    ("Dropout", {"rate": 0.25}, IMAGES),
    ("Dropout", {"rate": 0.5, "seed": 3}, IMAGES),
    ("RandomFlip", {}, IMAGES),
    ("RandomFlip", {"mode": "vertical", "seed": 3, "data_format": "channels_first"}, IMAGES_FIRST),
    ("RandomRotation", {"factor": 0.2}, IMAGES),
    ("RandomRotation", {"factor": (-0.1, 0.3), "fill_mode": "wrap", "interpolation": "nearest"}, IMAGES),
    ("RandomTranslation", {"height_factor": 0.2, "width_factor": (-0.1, 0.0)}, IMAGES),
    ("RandomTranslation", {"height_factor": 0, "width_factor": 1, "fill_mode": "constant", "fill_value": 0.5}, IMAGES),
    ("RandomZoom", {"height_factor": 0.2}, IMAGES),
    ("RandomZoom", {"height_factor": (0.3, 0.2), "width_factor": -0.5, "seed": 1}, IMAGES),
    ("RandomShear", {"x_factor": (0.1, 0.3), "y_factor": (0.0, 0.2), "fill_mode": "nearest"}, IMAGES),
    ("Rescaling", {"scale": 1 / 255}, IMAGES),
    ("Rescaling", {"scale": 2.0, "offset": -1.0}, (None, 3)),
    ("ZeroPadding2D", {}, IMAGES),
    ("ZeroPadding2D", {"padding": 2}, IMAGES),
    ("ZeroPadding2D", {"padding": (1, 2)}, IMAGES),
    ("ZeroPadding2D", {"padding": ((1, 0), (2, 3)), "data_format": "channels_first"}, IMAGES_FIRST),
]  # fmt: skip
IDS = [f"{kind}-{'-'.join(arguments)}-{len(shape)}" for kind, arguments, shape in CASES]


def both(kind, arguments, name="layer"):
    """The layer of either library; without a name each numbers it, from the same start."""
    if name is None:
        keras.backend.clear_session(free_memory=False)  # collecting garbage takes a quarter of a second
        reset_names()
    else:
        arguments = {"name": name} | arguments
    return getattr(keras.layers, kind)(**arguments), getattr(layers, kind)(**arguments)


def assert_same_config(theirs, ours):
    expected, own = theirs.get_config(), ours.get_config()
    assert set(own) == set(expected)
    for key, value in own.items():
        if key not in CONFIGS:
            assert value == expected[key], key
            assert type(value) is type(expected[key]), key
    assert own["dtype"] == expected["dtype"]["config"]["name"]


@pytest.mark.parametrize(("kind", "arguments", "shape"), CASES, ids=IDS)
def test_layer(kind, arguments, shape):
    theirs, ours = both(kind, arguments, name=None)
    assert ours.name == theirs.name
    assert ours.built == theirs.built
    assert_same_config(theirs, ours)
    for layer in (theirs, ours):
        layer.build(shape)
    assert ours.built == theirs.built
    assert ours.compute_output_shape(shape) == theirs.compute_output_shape(shape)
    assert ours.count_params() == theirs.count_params()
    assert [(v.name, v.shape, v.dtype) for v in ours.weights] == [
        (v.name, tuple(v.shape), v.dtype) for v in theirs.weights
    ]
    assert len(ours.trainable_weights) == len(theirs.trainable_weights)
    assert_same_config(theirs, ours)


@pytest.mark.parametrize(("kind", "arguments", "shape"), CASES, ids=IDS)
def test_configurations_go_both_ways(kind, arguments, shape):
    theirs, ours = both(kind, arguments)
    assert type(ours).from_config(theirs.get_config()).get_config() == ours.get_config()
    assert type(theirs).from_config(ours.get_config()).get_config() == theirs.get_config()
    assert layers.deserialize(keras.saving.serialize_keras_object(theirs)).get_config() == ours.get_config()
    read = keras.saving.deserialize_keras_object(layers.serialize(ours))
    assert read.get_config() == theirs.get_config()


@given(
    conv_geometries(data_formats=["channels_last", "channels_first"]),
    st.booleans(),
    st.sampled_from([None, "relu", "softmax"]),
)
def test_conv2d(geometry, use_bias, activation):
    arguments = {
        "filters": geometry.filters,
        "kernel_size": geometry.kernel_size,
        **geometry.options(),
        "data_format": geometry.data_format,
        "use_bias": use_bias,
        "activation": activation,
    }
    check_shapes(*both("Conv2D", arguments), geometry)


@given(
    pool_geometries(data_formats=["channels_last", "channels_first"]),
    st.sampled_from(["MaxPooling2D", "AveragePooling2D"]),
)
def test_pooling(geometry, kind):
    check_shapes(*both(kind, geometry.options() | {"data_format": geometry.data_format}), geometry)


def check_shapes(theirs, ours, geometry):
    assert_same_config(theirs, ours)
    unknown = (None, None, None, geometry.channels)
    if geometry.data_format == "channels_first":
        unknown = (None, geometry.channels, None, None)
    for shape in (geometry.image_shape, (None, *geometry.image_shape[1:]), unknown):
        assert ours.compute_output_shape(shape) == theirs.compute_output_shape(shape)
    assert ours.compute_output_shape(geometry.image_shape) == geometry.output_shape
    for layer in (theirs, ours):
        layer.build(geometry.image_shape)
    assert ours.count_params() == theirs.count_params()


def test_names_are_numbered_by_class():
    names = []
    keras.backend.clear_session(free_memory=False)  # collecting garbage takes a quarter of a second
    reset_names()
    for library in (keras.layers, layers):
        made = [getattr(library, kind)(**arguments) for kind, arguments, _ in CASES for _ in range(2)]
        names.append([layer.name for layer in made])
    assert names[0] == names[1]
    assert "max_pooling2d_1" in names[0]


@pytest.mark.parametrize(
    ("kind", "arguments", "shape"),
    [
        ("Conv2D", {"filters": 2, "kernel_size": 5}, (None, 4, 9, 1)),
        ("Conv2D", {"filters": 2, "kernel_size": 1, "groups": 2}, (None, 4, 9, 3)),
        ("Conv2D", {"filters": 2, "kernel_size": 1}, (None, 4, 9)),
        ("Conv2D", {"filters": 2, "kernel_size": 1}, (None, 4, 9, None)),
        ("Dense", {"units": 2}, (None, None)),
        ("MaxPooling2D", {}, (None, 4, 4)),
    ],
)
def test_both_refuse(kind, arguments, shape):
    theirs, ours = both(kind, arguments)
    with pytest.raises((ValueError, TypeError)):
        theirs(keras.Input(batch_shape=shape))
    with pytest.raises(ShapeError, match=ours.name):
        ours(layers.Input(batch_shape=shape))
