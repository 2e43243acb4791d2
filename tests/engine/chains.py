"""Chains of ops with weights, for tests of the engine."""

from typing import NamedTuple

import numpy as np

from minicnn.engine import ops
from minicnn.engine.parameters import Variable, give_home
from minicnn.geometry import make_window


class Chain(NamedTuple):
    ops: list[ops.Op]
    input_shape: tuple[int, ...]
    variables: list[Variable]

    @property
    def params(self) -> dict[str, np.ndarray]:
        return {v.path: v.array for v in self.variables}

    @property
    def paths(self) -> list[str]:
        return [v.path for v in self.variables]


def small_convnet(dtype: str = "float64", *, classes: int = 5, rate: float = 0.0) -> Chain:
    """Conv, ReLU, pool, conv, ReLU, flatten, (dropout,) dense, softmax cross-entropy on 11×10×2 images."""
    first = make_window((11, 10), (3, 3))
    pool = make_window(first.output_size, (2, 2), (2, 2))
    second = make_window(pool.output_size, (2, 3), padding="same")
    height, width = second.output_size
    chain: list[ops.Op] = [
        ops.Conv2D(name="conv/linear", parameters=("conv/kernel", "conv/bias"), window=first, filters=4),
        ops.ReLU(name="conv"),
        ops.MaxPool2D(name="pool", window=pool),
        ops.Conv2D(name="second/linear", parameters=("second/kernel",), window=second, filters=6),
        ops.ReLU(name="second"),
        ops.Reshape(name="flat", shape=(height * width * 6,)),
        *([ops.Dropout(name="dropout", rate=rate, seed=11)] if rate else []),
        ops.Dense(name="dense", parameters=("dense/kernel", "dense/bias"), units=classes),
        ops.SoftmaxCrossEntropy(name="loss"),
    ]
    shapes = {
        "conv/kernel": (3, 3, 2, 4),
        "conv/bias": (4,),
        "second/kernel": (2, 3, 4, 6),
        "dense/kernel": (height * width * 6, classes),
        "dense/bias": (classes,),
    }
    rng = np.random.default_rng(3)
    variables = [
        Variable(rng.normal(0, 0.3, shape).astype(dtype), name=path, path=path)
        for path, shape in shapes.items()
    ]
    give_home(variables)
    return Chain(chain, (11, 10, 2), variables)


def batch_for(chain: Chain, n: int, dtype: str = "float64", classes: int = 5) -> dict[str, np.ndarray]:
    """x, one-hot targets, and the seed of a mean."""
    rng = np.random.default_rng(n)
    return {
        "x": rng.normal(size=(n, *chain.input_shape)).astype(dtype),
        "target": np.eye(classes, dtype=dtype)[rng.integers(0, classes, n)],
        "seed": np.full(n, 1 / n, dtype),
    }
