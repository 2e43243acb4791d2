"""Ties in a max pool: to the first maximum, to all of them, or shared among them?"""

from typing import Any, NamedTuple

import numpy as np

from minicnn import Input, layers
from minicnn.engine import ops
from minicnn.geometry import Window, make_window
from minicnn.reference.max_pool2d import max_pool2d_backward, max_pool2d_forward
from minicnn.reference.padding import pad, unpad
from minicnn.study.semantics import lab
from minicnn.study.semantics.confusion import Confusion, Example, Shown, Source, Training


class TieResiduals(NamedTuple):
    x: np.ndarray
    y: np.ndarray
    window: Window


def to_all(op: ops.MaxPool2D) -> lab.Pair:
    """Every pixel that equals the maximum gets the whole gradient."""
    return _pair(op.window, shares=False)


def shared(op: ops.MaxPool2D) -> lab.Pair:
    """The pixels that equal the maximum get equal parts of the gradient."""
    return _pair(op.window, shares=True)


def _pair(window: Window, *, shares: bool) -> lab.Pair:
    def forward(x: np.ndarray) -> tuple[np.ndarray, TieResiduals]:
        y, _ = max_pool2d_forward(x, window)
        return y, TieResiduals(x, y, window)

    def backward(dy: np.ndarray, residuals: TieResiduals) -> tuple[np.ndarray]:
        padded = pad(residuals.x, window)
        wins = [padded[:, rows, columns] == residuals.y for _, _, rows, columns in window.taps()]
        part = (dy / np.sum(wins, 0) if shares else dy).astype(dy.dtype)
        dx = pad(np.zeros_like(residuals.x), window)
        for win, (_, _, rows, columns) in zip(wins, window.taps(), strict=True):
            dx[:, rows, columns] += np.where(win, part, 0)
        return (unpad(dx, window),)

    forward.__name__ = "pool_ties_shared" if shares else "pool_ties_to_all"
    return forward, backward


def example() -> Example:
    x = np.array([[1.0, 2.0], [2.0, 2.0]])
    op = ops.MaxPool2D(name="pool", window=make_window((2, 2), (2, 2), (2, 2)))
    image, dy = x[None, ..., None], np.full((1, 1, 1, 1), 6.0)
    first = max_pool2d_backward(dy, max_pool2d_forward(image, op.window)[1])[0]
    found = []
    for variant in (to_all, shared):
        forward, backward = variant(op)
        found.append(backward(dy, forward(image)[1])[0])
    return Example(
        (
            Shown("window", x),
            Shown("gradient 6, to the first", first[0, ..., 0]),
            Shown("to all", found[0][0, ..., 0]),
            Shown("shared", found[1][0, ..., 0]),
        ),
        "Three pixels are the maximum. The first and the shared gradient are subgradients of max, as is every "
        f"mixture of them: they sum to 6. The one to all sums to {found[0].sum():g}: it is none, and it makes "
        "the gradient larger wherever an image is flat.",
    )


def net() -> list[Any]:
    return [
        Input((28, 28, 1)),
        layers.Conv2D(8, 3, activation="relu", bias_initializer="ones"),
        layers.MaxPooling2D(4),
        layers.Flatten(),
        layers.Dense(10, activation="softmax"),
    ]


def train() -> Training:
    rows, biases = [], []
    data = lab.digits()
    for what, variant in (("to the first", None), ("shared", shared), ("to all", to_all)):
        model = lab.build(net, {ops.MaxPool2D: variant} if variant else None, optimizer="sgd")
        gradients = model.gradients(data.x[:256], data.y[:256]).weights
        (bias,) = (g for path, g in gradients.items() if "conv" in path and path.endswith("bias"))
        biases.append(float(np.linalg.norm(bias)))
        rows.append(lab.judged(f"trained with ties {what}", lab.fit(model)))
    return Training(
        tuple(rows),
        "The black background gives every pixel of a window the bias, and the bias is positive at first: "
        f"nearly all ties. At the start the convolution's bias has a gradient of {biases[0]:.4f} (norm over "
        f"256 images) by the first, {biases[1]:.4f} shared, and {biases[2]:.4f} to all, "
        f"{biases[2] / biases[0]:.1f} times as much. After the same steps of SGD the losses are "
        f"{rows[0].loss:.4f}, {rows[1].loss:.4f} and {rows[2].loss:.4f}. Shared and to the first are nearly "
        "one here: windows that tie are black, so that nothing but the bias sees where their gradient went, "
        "and the sum is the same.",
    )


CONFUSION = Confusion(
    "ties",
    "Where does a max pool send the gradient when several pixels are the maximum?",
    "To the first in row-major order, as TensorFlow's and PyTorch's pools do.",
    "To all of them in full (Theano on the CPU), or in equal parts (`tf.reduce_max`).",
    (
        Source(
            "tensorflow/tensorflow",
            4886,
            "Gradient of tf.reduce_max and tf.nn.max_pool don't agree with each other, and theano",
        ),
        Source(
            "Theano/Theano",
            5404,
            "Max pooling gradient corner case consistency (when multiple input with the max value)",
        ),
        Source(
            "tensorflow/tensorflow",
            51682,
            "Inconsistency in Gradients Calculation of max_pooling and reduce_max",
        ),
    ),
    example,
    train,
)
