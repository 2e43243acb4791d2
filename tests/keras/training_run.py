"""Trains the book's net in Keras and in minicnn from the same weights on the same batches; prints both as JSON.

    python -m tests.keras.training_run FLOATX OPTIMIZER STEPS [--forced]

A process of its own, because Keras's float type must be set before any Keras object exists. With --forced each step
starts from Keras's weights and slots, so that rounding can't grow from step to step.
"""

import json
import os
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np

import minicnn
from minicnn.datasets import mnist

OPTIMIZERS = {
    "rmsprop": ("RMSprop", {}),
    "rmsprop-full": ("RMSprop", {"momentum": 0.5, "centered": True}),
    "sgd": ("SGD", {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}),
    "adam": ("Adam", {}),
}


def book_net(library):
    layers = library.layers
    return library.models.Sequential(
        [
            library.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def copies(weights):
    """Keras's arrays may be views of variables that training overwrites."""
    return [np.array(w) for w in weights]


def batches(floatx, steps, size=64):
    (images, labels), _ = mnist.load_data()
    images = (images[: steps * size, ..., None] / 255).astype(floatx)
    labels = np.eye(10, dtype=floatx)[labels[: steps * size]]
    return [(images[k : k + size], labels[k : k + size]) for k in range(0, steps * size, size)]


def main(floatx, optimizer, steps, forced):
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(floatx)
    minicnn.config.set_floatx(floatx)
    name, options = OPTIMIZERS[optimizer]
    theirs, ours = book_net(keras), book_net(minicnn)
    ours.set_weights(copies(theirs.get_weights()))
    for library, model in ((keras, theirs), (minicnn, ours)):
        model.compile(getattr(library.optimizers, name)(**options), "categorical_crossentropy")
    losses, steps_apart = [], []
    for x, y in batches(floatx, steps):
        if forced:
            follow(theirs, ours)
        before = copies(theirs.get_weights())
        for model in (theirs, ours):
            model.reset_metrics()
        losses.append([float(model.train_on_batch(x, y)) for model in (theirs, ours)])
        if forced:
            steps_apart.append(step_difference(before, theirs.get_weights(), ours.get_weights()))
    json.dump({"losses": losses, "steps_apart": steps_apart}, sys.stdout)


def follow(theirs, ours):
    """Give `ours` Keras's weights, slots and step count."""
    ours.set_weights(copies(theirs.get_weights()))
    if not theirs.optimizer.built:
        return
    if not ours.optimizer.built:
        ours.parameters()
        ours.optimizer.build(ours.trainable_variables)
    own = {variable.path.split("/")[-1]: variable for variable in ours.optimizer.variables}
    for variable in theirs.optimizer.variables:
        own[variable.path.split("/")[-1].replace("sequential_", "")].assign(np.array(variable))


def step_difference(before, theirs, ours):
    """The largest difference of the two steps, relative to the largest step of each weight."""
    return max(
        float(np.abs(own - their).max() / max(np.abs(their - start).max(), 1e-30))
        for start, their, own in zip(before, theirs, ours, strict=True)
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), "--forced" in sys.argv)
