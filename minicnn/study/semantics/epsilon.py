"""RMSprop's ε: inside the root, √(v + ε), or outside, √v + ε."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn import Input, layers
from minicnn.optimizers import RMSprop
from minicnn.reference.optimizers import rmsprop_step
from minicnn.study.semantics import lab
from minicnn.study.semantics.confusion import Confusion, Example, Shown, Source, Training


def rmsprop_step_outside(
    w: np.ndarray, g: np.ndarray, v: np.ndarray, learning_rate: float, rho: float, epsilon: float
) -> None:
    """v ← ρ·v + (1 − ρ)·g²;  w ← w − η·g / (√v + ε). As torch.optim.RMSprop; everything is overwritten in place."""
    kind = w.dtype.type
    v[...] = kind(rho) * v + kind(1 - rho) * g * g
    w -= kind(learning_rate) * g / (np.sqrt(v) + kind(epsilon))


class RMSpropOutside(RMSprop):
    """RMSprop with ε outside the root; no momentum, not centered."""

    def step_slice(
        self, w: np.ndarray, g: np.ndarray, slots: Sequence[np.ndarray], scalars: Any, backend: str
    ) -> None:
        rmsprop_step_outside(w, g, slots[0], scalars.learning_rate, self.rho, self.epsilon)


def example() -> Example:
    g = np.array([1e-2, 1e-4, 1e-6, 1e-8])
    steps = []
    for step in (rmsprop_step, rmsprop_step_outside):
        w, v = np.zeros(4), np.zeros(4)
        step(w, g, v, 0.001, 0.9, 1e-7)
        steps.append(-w)
    return Example(
        (
            Shown("gradient", g[None]),
            Shown("first step, ε inside", steps[0][None]),
            Shown("first step, ε outside", steps[1][None]),
        ),
        "Learning rate 0.001, ρ = 0.9, ε = 1e-7. Inside, ε is compared with g²: gradients below √ε ≈ 3e-4 are "
        "damped. Outside it is compared with |g|: 1e-4 still takes the full step of η / √(1 − ρ) ≈ "
        f"{0.001 / np.sqrt(0.1):.4f}. For the same ε the step for 1e-6 is {steps[1][2] / steps[0][2]:.0f} "
        "times as large outside.",
    )


def net() -> list[Any]:
    return [
        Input((28, 28, 1)),
        layers.Conv2D(8, 5, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(10, activation="softmax"),
    ]


def train() -> Training:
    rows = []
    for epsilon in (1e-7, 1e-2):
        for where, optimizer in (("inside", RMSprop), ("outside", RMSpropOutside)):
            model = lab.build(net, optimizer=optimizer(epsilon=epsilon))
            rows.append(lab.judged(f"ε = {epsilon:g} {where}", lab.fit(model)))
    return Training(
        tuple(rows),
        f"With ε = 1e-7 the losses are {rows[0].loss:.4f} and {rows[1].loss:.4f}: most gradients are large "
        f"beside it. With ε = 0.01, as a paper may say without saying where, they are {rows[2].loss:.4f} and "
        f"{rows[3].loss:.4f}: inside the root it is a floor of 0.1 for every gradient.",
    )


CONFUSION = Confusion(
    "epsilon",
    "Does RMSprop's ε stand inside or outside the root?",
    "Inside: w ← w − η·g / √(v + ε), as Keras and TensorFlow do.",
    "Outside: w ← w − η·g / (√v + ε), as PyTorch does.",
    (
        Source("pytorch/pytorch", 23796, "Difference in the implementation of rmsprop with Tensorflow"),
        Source("keras-team/keras", 435, "Difference in RMSProp from published work"),
        Source(
            "tensorflow/tensorflow",
            58412,
            "Inconsistent RMSProp implementation compared with Kingma and Ba paper",
        ),
    ),
    example,
    train,
)
