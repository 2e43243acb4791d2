"""Ops of your own: two NumPy functions become a layer's arithmetic, or a loss.

    def square_forward(x):
        return x * x, x                                  # y, residuals

    def square_backward(dy, residuals):
        return (2 * residuals * dy,)                     # (dx, *dw)

    minicnn.ops.register("square", square_forward, square_backward)

    class Square(minicnn.layers.Layer):
        def lower(self, shape):
            return (minicnn.ops.op("square", self.name, shape),)

With weights the forward is called as forward(x, *w) and the backward returns (dx, *dw). As a loss, forward(y, t)
returns one number a sample and residuals, backward(dloss, residuals) returns (dy,), and `compile(loss="square")`
finds it by its name.
"""

from collections.abc import Callable
from typing import Any

from minicnn.engine.binding import PAIRS
from minicnn.engine.ops import Custom, Shape

__all__ = ["op", "register", "registered"]


def register(name: str, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
    """Make a pair known under `name`; a pair known already under it is replaced.

    Raises:
        ValueError: an empty name, or something that can't be called.
    """
    if not isinstance(name, str) or not name:
        raise ValueError(f"`name` must be a non-empty string. Received name={name!r}.")
    for argument, function in (("forward", forward), ("backward", backward)):
        if not callable(function):
            raise ValueError(f"`{argument}` must be a function. Received {argument}={function!r}.")
    PAIRS[name] = forward, backward


def registered() -> tuple[str, ...]:
    """The names of all pairs registered so far."""
    return tuple(PAIRS)


def op(function: str, name: str, output_shape: Shape, parameters: tuple[str, ...] = ()) -> Custom:
    """The op of a registered pair, for a layer's `lower`.

    `name` is the layer's, `output_shape` leaves out the batch axis, `parameters` are the paths of its variables.

    Raises:
        ValueError: nothing is registered as `function`.
    """
    if function not in PAIRS:
        raise ValueError(f"No pair is registered as {function!r}. Known: {', '.join(PAIRS) or 'none'}.")
    return Custom(name=name, parameters=parameters, function=function, shape=tuple(output_shape))
