"""`explain`: from a model, a layer and an index to what the element there was computed from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.engine import ops
from minicnn.models import Model
from minicnn.study.explaining import elementwise, linear, pooling
from minicnn.study.explaining.recording import Part, Recording, record
from minicnn.study.explaining.steps import Choice, Copy, Index, Mean, Step, Sum

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VIEWS = (ops.Identity, ops.Reshape, ops.Transpose, ops.ZeroPad2D)
"""Ops that compute nothing: an element of theirs is an element of their input, or a zero."""


@dataclass(frozen=True)
class Explanation:
    """One element of one array, and what it was computed from. Print it, plot it, or let a notebook show it."""

    layer: str
    what: str
    """'y', 'dx', 'dw' or 'db'."""
    index: Index
    shape: tuple[int, ...]
    """Of the array that the element belongs to."""
    dtype: str
    steps: tuple[Step, ...]
    """From the first arithmetic to the element itself: a convolution's sum, then its activation."""
    after: tuple[Choice | Mean, ...] = ()
    """What the next layer's pool makes of an element of y: one for each window that holds it."""
    planes: tuple[np.ndarray, np.ndarray] | None = None
    """What the first step read: (x, w), (dy, w) or (x, dy) as they are, to draw them."""
    op: ops.Op | None = None
    """The first step's."""

    @property
    def stored(self) -> float:
        """The element as the run of the model has it."""
        return self.steps[-1].stored

    @property
    def sum(self) -> Sum:
        """The sum that the element comes from.

        Raises:
            ValueError: it comes from none, as a maximum.
        """
        for step in self.steps:
            if isinstance(step, Sum):
                return step
        raise ValueError(f"{self.title} isn't a sum. It comes from {', '.join(s.op for s in self.steps)}.")

    @property
    def title(self) -> str:
        """'conv2d_1: y[0, 3, 4, 7]'."""
        return f"{self.layer}: {self.what}[{', '.join(map(str, self.index))}]"

    def __rich__(self) -> Any:
        from minicnn.study.explaining.render import rich_group

        return rich_group(self)

    def __str__(self) -> str:
        return self.text()

    def text(self, terms: int | None = 12) -> str:
        """In characters: a table with at most so many of a sum's terms, the largest; None for all in their order."""
        from minicnn.study.explaining.render import text

        return text(self, terms)

    def _repr_html_(self) -> str:
        from minicnn.study.explaining.render import html

        return html(self)

    def plot(self) -> Figure:
        """A picture: window, kernel, products, their sum with the bias, the activation, the pool's choice."""
        from minicnn.study.explaining.picture import plot

        return plot(self)


def explain(
    model: Model,
    x: Any,
    y: Any = None,
    *,
    layer: str,
    output: Any = None,
    input: Any = None,
    weight: Any = None,
    bias: Any = None,
    dy: Any = None,
) -> Explanation:
    """Take one element of one layer's output or gradients apart, on the batch x, batch axis included.

        explain(model, x, layer="conv2d_1", output=(0, 3, 4, 7))          # of y
        explain(model, x, labels, layer="conv2d_1", input=(0, 5, 6, 2))   # of dx, the gradient by the layer's input
        explain(model, x, labels, layer="conv2d_1", weight=(1, 1, 0, 7))  # of dw, the kernel's
        explain(model, x, labels, layer="conv2d_1", bias=(7,))            # of db

    Gradients are those of the loss that the model was compiled with against y; or, with `dy` of the outputs' shape,
    those of Σ dy·outputs. Values are those of a run op by op on the reference backend, in the model's dtype.

    Raises:
        ValueError: not exactly one of output, input, weight and bias; a layer that isn't there or has no such thing; an
            index outside the array; a gradient without y or dy, or with both; an op of the user's own.
    """
    asked = {"output": output, "input": input, "weight": weight, "bias": bias}
    given = {name: index for name, index in asked.items() if index is not None}
    if len(given) != 1:
        raise ValueError(
            f"explain takes exactly one of `output`, `input`, `weight` and `bias`. Received {sorted(given)}."
        )
    ((kind, index),) = given.items()
    if kind != "output" and (y is None) == (dy is None):
        raise ValueError(
            "A gradient needs either targets `y` or the outputs' gradient `dy`. "
            f"Received {'neither' if y is None else 'both'}."
        )
    backward = kind != "output"
    recording = record(model, x, y if backward else None, dy if backward else None)
    part = recording.part(layer)
    return EXPLAINERS[kind](recording, part, index)


