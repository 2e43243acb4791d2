"""Flatten's order: rows, columns, channels, or channels, rows, columns; what happens to the weights behind it."""

from math import prod
from typing import Any

import numpy as np

from minicnn import Input, layers
from minicnn.engine import ops
from minicnn.study.semantics import lab
from minicnn.study.semantics.confusion import Confusion, Example, Shown, Source, Training


def pair_for(shape: ops.Shape) -> lab.Pair:
    """Flatten (N, H, W, C) in the order (C, H, W), as a net with channels first would."""

    def flatten_channels_first(x: np.ndarray) -> tuple[np.ndarray, None]:
        return x.transpose(0, 3, 1, 2).reshape(len(x), -1), None

    def backward(dy: np.ndarray, residuals: None) -> tuple[np.ndarray]:
        height, width, channels = shape
        return (dy.reshape(len(dy), channels, height, width).transpose(0, 2, 3, 1),)

    return flatten_channels_first, backward


def moved(w: np.ndarray, shape: ops.Shape) -> np.ndarray:
    """Rows of a dense kernel that lie in the order (C, H, W), in the order (H, W, C)."""
    height, width, channels = shape
    return w.reshape(channels, height, width, -1).transpose(1, 2, 0, 3).reshape(w.shape)


def example() -> Example:
    shape = (2, 2, 2)
    x = np.arange(8.0).reshape(shape)
    w = np.arange(1.0, 9.0)[:, None]
    first = pair_for(shape)[0](x[None])[0][0]
    last = x.reshape(-1)
    return Example(
        (
            Shown("channel 0", x[..., 0]),
            Shown("channel 1", x[..., 1]),
            Shown("flattened, channels last", last[None]),
            Shown("flattened, channels first", first[None]),
            Shown("a dense kernel", w.T),
        ),
        f"A dense layer behind it sums to {(last @ w).item():g} or {(first @ w).item():g}. A kernel that was "
        "trained behind the other order must have its rows moved, w.reshape(C, H, W, F).transpose(1, 2, 0, 3): "
        f"then it sums to {(last @ moved(w, shape)).item():g} here too.",
    )


MAP = (12, 12, 8)
"""What the net flattens."""


def net() -> list[Any]:
    return [
        Input((28, 28, 1)),
        layers.Conv2D(MAP[2], 5, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(10, activation="softmax"),
    ]


def train() -> Training:
    variants: lab.Variants = {ops.Reshape: lambda op: pair_for(MAP)}
    there = lab.build(net, variants)
    kernel, bias, dense, dense_bias = there.get_weights()
    lab.fit(there)
    kernel, bias, dense, dense_bias = there.get_weights()
    rows = (
        lab.judged("trained and run in the order (C, H, W)", there),
        lab.judged(
            "the same weights in the order (H, W, C)",
            lab.build(net, weights=[kernel, bias, dense, dense_bias]),
        ),
        lab.judged(
            "the same, rows moved", lab.build(net, weights=[kernel, bias, moved(dense, MAP), dense_bias])
        ),
    )
    return Training(
        rows,
        f"All {prod(MAP)} rows fit either way, so nothing complains: {lab.percent(rows[0].accuracy)} become "
        f"{lab.percent(rows[1].accuracy)}. With the rows moved it is {lab.percent(rows[2].accuracy)} again. "
        "Keras's Flatten(data_format='channels_first') avoids it by moving the channels before it flattens, in "
        "every forward pass.",
    )


CONFUSION = Confusion(
    "flatten-order",
    "In which order does Flatten write the numbers, and do dense weights survive a change of it?",
    "Row-major over (H, W, C), also for channels first: Keras moves the channels to the end before.",
    "Row-major over whatever there is: (C, H, W) in PyTorch, so that dense weights mean other pixels.",
    (
        Source("keras-team/keras", 9696, "Added `data_format` to flatten layer."),
        Source(
            "tensorflow/tfjs",
            2205,
            "ChannelsFirst dataFormat in Flatten Layer Causes Different results for TFJS-Web vs Keras on same "
            "model weights and tensor",
        ),
        Source("gzuidhof/nn-transfer", 17, "Failure example.ipynb conversion of keras model to pytorch"),
    ),
    example,
    train,
)
