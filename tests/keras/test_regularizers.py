"""Regularizers against Keras: penalties, gradients, configurations, and whole trainings."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import regularizers
from minicnn.testing import strategies as cnn
from tests.keras.agreement import ARITHMETICS, assert_agree

DTYPES = st.sampled_from(["float32", "float64"])
FACTORS = st.just(0.0) | st.integers(0, 2**20).map(lambda k: k / 2**20)
OPTIONS = {"L1": ["l1"], "L2": ["l2"], "L1L2": ["l1", "l2"]}


@pytest.mark.parametrize("name", OPTIONS)
@given(
    data=st.data(),
    dtype=DTYPES,
    seed=st.integers(0, 2**32 - 1),
    shape=st.sampled_from([(3,), (4, 5), (2, 2, 3, 4)]),
)
def test_penalties_and_gradients(name, data, dtype, seed, shape):
    """L1, L2, L1L2 on any weights, some of them 0; the gradient is TensorFlow's."""
    factors = {factor: data.draw(FACTORS) for factor in OPTIONS[name]}
    w = cnn.make_array(shape, data.draw(st.sampled_from(["normal", "sparse", "mixed"])), seed, dtype)
    ours, theirs = (getattr(m, name)(**factors) for m in (regularizers, keras.regularizers))
    with tf.GradientTape() as tape:
        variable = tf.Variable(w)
        penalty = theirs(variable)
    gradient = tape.gradient(penalty, variable)
    gradient = np.zeros_like(w) if gradient is None else gradient.numpy()
    arithmetic = ARITHMETICS[dtype]
    # Σ of w.size terms, a product each, and two more roundings.
    assert_agree(ours(w), penalty.numpy(), arithmetic.sum_bound(w.size + 4, float(ours(np.abs(w)))))
    assert ours(w).dtype == w.dtype
    assert_agree(ours.gradient(w), gradient, arithmetic.sum_bound(3, np.abs(ours.gradient(np.abs(w)))))


@pytest.mark.parametrize("identifier", ["l1", "l2", "L1", "L2", "L1L2", "l1l2", None])
def test_string_identifiers(identifier):
    ours, theirs = (m.get(identifier) for m in (regularizers, keras.regularizers))
    assert regularizers.serialize(ours) == keras.regularizers.serialize(theirs)


@given(data=st.data(), name=st.sampled_from(list(OPTIONS)))
def test_configurations(data, name):
    factors = {factor: data.draw(FACTORS) for factor in OPTIONS[name]}
    config = keras.regularizers.serialize(getattr(keras.regularizers, name)(**factors))
    assert regularizers.serialize(getattr(regularizers, name)(**factors)) == config
    assert regularizers.serialize(regularizers.deserialize(config)) == config
    assert keras.regularizers.serialize(keras.regularizers.deserialize(config)) == config


def test_both_refuse():
    for module in (regularizers, keras.regularizers):
        for wrong in (
            lambda m: m.L1(-1.0),
            lambda m: m.L2(float("nan")),
            lambda m: m.L1L2("a"),
            lambda m: m.get("l3"),
        ):
            with pytest.raises(ValueError):
                wrong(module)


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize("clipping", [{}, {"clipnorm": 0.05}, {"global_clipnorm": 0.05}, {"clipvalue": 0.01}])
def test_a_training_with_penalties_and_clipping(backend, clipping):
    """The losses in the history, with validation, over 12 steps: within 1e-5, as the first 10 of any training."""
    rng = np.random.default_rng(0)
    x, y = rng.random((48, 8, 8, 1), dtype=np.float32), rng.integers(0, 3, 48)
    histories, weights = [], None
    for module, options in ((minicnn, {"backend": backend}), (keras, {})):
        net = module.models.Sequential(
            [
                module.Input((8, 8, 1)),
                module.layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2", bias_regularizer="l1"),
                module.layers.MaxPooling2D(2),
                module.layers.Flatten(),
                module.layers.Dense(
                    3, activation="softmax", kernel_regularizer=module.regularizers.L1L2(l1=0.003, l2=0.02)
                ),
            ]
        )
        weights = weights or [w + 0.01 for w in net.get_weights()]
        net.set_weights(weights)
        net.compile(module.optimizers.Adam(0.01, **clipping), "sparse_categorical_crossentropy", **options)
        history = net.fit(
            x, y, batch_size=16, epochs=4, shuffle=False, verbose=0, validation_data=(x[:20], y[:20])
        )
        histories.append(history.history)
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(histories[0][name], histories[1][name], rtol=1e-5)
    assert histories[0]["loss"][0] > 1.15  # log 3 and the penalties


def test_which_weights_have_a_penalty():
    for module in (minicnn, keras):
        net = module.models.Sequential(
            [module.Input((3,)), module.layers.Dense(2, kernel_regularizer="l2", bias_regularizer="l1")]
        )
        assert len(net.losses) == 2
        net.layers[-1].trainable = False
        assert len(net.losses) == 0
