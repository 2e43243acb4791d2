"""Work: how many multiply-adds the steps of a plan take, densely and at least, and how many bytes they move.

Pure integer arithmetic over a plan. Counted are the products of convolutions and dense layers; biases, activations,
pooling, losses and elementwise ops count none: they are paid in bytes.

    dense   what a library does that knows no more than shapes: every tap of every output position, products with
            padding included, once forward, once for dw if it is wanted, once for dx if it is wanted (so not for the
            first layer's)
    needed  no product with padding; forward only the positions that somebody reads ('floor' pooling discards the
            last row and column of an odd map); backward only the gradients that aren't zero, one for each window of a
            max pool at most. Zeros in x or w are not looked for: no product is left out for their sake.

Without data the gradients are bounded: one for each pooled window, or for each position read. With `passed`, the
non-zero gradients that a batch had at each position, `needed` is exact.
"""

from collections.abc import Collection, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from minicnn.engine import ops
from minicnn.engine.binding import Frame, binding_of
from minicnn.engine.ops import Op, Shape
from minicnn.engine.plan import Plan, Step
from minicnn.geometry import Window

Region = tuple[Collection[int], ...]
"""For each axis of a value, which indices somebody reads."""

ELEMENTWISE = (
    ops.Identity, ops.Rescaling, ops.Dropout, ops.ReLU, ops.ClippedReLU, ops.LeakyReLU, ops.Elu, ops.Gelu, ops.Silu,
    ops.Softplus, ops.Sigmoid, ops.Tanh,
)  # fmt: skip
"""Ops that read of x what is read of y."""


class Passes(NamedTuple):
    """One number for each of the three computations of a step; 0 for what isn't wanted."""

    forward: int
    dw: int
    dx: int


class Work(NamedTuple):
    """What one step takes for a batch."""

    dense: Passes
    """Multiply-adds."""
    needed: Passes
    """Multiply-adds."""
    nbytes: Passes
    """Each array that the computation takes or gives, once: weights once a batch, whatever the number of chunks."""


def count(plan: Plan, n: int = 1, passed: Sequence[np.ndarray | None] | None = None) -> tuple[Work, ...]:
    """The work of every step of `plan` for a batch of n samples.

    `passed` holds one array of counts a step, as `passed_gradients` gives them, summed over the batch's chunks.
    """
    counts = [None] * len(plan.steps) if passed is None else passed
    return tuple(
        Work(
            _wanted(step, *(n * _dense(step),) * 3),
            _wanted(step, n * _needed(step, region), *(_needed_backward(step, region, n, gradients),) * 2),
            _nbytes(step, n, plan.backend, np.dtype(plan.dtype).itemsize),
        )
        for step, region, gradients in zip(plan.steps, _regions(plan), counts, strict=True)
    )


def _wanted(step: Step, forward: int, dw: int, dx: int) -> Passes:
    has_weights = step.wants_dw and bool(step.op.parameters)
    return Passes(forward, dw if has_weights else 0, dx if step.wants_dx else 0)


def passed_gradients(step: Step, frame: Frame) -> np.ndarray | None:
    """The non-zero gradients of one chunk at the output of the step's product, before its ReLU and its pool.

    For a convolution (OH, OW), the numbers at each position over samples and filters; for a dense layer one number,
    (); None for other ops. To be called after the step ran backward, while what it read is still in the arena.
    """
    if not isinstance(step.op, ops.Conv2D | ops.Dense) or not step.runs_backward:
        return None
    passes = frame.dy != 0
    if isinstance(step.op, ops.ConvReLUPool):
        return _routed(step.op, frame, passes)
    if isinstance(step.op, ops.ConvReLU | ops.DenseReLU):
        passes &= (frame.y if frame.residuals is None else frame.residuals.relu.y) > 0
    axes = (0, 3) if isinstance(step.op, ops.Conv2D) else None
    return np.asarray(np.count_nonzero(passes, axis=axes))


