"""A plan: which op runs when, which gradients are wanted, and where every buffer lies. Frozen; holds no arrays.

Buffers live in one arena. Each has a lifetime, counted in moments: of K steps, step k runs forward at moment k and
backward at moment 2·K − 1 − k. Two buffers share memory when their lifetimes don't overlap, so an inference plan needs
little more than its two largest neighbours, and a training plan keeps what the backward pass will read, nothing else.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import prod

import numpy as np

from minicnn.engine import ops
from minicnn.engine.algorithms import Choice, Running, choose, layer_of, running
from minicnn.engine.binding import binding_of
from minicnn.engine.ops import Op, Shape

INPUT = "input"
"""Name of the value that the chain starts from."""

ALIGNMENT = 64
"""Bytes: a cache line, and one AVX-512 vector."""

CHUNK_BYTES = 1 << 20
"""What a chunk's arena may take: it should stay in one core's L2 cache."""

MAX_CAPACITY = 64

LANES = 4
"""Gradient accumulators, and so the threads that can train at once."""

WORTHWHILE_NBYTES = 128 * 1024
"""A chunk whose arena takes less isn't cut for the sake of a thread: handing it over would cost more than it saves."""

LARGE_NBYTES = 1 << 20
"""A weight above this has no copy of its gradient for each lane."""


