"""Cross-correlation or convolution: is the kernel turned by 180° before it slides?"""

from typing import Any

import numpy as np

from minicnn import Input, layers
from minicnn.engine import ops
from minicnn.geometry import make_window
from minicnn.reference.conv2d import Conv2DResiduals, conv2d_backward, conv2d_forward
from minicnn.study.semantics import lab
from minicnn.study.semantics.confusion import Confusion, Example, Shown, Source, Training


def pair(op: ops.Conv2D) -> lab.Pair:
    """True convolution: y[i,j] = Σ x[i+p, j+q]·w[P−1−p, Q−1−q]."""

    def true_convolution(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, Conv2DResiduals]:
        return conv2d_forward(x, turned(w), b, op.window, op.groups)

    def backward(dy: np.ndarray, residuals: Conv2DResiduals) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        dx, dw, db = conv2d_backward(dy, residuals)
        return dx, turned(dw), db

    return true_convolution, backward


def turned(w: np.ndarray) -> np.ndarray:
    """w by 180°."""
    return w[::-1, ::-1]


def example() -> Example:
    x, w = np.arange(9.0).reshape(3, 3), np.array([[0.0, 1.0], [2.0, 3.0]])
    window = make_window((3, 3), (2, 2))
    batch = x[None, ..., None], w[..., None, None]
    correlation = conv2d_forward(*batch, None, window)[0][0, ..., 0]
    convolution = conv2d_forward(batch[0], turned(batch[1]), None, window)[0][0, ..., 0]
    first = " + ".join(f"{a:g}·{b:g}" for a, b in zip(x[:2, :2].flat, w.flat, strict=True))
    other = " + ".join(f"{a:g}·{b:g}" for a, b in zip(x[:2, :2].flat, w[::-1, ::-1].flat, strict=True))
    return Example(
        (
            Shown("image", x),
            Shown("kernel", w),
            Shown("cross-correlation", correlation),
            Shown("true convolution", convolution),
        ),
        f"The first number is {first} = {correlation[0, 0]:g} as every deep-learning library computes it, and "
        f"{other} = {convolution[0, 0]:g} with the kernel turned, as in signal processing.",
    )


def net() -> list[Any]:
    return [
        Input((28, 28, 1)),
        layers.Conv2D(8, 5, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(10, activation="softmax"),
    ]


def train() -> Training:
    variants: lab.Variants = {ops.Conv2D: pair}
    ours = lab.fit(lab.build(net))
    kernel, *rest = ours.get_weights()
    other = lab.build(net, variants)
    other.set_weights([turned(other.get_weights()[0]), *other.get_weights()[1:]])
    rows = (
        lab.judged("trained and run by cross-correlation", ours),
        lab.judged(
            "the same weights run by true convolution", lab.build(net, variants, weights=[kernel, *rest])
        ),
        lab.judged("the same, kernels turned", lab.build(net, variants, weights=[turned(kernel), *rest])),
        lab.judged("trained by true convolution, from kernels turned", lab.fit(other)),
    )
    return Training(
        rows,
        f"For training it is a matter of names: the last run learned the same kernels, turned, to a loss of "
        f"{rows[3].loss:.4f} against {rows[0].loss:.4f}. Weights that move to a library of the other "
        f"convention without being turned fall from {lab.percent(rows[0].accuracy)} to "
        f"{lab.percent(rows[1].accuracy)}.",
    )


CONFUSION = Confusion(
    "correlation",
    "Is the kernel turned before it slides over the image?",
    "No: Conv2D is cross-correlation, y[i,j] = Σ x[i+p, j+q]·w[p,q].",
    "Yes, in mathematics, in signal processing, in scipy.signal.convolve2d: y[i,j] = Σ x[i+p, j+q]·w[P−1−p, "
    "Q−1−q].",
    (
        Source(
            "pytorch/pytorch",
            117534,
            "`F.conv2d` is returning cross correlation of inputs instead of convolving them",
        ),
        Source("scipy/scipy", 14369, "convolve2d not working"),
        Source("lisa-lab/pylearn2", 1122, "convolution vs cross-correlation"),
    ),
    example,
    train,
)