def _routed(op: ops.ConvReLUPool, frame: Frame, passes: np.ndarray) -> np.ndarray:
    """Where in the map before pooling the gradients arrive that the pool's winners and ReLU let through."""
    if frame.residuals is None:
        passes, argmax = passes & (frame.y > 0), frame.kept["argmax"]
    else:  # of the reference; the arena keeps its input alone
        argmax = frame.residuals.pool.argmax
        winners = _winners(frame.residuals.conv_relu.relu.y, argmax, op.pool)
        passes = passes & (winners > 0)
    counts = np.zeros(op.window.output_size, np.int64)
    for index, (_, _, rows, columns) in enumerate(op.pool.taps()):
        counts[rows, columns] += np.count_nonzero(passes & (argmax == index), axis=(0, 3))
    return counts


def _winners(values: np.ndarray, argmax: np.ndarray, pool: Window) -> np.ndarray:
    taps = [values[:, rows, columns] for _, _, rows, columns in pool.taps()]
    return np.choose(argmax, taps)


# Multiply-adds


def _dense(step: Step) -> int:
    """Multiply-adds of one sample, padding included; the same number forward, for dw and for dx."""
    match step.op:
        case ops.Conv2D() as op:
            return prod(op.window.output_size) * op.filters * _terms(op, step)
        case ops.Dense() as op:
            return prod(step.input_shape) * op.units
    return 0


def _terms(op: ops.Conv2D, step: Step) -> int:
    """Products that make up one output."""
    return prod(op.window.kernel_size) * step.input_shape[-1] // op.groups


def _needed(step: Step, region: Region) -> int:
    """Multiply-adds of one sample forward."""
    match step.op:
        case ops.Conv2D() as op:
            rows, columns = _map_region(op, region)
            inside_h, inside_w = (_taps_inside(op.window, axis) for axis in (0, 1))
            positions = sum(inside_h[i] for i in rows) * sum(inside_w[j] for j in columns)
            return positions * step.input_shape[-1] // op.groups * op.filters
        case ops.Dense() as op:
            return prod(map(len, region[:-1])) * step.input_shape[-1] * op.units
    return 0


def _needed_backward(step: Step, region: Region, n: int, passed: np.ndarray | None) -> int:
    """Multiply-adds of n samples for dw, and as many for dx."""
    match step.op:
        case ops.Conv2D() as op if passed is not None:
            taps = np.outer(*(_taps_inside(op.window, axis) for axis in (0, 1)))
            return int(np.sum(passed * taps)) * step.input_shape[-1] // op.groups
        case ops.ConvReLUPool() as op:
            # With padding, the winner may be whichever of the window's positions has the most taps in the image.
            inside = [_taps_inside(op.window, axis) for axis in (0, 1)]
            most = [
                sum(max(inside[axis][i] for i in _read_by(op.pool, axis, [k])) for k in region[axis])
                for axis in (0, 1)
            ]
            return n * prod(most) * step.input_shape[-1] * op.filters
        case ops.Dense() if passed is not None:
            return int(passed) * step.input_shape[-1]
    return n * _needed(step, region)


def _taps_inside(window: Window, axis: int) -> list[int]:
    """For each output position along one axis, how many of the kernel's taps lie inside the image."""
    size, kernel, stride, dilation, pad = (
        pair[axis]
        for pair in (
            window.image_size,
            window.kernel_size,
            window.strides,
            window.dilation,
            window.pads_before,
        )
    )
    return [
        sum(0 <= i * stride + p * dilation - pad < size for p in range(kernel))
        for i in range(window.output_size[axis])
    ]


# What is read of each value


def _regions(plan: Plan) -> list[Region]:
    """For each step, which indices of its output's axes the rest of the plan, or the caller, reads."""
    regions: list[Region] = []
    region = _whole(plan.output_shape)
    for step in reversed(plan.steps):
        if step.op.name in plan.intermediates:
            region = _whole(step.output_shape)
        regions.append(region)
        region = read_region(step.op, step.input_shape, region)
    return regions[::-1]