def _output(recording: Recording, part: Part, given: Any) -> Explanation:
    value = recording.values[part.stop]
    asked = at = checked_index("output", given, value.shape)
    steps: list[Step] = []
    first = part.start
    for k in reversed(range(part.start, part.stop)):
        op, x = recording.ops[k], recording.values[k]
        about = _about(op, at, recording.values[k + 1][at])
        if isinstance(op, VIEWS):
            source = _source(op, at, x.shape)
            steps.append(Copy(**about, source=source))
            if source is None:
                break
            at = source
        else:
            steps.append(_forward(op, x, recording.w(k), at, about))
            first = k
            if not isinstance(
                op, (*elementwise.CURVES, ops.Softmax)
            ):  # a share's own logit comes from somewhere
                break
    steps = _without_plain_copies(steps[::-1])
    w = recording.w(first)
    return Explanation(
        part.layer.name,
        "y",
        asked,
        value.shape,
        value.dtype.name,
        tuple(steps),
        tuple(_after(recording, part, asked)),
        (recording.values[first], w[0] if w else recording.values[first]),
        recording.ops[first] if part.stop > part.start else None,
    )


def _input(recording: Recording, part: Part, given: Any) -> Explanation:
    gradient = recording.gradients[part.start]
    asked = at = checked_index("input", given, gradient.shape)
    steps: list[Step] = []
    first = part.start
    for k in range(part.start, part.stop):
        op, x, dy = recording.ops[k], recording.values[k], recording.gradients[k + 1]
        about = _about(op, at, recording.gradients[k][at])
        first = k
        if not isinstance(op, VIEWS):
            steps.append(_backward(recording, k, at, about))
            break
        at = _destination(op, at, x.shape)
        steps.append(Copy(**about, source=at))
    dy, w = recording.gradients[first + 1 if part.stop > part.start else first], recording.w(first)
    return Explanation(
        part.layer.name,
        "dx",
        asked,
        gradient.shape,
        gradient.dtype.name,
        tuple(_without_plain_copies(steps[::-1])),
        (),
        (dy, w[0] if w else recording.values[first]),
        recording.ops[first] if part.stop > part.start else None,
    )


def _weight(recording: Recording, part: Part, given: Any, which: int = 0) -> Explanation:
    kind, what = (("weight", "dw"), ("bias", "db"))[which]
    for k in range(part.start, part.stop):
        op, x, dy = recording.ops[k], recording.values[k], recording.gradients[k + 1]
        if len(op.parameters) > which and isinstance(op, ops.Conv2D | ops.Dense):
            break
    else:
        raise ValueError(
            f"`{kind}` needs a convolution or a dense layer that has one. Received layer={part.layer.name!r}, "
            f"a {type(part.layer).__name__}."
        )
    gradient = recording.weight_gradients[op.parameters[which]]
    at = checked_index(kind, given, gradient.shape)
    about = _about(op, at, gradient[at])
    if isinstance(op, ops.Conv2D):
        step = linear.conv2d_bias(dy, at, about) if which else linear.conv2d_weight(op, x, dy, at, about)
    else:
        step = linear.dense_bias(dy, at, about) if which else linear.dense_weight(x, dy, at, about)
    return Explanation(
        part.layer.name, what, at, gradient.shape, gradient.dtype.name, (step,), (), (x, dy), op
    )


def _bias(recording: Recording, part: Part, given: Any) -> Explanation:
    return _weight(recording, part, given, 1)


EXPLAINERS: dict[str, Callable[[Recording, Part, Any], Explanation]] = {
    "output": _output,
    "input": _input,
    "weight": _weight,
    "bias": _bias,
}


def _forward(op: ops.Op, x: np.ndarray, w: linear.Weights, at: Index, about: dict[str, Any]) -> Step:
    match op:
        case ops.Conv2D():
            return linear.conv2d_output(op, x, w, at, about)
        case ops.Dense():
            return linear.dense_output(x, w, at, about)
        case ops.Rescaling():
            return linear.rescaling_output(op, x, at, about)
        case ops.MaxPool2D():
            return pooling.max_pool2d_output(op, x, at, about)
        case ops.AveragePool2D():
            return pooling.average_pool2d_output(op, x, at, about)
        case ops.GlobalAveragePool2D():
            return pooling.global_average_output(x, at, about)
        case ops.GlobalMaxPool2D():
            return pooling.global_max_output(x, at, about)
        case ops.Softmax():
            return elementwise.softmax_output(x, at, about)
    if isinstance(op, elementwise.CURVES):
        return elementwise.curve(op, x, None, at, about)
    raise _unknown(op)


