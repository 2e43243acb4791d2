"""A batch over threads: chunks of fixed capacity, at most LANES gradient accumulators, one ordered sum.

A batch is cut as `Plan.chunks` says. When gradients are wanted, chunk k belongs to lane k mod LANES; a lane
is one workspace and one accumulator, takes its chunks in order, and is run by whichever thread is free. Nothing of
this depends on the number of threads, so neither do the bits of the result. Without gradients chunks are independent
and every thread takes the next one.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from minicnn import config
from minicnn.engine.binding import Arrays, binding_of
from minicnn.engine.gradients import Gradients
from minicnn.engine.job import Batch, Job, Lane
from minicnn.engine.parameters import Variable
from minicnn.engine.plan import LANES, Plan
from minicnn.engine.rows import Rows, gather, place_of
from minicnn.engine.series import NotFiniteError, Update, between_batches
from minicnn.engine.tape import Phase, Tape, run_phases
from minicnn.engine.threads import run_programs, run_tasks
from minicnn.engine.workspace import Derived, Places, Workspace

DEFERRED_SLICE = 1 << 16
"""Elements of a large weight's gradient that one task computes."""


class Executor:
    """Runs a plan over whole batches. `gradient` is the flat gradient of the last run, `gradients` its views.

    One caller at a time. `variables` are those of `plan.gradients`, in that order.
    """

    def __init__(self, plan: Plan, variables: Sequence[Variable] = ()) -> None:
        self.plan = plan
        self._workspaces: list[Workspace] = []
        self._derived = Derived(plan, min(config.num_threads(), LANES))
        self._params: Mapping[str, np.ndarray] = {}
        self._weights: list[Arrays] = []
        self._gradients = Gradients(plan, variables)
        self._stores: dict[int, Arrays] = {}
        self._chunks: tuple[int, list[slice]] = (0, [])
        self._distances = np.zeros((0, 2), np.int64)
        self._gives_outputs_only = not (plan.has_loss or plan.runs_backward or plan.intermediates)

    @property
    def gradient(self) -> np.ndarray:
        """Flat, laid out like `flat_views` of the variables; overwritten by the next run."""
        return self._gradients.flat

    @property
    def gradients(self) -> list[np.ndarray]:
        """One view of `gradient` for each variable."""
        return self._gradients.views

    def run(
        self,
        params: Mapping[str, np.ndarray],
        x: np.ndarray | Rows,
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
            self._take(params)
        phases = [*self._derived.phases(self._weights, version)]
        if self._gives_outputs_only:
            run_phases(phases)
            phases, outputs = [], self._repeat(x)
            if outputs is not None:
                return Batch(outputs, None, {}, {})
        n, runs_backward = x.shape[0], seed is not None and self.plan.runs_backward
        stores = self._stores_for(n) if runs_backward else {}
        given = {"x": x, "target": target, "seed": seed if runs_backward else None}
        inputs = {name: self._ready(array) for name, array in given.items() if array is not None}
        job = Job(self.plan, self._weights, inputs, stores, step=step)
        chunks = self._cut(n)
        width = min(LANES if runs_backward else max(LANES, job.threads), len(chunks))
        self._grow(width)
        accumulators: Sequence[Sequence[Arrays] | None] = [None] * width
        if runs_backward:
            accumulators = self._gradients.lanes(width)
        lanes = [Lane(*pair) for pair in zip(self._workspaces[:width], accumulators, strict=True)]
        for first in range(0, len(chunks), width):
            if first > 0:  # before the lanes turn to other chunks
                run_phases(phases)
                phases = []
            phases = _with_walks(phases, job, lanes, chunks[first : first + width])
        if runs_backward:
            self._gradients.add_up(width, phases)
            self._add_deferred(stores)
        else:
            run_phases(phases)
        for ws in self._workspaces:
            ws.let_go()
        return job.batch()

    def run_steps(
        self,
        params: Mapping[str, np.ndarray],
        x: Rows,
        *,
        target: np.ndarray,
        seed: np.ndarray,
        batches: int,
        update: Update,
    ) -> tuple[Batch, int] | None:
        """Training steps on so many batches of one size, one after the other, with nothing of Python's between them.

        x and target have the samples of all batches, seed those of one. Returns what `run` gives, for all batches, and
        how many steps have been finished: fewer than all if the next one's losses aren't finite. None, and nothing has
        been done, where a step needs Python, or the like has not been `run` before.
        """
        if params is not self._params or any(step.is_deferred for step in self.plan.steps):
            return None
        inputs = {"x": x, "target": np.ascontiguousarray(target), "seed": np.ascontiguousarray(seed)}
        job = Job(self.plan, self._weights, inputs, {}, batches=batches)
        chunks = self._cut(job.size)
        workspaces = self._workspaces[: len(chunks)]
        if len(chunks) > min(LANES, len(workspaces)):
            return None
        walks, sums = job.turn(list(map(Lane, workspaces)), chunks), self._gradients.known_sum(len(chunks))
        if walks is None or sums is None:
            return None
        between = self._between(workspaces, chunks, job)
        phases = [
            *self._derived.known,
            walks,
            Phase([*sums.tapes, between, update.begin]),
            Phase(update.slices),
        ]
        programs = [phase.programs for phase in phases]
        if not all(programs):
            return None
        self._gradients.lanes(len(chunks))
        finished = batches
        try:
            run_programs(*programs, times=batches)
            self._gradients.settle()
        except NotFiniteError:
            finished = int(update.begun[0]) - 1
        finally:
            for ws in workspaces:
                ws.let_go()
        return job.batch(), finished

    def _between(self, workspaces: Sequence[Workspace], chunks: Sequence[slice], job: Job) -> Tape:
        """`between_batches` for this job, taken down for the first of its kind."""
        tapes, key, distances = workspaces[0].tapes, ("between", job.size), job.distances
        if self._distances.shape != distances.shape:
            self._distances = np.zeros_like(distances)
        if key not in tapes:
            self._distances[...] = 0
            tapes[key] = between_batches(workspaces, chunks, self._distances)
        self._distances[...] = distances
        return tapes[key]

    def _take(self, params: Mapping[str, np.ndarray]) -> None:
        """Other arrays of weights than the last ones."""
        self._params = params
        self._derived.forget_weights()
        for ws in self._workspaces:
            ws.tapes.clear()
        self._weights = [tuple(params[path] for path in s.op.parameters) for s in self.plan.steps]

    def _ready(self, given: np.ndarray | Rows) -> np.ndarray | Rows:
        """An input as chunks take it in."""
        if isinstance(given, Rows) and self.plan.backend == "numba":
            return given
        return gather(given)

    def _repeat(self, x: np.ndarray | Rows) -> np.ndarray | None:
        """The outputs of as many samples as have been walked before in one chunk, all by one program; else None.

        `run` in short, for one image a call: 30 µs of kernels that leave its 25 µs of Python out of the cache.
        """
        if isinstance(x, Rows) or not self._workspaces:
            return None
        ws = self._workspaces[0]
        ws.reserve({"x": (x.shape[1:], x.dtype)})
        tape = ws.tapes.get((len(x), True, config.num_threads()))
        if tape is None or tape.program is None:
            return None
        outputs = np.empty((len(x), *self.plan.output_shape), self.plan.dtype)
        x = np.ascontiguousarray(x)
        ws.turn_to(slice(0, len(x)), Places(*zip(place_of(x), place_of(outputs), strict=True)))
        tape.program.run()
        return outputs

    def _grow(self, lanes: int) -> None:
        """See that there are workspaces for so many lanes."""
        for lane in range(len(self._workspaces), lanes):
            self._workspaces.append(Workspace(self.plan, self._derived, lane))

    def _cut(self, n: int) -> list[slice]:
        """`Plan.chunks`, remembered for the next batch."""
        if n != self._chunks[0]:
            self._chunks = n, self.plan.chunks(n)
        return self._chunks[1]

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
            op, dw = self.plan.steps[k].op, self._gradients.deferred[k]
            deferred = binding_of(op, self.plan.backend).deferred
            rows = max(1, DEFERRED_SLICE * len(dw[0]) // dw[0].size)
            for bias in dw[1:]:
                bias[...] = 0

            def add(task: int) -> None:
                start, stop = task * rows, min((task + 1) * rows, len(dw[0]))  # noqa: B023
                dw[0][start:stop] = 0  # noqa: B023
                deferred.add(op, inputs, dw, start, stop)  # noqa: B023

            run_tasks(-(-len(dw[0]) // rows), add)


def _with_walks(phases: list[Phase], job: Job, lanes: Sequence[Lane], chunks: Sequence[slice]) -> list[Phase]:
    """The phases and behind them the walks over one chunk a lane; nothing if it has been done, to be taken down."""
    walks = job.turn(lanes, chunks)
    if walks is not None:
        return [*phases, walks]
    run_phases(phases)
    job.record(lanes[: len(chunks)])
    return []
