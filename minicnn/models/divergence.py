"""Where a training diverged: at which step, and in which layer, the first value that isn't finite appeared.

A loss that isn't finite is seen before the weights are updated with its gradient. Then either the weights are finite,
and one of the layers' outputs is the first that isn't; or some aren't, and the step before has spoilt them: a gradient
passes from the last layer to the first and spoils whatever it passes, so the last layer with spoilt weights is where
that began.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minicnn.engine import ops
from minicnn.models.wants import Wants

if TYPE_CHECKING:
    from minicnn.models.steps import Steps


class Divergence(NamedTuple):
    """Print it."""

    step: int
    """Of the optimizer, counted from 1."""
    layer: str | None
    """None: in the input or the loss."""
    where: str
    """What wasn't finite."""

    def __str__(self) -> str:
        layer = f" of layer '{self.layer}'" if self.layer else ""
        return (
            f"Training diverged: the first value that is not finite appeared at step {self.step}, in {self.where}"
            f"{layer}. A smaller learning rate, or clipnorm, may help."
        )


def find_divergence(steps: Steps, x: np.ndarray) -> Divergence:
    """Why the loss of the batch x, prepared for the model, isn't finite; the weights are those it was computed with."""
    model, step = steps.model, int(steps.optimizer.iterations.array) + 1
    if spoilt := find_spoilt_weights(steps):
        return spoilt
    if not np.isfinite(x).all():
        return Divergence(step, None, "the input")
    chain = [op for op in model.lower_layers(x.shape[1:]) if not isinstance(op, ops.Identity)]
    names = tuple(layer.name for layer in model.layers if any(op.name == layer.name for op in chain))
    with model.executor(Wants(x.shape[1:], training=True, intermediates=names)) as executor:
        found = executor.run(model.parameters(), x, step=step - 1, version=model.weights_version)
    for name in names:
        if not np.isfinite(found.values[name]).all():
            return Divergence(step, name, "the output")
    return Divergence(step, None, "the loss")


def find_spoilt_weights(steps: Steps) -> Divergence | None:
    """Where the last step's gradient or update wasn't finite, None if all weights are."""
    for variable in reversed(steps.trainable_variables):
        if not np.isfinite(variable.array).all():
            layer = variable.path.rpartition("/")[0]
            step = int(steps.optimizer.iterations.array)
            return Divergence(step, layer, f"the gradient or the update of the {variable.name}")
    return None
