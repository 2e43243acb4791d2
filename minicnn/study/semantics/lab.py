"""The bench of the lab: models with other pairs in their plans, and the data and trainings that all files use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from minicnn import ops as own_ops
from minicnn.engine import ops
from minicnn.models import Sequential
from minicnn.study.semantics.confusion import Row

Pair = tuple[Callable[..., Any], Callable[..., Any]]
Variants = Mapping[type[ops.Op], Callable[[Any], Pair]]
"""Kind of op → the pair (forward, backward) that stands in for one op of it."""

TRAINING, TEST = 1500, 1000
"""Images."""


class Variant(Sequential):
    """A Sequential model whose plan has other pairs in place of some ops; it is compiled for the reference backend."""

    def __init__(self, layers: Sequence[Any], variants: Variants | None = None) -> None:
        super().__init__(list(layers))
        self.variants = dict(variants or {})

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As any model, in NumPy, and op by op."""
        super().compile(*args, **{**kwargs, "backend": "reference", "fuse": False})

    def lower_layers(self, shape: ops.Shape) -> list[ops.Op]:
        """As the model's, with the variants."""
        chain = []
        for op in super().lower_layers(shape):
            chain.append(
                stand_in(op, self.variants[type(op)](op), shape) if type(op) in self.variants else op
            )
            shape = op.output_shape(shape)
        return chain


def stand_in(op: ops.Op, pair: Pair, shape: ops.Shape) -> ops.Custom:
    """The pair as an op of the same name, parameters and output shape."""
    function = f"semantics/{op.name}/{pair[0].__name__}/{hash(op)}"
    own_ops.register(function, *pair)
    return own_ops.op(function, op.name, op.output_shape(shape), op.parameters)


class Data(NamedTuple):
    x: np.ndarray
    """(N, 28, 28, 1) float32 from 0 to 1."""
    y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


@cache
def digits() -> Data:
    """The first images of MNIST."""
    from minicnn.datasets import mnist

    (x, y), (test_x, test_y) = mnist.load_data()
    images = (np.divide(part[..., None], 255, dtype=np.float32) for part in (x[:TRAINING], test_x[:TEST]))
    train, test = images
    return Data(train, y[:TRAINING].astype(np.int64), test, test_y[:TEST].astype(np.int64))


def build(
    make: Callable[[], Sequence[Any]],
    variants: Variants | None = None,
    optimizer: Any = "rmsprop",
    loss: Any = "sparse_categorical_crossentropy",
    weights: Sequence[np.ndarray] | None = None,
) -> Variant:
    """A compiled model; with the same initial weights whenever `make` makes the same layers."""
    from minicnn import utils

    utils.set_random_seed(0)
    model = Variant(make(), variants)
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])
    if weights is not None:
        model.set_weights(weights)
    return model


def fit(model: Variant, epochs: int = 2) -> Variant:
    """Train on the same batches in the same order, whatever the model."""
    data = digits()
    model.fit(data.x, data.y, batch_size=32, epochs=epochs, shuffle=False, verbose=0)
    return model


def judged(what: str, model: Variant) -> Row:
    """Loss and accuracy on the test images."""
    data = digits()
    loss, accuracy = model.evaluate(data.test_x, data.test_y, batch_size=250, verbose=0)
    return Row(what, float(loss), float(accuracy))


def percent(accuracy: float) -> str:
    return f"{100 * accuracy:.1f} %"
