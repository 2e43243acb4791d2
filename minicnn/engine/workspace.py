"""A workspace: one arena, and the plan's buffers as named views of it. Belongs to one caller at a time."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from minicnn.engine.binding import Arrays, Frame, binding_of
from minicnn.engine.ops import Shape
from minicnn.engine.plan import ALIGNMENT, LANES, Buffer, Plan
from minicnn.engine.tape import Phase, Tape, run_phases

COPIED_NBYTES = 3 << 19
"""Of one copy of derived weights, at most: about what a core's cache holds."""


Kinds = Mapping[str, tuple[Shape, np.dtype]]
"""Shape and dtype of a row, by the name of its array."""


class Places(NamedTuple):
    """Where the arrays of a whole batch lie: (rows, their numbers) for each, as `kernels._copy` takes them."""

    addresses: tuple[tuple[int, int], ...] = ()
    strides: tuple[tuple[int, int], ...] = ()
    """How far two rows of the batch are apart in each, in bytes."""


class Workspace:
    """Memory for one chunk of a plan.

    The arena's address is aligned to a cache line. Frames for a chunk of n samples are made once for each n that
    occurs: the full capacity, and the ragged last chunk. All workspaces of an executor share one `derived`; `lane`
    chooses which of its copies this one reads.
    """

    def __init__(self, plan: Plan, derived: Derived, lane: int = 0) -> None:
        self.plan = plan
        self.is_alone = False
        """Whether its chunk is the whole batch: `Frame.is_alone`."""
        self.bindings = [binding_of(step.op, plan.backend) for step in plan.steps]
        self.arena = _aligned((plan.arena_nbytes,), "uint8")
        self._blocks: list[dict[str, np.ndarray]] = []
        for step, binding in zip(plan.steps, self.bindings, strict=True):
            shapes = dict(binding.block(step.op, step.input_shape))
            if step.wants_dw:
                shapes |= binding.sums(step.op, step.input_shape)
            self._blocks.append(_arrays(shapes, plan.dtype))
        self._buffers = {buffer.name: buffer for buffer in plan.buffers}
        self._derived = derived.of_lane(lane)
        self._frames: dict[int, list[Frame]] = {}
        self._kinds: Kinds = {}
        self._inputs: dict[str, np.ndarray] = {}
        self.chunk = slice(0)
        """Where the chunk lies in the batch."""
        self.arrays: Sequence[np.ndarray] = ()
        """Of the whole batch: inputs, results, and what steps leave whose gradients are deferred."""
        self.places = Places()
        """Where these arrays lie."""
        self.cells = np.zeros((0, 2), np.int64)
        """Where the chunk's rows of each lie, for programs: see `kernels._copy`."""
        self.tapes: dict[Hashable, Tape] = {}
        """Walks that were taken down; to be forgotten when the arrays of weights or gradients are others."""

    def view(self, buffer: Buffer, n: int) -> np.ndarray:
        """The first n samples of one of the plan's buffers."""
        nbytes = n * buffer.nbytes_per_sample
        return self.arena[buffer.offset : buffer.offset + nbytes].view(buffer.dtype).reshape(n, *buffer.shape)

    def reserve(self, rows: Kinds) -> None:
        """Have a place for a chunk's rows of such arrays of the whole batch, where kernels find them every time."""
        if rows == self._kinds:
            return
        self._kinds = rows
        self._inputs = {
            name: _aligned((self.plan.capacity, *shape), dtype) for name, (shape, dtype) in rows.items()
        }
        self.tapes.clear()

    def input(self, name: str, n: int) -> np.ndarray:
        """The first n rows of the place that is reserved under a name."""
        return self._inputs[name][:n]

    def turn_to(self, chunk: slice, places: Places) -> None:
        """Say which rows of which arrays come next."""
        if places == self.places and chunk == self.chunk:
            return
        self.chunk, self.places = chunk, places
        if len(self.cells) != len(places.addresses):
            self.cells = np.zeros((len(places.addresses), 2), np.int64)
            self.tapes.clear()
        self.cells[...] = places.addresses
        self.cells += chunk.start * np.array(places.strides)

    def let_go(self) -> None:
        """The batch is over: nothing of it is kept, and the next one's chunks lie elsewhere."""
        self.arrays, self.places = (), Places()

    def frames(self, n: int) -> list[Frame]:
        """One frame a step, for a chunk of n samples."""
        if n not in self._frames:
            self._frames[n] = [self._frame(index, n) for index in range(len(self.plan.steps))]
        return self._frames[n]

    def _frame(self, index: int, n: int) -> Frame:
        step = self.plan.steps[index]
        frame = Frame(n, step.output_shape)
        views = {name: self.view(buffer, n) for name, buffer in self._buffers.items()}
        frame.y_buffer = views.get(step.op.name)
        frame.dx_buffer = views.get(f"{step.op.name}:dx")
        frame.kept = {name: views[f"{step.op.name}:{name}"] for name in step.kept} | self._blocks[index]
        frame.derived = self._derived[index]
        return frame


