"""Layers that move images about: when they act, what they draw, what they refuse."""

import numpy as np
import pytest

from minicnn import Input, config, layers, models, utils
from minicnn.engine import plan as plan_module

X = np.random.default_rng(0).random((9, 8, 7, 2), np.float32)
MAKERS = {
    "RandomTranslation": lambda **k: layers.RandomTranslation(0.3, (0.1, 0.2), **k),
    "RandomRotation": lambda **k: layers.RandomRotation(0.2, **k),
    "RandomZoom": lambda **k: layers.RandomZoom(0.4, (-0.5, 0.1), **k),
    "RandomShear": lambda **k: layers.RandomShear(0.5, (0.2, 0.4), **k),
    "RandomFlip": lambda **k: layers.RandomFlip(**k),
}


def net(layer):
    model = models.Sequential([Input(X.shape[1:]), layer, layers.Flatten(), layers.Dense(2)])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_acts_in_training_and_when_called_alone(make):
    layer = make(seed=4)
    alone = layer(X)
    assert alone.shape == X.shape and (alone != X).any()
    assert (layer(X) != alone).any()  # the next step draws anew
    np.testing.assert_array_equal(layer(X, training=False), X)
    prefix = models.Model(*(lambda model: (model.input, model.layers[0].output))(net(make(seed=4))))
    np.testing.assert_array_equal(prefix.predict(X, verbose=0), X)
    np.testing.assert_array_equal(prefix(X, training=True), alone)  # step 0 of the same seed


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_channels_first_is_the_same_picture(make):
    first = make(seed=4, data_format="channels_first")(X.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(first.transpose(0, 2, 3, 1), make(seed=4)(X))


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_gradients_flow_through_what_was_drawn(make):
    """⟨dy, A·x⟩ = ⟨Aᵀ·dy, x⟩ in float64, the map being linear with a fill value of 0."""
    layer = make(seed=1, dtype="float64")
    x, dy = np.random.default_rng(1).normal(size=(2, *X.shape))
    for backend in ("numba", "reference"):
        y, residuals = layer.forward(x, backend=backend)
        dx = layer.backward(dy, residuals).dx
        np.testing.assert_allclose(np.sum(dy * y), np.sum(dx * x), rtol=1e-11)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_training_has_the_same_bits_for_any_chunks_and_threads(make, monkeypatch):
    """A draw that took its numbers from a generator shared by the chunks would fail here."""
    y, results = np.zeros((9, 2), np.float32), set()
    number = config.num_threads()
    try:
        for threads, chunk_bytes in ((1, 1 << 20), (3, 1 << 20), (2, 0)):
            monkeypatch.setattr(plan_module, "CHUNK_BYTES", chunk_bytes)
            monkeypatch.setattr(plan_module, "WORTHWHILE_NBYTES", 0 if threads == 3 else 1 << 17)
            plan_module._make_plan.cache_clear()
            config.set_num_threads(threads)
            utils.set_random_seed(0)
            model = net(make())
            prefix = models.Model(model.input, model.layers[0].output)
            model.fit(X, y, batch_size=9, epochs=2, shuffle=False, verbose=0)
            results.add(prefix(X, training=True).tobytes())
    finally:
        config.set_num_threads(number)
        plan_module._make_plan.cache_clear()
    assert len(results) == 1


def test_an_unseeded_layer_follows_the_global_seed():
    def drawn(seed):
        utils.set_random_seed(seed)
        return layers.RandomRotation(0.5)(X)

    np.testing.assert_array_equal(drawn(1), drawn(1))
    assert (drawn(1) != drawn(2)).any()


REFUSED = {
    "translation": (lambda: layers.RandomTranslation(1.5, 0), "`height_factor`", "1.5"),
    "three numbers": (lambda: layers.RandomRotation((0, 0.1, 0.2)), "`factor`", "(0, 0.1, 0.2)"),
    "zoom": (lambda: layers.RandomZoom(0.1, -1), "(-1.0, 1.0]", "width_factor=-1"),
    "shear": (lambda: layers.RandomShear(-0.1), "[0.0, 1.0]", "x_factor=-0.1"),
    "no number": (lambda: layers.RandomRotation("a"), "`factor`", "'a'"),
    "fill mode": (
        lambda: layers.RandomRotation(0.1, fill_mode="mirror"),
        "`fill_mode` must be one",
        "mirror",
    ),
    "interpolation": (lambda: layers.RandomZoom(0.1, interpolation="cubic"), "`interpolation`", "cubic"),
    "fill value": (lambda: layers.RandomZoom(0.1, fill_value="0"), "`fill_value`", "'0'"),
    "flip": (lambda: layers.RandomFlip("sideways"), "`mode` must be one of", "sideways"),
    "seed": (lambda: layers.RandomFlip(seed=-1), "`seed`", "-1"),
    "rank": (lambda: layers.RandomFlip()(X[0]), "rank 4", "(None, 7, 2)"),
}


@pytest.mark.parametrize("work, expected, received", REFUSED.values(), ids=REFUSED)
def test_refuses(work, expected, received):
    with pytest.raises(ValueError) as caught:
        work()
    assert expected in str(caught.value) and received in str(caught.value)
