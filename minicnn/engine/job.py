"""One batch in the making: every chunk takes its rows of the inputs in, and gives its rows of the results out."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from minicnn import config
from minicnn.engine import run
from minicnn.engine.binding import Arrays, Frame, calls_kernels_only, kernels_only
from minicnn.engine.plan import INPUT, Plan
from minicnn.engine.rows import Copy, copies
from minicnn.engine.tape import Phase, Tape
from minicnn.engine.threads import run_tasks
from minicnn.engine.workspace import Workspace


class Batch(NamedTuple):
    """What one run over a batch gives. All arrays are owned by the caller."""

    outputs: np.ndarray
    losses: np.ndarray | None
    """One for each sample."""
    values: dict[str, np.ndarray]
    value_gradients: dict[str, np.ndarray]


class Lane(NamedTuple):
    """What one chunk at a time is run in."""

    workspace: Workspace
    gradients: Sequence[Arrays] | None = None
    """Accumulators by step; None where no gradient is wanted."""


class Job:
    """What is run over one batch, and comes of it."""

    def __init__(
        self,
        plan: Plan,
        weights: Sequence[Arrays],
        inputs: Mapping[str, np.ndarray | None],
        stores: Mapping[int, Arrays],
        step: int,
    ) -> None:
        """`inputs` are x, target and seed; `stores` has whole-batch arrays for steps whose gradients are deferred."""
        self.plan, self.weights, self.step = plan, weights, step
        given = ((name, array) for name, array in inputs.items() if array is not None)
        self.inputs = {name: np.ascontiguousarray(array) for name, array in given}
        self.size, self.runs_backward = len(self.inputs["x"]), "seed" in self.inputs
        self.threads = config.num_threads()
        self.outputs = np.empty((self.size, *plan.output_shape), plan.dtype)
        self.losses = np.empty((self.size, *plan.output_shape[:-1]), plan.dtype) if plan.has_loss else None
        self.values = self._empty(plan.intermediates)
        self.value_gradients = self._empty(plan.value_gradients if self.runs_backward else ())
        losses = [] if self.losses is None else [self.losses]
        self.arrays = [*self.inputs.values(), self.outputs, *losses]
        self.arrays += [*self.values.values(), *self.value_gradients.values()]
        self._firsts = dict[int, int]()
        """For each step in `stores`, the number of its first array among `arrays`."""
        for k, arrays in stores.items():
            self._firsts[k] = len(self.arrays)
            self.arrays += arrays
        self._addresses = np.array([array.ctypes.data for array in self.arrays])
        self._row_nbytes = np.array([array.nbytes // max(1, len(array)) for array in self.arrays])

    def _empty(self, names: Collection[str]) -> dict[str, np.ndarray]:
        """An array for each of the named values."""
        if not names:
            return {}
        shapes = {s.op.name: s.output_shape for s in self.plan.steps} | {INPUT: self.plan.input_shape}
        return {name: np.empty((self.size, *shapes[name]), self.plan.dtype) for name in names}

    def turn(self, lanes: Sequence[Lane], chunks: Sequence[slice]) -> Phase | None:
        """Have each lane turn to a chunk of its own; what walks over them, unless it has to be taken down first."""
        tapes = [self._turn(lane.workspace, chunk) for lane, chunk in zip(lanes, chunks, strict=False)]
        known = [tape for tape in tapes if tape is not None]
        if len(known) == len(tapes):
            return Phase(known, [(self.step, chunk.start) for chunk in chunks])
        return None

    def record(self, lanes: Sequence[Lane]) -> None:
        """Walk over the chunks that the lanes have turned to, all at the same time, and take it down."""
        run_tasks(len(lanes), lambda k: self._record(lanes[k]))

    def _turn(self, ws: Workspace, chunk: slice) -> Tape | None:
        """Have the workspace turn to the chunk; the tape of walks over so many samples, if there is one."""
        for name, array in self.inputs.items():
            ws.reserve(name, array)
        if self.losses is not None:
            ws.reserve("losses", self.losses)
        ws.turn_to(chunk, self.arrays, self._addresses + chunk.start * self._row_nbytes)
        ws.is_alone = self.size == chunk.stop - chunk.start
        return ws.tapes.get(self._key(ws))

    def _key(self, ws: Workspace) -> tuple[int, bool, int]:
        """What decides, in one workspace, which calls a walk makes."""
        return ws.chunk.stop - ws.chunk.start, not self.runs_backward, self.threads if ws.is_alone else 1

    def _record(self, lane: Lane) -> None:
        """Walk forward, and backward if a gradient is wanted, and take it down.

        Nothing that the tape keeps belongs to this batch.
        """
        ws, tape, (take_in, give_out) = lane.workspace, Tape(), copies(self.plan.backend)
        n, draw = ws.chunk.stop - ws.chunk.start, (self.step, ws.chunk.start)
        places = {name: ws.input(name, n) for name in self.inputs}
        losses = None if self.losses is None else ws.input("losses", n)
        for k, place in enumerate(places.values()):
            tape.do(take_in, ws, k, place)
        run.forward(ws, self.weights, places["x"], places.get("target"), losses, draw, tape.do)
        if lane.gradients is not None:
            leave = _leaving(ws, self._firsts, give_out)
            run.backward(ws, lane.gradients, places["seed"], leave, tape.do)
        for k, rows in enumerate(self._results_in(ws, n), len(self.inputs)):
            tape.do(give_out, ws, k, rows)
        ws.tapes[self._key(ws)] = tape.finish()

    def _results_in(self, ws: Workspace, n: int) -> list[np.ndarray]:
        """Where the workspace has the chunk's rows of each array of results."""
        frames = ws.frames(n)
        return [
            frames[-1].y if frames else ws.input("x", n),
            *([] if self.losses is None else [ws.input("losses", n)]),
            *(run.value(ws, name, n) for name in self.values),
            *(run.value_gradient(ws, name, n) for name in self.value_gradients),
        ]

    def batch(self) -> Batch:
        return Batch(self.outputs, self.losses, self.values, self.value_gradients)


def _leaving(ws: Workspace, firsts: Mapping[int, int], give_out: Copy) -> Callable[[int, Frame], None]:
    """What keeps that from which the gradient of a step's large weight will be computed."""

    def leave(step: int, frame: Frame) -> None:
        for k, rows in enumerate(ws.bindings[step].deferred.inputs(frame), firsts[step]):
            give_out(ws, k, rows)

    return kernels_only(leave) if calls_kernels_only(give_out) else leave
