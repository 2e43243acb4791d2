"""Walking a plan: forward over its steps, backward over them in reverse. One chunk, one workspace, one thread.

This is the only file that assumes that a step's input is the output of the step before.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.engine.binding import Arrays, Frame
from minicnn.engine.plan import INPUT
from minicnn.engine.workspace import Workspace


def call(function: Callable[..., None], *args: Any) -> None:
    """How a pass of a step is run, unless somebody takes it down."""
    function(*args)


def forward(
    ws: Workspace,
    weights: Sequence[Arrays],
    x: np.ndarray,
    target: np.ndarray | None = None,
    losses: np.ndarray | None = None,
    draw: tuple[int, int] = (0, 0),
    do: Callable[..., None] = call,
) -> np.ndarray:
    """Run every step on the chunk x (n, …) and return the last value, a view of the arena.

    `weights` holds one tuple of arrays a step. A plan that ends in a loss reads `target` and overwrites `losses`, one
    for each sample. `draw` is (training step, position of x[0] in the whole batch), for random ops. `do` calls a
    function, its first argument, with the others.
    """
    frames, value = ws.frames(len(x)), x
    if target is not None:
        frames[-1].target, frames[-1].losses = target, losses
    for step, binding, frame, w in zip(ws.plan.steps, ws.bindings, frames, weights, strict=True):
        frame.x, frame.w, frame.draw, frame.is_alone = value, w, draw, ws.is_alone
        do(binding.forward, step.op, frame)
        value = frame.y
    return value


def backward(
    ws: Workspace,
    gradients: Sequence[Arrays],
    dy: np.ndarray,
    leave: Callable[[int, Frame], None] = lambda index, frame: None,
    do: Callable[..., None] = call,
) -> None:
    """Walk the steps of the last forward run in reverse, adding to `gradients`, one tuple of accumulators a step.

    `dy` (n, …) is the gradient of the last value, or of the losses if the plan ends in a loss. Steps below the lowest
    wanted gradient are not walked; an empty tuple means that nothing is added for the step's weights. After a deferred
    step `leave(index, frame)` is called, while what it read is still in the arena.
    """
    frames = ws.frames(len(dy))
    if ws.plan.has_loss:
        frames[-1].loss_gradient = dy
    for index in reversed(range(len(frames))):
        step, frame = ws.plan.steps[index], frames[index]
        if not step.runs_backward:
            return
        frame.dy, frame.dw = dy, gradients[index]
        do(ws.bindings[index].backward, step.op, frame)
        if step.is_deferred:
            do(leave, index, frame)
        dy = frame.dx


def value(ws: Workspace, name: str, n: int) -> np.ndarray:
    """The value `name` of the last forward run; it must be among the plan's intermediates, or the last one."""
    return next(
        frame.y for step, frame in zip(ws.plan.steps, ws.frames(n), strict=True) if step.op.name == name
    )


def value_gradient(ws: Workspace, name: str, n: int) -> np.ndarray:
    """The gradient of the value `name` of the last backward run; it must be among the plan's value_gradients."""
    names = [INPUT, *(step.op.name for step in ws.plan.steps)]
    return ws.frames(n)[names.index(name)].dx
