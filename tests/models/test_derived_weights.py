"""Transformed weights are kept between calls, and remade whenever a weight has changed, whoever changed it."""

import numpy as np
import pytest

from minicnn import Input, layers, models
from minicnn.kernels import conv_relu_pool_winograd
from minicnn.saving import load_weights, save_weights

X = np.random.default_rng(0).standard_normal((3, 6, 6, 32)).astype(np.float32)
Y = np.zeros((3, 6, 6, 32), np.float32)


def make_model():
    """A convolution that has transformed weights in forward, and in backward because something lies before it."""
    model = models.Sequential(
        [
            Input(shape=(6, 6, 32)),
            layers.Conv2D(32, 1),
            layers.Conv2D(32, 3, padding="same"),
        ]
    )
    model.compile("sgd", "mse")
    return model


def assign(model, tmp_path):
    model.layers[1].kernel.assign(model.layers[1].kernel.numpy() + 1)


def set_weights(model, tmp_path):
    model.set_weights([w * 2 for w in model.get_weights()])


def set_weights_of_a_layer(model, tmp_path):
    model.layers[1].set_weights([w * 2 for w in model.layers[1].get_weights()])


def train(model, tmp_path):
    model.train_on_batch(X, Y)


def load(model, tmp_path):
    save_weights(make_model(), tmp_path / "other.weights.h5")
    load_weights(model, tmp_path / "other.weights.h5")


def train_another_that_shares_it(model, tmp_path):
    other = models.Sequential([model.layers[0], model.layers[1]])
    other.compile("sgd", "mse")
    other.train_on_batch(X, Y)


CHANGES = (assign, set_weights, set_weights_of_a_layer, train, load, train_another_that_shares_it)


def fresh(model):
    """A model that has derived nothing yet, with the same weights."""
    copy = make_model()
    copy.set_weights(model.get_weights())
    return copy


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_is_seen(change, tmp_path):
    model = make_model()
    before = model.predict(X, verbose=0), model.gradients(X, Y, wants=("input",)).input
    change(model, tmp_path)
    after = model.predict(X, verbose=0), model.gradients(X, Y, wants=("input",)).input
    expected = fresh(model)
    assert not np.array_equal(after[0], before[0])
    np.testing.assert_array_equal(after[0], expected.predict(X, verbose=0))
    np.testing.assert_array_equal(after[1], expected.gradients(X, Y, wants=("input",)).input)


def test_without_a_change_nothing_is_remade(monkeypatch):
    remade: list[str] = []
    transform = conv_relu_pool_winograd.transform_weights
    monkeypatch.setattr(
        conv_relu_pool_winograd, "transform_weights", lambda w, u: remade.append("u") or transform(w, u)
    )
    model = make_model()
    model.predict(X, verbose=0)
    made = len(remade)
    assert made > 0
    for _ in range(3):
        model.predict(X, verbose=0)
    assert len(remade) == made
    train(model, None)
    model.predict(X, verbose=0)
    assert len(remade) > made
