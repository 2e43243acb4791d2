"""One way to run a layer forward and backward, in Keras and in ours."""

import numpy as np
import tensorflow as tf
from hypothesis import settings

BACKENDS = ("reference", "numba")


def in_keras(layer, x, dy, weights=(), **options):
    """(y, dx, gradients of the weights) of a Keras layer; dy of y's shape."""
    x = tf.constant(np.ascontiguousarray(x))
    layer.build(x.shape)
    layer.set_weights([np.ascontiguousarray(w) for w in weights])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, **options)
    sources = (x, [v.value for v in layer.trainable_variables])
    dx, dw = tape.gradient(y, sources, output_gradients=tf.constant(np.ascontiguousarray(dy)))
    return np.array(y), np.array(dx), [np.array(g) for g in dw]


def in_ours(layer, x, dy, backend, weights=()):
    """The same of one of ours. The arrays are given as they are, in whatever memory layout."""
    if not layer.built:
        layer.build(x.shape)
    layer.set_weights(weights)
    y, residuals = layer.forward(x, backend=backend)
    gradients = layer.backward(dy, residuals)
    return y, gradients.dx, gradients.weights


def channels_first(array):
    return np.moveaxis(array, -1, 1)


def examples(ordinary):
    """Settings for a test with `ordinary` examples in the ordinary run, and as many more as another profile says."""
    default = settings.get_profile("ordinary").max_examples
    return settings(max_examples=max(1, settings().max_examples * ordinary // default))
