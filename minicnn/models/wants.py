"""What is asked of an executor."""

from typing import NamedTuple

from minicnn.engine import ops


class Wants(NamedTuple):
    """One executor is made for each that occurs."""

    input_shape: ops.Shape
    training: bool = False
    loss: ops.Loss | None = None
    gradients: tuple[str, ...] = ()
    """Paths of variables."""
    value_gradients: tuple[str, ...] = ()
    """Names of layers, or INPUT."""
    intermediates: tuple[str, ...] = ()
    """Names of layers."""
