"""Rescaling layer."""

from numbers import Real
from typing import Any

import numpy as np

from minicnn.engine import ops
from minicnn.layers.layer import Layer


class Rescaling(Layer):
    """x·scale + offset, each a number or one number for each element of the last axis.

    Raises:
        ValueError: anything else.
    """

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale, self.offset = _numbers("scale", scale), _numbers("offset", offset)

    def lower(self, shape: ops.Shape) -> tuple[ops.Op, ...]:
        return (ops.Rescaling(name=self.name, scale=self.scale, offset=self.offset),)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"scale": self.scale, "offset": self.offset}


def _numbers(name: str, value: Any) -> float | tuple[float, ...]:
    if isinstance(value, Real):
        return float(value)
    array = np.asarray(value)
    if array.ndim != 1 or array.dtype.kind not in "fiu":
        raise ValueError(
            f"`{name}` must be a number or a list of numbers, one a channel. Received {name}={value!r}."
        )
    return tuple(float(number) for number in array)
