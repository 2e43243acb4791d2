"""A batch over threads: chunks of fixed capacity, at most LANES gradient accumulators, one ordered sum.

A batch is cut as `Plan.chunks` says. When gradients are wanted, chunk k belongs to lane k mod LANES; a lane
is one workspace and one accumulator, takes its chunks in order, and is run by whichever thread is free. Nothing of
this depends on the number of threads, so neither do the bits of the result. Without gradients chunks are independent
and every thread takes the next one.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from minicnn import config
from minicnn.engine import run
from minicnn.engine.binding import Arrays, Frame, binding_of
from minicnn.engine.parameters import Variable, flat_views
from minicnn.engine.plan import INPUT, LANES, Plan
from minicnn.engine.threads import for_slices, run_tasks
from minicnn.engine.workspace import Derived, Workspace

DEFERRED_SLICE = 1 << 16
"""Elements of a large weight's gradient that one task computes."""


class Batch(NamedTuple):
    """What one run over a batch gives. All arrays are owned by the caller."""

    outputs: np.ndarray
    losses: np.ndarray | None
    """One for each sample."""
    values: dict[str, np.ndarray]
    value_gradients: dict[str, np.ndarray]


class Executor:
    """Runs a plan over whole batches. `gradient` is the flat gradient of the last run, `gradients` its views.

    One caller at a time. `variables` are those of `plan.gradients`, in that order.
    """

    def __init__(self, plan: Plan, variables: Sequence[Variable] = ()) -> None:
        self.plan = plan
        self._workspaces: list[Workspace] = []
        self._derived = Derived(plan)
        self._params: Mapping[str, np.ndarray] = {}
        self._weights: list[Arrays] = []
        self._accumulators = [Accumulator(plan, variables) for _ in range(LANES)]
        self._stores: dict[int, Arrays] = {}

    @property
    def gradient(self) -> np.ndarray:
        """Flat, laid out like `flat_views` of the variables; overwritten by the next run."""
        return self._accumulators[0].flat

    @property
    def gradients(self) -> list[np.ndarray]:
        """One view of `gradient` for each variable."""
        return self._accumulators[0].views

    def run(
        self,
        params: Mapping[str, np.ndarray],
        x: np.ndarray,
        *,
        target: np.ndarray | None = None,
        seed: np.ndarray | None = None,
        step: int = 0,
        version: int | None = None,
    ) -> Batch:
        """Forward over x (N, …), and backward from `seed` if it is given and the plan wants any gradient.

        `params` are arrays by path; a mapping that comes again holds the same arrays. `seed` is the gradient of the
        losses (N, …), or of the outputs when the plan has no loss. `target` goes with a loss. `step` counts training
        steps, for random ops. `version`: another number whenever a weight has changed; None if nobody counts.
        """
        if params is not self._params or not self._weights:
            self._params = params
            self._weights = [tuple(params[path] for path in s.op.parameters) for s in self.plan.steps]
        job = _Job(self.plan, self._weights, x, target, seed if self.plan.runs_backward else None, step)
        chunks = self.plan.chunks(len(x))
        if job.seed is None:
            claim = iter(chunks)  # one iterator: every lane takes the next chunk
            work = [claim] * min(config.num_threads(), len(chunks))
        else:
            work = [iter(chunks[lane::LANES]) for lane in range(min(LANES, len(chunks)))]
            job.stores = self._stores_for(len(x))
        self._derived.update(job.weights, version)
        while len(self._workspaces) < len(work):
            self._workspaces.append(Workspace(self.plan, self._derived))

        def run_lane(lane: int) -> None:
            gradients = None if job.seed is None else self._accumulators[lane].cleared()
            self._workspaces[lane].is_alone = len(chunks) == 1
            for chunk in work[lane]:
                job.run_chunk(self._workspaces[lane], gradients, chunk)

        run_tasks(len(work), run_lane)
        if job.seed is not None:
            self._add_in_order(len(work))
            self._add_deferred(job.stores)
        return job.batch()

    def _add_in_order(self, lanes: int) -> None:
        """gradient = accumulator 0 + accumulator 1 + …, elementwise from left to right."""
        for part in self._accumulators[0].parts if lanes > 1 else ():
            total, *others = (accumulator.flat[part] for accumulator in self._accumulators[:lanes])

            def add(piece: slice, total: np.ndarray = total, others: list[np.ndarray] = others) -> None:
                for other in others:
                    total[piece] += other[piece]

            for_slices(len(total), add)

    def _stores_for(self, n: int) -> dict[int, Arrays]:
        """For each deferred step, arrays for what a batch of n samples leaves; kept for the next batch."""
        for k, step in enumerate(self.plan.steps):
            if step.is_deferred and (k not in self._stores or len(self._stores[k][0]) < n):
                shapes = (step.input_shape, step.output_shape)
                self._stores[k] = tuple(np.empty((n, *shape), self.plan.dtype) for shape in shapes)
        return {k: tuple(array[:n] for array in arrays) for k, arrays in self._stores.items()}

    def _add_deferred(self, stores: Mapping[int, Arrays]) -> None:
        """The gradients of large weights, from what the chunks have left: rows of the weight over the threads."""
        for k, inputs in stores.items():
            op, dw = self.plan.steps[k].op, self._accumulators[0].deferred[k]
            deferred = binding_of(op, self.plan.backend).deferred
            rows = max(1, DEFERRED_SLICE * len(dw[0]) // dw[0].size)
            for bias in dw[1:]:
                bias[...] = 0

            def add(task: int) -> None:
                start, stop = task * rows, min((task + 1) * rows, len(dw[0]))  # noqa: B023
                dw[0][start:stop] = 0  # noqa: B023
                deferred.add(op, inputs, dw, start, stop)  # noqa: B023

            run_tasks(-(-len(dw[0]) // rows), add)


class Accumulator:
    """A flat vector of gradients with a view for each variable; those of large weights are left to the end."""

    def __init__(self, plan: Plan, variables: Sequence[Variable]) -> None:
        self.flat, self.views = flat_views(variables, np.dtype(plan.dtype))
        by_path = dict(zip(plan.gradients, self.views, strict=True))
        wanted = [tuple(by_path[path] for path in s.op.parameters) if s.wants_dw else () for s in plan.steps]
        self.by_step = [() if s.is_deferred else views for s, views in zip(plan.steps, wanted, strict=True)]
        self.deferred = {k: views for k, views in enumerate(wanted) if plan.steps[k].is_deferred}
        self.parts = _between(self.flat, [view for views in self.deferred.values() for view in views])

    def cleared(self) -> list[Arrays]:
        """What the chunks add to, by step, set to zero."""
        for part in self.parts:
            self.flat[part] = 0
        return self.by_step


class _Job:
    """One batch in the making: inputs cut into chunks, outputs collected row by row."""

    def __init__(
        self,
        plan: Plan,
        weights: Sequence[Arrays],
        x: np.ndarray,
        target: np.ndarray | None,
        seed: np.ndarray | None,
        step: int,
    ) -> None:
        self.plan, self.x, self.target, self.seed, self.step = plan, x, target, seed, step
        self.weights = weights
        self.stores: Mapping[int, Arrays] = {}
        self.outputs = np.empty((len(x), *plan.output_shape), plan.dtype)
        self.losses = np.empty((len(x), *plan.output_shape[:-1]), plan.dtype) if plan.has_loss else None
        self.values = self._empty(plan.intermediates)
        self.value_gradients = self._empty(plan.value_gradients if seed is not None else ())

    def _empty(self, names: Collection[str]) -> dict[str, np.ndarray]:
        """An array for each of the named values."""
        shapes = (
            {s.op.name: s.output_shape for s in self.plan.steps} | {INPUT: self.plan.input_shape}
            if names
            else {}
        )
        return {name: np.empty((len(self.x), *shapes[name]), self.plan.dtype) for name in names}

    def run_chunk(self, ws: Workspace, gradients: Sequence[Arrays] | None, chunk: slice) -> None:
        x = self.x[chunk]
        target = None if self.target is None else self.target[chunk]
        losses = None if self.losses is None else self.losses[chunk]
        self.outputs[chunk] = run.forward(ws, self.weights, x, target, losses, (self.step, chunk.start))
        for name, array in self.values.items():
            array[chunk] = run.value(ws, name, len(x))
        if self.seed is None or gradients is None:
            return

        def leave(k: int, frame: Frame) -> None:
            for array, rows in zip(self.stores[k], ws.bindings[k].deferred.inputs(frame), strict=True):
                array[chunk] = rows

        run.backward(ws, gradients, self.seed[chunk], leave)
        for name, array in self.value_gradients.items():
            array[chunk] = run.value_gradient(ws, name, len(x))

    def batch(self) -> Batch:
        return Batch(self.outputs, self.losses, self.values, self.value_gradients)


def _between(flat: np.ndarray, views: Sequence[np.ndarray]) -> list[slice]:
    """The parts of `flat` that lie before, between and after `views`, which are in order."""
    parts, start = [], 0
    for view in views:
        first = (view.ctypes.data - flat.ctypes.data) // flat.itemsize
        parts.append(slice(start, first))
        start = first + view.size
    return [part for part in [*parts, slice(start, len(flat))] if part.start < part.stop]
