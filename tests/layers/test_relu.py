"""ReLU: which op computes which arguments, and that fusion takes the plain one alone."""

import numpy as np
import pytest

from minicnn import Input, layers, models, utils
from minicnn.engine import ops
from minicnn.engine.fusion import fuse

X = np.array([[-2.0, -0.5, 0.0, 0.5, 1.0, 1.5, 7.0]], np.float32)


@pytest.mark.parametrize(
    ("arguments", "kind", "expected"),
    [
        ({}, ops.ReLU, [0, 0, 0, 0.5, 1, 1.5, 7]),
        ({"max_value": 1.25}, ops.ClippedReLU, [0, 0, 0, 0.5, 1, 1.25, 1.25]),
        ({"threshold": 1.0}, ops.ClippedReLU, [0, 0, 0, 0, 0, 1.5, 7]),
        ({"negative_slope": 0.5}, ops.LeakyReLU, [-1, -0.25, 0, 0.5, 1, 1.5, 7]),
        ({"negative_slope": 0.5, "threshold": 1.0}, ops.ClippedReLU, [-1.5, -0.75, -0.5, -0.25, 0, 1.5, 7]),
        ({"negative_slope": 0.5, "max_value": 1.25}, ops.ClippedReLU, [-1, -0.25, 0, 0.5, 1, 1.25, 1.25]),
    ],
)
def test_values(arguments, kind, expected):
    layer = layers.ReLU(**arguments)
    assert [type(op) for op in layer.lower((7,))] == [kind]
    np.testing.assert_array_equal(layer(X)[0], np.float32(expected))
    assert layers.ReLU.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize("arguments", [{"threshold": 0.5}, {"max_value": 0.5}, {"negative_slope": 0.3}])
def test_only_the_plain_one_is_fused(arguments):
    """Between a convolution and its pool another ReLU must stay what it is."""
    results, kinds = [], []
    for fused in (True, False):
        utils.set_random_seed(1)
        model = models.Sequential(
            [
                Input((6, 6, 1)),
                layers.Conv2D(3, 3),
                layers.ReLU(**arguments),
                layers.MaxPooling2D(2),
                layers.Flatten(),
            ]
        )
        model.compile("sgd", "mse", fuse=fused)
        x = np.random.default_rng(0).normal(size=(2, 6, 6, 1)).astype("float32")
        results.append(model.predict(x, verbose=0))
        kinds.append([type(op).__name__ for op in fuse(model.lower((6, 6, 1)))])
    np.testing.assert_array_equal(*results)
    assert kinds[0][0] == "Conv2D"
    # Neither side of the kink is empty, or a plain ReLU would have done.
    assert len(np.unique(results[0])) > 2


@pytest.mark.parametrize("name", ["max_value", "negative_slope", "threshold"])
@pytest.mark.parametrize("value", [-1, "1", float("nan")])
def test_refused(name, value):
    with pytest.raises(
        ValueError, match=rf"`{name}` of ReLU must be a non-negative number\. Received {name}="
    ):
        layers.ReLU(**{name: value})
