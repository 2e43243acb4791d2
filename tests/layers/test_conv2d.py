"""Conv2D: shapes that it refuses, and its softmax over columns when channels come first."""

import numpy as np
import pytest

from minicnn import layers
from minicnn.errors import ShapeError


def built(**arguments):
    layer = layers.Conv2D(4, 3, name="c", **arguments)
    layer.build((None, 5, 5, 2) if layer.data_format == "channels_last" else (None, 2, 5, 5))
    return layer


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        ({}, (None, 5, 5, None), "'c' needs to know the channels. Received input shape"),
        ({"groups": 2}, (None, 5, 5, 3), "must be a multiple of groups=2. Received 3 channels"),
        ({}, (None, 5, 5), "must have rank 4, batch axis included. Received shape"),
    ],
)
def test_shapes_that_cannot_be_built_for(arguments, shape, message):
    layer = layers.Conv2D(4, 3, name="c", **arguments)
    with pytest.raises(ShapeError) as caught:
        layer.build(shape)
    assert message in str(caught.value)
    assert not layer.built


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [({}, (1, 5, 5, 3)), ({"groups": 2}, (1, 5, 5, 4)), ({"data_format": "channels_first"}, (1, 3, 5, 5))],
)
def test_once_built_it_takes_no_other_channels(arguments, shape):
    with pytest.raises(
        ShapeError, match=r"takes 2 channels \(channels_(last|first)\)\. Received input shape"
    ):
        built(**arguments)(np.zeros(shape, np.float32))


def test_a_kernel_larger_than_the_image():
    with pytest.raises(ShapeError, match=r"Layer 'c' \(Conv2D\): With padding='valid' the window must fit"):
        built()(np.zeros((1, 2, 5, 2), np.float32))


def test_channels_first_is_channels_last_moved():
    first, last = built(data_format="channels_first"), built()
    last.set_weights(first.get_weights())
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 2)).astype(np.float32)
    np.testing.assert_array_equal(first(x.transpose(0, 3, 1, 2)), last(x).transpose(0, 3, 1, 2))


def test_softmax_of_channels_first_runs_over_the_columns():
    """As Keras: over the last axis, whatever that is."""
    layer = built(data_format="channels_first", activation="softmax")
    y = layer(np.random.default_rng(0).normal(size=(2, 2, 5, 5)).astype(np.float32))
    np.testing.assert_allclose(y.sum(-1), 1, rtol=3e-7)  # three numbers, one rounding each
    assert np.ptp(y.sum(1)) > 0.01
