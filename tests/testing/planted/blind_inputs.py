"""For each blind bug an input, stored here and drawn by nobody, on which it is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.testing import Target
from tests.testing.planted.blind_right import Array, AveragePool, Conv, Pool

Wrong = Callable[[Target], tuple[Any, Any]]
"""From the target to what it answers and what is right."""

F32 = np.float32


def counted(*shape: int) -> Array:
    """Different small integers in no order."""
    size = int(np.prod(shape))
    return (np.arange(1, size + 1) * 7 % (size + 1)).reshape(shape).astype(np.float64)


def conv(x_shape: tuple[int, ...], w_shape: tuple[int, ...], **options: Any) -> Wrong:
    x, w = counted(*x_shape), counted(*w_shape)
    return lambda target: (target.run(x, w, **options), Conv().forward(x, w, **options))


def conv_gradient(x_shape: tuple[int, ...], w_shape: tuple[int, ...], **options: Any) -> Wrong:
    x, w = counted(*x_shape), counted(*w_shape)

    def gradients(target: Target) -> tuple[Any, Any]:
        dy = counted(*Conv().forward(x, w, **options).shape)
        got, right = target.run_backward(dy, x, w, **options), Conv().backward(dy, x, w, **options)
        return np.concatenate([g.ravel() for g in got]), np.concatenate([g.ravel() for g in right])

    return gradients


def after_another_dilation(target: Target) -> tuple[Any, Any]:
    x, w = counted(1, 5, 5, 1), counted(3, 3, 1, 1)
    other: dict[str, Any] = dict(padding="same", dilation_rate=(2, 2))
    target.run(x, w, padding="same")
    return target.run(x, w, **other), Conv().forward(x, w, **other)


def after_another_size(target: Target) -> tuple[Any, Any]:
    x = counted(1, 3, 3, 1)
    options: dict[str, Any] = dict(pool_size=(2, 2), padding="same")
    target.run(counted(1, 4, 4, 1), **options)
    return target.run(x, **options), AveragePool().forward(x, **options)


def pool(x: Array, right: Pool, **options: Any) -> Wrong:
    return lambda target: (target.run(x, **options), right.forward(x, **options))


def pool_gradient(x: Array, **options: Any) -> Wrong:
    dy = counted(*Pool().forward(x, **options).shape)
    return lambda target: (target.run_backward(dy, x, **options), Pool().backward(dy, x, **options))


def answer(right: Any, *arrays: Any, **options: Any) -> Wrong:
    return lambda target: (target.run(*arrays, **options), right)


HUGE_AND_SMALL = np.array([1e8, 1.0, 1.0, 1.0], F32).reshape(1, 1, 4, 1)

STORED: dict[str, Wrong] = {
    "channels after the last full pack of eight are dropped": conv((1, 3, 3, 9), (3, 3, 9, 1)),
    "an odd last column forgets the dilation": conv((1, 5, 5, 1), (2, 2, 1, 1), dilation_rate=(1, 2)),
    "rows at the padding read the first group": conv((1, 3, 3, 2), (3, 3, 1, 2), padding="same", groups=2),
    "same pads kernel - stride, whatever the size": conv(
        (1, 5, 5, 1), (3, 3, 1, 1), padding="same", strides=(2, 2)
    ),
    "an even kernel reads past the row's end": conv((1, 3, 3, 1), (2, 2, 1, 1), padding="same"),
    "gathered pixels are cached without the dilation": after_another_dilation,
    "dx pads the width by the output's height": conv_gradient((1, 3, 6, 1), (3, 3, 1, 1), padding="same"),
    "dx puts first what the stride leaves over": conv_gradient((1, 6, 5, 1), (3, 3, 1, 1), strides=(2, 2)),
    "dw loses a short chunk after a full one": conv_gradient((5, 3, 3, 1), (2, 2, 1, 1)),
    "the winner's place is a signed byte": pool_gradient(
        np.arange(144.0).reshape(1, 12, 12, 1), pool_size=(12, 12)
    ),
    "a winner of one window is paid by all": pool_gradient(
        np.array([1.0, 2.0, 3.0]).reshape(1, 1, 3, 1), pool_size=(1, 2), strides=(1, 1)
    ),
    "the search starts at float32's lowest": pool(
        np.full((1, 2, 2, 1), -np.inf, F32), Pool(), pool_size=(2, 2)
    ),
    "strides not given are the pool's height": pool(counted(1, 6, 6, 1), Pool(), pool_size=(2, 3)),
    "divisors are cached by the output's size": after_another_size,
    "sums are differences of running sums": pool(HUGE_AND_SMALL, AveragePool(), pool_size=(1, 2)),
    "inputs of zero are skipped": answer(np.array([[np.nan]]), np.zeros((1, 1)), np.full((1, 1), np.inf)),
    "the shift is never negative": answer(np.full((1, 2), 0.5), np.full((1, 2), -1e4)),
    "soft labels are taken for their likeliest class": answer(
        -0.5 * np.log(3 / 16), np.array([[0.5, 0.5]]), np.array([[0.75, 0.25]])
    ),
    "elu by exp(x) - 1": answer(np.array([-1e-9], F32), np.array([-1e-9], F32)),
    "epsilon as in PyTorch's Adam": lambda target: (
        target.run(np.zeros(1), np.ones(1), learning_rate=1.0, beta_1=0.5, beta_2=0.75, epsilon=0.5)[0],
        np.array([-0.5]),
    ),
}