def _backward(recording: Recording, k: int, at: Index, about: dict[str, Any]) -> Step:
    op, x, dy, w = recording.ops[k], recording.values[k], recording.gradients[k + 1], recording.w(k)
    match op:
        case ops.Conv2D():
            return linear.conv2d_input(op, dy, w, at, about)
        case ops.Dense():
            return linear.dense_input(dy, w, at, about)
        case ops.Rescaling():
            return linear.rescaling_input(op, dy, at, about)
        case ops.MaxPool2D():
            return pooling.max_pool2d_input(op, x, dy, at, about)
        case ops.AveragePool2D():
            return pooling.average_pool2d_input(op, dy, at, about)
        case ops.GlobalAveragePool2D():
            return pooling.global_average_input(x, dy, at, about)
        case ops.GlobalMaxPool2D():
            return pooling.global_max_input(x, dy, at, about)
        case ops.Softmax():
            return elementwise.softmax_input(x, dy, at, about)
        case ops.SoftmaxCrossEntropy() | ops.SigmoidCrossEntropy() if recording.target is not None:
            return elementwise.loss_input(op, recording.values[k + 1], recording.target, dy, at, about)
    if isinstance(op, elementwise.CURVES):
        return elementwise.curve(op, x, dy, at, about)
    raise _unknown(op)


def _unknown(op: ops.Op) -> ValueError:
    return ValueError(f"explain knows the arithmetic of minicnn's own ops. Received a {type(op).__name__}.")


def _about(op: ops.Op, index: Index, stored: Any) -> dict[str, Any]:
    return {"op": type(op).__name__, "name": op.name, "index": index, "stored": float(stored)}


def _source(op: ops.Op, index: Index, shape: tuple[int, ...]) -> Index | None:
    """Which element of x, of `shape`, y[index] is; None for a zero of padding."""
    n, *rest = index
    match op:
        case ops.Reshape():
            flat = np.ravel_multi_index(rest, op.shape)
            return (n, *map(int, np.unravel_index(flat, shape[1:])))
        case ops.Transpose():
            return (n, *(rest[op.axes.index(axis)] for axis in range(len(rest))))
        case ops.ZeroPad2D():
            (top, _), (left, _) = op.pads
            row, column = rest[0] - top, rest[1] - left
            inside = 0 <= row < shape[1] and 0 <= column < shape[2]
            return (n, row, column, rest[2]) if inside else None
    return index


def _destination(op: ops.Op, index: Index, shape: tuple[int, ...]) -> Index:
    """Which element of y x[index] becomes."""
    n, *rest = index
    match op:
        case ops.Reshape():
            flat = np.ravel_multi_index(rest, shape[1:])
            return (n, *map(int, np.unravel_index(flat, op.shape)))
        case ops.Transpose():
            return (n, *(rest[axis] for axis in op.axes))
        case ops.ZeroPad2D():
            return (n, rest[0] + op.pads[0][0], rest[1] + op.pads[1][0], rest[2])
    return index


def _without_plain_copies(steps: list[Step]) -> list[Step]:
    """Identities say nothing, unless they are all there is."""
    telling = [step for step in steps if not (isinstance(step, Copy) and step.source == step.index)]
    return telling or steps[:1]


def _after(recording: Recording, part: Part, index: Index) -> list[Any]:
    """The windows of a pool right behind the layer, if there is one."""
    k = part.stop
    while k < len(recording.ops) and isinstance(recording.ops[k], ops.Identity):
        k += 1
    op = recording.ops[k] if k < len(recording.ops) else None
    if not isinstance(op, ops.MaxPool2D | ops.AveragePool2D):
        return []
    return pooling.goes_into(op, recording.values[k], index, recording.values[k + 1])


def checked_index(name: str, given: Any, shape: tuple[int, ...]) -> Index:
    """`given` as an index of an array of `shape`, counted from the front.

    Raises:
        ValueError: not one integer for each axis, or outside.
    """
    numbers = list(given) if isinstance(given, tuple | list | np.ndarray) else [given]
    is_whole = all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in numbers)
    if (
        not is_whole
        or len(numbers) != len(shape)
        or any(not -size <= n < size for n, size in zip(numbers, shape, strict=True))
    ):
        raise ValueError(
            f"`{name}` must be an index of an array of shape {shape}. Received {name}={given!r}."
        )
    return tuple(int(n) % size for n, size in zip(numbers, shape, strict=True))
