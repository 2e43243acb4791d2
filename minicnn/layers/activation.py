"""An activation as a layer of its own."""

from typing import Any

from minicnn import activations
from minicnn.engine import ops
from minicnn.layers.layer import Layer


class Activation(Layer):
    """Applies an activation, given by name or as a function of `minicnn.activations`, to each element.

    Raises:
        ValueError: an unknown activation.
    """

    is_built_at_once = True

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def lower(self, shape: ops.Shape) -> tuple[ops.Op, ...]:
        return activations.lower(self.activation, self.name) or (ops.Identity(name=self.name),)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"activation": activations.serialize(self.activation)}
