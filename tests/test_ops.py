"""Registering a pair, and a registered pair as a loss."""

import numpy as np
import pytest

from minicnn import losses, ops
from minicnn.engine.binding import PAIRS
from minicnn.errors import ShapeError


def forward(y, t):
    return ((y - t) ** 2).sum(-1), y - t


def backward(dloss, residuals):
    return (2 * residuals * dloss[..., None],)


@pytest.fixture(autouse=True)
def registered():
    before = dict(PAIRS)
    ops.register("squares", forward, backward)
    yield
    PAIRS.clear()
    PAIRS.update(before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", forward, backward), r"`name` must be a non-empty string\. Received name=''"),
        ((3, forward, backward), r"`name` must be a non-empty string\. Received name=3"),
        (("a", None, backward), r"`forward` must be a function\. Received forward=None"),
        (("a", forward, "b"), r"`backward` must be a function\. Received backward='b'"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ops.register(*arguments)
    assert "a" not in ops.registered()


def test_what_is_registered_is_known():
    assert "squares" in ops.registered()
    op = ops.op("squares", "layer", [3])
    assert (op.name, op.output_shape((7,))) == ("layer", (3,))
    with pytest.raises(ValueError, match=r"No pair is registered as 'cubes'\. Known: .*squares"):
        ops.op("cubes", "layer", (3,))


def test_as_a_loss():
    loss = losses.get("squares")
    assert loss.name == "squares"
    assert loss([[0, 0], [1, 1]], np.float32([[1, 2], [1, 3]])) == np.float32(4.5)
    config = losses.serialize(loss)
    assert config["config"]["function"] == "squares"
    assert losses.deserialize(config).get_config() == loss.get_config()
    with pytest.raises(
        ShapeError, match=r"squares takes one target for each sample\. Received y_true.shape=\(3, 2\)"
    ):
        loss(np.zeros((3, 2)), np.zeros((2, 2), np.float32))
    with pytest.raises(ValueError, match="No pair is registered as 'cubes'"):
        type(loss)("cubes")