class Derived:
    """Arrays made from the weights alone: the layouts in which forward, or dx where it is wanted, reads them.

    In training each step writes all of them. Small ones have up to `copies`, one for each thread: none then waits for
    what another has just written, line by line (the book's net: 15 µs more work in both threads, 50 µs less time).
    """

    def __init__(self, plan: Plan, copies: int = 1) -> None:
        self.plan = plan
        self.version: int | None = None
        """Of the weights that they were made from."""
        self.copies = [self._empty()]
        """In each, arrays by name, step by step."""
        nbytes = sum(array.nbytes for arrays in self.copies[0] for array in arrays.values())
        if nbytes <= COPIED_NBYTES:
            self.copies += [self._empty() for _ in range(copies - 1)]
        self._tapes: list[Tape] = []

    def _empty(self) -> list[dict[str, np.ndarray]]:
        arrays = []
        for step in self.plan.steps:
            binding = binding_of(step.op, self.plan.backend)
            shapes = dict(binding.derived_forward(step.op, step.input_shape))
            if step.wants_dx:
                shapes |= binding.derived(step.op, step.input_shape)
            arrays.append(_arrays(shapes, self.plan.dtype))
        return arrays

    def of_lane(self, lane: int) -> list[dict[str, np.ndarray]]:
        """The copy for a lane: neighbours, which one thread mostly runs (`kernels._crew`), read the same."""
        return self.copies[lane % LANES * len(self.copies) // LANES]

    def update(self, weights: Sequence[Arrays], version: int | None = None) -> None:
        """Remake all of them from `weights`, one tuple a step, unless they were made from this version."""
        run_phases(self.phases(weights, version))

    def phases(self, weights: Sequence[Arrays], version: int | None = None) -> Sequence[Phase]:
        """What `update` still has to do; whoever asks does it."""
        if version is not None and version == self.version:
            return ()
        self.version = version
        if not self._tapes:
            self._take_down(weights)
            return ()
        return self.known

    @property
    def known(self) -> Sequence[Phase]:
        """What remakes all of them from the weights that they were last made from, once they have been made."""
        return (Phase(self._tapes),) if self._tapes else ()

    def _take_down(self, weights: Sequence[Arrays]) -> None:
        """Make them for the first time."""
        for copy in self.copies:
            for step, w, arrays in zip(self.plan.steps, weights, copy, strict=True):
                derive = binding_of(step.op, self.plan.backend).derive if arrays else None
                if derive is not None:
                    tape = Tape()
                    tape.do(derive, step.op, w, arrays)
                    self._tapes.append(tape.finish())

    def forget_weights(self) -> None:
        """The arrays of the weights are others from now on."""
        self.version, self._tapes = None, []


def _arrays(shapes: Mapping[str, Shape], dtype: str) -> dict[str, np.ndarray]:
    return {name: _aligned(shape, dtype) for name, shape in shapes.items()}


def _aligned(shape: Shape, dtype: str | np.dtype) -> np.ndarray:
    """An uninitialised array that starts at a cache line: a vector that spans two costs double."""
    nbytes = prod(shape) * np.dtype(dtype).itemsize
    raw = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + nbytes].view(dtype).reshape(shape)
