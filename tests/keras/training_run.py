"""Trains the book's net on real MNIST in Keras and in minicnn from the same weights; prints what was measured as JSON.

    python -m tests.keras.training_run float64 --steps 300 [--optimizers adam sgd]
    python -m tests.keras.training_run float32 --steps 10 --forced 100

A process of its own, because Keras's float type must be set before any Keras object exists. After --steps free steps
come --forced ones, each from Keras's weights and slots, so that rounding can't grow from step to step. Of those the
losses and gradients are compared with Keras's in float64, and with what Keras itself makes of the same batch in
reversed order; the new weights and slots with what Keras's optimizer makes of our gradients.
"""

import argparse
import json
import os
import sys
import time
from contextlib import contextmanager
from functools import cache

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # why: tests/conftest.py

import keras
import numpy as np
import tensorflow as tf

import minicnn
from minicnn.datasets import mnist

OPTIMIZERS = {
    "rmsprop": ("RMSprop", {}),
    "rmsprop-centered": ("RMSprop", {"centered": True}),
    "rmsprop-momentum": ("RMSprop", {"momentum": 0.5}),
    "rmsprop-full": ("RMSprop", {"momentum": 0.5, "centered": True}),
    "sgd": ("SGD", {"learning_rate": 0.05}),
    "sgd-momentum": ("SGD", {"learning_rate": 0.05, "momentum": 0.9}),
    "sgd-nesterov": ("SGD", {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}),
    "adam": ("Adam", {}),
    "amsgrad": ("Adam", {"amsgrad": True}),
    "adamw": ("AdamW", {}),
}
SEED = 1
BATCH = 64


def book_net(library):
    layers = library.layers
    return library.models.Sequential(
        [
            library.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu", name="first"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Conv2D(64, 3, activation="relu", name="second"),
            layers.MaxPooling2D(2, name="pool_again"),
            layers.Conv2D(64, 3, activation="relu", name="third"),
            layers.Flatten(name="flat"),
            layers.Dense(64, activation="relu", name="hidden"),
            layers.Dense(10, activation="softmax", name="classes"),
        ],
        name="net",
    )


def copies(weights):
    """Keras's arrays may be views of variables that training overwrites."""
    return [w.copy() if isinstance(w, np.ndarray) else np.array(w.numpy()) for w in weights]


def batches(steps):
    (images, labels), _ = mnist.load_data()
    floatx = keras.config.floatx()
    images = (images[: steps * BATCH, ..., None] / 255).astype(floatx)
    labels = np.eye(10, dtype=floatx)[labels[: steps * BATCH]]
    return [(images[k : k + BATCH], labels[k : k + BATCH]) for k in range(0, steps * BATCH, BATCH)]


@contextmanager
def floats(floatx):
    """Keras and minicnn make objects of this float type."""
    before = keras.config.floatx()
    set_floats(floatx)
    yield
    set_floats(before)


def set_floats(floatx):
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(floatx)
    minicnn.config.set_floatx(floatx)


def compiled_pair(optimizer):
    """The net in Keras and in minicnn with the same weights."""
    keras.utils.set_random_seed(SEED)
    name, options = OPTIMIZERS[optimizer]
    theirs, ours = book_net(keras), book_net(minicnn)
    ours.set_weights(copies(theirs.get_weights()))
    for library, model in ((keras, theirs), (minicnn, ours)):
        model.compile(getattr(library.optimizers, name)(name="opt", **options), "categorical_crossentropy")
    return theirs, ours


def train_freely(theirs, ours, data):
    """`losses`: [Keras's, ours] of every step. In float32 `apart` too: what the gradients differ by, at most.

    That is the largest distance among three: ours and Keras's, each from float64 at the same weights, and float64's at
    the one's weights from float64's at the other's. All are near 1e-6 unless a kink lies between.
    """
    losses, apart = [], []
    for x, y in data:
        if theirs.dtype == "float32":
            apart.append(gradients_apart(theirs, ours, x, y))
        for model in (theirs, ours):
            model.reset_metrics()
        losses.append([float(model.train_on_batch(x, y)) for model in (theirs, ours)])
    return {"losses": losses, "apart": apart}


def gradients_apart(theirs, ours, x, y):
    weights = [copies(model.get_weights()) for model in (theirs, ours)]
    true, true_at_ours = (gradients_in("float64", w, x, y)[1] for w in weights)
    mine = list(ours.gradients(x, y).weights.values())
    return max(
        *distances(gradients_in("float32", weights[0], x, y)[1], true),
        *distances(mine, true_at_ours),
        *distances(true_at_ours, true),
    )