@dataclass(frozen=True)
class Buffer:
    """Bytes of the arena that hold `shape` elements for each sample, from moment `first` to moment `last`."""

    name: str
    shape: Shape
    dtype: str
    first: int
    last: int
    offset: int = 0

    @property
    def nbytes_per_sample(self) -> int:
        return prod(self.shape) * np.dtype(self.dtype).itemsize

    def nbytes(self, capacity: int) -> int:
        """For `capacity` samples, rounded up to ALIGNMENT."""
        return -(-capacity * self.nbytes_per_sample // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class Step:
    """One op of the chain with its shapes and what its backward pass must produce."""

    op: Op
    input_shape: Shape
    output_shape: Shape
    wants_dx: bool
    wants_dw: bool
    kept: tuple[str, ...]
    """Names of the arrays that the op's binding keeps between forward and backward, and of its scratch arrays."""
    is_deferred: bool
    """dw is computed after the whole batch has been walked."""

    @property
    def runs_backward(self) -> bool:
        return self.wants_dx or self.wants_dw


@dataclass(frozen=True)
class Plan:
    """What `run` walks. A batch is cut into chunks of at most `capacity` samples."""

    steps: tuple[Step, ...]
    input_shape: Shape
    capacity: int
    training: bool
    backend: str
    dtype: str
    gradients: tuple[str, ...]
    """Paths of the variables whose gradients are computed, in the order of the ops."""
    value_gradients: frozenset[str]
    """Names of the values whose gradients are kept."""
    intermediates: frozenset[str]
    """Names of the values that are kept."""
    buffers: tuple[Buffer, ...]
    arena_nbytes: int

    @cached_property
    def output_shape(self) -> Shape:
        return self.steps[-1].output_shape if self.steps else self.input_shape

    def chunks(self, n: int) -> list[slice]:
        """How a batch of n samples is cut: into chunks of the capacity, or when they were fewer than LANES, of less.

        A matter of n and the shapes, never of the number of threads: the gradient's bits depend on it.
        """
        least = min(self.capacity, -(-WORTHWHILE_NBYTES * self.capacity // max(1, self.arena_nbytes)))
        size = min(self.capacity, max(least, -(-n // LANES)))
        return [slice(first, min(n, first + size)) for first in range(0, n, size)]

    @cached_property
    def algorithms(self) -> dict[str, Running]:
        """By layer, which algorithm computes a convolution's three passes."""
        found = [(layer_of(s.op), running(s.op, s.input_shape, self.backend)) for s in self.steps]
        return {layer: names for layer, names in found if names is not None}

    @cached_property
    def has_loss(self) -> bool:
        return bool(self.steps) and isinstance(self.steps[-1].op, ops.Loss)

    @cached_property
    def runs_backward(self) -> bool:
        return any(step.runs_backward for step in self.steps)


def make_plan(
    chain: Sequence[Op],
    input_shape: Shape,
    capacity: int | None = None,
    *,
    training: bool = False,
    backend: str = "numba",
    dtype: str = "float32",
    algorithm: Choice = None,
    gradients: Collection[str] = (),
    value_gradients: Collection[str] = (),
    intermediates: Collection[str] = (),
) -> Plan:
    """Lay out `chain` for chunks of at most `capacity` samples; by default as many as fit CHUNK_BYTES.

    `gradients` are paths of variables; an op that is differentiated by one of its weights is by all. `value_gradients`
    and `intermediates` are names of values (INPUT for the input).
    Random ops are the identity unless `training`. The same arguments give the same plan object.
    `algorithm` computes the convolutions instead of what the backend would choose: a name of `algorithms.REFUSALS`, or
    names by layer. A chain that is to be fused takes it before (`algorithms.choose`): a fused op has its own.

    Raises:
        ValueError: an unknown algorithm or layer, or an algorithm that doesn't apply to a layer.
    """
    chain = choose(chain, algorithm)
    if not training:
        chain = [ops.Identity(name=op.name) if isinstance(op, ops.Random) else op for op in chain]
    return _make_plan(
        tuple(chain),
        tuple(input_shape),
        capacity,
        (training, backend, dtype),
        frozenset(gradients),
        frozenset(value_gradients),
        frozenset(intermediates),
    )


@lru_cache(maxsize=256)
def _make_plan(
    chain: tuple[Op, ...],
    input_shape: Shape,
    capacity: int | None,
    mode: tuple[bool, str, str],
    gradients: frozenset[str],
    value_gradients: frozenset[str],
    intermediates: frozenset[str],
) -> Plan:
    training, backend, dtype = mode
    steps = _steps(chain, input_shape, mode, gradients, value_gradients)
    buffers = _value_buffers(steps, backend, dtype, intermediates) + _gradient_buffers(
        steps, backend, dtype, value_gradients
    )
    if capacity is None:
        weights = sum(
            map(prod, (shape for step in steps for shape in step.op.parameter_shapes(step.input_shape)))
        )
        capacity = _capacity(_place(buffers, 1)[1], weights * np.dtype(dtype).itemsize)
    placed, nbytes = _place(buffers, capacity)
    return Plan(
        steps=steps,
        input_shape=input_shape,
        capacity=capacity,
        training=training,
        backend=backend,
        dtype=dtype,
        gradients=tuple(path for step in steps if step.wants_dw for path in step.op.parameters),
        value_gradients=value_gradients,
        intermediates=intermediates,
        buffers=placed,
        arena_nbytes=nbytes,
    )


def _steps(
    chain: tuple[Op, ...],
    shape: Shape,
    mode: tuple[bool, str, str],
    gradients: frozenset[str],
    value_gradients: frozenset[str],
) -> tuple[Step, ...]:
    """An op computes dx only if something before it is wanted, and dw only if its own weights are."""
    _, backend, dtype = mode
    steps, wants_dx = [], INPUT in value_gradients
    for op in chain:
        binding, wants_dw = binding_of(op, backend), not gradients.isdisjoint(op.parameters)
        scratch = binding.scratch(op, shape) if wants_dx or wants_dw else {}
        largest = (
            max((prod(size) for size in op.parameter_shapes(shape)), default=0) * np.dtype(dtype).itemsize
        )
        step = Step(
            op=op,
            input_shape=shape,
            output_shape=op.output_shape(shape),
            wants_dx=wants_dx,
            wants_dw=wants_dw,
            kept=(*binding.kept(op, shape), *scratch),
            is_deferred=wants_dw and binding.deferred is not None and largest > LARGE_NBYTES,
        )
        steps.append(step)
        shape, wants_dx = step.output_shape, wants_dx or wants_dw or op.name in value_gradients
    return tuple(steps)


def _value_buffers(
    steps: tuple[Step, ...], backend: str, dtype: str, intermediates: frozenset[str]
) -> list[Buffer]:
    """The output of every step and what it keeps. A view lives in its source's buffer."""
    end = 2 * len(steps)
    buffers: list[Buffer] = []
    kept: list[Buffer] = []
    holds_x = (
        holds_y
    ) = -1  # positions of the buffers that hold the step's input and output; −1: the caller's array

    def extend(position: int, last: int) -> None:
        if position >= 0:
            buffers[position] = replace(buffers[position], last=max(buffers[position].last, last))

    for k, step in enumerate(steps):
        binding, backward = binding_of(step.op, backend), end - 1 - k
        if not binding.is_view:
            holds_y = len(buffers)
            buffers.append(Buffer(step.op.name, step.output_shape, dtype, k, k))
        extend(holds_x, k)
        if step.runs_backward:
            extend(holds_x, backward if "x" in binding.reads else k)
            extend(holds_y, backward if "y" in binding.reads else k)
        if k == len(steps) - 1 or step.op.name in intermediates:
            extend(holds_y, end)
        kept += [
            Buffer(f"{step.op.name}:{name}", shape, kind or dtype, k, backward if step.runs_backward else k)
            for name, (shape, kind) in binding.kept(step.op, step.input_shape).items()
        ]
        if step.runs_backward:
            kept += [
                Buffer(f"{step.op.name}:{name}", shape, kind or dtype, backward, backward)
                for name, (shape, kind) in binding.scratch(step.op, step.input_shape).items()
            ]
        holds_x = holds_y
    return buffers + kept


def _gradient_buffers(
    steps: tuple[Step, ...], backend: str, dtype: str, value_gradients: frozenset[str]
) -> list[Buffer]:
    """The dx of every step that computes one: written when the step runs backward, read by the step before.

    A view passes its dy on, so the buffer behind it lives until the first step that isn't a view.
    """
    end = 2 * len(steps)
    buffers = []
    for k, step in enumerate(steps):
        if not step.wants_dx or (binding_of(step.op, backend).is_view and not isinstance(step.op, ops.Loss)):
            continue
        reader = k - 1
        keep = steps[reader].op.name in value_gradients if reader >= 0 else True
        while reader >= 0 and binding_of(steps[reader].op, backend).is_view:
            reader -= 1
            keep = keep or (steps[reader].op.name if reader >= 0 else INPUT) in value_gradients
        last = end if keep or reader < 0 else end - 1 - reader
        buffers.append(Buffer(f"{step.op.name}:dx", step.input_shape, dtype, end - 1 - k, last))
    return buffers


def _place(buffers: Sequence[Buffer], capacity: int) -> tuple[tuple[Buffer, ...], int]:
    """Give each buffer the lowest offset that is free during its life, the largest first."""
    placed: list[Buffer] = []
    for buffer in sorted(buffers, key=lambda b: (-b.nbytes(capacity), b.first, b.name)):
        offset = 0
        for rival in sorted(placed, key=lambda b: b.offset):
            if rival.last < buffer.first or buffer.last < rival.first:
                continue
            if offset + buffer.nbytes(capacity) <= rival.offset:
                break
            offset = max(offset, rival.offset + rival.nbytes(capacity))
        placed.append(replace(buffer, offset=offset))
    return tuple(placed), max((b.offset + b.nbytes(capacity) for b in placed), default=0)


def _capacity(sample_nbytes: int, weights_nbytes: int = 0) -> int:
    """The largest power of two whose chunk stays within CHUNK_BYTES; from the shapes alone, never from the threads.

    Every chunk reads all weights. When they are larger than CHUNK_BYTES, and so come from memory each time, the chunk
    grows until it isn't smaller than they: a net of big maps and 8 MB of dense weights took 217 ms in chunks of one
    sample, 114 in chunks of four, 94 in chunks of sixteen.
    """
    capacity = 1
    while capacity < MAX_CAPACITY and 2 * capacity * sample_nbytes <= CHUNK_BYTES:
        capacity *= 2
    while (
        weights_nbytes > CHUNK_BYTES and capacity < MAX_CAPACITY and capacity * sample_nbytes < weights_nbytes
    ):
        capacity *= 2
    return capacity
