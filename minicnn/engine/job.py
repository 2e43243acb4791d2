"""Batches in the making: every chunk takes its rows of the inputs in, and gives its rows of the results out."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minicnn import config
from minicnn.engine import run
from minicnn.engine.binding import Arrays, Frame, calls_kernels_only, kernels_only
from minicnn.engine.plan import INPUT, Plan
from minicnn.engine.rows import Copy, Rows, copies, place_of
from minicnn.engine.tape import Phase, Tape
from minicnn.engine.threads import run_tasks
from minicnn.engine.workspace import Places, Workspace


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
    """What is run over a batch, or over several of one size, one after the other, and comes of it."""

    def __init__(
        self,
        plan: Plan,
        weights: Sequence[Arrays],
        inputs: Mapping[str, np.ndarray | Rows],
        stores: Mapping[int, Arrays],
        *,
        step: int = 0,
        batches: int = 1,
    ) -> None:
        """`inputs` are x, target and seed; `stores` has whole-batch arrays for steps whose gradients are deferred.

        Of several batches each array has the rows of all, but the seed, which they share.
        """
        self.plan, self.weights, self.step, self.inputs = plan, weights, step, inputs
        rows, self.runs_backward = inputs["x"].shape[0], "seed" in inputs
        self.size = rows // batches
        self.threads = config.num_threads()
        self.outputs = np.empty((rows, *plan.output_shape), plan.dtype)
        self.losses = np.empty((rows, *plan.output_shape[:-1]), plan.dtype) if plan.has_loss else None
        self.values = self._empty(plan.intermediates)
        self.value_gradients = self._empty(plan.value_gradients if self.runs_backward else ())
        losses = [] if self.losses is None else [self.losses]
        self._results = [self.outputs, *losses, *self.values.values(), *self.value_gradients.values()]
        self._firsts = dict[int, int]()
        """For each step in `stores`, the number of its first array among `arrays`."""
        for k, arrays in stores.items():
            self._firsts[k] = len(inputs) + len(self._results)
            self._results += arrays
        self._places = Places(*zip(*map(place_of, self.arrays), strict=True))
        through = inputs if self.losses is None else {**inputs, "losses": self.losses}
        self._kinds = {name: (array.shape[1:], array.dtype) for name, array in through.items()}

    @property
    def arrays(self) -> list[Any]:
        """Of the whole batch: inputs, results, and what steps leave."""
        return [*self.inputs.values(), *self._results]

    @property
    def distances(self) -> np.ndarray:
        """How far the rows of two batches, one after the other, are apart in each array: as the cells tell of them."""
        distances = self.size * np.array(self._places.strides)
        distances[[name == "seed" for name in self.inputs] + [False] * len(self._results)] = 0
        return distances

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
        if len(known) < len(tapes):
            return None
        return Phase(known, [(self.step, chunk.start) for chunk in chunks])

    def record(self, lanes: Sequence[Lane]) -> None:
        """Walk over the chunks that the lanes have turned to, all at the same time, and take it down."""
        run_tasks(len(lanes), lambda k: self._record(lanes[k]))

    def _turn(self, ws: Workspace, chunk: slice) -> Tape | None:
        """Have the workspace turn to the chunk; the tape of walks over so many samples, if there is one."""
        ws.reserve(self._kinds)
        ws.turn_to(chunk, self._places)
        ws.arrays, ws.is_alone = self.arrays, self.size == chunk.stop - chunk.start
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
        """What has come of it."""
        return Batch(self.outputs, self.losses, self.values, self.value_gradients)


def _leaving(ws: Workspace, firsts: Mapping[int, int], give_out: Copy) -> Callable[[int, Frame], None]:
    """What keeps that from which the gradient of a step's large weight will be computed."""

    def leave(step: int, frame: Frame) -> None:
        for k, rows in enumerate(ws.bindings[step].deferred.inputs(frame), firsts[step]):
            give_out(ws, k, rows)

    return kernels_only(leave) if calls_kernels_only(give_out) else leave