def _whole(shape: Shape) -> Region:
    return tuple(range(size) for size in shape)


def read_region(op: Op, shape: Shape, region: Region) -> Region:
    """Which indices of the axes of x, of `shape`, are read where `region` of y is wanted."""
    match op:
        case ops.Conv2D():
            rows, columns = (_read_by(op.window, axis, _map_region(op, region)[axis]) for axis in (0, 1))
            return rows, columns, range(shape[2])
        case ops.MaxPool2D() | ops.AveragePool2D():
            rows, columns = (_read_by(op.window, axis, region[axis]) for axis in (0, 1))
            return rows, columns, region[2]
        case ops.Dense() | ops.Softmax():
            return *region[:-1], range(shape[-1])
        case ops.Reshape() if all(len(axis) == 1 for axis in region):
            flat = np.ravel_multi_index([next(iter(axis)) for axis in region], op.shape)
            return tuple({int(k)} for k in np.unravel_index(flat, shape))
        case ops.ZeroPad2D():
            before, sizes = [pads[0] for pads in op.pads], shape[:2]
            shifted = ({k - pad for k in axis} for axis, pad in zip(region, before, strict=False))
            rows, columns = (axis & set(range(size)) for axis, size in zip(shifted, sizes, strict=True))
            return rows, columns, region[2]
        case ops.Transpose():
            return tuple(region[op.axes.index(axis)] for axis in range(len(shape)))
    return region if isinstance(op, ELEMENTWISE) else _whole(shape)


def _map_region(op: ops.Conv2D, region: Region) -> list[Collection[int]]:
    """The rows and columns that a convolution must compute where `region` of its step's value is wanted."""
    if isinstance(op, ops.ConvReLUPool):
        return [_read_by(op.pool, axis, region[axis]) for axis in (0, 1)]
    return [region[0], region[1]]


def _read_by(window: Window, axis: int, positions: Collection[int]) -> set[int]:
    """The rows (axis 0) or columns (axis 1) of the image that windows at `positions` lie on."""
    stride, dilation, pad = (pair[axis] for pair in (window.strides, window.dilation, window.pads_before))
    taps = range(window.kernel_size[axis])
    reads = {i * stride + p * dilation - pad for i in positions for p in taps}
    return reads & set(range(window.image_size[axis]))


# Bytes


def _nbytes(step: Step, n: int, backend: str, itemsize: int) -> Passes:
    """Forward x, w, y and what is kept; for dw x, dy, dw, for dx dy, w, dx, and for both the mask of ReLU or pool."""
    binding = binding_of(step.op, backend)
    if binding.is_view and not isinstance(step.op, ops.Loss):
        return Passes(0, 0, 0)
    x, y = (n * prod(shape) * itemsize for shape in (step.input_shape, step.output_shape))
    w = sum(map(prod, step.op.parameter_shapes(step.input_shape))) * itemsize
    kept = sum(
        n * prod(shape) * np.dtype(kind).itemsize if kind else n * prod(shape) * itemsize
        for shape, kind in binding.kept(step.op, step.input_shape).values()
    )
    if isinstance(step.op, ops.Loss):
        losses = n * prod(step.output_shape[:-1]) * itemsize
        written = 0 if binding.is_view else y
        return _wanted(step, 2 * x + written + losses, 0, 3 * x + losses)  # x, target; dx
    mask = kept + (y if "y" in binding.reads else 0)
    if isinstance(step.op, ops.Conv2D | ops.Dense):
        return _wanted(step, x + w + y + kept, x + y + mask + w, y + mask + w + x)
    read: Any = x if "x" in binding.reads else 0
    return _wanted(step, x + w + y + kept, y + mask + read + w, y + mask + read + w + x)
