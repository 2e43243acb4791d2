"""How a backend runs one kind of op: the seam between descriptors and arithmetic.

A `Binding` is two functions over a `Frame`, and what they need kept between them. The reference backend binds every
op to a NumPy pair of `minicnn.reference`; the numba backend binds the hot ones to kernels and takes the rest from the
reference. A pair that a user registers is bound the same way.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from minicnn.engine import ops
from minicnn.engine.ops import Op, Shape

Arrays = tuple[np.ndarray, ...]
BufferShapes = Mapping[str, tuple[Shape, str | None]]
"""Name → (shape for each sample, dtype or None for the plan's)."""


class Frame:
    """The arrays of one step for one chunk of n samples. Whoever runs the plan fills it in."""

    __slots__ = (
        "derived", "draw", "dw", "dx", "dx_buffer", "dy", "is_alone", "kept", "loss_gradient", "losses", "n",
        "output_shape", "residuals", "target", "w", "x", "y", "y_buffer",
    )  # fmt: skip

    def __init__(self, n: int, output_shape: Shape) -> None:
        self.n = n
        self.output_shape = output_shape
        self.x: np.ndarray
        self.y: np.ndarray
        """Read after `forward`; `y_buffer` is the arena's view to write into, None for views."""
        self.y_buffer: np.ndarray | None = None
        self.dy: np.ndarray
        self.dx: np.ndarray | None = None
        """Read after `backward`; `dx_buffer` is the arena's view to overwrite, None when dx isn't wanted."""
        self.dx_buffer: np.ndarray | None = None
        self.w: Arrays = ()
        self.dw: Arrays = ()
        """Accumulators to add to; empty when not wanted."""
        self.kept: dict[str, np.ndarray] = {}
        self.derived: dict[str, np.ndarray] = {}
        self.residuals: Any = None
        self.draw: tuple[int, int] = (0, 0)
        """(training step, position of sample 0 in the whole batch) for random ops."""
        self.target: np.ndarray
        self.is_alone = False
        """No other chunk is worked on, so that an op may use all threads. It changes no bit of the result."""
        self.losses: np.ndarray
        self.loss_gradient: np.ndarray


class Deferred(NamedTuple):
    """How the gradient of a large weight is computed once the whole batch has been walked.

    A copy of it for each lane would cost more than it saves. Instead each chunk leaves `inputs`, rows of whole-batch
    arrays, and then the threads own disjoint ranges of the weight's first axis and go through all samples in order.
    """

    inputs: Callable[[Frame], Arrays]
    """What a chunk leaves, one row a sample: an array like x and one like y."""
    add: Callable[[Op, Arrays, Arrays, int, int], None]
    """add(op, inputs, dw, start, stop): add to rows [start, stop) of dw[0], and when start is 0 to the bias's."""


def _nothing(op: Op, shape: Shape) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Binding:
    """`forward` reads x and w and sets y; `backward` reads dy, sets dx if wanted and adds to dw if wanted."""

    forward: Callable[[Op, Frame], None]
    backward: Callable[[Op, Frame], None]
    reads: str = "x"
    """Which of x and y the backward pass reads: '', 'x', 'y' or 'xy'."""
    is_view: bool = False
    """y is x under another shape; dx is dy."""
    kept: Callable[[Op, Shape], BufferShapes] = field(default=_nothing)
    """Arrays of the arena, one row a sample, that forward leaves for backward."""
    scratch: Callable[[Op, Shape], BufferShapes] = field(default=_nothing)
    """Arrays of the arena that backward alone uses; found among `frame.kept` too."""
    block: Callable[[Op, Shape], Mapping[str, Shape]] = field(default=_nothing)
    """Arrays that a pass uses, of the same shape for any number of samples; found among `frame.kept` too."""
    sums: Callable[[Op, Shape], Mapping[str, Shape]] = field(default=_nothing)
    """The same that only dw uses."""
    derived: Callable[[Op, Shape], Mapping[str, Shape]] = field(default=_nothing)
    """Arrays made from the weights alone (packed, transformed) that dx reads, remade when the weights change."""
    derived_forward: Callable[[Op, Shape], Mapping[str, Shape]] = field(default=_nothing)
    """The same that forward reads."""
    derive: Callable[[Op, Arrays, dict[str, np.ndarray]], None] | None = None
    """Fill those of both kinds that there are."""
    deferred: Deferred | None = None
    """Used instead of adding to dw when the weight is large."""


def kernels_only(function: Callable[..., None]) -> Callable[..., None]:
    """Mark a pass that, but for calls of kernels on the frame's arrays, does nothing that must be done every time:

    a `Tape` then repeats the kernels alone. What it sets in the frame stays set.
    """
    function.kernels_only = True  # type: ignore[attr-defined]
    return function


def calls_kernels_only(function: Callable[..., None]) -> bool:
    """Whether the function is marked by `kernels_only`."""
    return getattr(function, "kernels_only", False)


def pair(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    *attributes: str,
) -> Binding:
    """Bind two functions of the reference's form: forward(x, *w, *attributes of the op) → y, residuals;
    backward(dy, residuals) → (dx, *dw). They allocate; the results are copied into the frame's buffers."""

    def run_forward(op: Op, frame: Frame) -> None:
        w: tuple[np.ndarray | None, ...] = frame.w
        if len(w) == 1 and isinstance(op, ops.Conv2D | ops.Dense):
            w = (w[0], None)
        y, frame.residuals = forward(frame.x, *w, *(getattr(op, name) for name in attributes))
        frame.y = frame.y_buffer
        frame.y[...] = y

    def run_backward(op: Op, frame: Frame) -> None:
        dx, *dw = backward(frame.dy, frame.residuals)
        if frame.dx_buffer is not None:
            frame.dx_buffer[...] = dx
            frame.dx = frame.dx_buffer
        for accumulator, gradient in zip(frame.dw, dw, strict=False):
            accumulator += gradient

    return Binding(run_forward, run_backward)


def loss_pair(forward: Callable[..., Any], backward: Callable[..., Any], *, predicts: bool) -> Binding:
    """Bind a loss: forward(x, t) → losses, residuals; backward(dloss, residuals) → (dx,).

    `predicts`: the predictions are `residuals.p` (a softmax or sigmoid is part of the loss); otherwise they are x.
    """

    def run_forward(op: Op, frame: Frame) -> None:
        losses, frame.residuals = forward(frame.x, frame.target)
        frame.losses[...] = losses
        frame.y = frame.x if frame.y_buffer is None else frame.y_buffer
        if predicts:
            frame.y[...] = frame.residuals.p

    def run_backward(op: Op, frame: Frame) -> None:
        frame.dx = frame.dx_buffer
        frame.dx[...] = backward(frame.loss_gradient, frame.residuals)[0]

    return Binding(run_forward, run_backward, is_view=not predicts)


@kernels_only
def _view_forward(op: Op, frame: Frame) -> None:
    frame.y = frame.x.reshape(frame.n, *frame.output_shape)


@kernels_only
def _view_backward(op: Op, frame: Frame) -> None:
    frame.dx = frame.dy.reshape(frame.x.shape)


VIEW = Binding(_view_forward, _view_backward, reads="", is_view=True)
"""Reshape and Identity: nothing is computed or moved."""


Pair = tuple[Callable[..., Any], Callable[..., Any]]

PAIRS: dict[str, Pair] = {}
"""Forward and backward of ops and losses that users have registered."""


def binding_of(op: Op, backend: str) -> Binding:
    """The binding of `op` in `backend`, 'reference' or 'numba'.

    The numba backend is imported here, when it is first asked for: importing Numba takes longer than the rest.
    """
    if isinstance(op, ops.Custom):
        return pair(*PAIRS[op.function])
    if isinstance(op, ops.CustomLoss):
        return loss_pair(*PAIRS[op.function], predicts=False)
    if backend == "numba":
        from minicnn.engine.numba_backend import ALGORITHMS, BINDINGS
    else:
        from minicnn.engine.reference_backend import ALGORITHMS, BINDINGS
    if isinstance(op, ops.Conv2D) and op.algorithm is not None:
        return ALGORITHMS[op.algorithm]
    return BINDINGS[type(op)]
