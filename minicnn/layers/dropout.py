"""Dropout layer."""

from typing import Any

from minicnn import random
from minicnn.checks import integer, number, only_default
from minicnn.engine import ops
from minicnn.layers.layer import Layer


class Dropout(Layer):
    """In training, zeroes a share `rate` of the elements and divides the rest by 1 − rate; else the identity.

    The mask depends on the seed, the training step and the element's place in the batch, and on nothing else.

    Raises:
        ValueError: `rate` outside [0, 1], a seed that isn't an integer, or `noise_shape`, which isn't implemented.
    """

    is_built_at_once = True

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        only_default("Dropout", noise_shape=(noise_shape, None))
        self.rate = number("rate", rate, 0, 1)
        self.seed = None if seed is None else integer("seed", seed, 0)
        self.drawn_seed = random.next_seed() if self.seed is None else self.seed

    def lower(self, shape: ops.Shape) -> tuple[ops.Op, ...]:
        return (ops.Dropout(name=self.name, rate=self.rate, seed=self.drawn_seed),)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"rate": self.rate, "seed": self.seed, "noise_shape": None}
