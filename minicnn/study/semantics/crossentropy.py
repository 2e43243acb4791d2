"""Cross-entropy from the logits, or from probabilities that are clipped before the logarithm."""

from typing import Any

import numpy as np

from minicnn import Input, layers
from minicnn import ops as own_ops
from minicnn.reference.crossentropy import (
    categorical_crossentropy_backward,
    categorical_crossentropy_forward,
    softmax_crossentropy_backward,
    softmax_crossentropy_forward,
)
from minicnn.reference.softmax import softmax_backward, softmax_forward
from minicnn.study.semantics import lab
from minicnn.study.semantics.confusion import Confusion, Example, Row, Shown, Source, Training

CLIPPED = "crossentropy_of_clipped_probabilities"


def register() -> str:
    """Make the clipped loss known; the name to compile it by. Targets are one-hot."""
    own_ops.register(CLIPPED, categorical_crossentropy_forward, categorical_crossentropy_backward)
    return CLIPPED


def both(z: np.ndarray, t: np.ndarray) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """(loss, dz) from the logits, and through the softmax and the clip."""
    one = np.ones(len(z), z.dtype)
    loss, residuals = softmax_crossentropy_forward(z, t)
    from_logits = loss, softmax_crossentropy_backward(one, residuals)[0]
    p, of_softmax = softmax_forward(z)
    loss, of_clipped = categorical_crossentropy_forward(p, t)
    dz = softmax_backward(categorical_crossentropy_backward(one, of_clipped)[0], of_softmax)[0]
    return from_logits, (loss, dz)


def example() -> Example:
    z = np.array([[0.0, 5.0], [0.0, 15.0], [0.0, 30.0]], np.float32)
    t = np.array([[1.0, 0.0]] * 3, np.float32)
    (loss, dz), (clipped_loss, clipped_dz) = both(z, t)
    return Example(
        (
            Shown("logits; the first class is right", z),
            Shown("loss from the logits", loss[None].astype(float)),
            Shown("loss from clipped probabilities", clipped_loss[None].astype(float)),
            Shown("gradient of the first logit, from the logits", dz[None, :, 0].astype(float)),
            Shown("the same through the clip", clipped_dz[None, :, 0].astype(float)),
        ),
        "From the logits a loss grows with the mistake, and its gradient is p − t. From probabilities in "
        f"float32 it ends at −log 1e-7 ≈ {-np.log(1e-7):.1f}, and where the clip acts the gradient is 0: an "
        "example that is wrong with certainty teaches nothing.",
    )


def net() -> list[Any]:
    return [
        Input((28, 28, 1)),
        layers.Conv2D(8, 5, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(10, name="logits"),
        layers.Softmax(),
    ]


SCALE = 60.0
"""Of the dense layer's initial weights: a net that is sure of itself before it has seen anything."""


def train() -> Training:
    data = lab.digits()
    targets = np.eye(10, dtype=np.float32)[data.y]
    test = np.eye(10, dtype=np.float32)[data.test_y]
    rows, still = [], []
    for scale in (1.0, SCALE):
        for what, loss in (("the logits", "categorical_crossentropy"), ("clipped probabilities", register())):
            model = lab.build(net, loss=loss, optimizer="sgd")
            kernel, bias, dense, dense_bias = model.get_weights()
            model.set_weights([kernel, bias, dense * np.float32(scale), dense_bias])
            each = model.gradients(data.x[:256], targets[:256], wants=["logits"]).layers["logits"]
            still.append(float(np.mean(~each.any(1))))
            model.fit(data.x, targets, batch_size=32, epochs=2, shuffle=False, verbose=0)
            found = model.evaluate(data.test_x, test, batch_size=250, verbose=0)
            start = "" if scale == 1 else f", weights × {scale:g}"
            rows.append(Row(f"from {what}{start}", float(found[0]), float(found[1])))
    return Training(
        tuple(rows),
        f"From a usual start both learn the same: {lab.percent(rows[0].accuracy)} and "
        f"{lab.percent(rows[1].accuracy)}. From one that is sure of itself, {lab.percent(still[3])} of 256 "
        f"examples have a gradient of exactly 0 through the clip ({lab.percent(still[2])} from the logits), "
        f"and after the same steps the accuracies are {lab.percent(rows[2].accuracy)} and "
        f"{lab.percent(rows[3].accuracy)}. Each loss is the run's own: a clipped one can't show how wrong it "
        "is.",
    )


CONFUSION = Confusion(
    "cross-entropy",
    "Is the loss computed from the logits, or from probabilities?",
    "From the logits wherever the model ends in a softmax, whatever it is called with, as Keras on TensorFlow "
    "does.",
    "From the softmax's output, clipped to [1e-7, 1 − 1e-7] so that the logarithm is finite.",
    (
        Source(
            "keras-team/keras", 17634, "Inconsistent calculations in CategoricalCrossentropy using logits"
        ),
        Source(
            "keras-team/keras",
            6338,
            'Potential numerical instability in "categorical_crossentropy" when not computing from logits?',
        ),
        Source(
            "keras-team/keras",
            6983,
            "Strange training behaviour using categorical_crossentropy on output from softmax",
        ),
    ),
    example,
    train,
)
