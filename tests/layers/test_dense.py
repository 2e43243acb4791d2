"""Dense: shapes that it refuses, and what it is named after."""

import numpy as np
import pytest

from minicnn import Input, layers, models
from minicnn.errors import ShapeError


@pytest.mark.parametrize("shape", [(None,), (), (None, 3, None)])
def test_an_unknown_last_axis_is_refused(shape):
    with pytest.raises(ShapeError, match=r"'d' \(Dense\) needs a batch axis and a last axis of known size"):
        layers.Dense(2, name="d").build(shape)


def test_once_built_it_takes_no_other_channels():
    layer = layers.Dense(2, name="d")
    layer.build((None, 3))
    message = (
        r"'d' has a kernel of shape \(3, 2\) and takes a last axis of 3\. Received input shape \(None, 4\)"
    )
    with pytest.raises(ShapeError, match=message):
        layer(np.zeros((1, 4), np.float32))
    with pytest.raises(ShapeError, match=message):
        layer(Input((4,)))
    assert layer(np.zeros((1, 5, 3), np.float32)).shape == (1, 5, 2)
    with pytest.raises(ShapeError, match=message):
        models.Sequential([Input((4,)), layer])


def test_without_a_bias():
    layer = layers.Dense(2, use_bias=False)
    layer.build((None, 3))
    assert layer.bias is None
    assert [w.name for w in layer.weights] == ["kernel"]
    kernel = np.arange(6, dtype=np.float32).reshape(3, 2)
    layer.set_weights([kernel])
    np.testing.assert_array_equal(layer(np.ones((1, 3), np.float32)), [kernel.sum(0)])