def train_forced(theirs, ours, data):
    """Errors of losses and gradients against Keras's in float64, and differences of the steps.

    Of each step `loss` has |loss − truth|, and `gradients` ‖g − truth‖ / ‖truth‖ of each weight: ours, Keras's, and
    Keras's of the batch in reversed order. `optimizer_differs` counts numbers that differ by more than a subnormal:
    TensorFlow makes those zero.
    """
    found = {"loss": [], "gradients": [], "optimizer_differs": []}
    for x, y in data:
        follow(theirs, ours)
        weights = copies(theirs.get_weights())
        true_loss, truth = gradients_in("float64", weights, x, y)
        mine = ours.gradients(x, y)
        asked = [
            (mine.loss, list(mine.weights.values())),
            gradients_in("float32", weights, x, y),
            gradients_in("float32", weights, x[::-1], y[::-1]),
        ]
        found["loss"].append([abs(float(loss) - float(true_loss)) for loss, _ in asked])
        found["gradients"].append([distances(gradients, truth) for _, gradients in asked])
        expected = keras_step(theirs, asked[0][1])
        for model in (theirs, ours):
            model.train_on_batch(x, y)
        state = [v.numpy() for v in (*ours.trainable_variables, *ours.optimizer.variables)]
        apart = (np.abs(a - b) > np.finfo(np.float32).tiny for a, b in zip(state, expected, strict=True))
        found["optimizer_differs"].append(sum(int(a.sum()) for a in apart))
    return found


def gradients_in(floatx, weights, x, y):
    """(loss, gradients) of Keras's net with these weights, in this float type, as its training step computes them."""
    model, compute = _net_in(floatx)
    model.set_weights(weights)
    return compute(x.astype(floatx), y.astype(floatx))


@cache
def _net_in(floatx):
    with floats(floatx):
        model = book_net(keras)
    loss_object = keras.losses.CategoricalCrossentropy(dtype=floatx)

    @tf.function
    def compute(x, y):
        with tf.GradientTape() as tape:
            loss = loss_object(y, model(x, training=True))
        return loss, tape.gradient(loss, [v.value for v in model.trainable_variables])

    return model, compute


def distances(gradients, truth):
    """‖g − truth‖ / ‖truth‖ of each weight."""
    pairs = [(np.array(g, np.float64), np.array(t)) for g, t in zip(gradients, truth, strict=True)]
    return [float(np.linalg.norm(g - t) / np.linalg.norm(t)) for g, t in pairs]


def follow(theirs, ours):
    """Give `ours` Keras's weights, slots and step count."""
    ours.set_weights(copies(theirs.get_weights()))
    if not theirs.optimizer.built:
        theirs.optimizer.build(theirs.trainable_variables)
    if not ours.optimizer.built:
        ours.parameters()
        ours.optimizer.build(ours.trainable_variables)
    for own, their in zip(ours.optimizer.variables, theirs.optimizer.variables, strict=True):
        if not their.path.endswith(own.path.split("/")[-1]):
            raise ValueError(f"{own.path} is {their.path} in Keras.")
        own.assign(their.numpy())


def keras_step(theirs, gradients):
    """Weights and optimizer's variables after Keras's optimizer has been given `gradients`. Keras's model stays."""
    variables = [*theirs.trainable_variables, *theirs.optimizer.variables]
    before = copies(variables)
    theirs.optimizer.apply([tf.constant(g) for g in gradients], theirs.trainable_variables)
    after = copies(variables)
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    return after


def main(floatx, steps, forced, optimizers):
    set_floats(floatx)
    results = {}
    for optimizer in optimizers:
        start = time.perf_counter()
        pair = compiled_pair(optimizer)
        data = batches(steps + forced)
        results[optimizer] = train_freely(*pair, data[:steps])
        if forced:
            results[optimizer]["forced"] = train_forced(*pair, data[steps:])
        results[optimizer]["seconds"] = round(time.perf_counter() - start, 1)
        print(f"{floatx} {optimizer}: {results[optimizer]['seconds']} s", file=sys.stderr, flush=True)
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("floatx", choices=["float32", "float64"])
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--forced", type=int, default=0)
    parser.add_argument("--optimizers", nargs="*", default=list(OPTIMIZERS))
    given = parser.parse_args()
    main(given.floatx, given.steps, given.forced, given.optimizers)
