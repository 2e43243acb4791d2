"""Flatten layer."""

from math import prod
from typing import Any

from minicnn.engine import ops
from minicnn.layers.arguments import data_format_of
from minicnn.layers.layer import Layer


class Flatten(Layer):
    """(N, …) → (N, everything), in row-major order.

    With channels first the channels are moved to the end before, so that a Dense layer behind it keeps its meaning
    in either format (keras/src/layers/reshaping/flatten.py).
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = data_format_of(data_format)

    def lower(self, shape: ops.Shape) -> tuple[ops.Op, ...]:
        flat = ops.Reshape(name=self.name, shape=(prod(shape),))
        if self.data_format == "channels_last" or len(shape) < 2:
            return (flat,)
        return (ops.Transpose(name=f"{self.name}/to_last", axes=(*range(1, len(shape)), 0)), flat)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"data_format": self.data_format}
