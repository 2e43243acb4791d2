"""Keras on TensorFlow: the best of its ways to compile."""

import os
from functools import partial
from itertools import product
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf

from minicnn.bench.neutral import Convolution, Network
from minicnn.bench.peers import CHECKED_STEPS, Candidates, Job, batches
from minicnn.config import num_threads

tf.config.threading.set_intra_op_parallelism_threads(num_threads())
tf.config.threading.set_inter_op_parallelism_threads(num_threads())

SLOW = ("jit_compile=True",)


def build(network: Network, jit_compile: bool | str = "auto", steps_per_execution: int = 1) -> Any:
    """The network with its weights, compiled for training."""
    stack = [getattr(keras.layers, kind)(**arguments) for kind, arguments in network.layers]
    model = keras.Sequential([keras.Input(network.input_shape), *stack])
    model.set_weights(network.weights())
    model.compile(
        "rmsprop",
        network.loss,
        metrics=["accuracy"],
        jit_compile=jit_compile,
        steps_per_execution=steps_per_execution,
    )
    return model


def train_step(network: Network, batch_size: int, steps: int) -> Candidates:
    def job(jit_compile: bool, steps_per_execution: int) -> Job:
        x, y = batches(network, batch_size, steps)
        model = build(network, jit_compile, steps_per_execution)

        def answers() -> dict[str, np.ndarray]:
            first_x, first_y = x[:batch_size], y[:batch_size]
            with tf.GradientTape() as tape:
                loss = model.compute_loss(first_x, first_y, model(first_x, training=True))
            gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
            other = build(network, jit_compile)
            rows = [slice(k * batch_size, (k + 1) * batch_size) for k in range(CHECKED_STEPS)]
            losses = np.array([other.train_on_batch(x[part], y[part])[0] for part in rows])
            return {"losses": losses} | {f"gradient {k}": np.asarray(g) for k, g in enumerate(gradients)}

        return Job(
            answers,
            lambda: model.fit(x[: steps * batch_size], y[: steps * batch_size], batch_size, verbose=0),
            steps,
            lambda: model.set_weights(network.weights()),
        )

    return {
        f"jit_compile={jit}, steps_per_execution={together}": partial(job, jit, together)
        for jit, together in product((False, True), (1, 32))
    }


def inference(network: Network, batch_size: int, steps: int) -> Candidates:
    def job(way: str, jit_compile: bool) -> Job:
        x, _ = network.examples(batch_size)
        model = build(network, jit_compile)
        ways = {
            "predict_on_batch": lambda: model.predict_on_batch(x),
            "model(x)": lambda: np.asarray(model(x, training=False)),
        }
        run = ways[way]
        return Job(lambda: {"predictions": run()}, run, batch_size)

    return {
        "predict_on_batch, jit_compile=False": partial(job, "predict_on_batch", False),
        "predict_on_batch, jit_compile=True": partial(job, "predict_on_batch", True),
        "model(x)": partial(job, "model(x)", False),
    }


def convolution_forward(convolution: Convolution) -> Candidates:
    def job(jit_compile: bool) -> Job:
        x, w, b, _ = convolution.arrays()
        layer = conv_layer(convolution, w, b)
        function, image = tf.function(layer, jit_compile=jit_compile), tf.constant(x)
        return Job(lambda: {"y": function(image).numpy()}, lambda: function(image).numpy())

    return {f"jit_compile={jit}": partial(job, jit) for jit in (False, True)}


def convolution_both(convolution: Convolution) -> Candidates:
    def job(jit_compile: bool) -> Job:
        x, w, b, dy = convolution.arrays()
        layer, image, seed = conv_layer(convolution, w, b), tf.constant(x), tf.constant(dy)

        def both(image: Any, seed: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(image)
                y = layer(image)
            sources = [image, layer.kernel.value, layer.bias.value]
            return y, *tape.gradient(y, sources, output_gradients=seed)

        function = tf.function(both, jit_compile=jit_compile)

        def run() -> list[np.ndarray]:
            return [array.numpy() for array in function(image, seed)]

        return Job(lambda: dict(zip(("y", "dx", "dw", "db"), run(), strict=True)), run)

    return {f"jit_compile={jit}": partial(job, jit) for jit in (False, True)}


def listing() -> None:
    """What `minicnn train` does: the book's listing with one epoch, evaluated on the test images."""
    from minicnn.bench.table import cases
    from minicnn.datasets import mnist

    (train_images, train_labels), (test_images, test_labels) = mnist.load_data()
    train_images, test_images = (
        images[..., np.newaxis].astype("float32") / 255 for images in (train_images, test_images)
    )
    train_targets, test_targets = (
        keras.utils.to_categorical(labels) for labels in (train_labels, test_labels)
    )
    model = build(cases().NETWORKS["book"])
    model.fit(train_images, train_targets, epochs=1, batch_size=64, verbose=0)
    model.evaluate(test_images, test_targets, verbose=0)


def conv_layer(convolution: Convolution, w: np.ndarray, b: np.ndarray) -> Any:
    layer = keras.layers.Conv2D(
        convolution.filters,
        convolution.kernel,
        convolution.stride,
        convolution.padding,
        dilation_rate=convolution.dilation,
        groups=convolution.groups,
    )
    layer.build((None, *convolution.input_shape))
    layer.set_weights([w, b])
    return layer
