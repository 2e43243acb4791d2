"""Layers without weights: what they compute on numbers small enough to see, and what they refuse."""

import numpy as np
import pytest

from minicnn import Input, layers
from minicnn.errors import ShapeError

IMAGE = np.arange(12, dtype=np.float32).reshape(1, 2, 3, 2)
FIRST = IMAGE.transpose(0, 3, 1, 2)


def test_activation():
    layer = layers.Activation("relu")
    np.testing.assert_array_equal(layer(np.float32([[-1, 2]])), [[0, 2]])
    assert layer.get_config()["activation"] == "relu"
    linear = layers.Activation("linear", name="same")
    np.testing.assert_array_equal(linear(np.float32([[-1, 2]])), [[-1, 2]])
    assert [op.name for op in linear.lower((2,))] == ["same"]


def test_rescaling():
    np.testing.assert_array_equal(layers.Rescaling(2, offset=1)(np.float32([[1, 3]])), [[3, 7]])
    layer = layers.Rescaling(np.array([1, 10]), offset=[0, 0.5])
    np.testing.assert_array_equal(layer(np.float32([[1, 3]])), [[1, 30.5]])
    again = layers.Rescaling.from_config(layer.get_config())
    assert (again.scale, again.offset) == ((1.0, 10.0), (0.0, 0.5))


@pytest.mark.parametrize("value", ["2", None, [[1, 2]], ["a", "b"]])
def test_rescaling_refuses(value):
    with pytest.raises(ValueError, match=r"`scale` must be a number or a list of numbers.*Received scale="):
        layers.Rescaling(value)
    with pytest.raises(ValueError, match="`offset` must be a number"):
        layers.Rescaling(1, offset=value)


@pytest.mark.parametrize("axis", [1, 2, 3, -1, -2, -3])
def test_softmax(axis):
    layer = layers.Softmax(axis)
    y, (exponents) = layer(IMAGE), np.exp(IMAGE - IMAGE.max(axis, keepdims=True))
    # A few roundings each in exp, sum and division.
    np.testing.assert_allclose(y, exponents / exponents.sum(axis, keepdims=True), rtol=1e-6)
    assert layer.get_config()["axis"] == axis


@pytest.mark.parametrize("axis", [0, True, 1.0, "1", None])
def test_softmax_refuses(axis):
    with pytest.raises(
        ValueError, match=r"`axis` of Softmax must be one integer other than 0\. Received axis="
    ):
        layers.Softmax(axis)


@pytest.mark.parametrize("axis", [4, -4])
def test_softmax_of_an_axis_that_is_not_there(axis):
    with pytest.raises(ValueError, match=rf"Layer 's' has axis={axis}\. Received an input of shape"):
        layers.Softmax(axis, name="s")(IMAGE)


@pytest.mark.parametrize(
    ("padding", "pads"),
    [(1, ((1, 1), (1, 1))), ((1, 2), ((1, 1), (2, 2))), (((0, 1), (2, 0)), ((0, 1), (2, 0)))],
)
def test_zero_padding(padding, pads):
    layer = layers.ZeroPadding2D(padding)
    np.testing.assert_array_equal(layer(IMAGE), np.pad(IMAGE, ((0, 0), *pads, (0, 0))))
    first = layers.ZeroPadding2D(padding, data_format="channels_first")
    np.testing.assert_array_equal(first(FIRST), np.pad(FIRST, ((0, 0), (0, 0), *pads)))
    assert layers.ZeroPadding2D.from_config(layer.get_config()).padding == layer.padding == pads


@pytest.mark.parametrize("padding", [-1, True, (1,), (1, 2, 3), "ab", ((1, 2), (1, 2, 3)), 1.5, ((1, -1), 0)])
def test_zero_padding_refuses(padding):
    with pytest.raises(ValueError, match=r"`padding` must be a non-negative integer.*Received padding="):
        layers.ZeroPadding2D(padding)


def test_flatten_gives_the_same_for_both_formats():
    """A Dense layer behind it keeps its meaning."""
    first = layers.Flatten(data_format="channels_first")
    np.testing.assert_array_equal(first(FIRST), layers.Flatten()(IMAGE))
    np.testing.assert_array_equal(first(np.float32([[1, 2]])), [[1, 2]])
    assert first.get_config()["data_format"] == "channels_first"


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize(("kind", "reduce"), [("Max", np.max), ("Average", np.mean)])
def test_global_pooling(kind, reduce, keepdims):
    kind = getattr(layers, f"Global{kind}Pooling2D")
    last, first = kind(keepdims=keepdims), kind(data_format="channels_first", keepdims=keepdims)
    np.testing.assert_array_equal(last(IMAGE), reduce(IMAGE, (1, 2), keepdims=keepdims))
    np.testing.assert_array_equal(first(FIRST), reduce(FIRST, (2, 3), keepdims=keepdims))
    assert kind.from_config(first.get_config()).get_config() == first.get_config()


def test_pooling_of_channels_first():
    for kind in (layers.MaxPooling2D, layers.AveragePooling2D):
        last, first = kind((2, 1)), kind((2, 1), data_format="Channels_First")
        np.testing.assert_array_equal(first(FIRST), last(IMAGE).transpose(0, 3, 1, 2))


def test_a_pool_larger_than_the_image():
    with pytest.raises(
        ShapeError, match=r"Layer 'p' \(AveragePooling2D\): With padding='valid' the window must"
    ):
        layers.AveragePooling2D(3, name="p")(IMAGE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pool_size": 0}, "`pool_size` must be two positive integers"),
        ({"pool_size": (2, 2.0)}, "`pool_size` must be two positive integers"),
        ({"pool_size": 2, "strides": (1, 2, 3)}, "`strides` must be two positive integers"),
        ({"pool_size": 2, "padding": "full"}, "`padding`"),
        ({"pool_size": 2, "data_format": "NCHW"}, "`data_format`"),
        ({"pool_size": 2, "size": 3}, "MaxPooling2D has no such arguments. Received size"),
    ],
)
def test_pooling_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        layers.MaxPooling2D(**arguments)


def test_input():
    tensor = Input((None, 3), batch_size=4, name="start")
    assert tensor.shape == (4, None, 3)
    assert tensor.ndim == 3
    assert repr(tensor) == (
        "<KerasTensor shape=(4, None, 3), dtype=float32, sparse=False, ragged=False, name=start>"
    )
    assert Input(batch_shape=(None, 2)).shape == (None, 2)
    assert layers.InputLayer(shape=(2,)).get_config()["batch_shape"] == (None, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Input takes either `shape` or `batch_shape`. Received shape=None"),
        ({"shape": (2,), "batch_shape": (None, 2)}, "Input takes either"),
        ({"shape": (0,)}, "`shape` must be a tuple of positive integers or None. Received shape="),
        ({"shape": (True,)}, "`shape` must be a tuple"),
        ({"batch_shape": "ab"}, "`batch_shape` must be a tuple"),
        ({"shape": (2,), "sparse": True}, "does not implement `sparse`"),
    ],
)
def test_input_refuses(arguments, message):
    with pytest.raises(ValueError) as caught:
        Input(**arguments)
    assert message in str(caught.value)
