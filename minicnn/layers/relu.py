"""ReLU layer."""

from numbers import Real
from typing import Any

from minicnn.engine import ops
from minicnn.layers.layer import Layer


class ReLU(Layer):
    """x from `threshold` up to `max_value`, negative_slope·(x − threshold) below.

    Arguments are Keras's (keras/src/layers/activations/relu.py).

    Raises:
        ValueError: a negative argument.
    """

    is_built_at_once = True

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (
            ("max_value", max_value),
            ("negative_slope", negative_slope),
            ("threshold", threshold),
        ):
            if not (name == "max_value" and value is None) and (
                not isinstance(value, Real) or not value >= 0
            ):
                raise ValueError(
                    f"`{name}` of ReLU must be a non-negative number. Received {name}={value!r}."
                )
        self.max_value, self.negative_slope, self.threshold = max_value, negative_slope, threshold

    def lower(self, shape: ops.Shape) -> tuple[ops.Op, ...]:
        if self.max_value is None and not self.negative_slope and not self.threshold:
            return (ops.ReLU(name=self.name),)
        if self.max_value is None and not self.threshold:
            # Not only faster: at 0 Keras's gradient is the slope below here, and 0 in every other form.
            return (ops.LeakyReLU(name=self.name, negative_slope=self.negative_slope),)
        return (
            ops.ClippedReLU(
                name=self.name,
                max_value=self.max_value,
                negative_slope=self.negative_slope,
                threshold=self.threshold,
            ),
        )

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "max_value": self.max_value,
            "negative_slope": self.negative_slope,
            "threshold": self.threshold,
        }
