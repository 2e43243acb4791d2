"""A net of the field: VGG16 from keras.applications becomes one of ours; outputs and gradients are Keras's."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import minicnn
from tests.keras.test_training import IS_NIGHTLY

AGREE = 1e-4
"""‖ours − theirs‖ / ‖theirs‖ of an output or a gradient: float32 through 16 layers. Measured 5e-6 at most;
the rest is for ReLUs so near their kink that rounding chooses the side."""


def pair(**options):
    """Keras's net and ours, with weights that keep activations at their size, and one image."""
    theirs = keras.applications.VGG16(weights=None, **options)
    rng = np.random.default_rng(0)
    weights = [
        rng.normal(size=w.shape, scale=np.sqrt(2 / np.prod(w.shape[:-1])) if w.ndim > 1 else 0.1)
        for w in theirs.get_weights()
    ]
    theirs.set_weights([w.astype(np.float32) for w in weights])
    x = rng.normal(size=(1, *theirs.input_shape[1:])).astype(np.float32)
    return theirs, minicnn.from_keras(theirs), x


def distance(ours, theirs):
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)


@pytest.mark.jitted
def test_without_its_top():
    theirs, ours, x = pair(include_top=False, input_shape=(32, 32, 3))
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    ours.compile("sgd", "mse")
    y = np.zeros(theirs.compute_output_shape(x.shape), np.float32)
    mine = ours.gradients(x, y, wants=("weights", "input"))
    image = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(image)
        outputs = theirs(image, training=False)
        loss = tf.reduce_mean(outputs**2)
    expected = tape.gradient(loss, [image, *(v.value for v in theirs.trainable_variables)])
    assert distance(ours(x), np.array(outputs)) <= AGREE
    for a, b in zip([mine.input, *mine.weights.values()], expected, strict=True):
        assert distance(a, np.array(b)) <= AGREE


@pytest.mark.jitted
@pytest.mark.skipif(not IS_NIGHTLY, reason="138 million weights: make nightly")
def test_with_its_top():
    theirs, ours, x = pair()
    assert ours.count_params() == theirs.count_params() == 138_357_544
    assert distance(ours(x), np.array(theirs(x, training=False))) <= AGREE
