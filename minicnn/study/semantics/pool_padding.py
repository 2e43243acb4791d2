"""A max pool's padding: zeros that may win, or −∞, which never does."""

from typing import Any, NamedTuple

import numpy as np

from minicnn import Input, layers
from minicnn.engine import ops
from minicnn.geometry import make_window
from minicnn.initializers import Constant
from minicnn.reference.max_pool2d import (
    MaxPool2DResiduals,
    max_pool2d_backward,
    max_pool2d_forward,
)
from minicnn.study.semantics import lab
from minicnn.study.semantics.confusion import Confusion, Example, Shown, Source, Training


class ZeroPaddedResiduals(NamedTuple):
    pool: MaxPool2DResiduals
    is_zero: np.ndarray
    """(N, OH, OW, C) bool: a zero of the padding won, and the gradient goes nowhere."""


def pair(op: ops.MaxPool2D) -> lab.Pair:
    """The maximum of each window, the zeros of its padding included."""
    window = op.window

    def zero_padded_pool(x: np.ndarray) -> tuple[np.ndarray, ZeroPaddedResiduals]:
        y, residuals = max_pool2d_forward(x, window)
        inside = np.zeros((1, *window.output_size, 1), int)
        ones = np.pad(
            np.ones((1, *window.image_size, 1), int),
            (
                (0, 0),
                *((b, max(0, a)) for b, a in zip(window.pads_before, window.pads_after, strict=True)),
                (0, 0),
            ),
        )
        for _, _, rows, columns in window.taps():
            inside += ones[:, rows, columns]
        is_zero = (inside < window.kernel_size[0] * window.kernel_size[1]) & (y < 0)
        return np.where(is_zero, 0, y).astype(x.dtype), ZeroPaddedResiduals(residuals, is_zero)

    def backward(dy: np.ndarray, residuals: ZeroPaddedResiduals) -> tuple[np.ndarray]:
        return max_pool2d_backward(np.where(residuals.is_zero, 0, dy).astype(dy.dtype), residuals.pool)

    return zero_padded_pool, backward


def example() -> Example:
    x = np.array([[-5.0, -1.0, -4.0], [-2.0, -3.0, -6.0], [-7.0, -8.0, -9.0]])
    op = ops.MaxPool2D(name="pool", window=make_window((3, 3), (2, 2), (2, 2), "same"))
    image = x[None, ..., None]
    ours, zeros = max_pool2d_forward(image, op.window)[0], pair(op)[0](image)[0]
    return Example(
        (
            Shown("image", x),
            Shown("2×2 pool, 'same', padding −∞", ours[0, ..., 0]),
            Shown("the same with zeros", zeros[0, ..., 0]),
        ),
        "Windows at the right and at the bottom reach beyond the image. Where all pixels are negative a zero "
        "of the padding beats them, and the gradient is lost with it. Behind a ReLU nothing is negative and "
        "both are one, which hides the mistake in most nets.",
    )


def net() -> list[Any]:
    return [
        Input((28, 28, 1)),
        layers.Conv2D(8, 4, strides=2, bias_initializer=Constant(-1.0)),
        layers.MaxPooling2D(4, padding="same"),  # of its 16 windows on 13×13 pixels, 12 reach beyond
        layers.Flatten(),
        layers.Dense(10, activation="softmax"),
    ]


def train() -> Training:
    variants: lab.Variants = {ops.MaxPool2D: pair}
    ours = lab.fit(lab.build(net))
    rows = (
        lab.judged("trained and run with −∞", ours),
        lab.judged("the same weights run with zeros", lab.build(net, variants, weights=ours.get_weights())),
        lab.judged("trained and run with zeros", lab.fit(lab.build(net, variants))),
    )
    return Training(
        rows,
        "A net without ReLU before its pool, its biases −1 at first: moved from one convention to the other, "
        f"the loss goes from {rows[0].loss:.4f} to {rows[1].loss:.4f} and the accuracy from "
        f"{lab.percent(rows[0].accuracy)} to {lab.percent(rows[1].accuracy)}. Trained with zeros it reaches "
        f"{rows[2].loss:.4f}.",
    )


CONFUSION = Confusion(
    "pool-padding",
    "What is a max pool padded with?",
    "−∞: padding never wins, in TensorFlow, PyTorch and Caffe.",
    "Zeros, as a convolution; what `np.pad` and a pool behind `ZeroPadding2D` do.",
    (
        Source("tensorflow/tensorflow", 10216, "tf.nn.max_pool_with_argmax bug with padding"),
        Source(
            "pytorch/pytorch", 33382, "Max-pooling uses implicit negative infinity padding, not zero-padding"
        ),
        Source("BVLC/caffe", 473, "Padding for Max Pooling"),
    ),
    example,
    train,
)
