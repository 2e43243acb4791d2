"""A batch over threads: chunks of fixed capacity, at most LANES gradient accumulators, one ordered sum.

A batch of n samples is ⌈n / capacity⌉ chunks. When gradients are wanted, chunk k belongs to lane k mod LANES; a lane
is one workspace and one accumulator, takes its chunks in order, and is run by whichever thread is free. Nothing of
this depends on the number of threads, so neither do the bits of the result. Without gradients chunks are independent
and every thread takes the next one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import NamedTuple

import numpy as np

from minicnn import config
from minicnn.engine import run
from minicnn.engine.binding import Arrays
from minicnn.engine.parameters import Variable, flat_views
from minicnn.engine.plan import Plan
from minicnn.engine.workspace import Derived, Workspace

LANES = 4
"""Gradient accumulators, and so the threads that can train at once."""

LARGE_NBYTES = 1 << 20
"""A larger parameter gets no copy of its gradient for each lane."""

SLICE = 1 << 16
"""Elements of a flat vector that one task of `for_slices` takes."""


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
        dtype = np.dtype(plan.dtype)
        self._accumulators = [flat_views(variables, dtype) for _ in range(LANES if variables else 0)]
        self._accumulator_steps = [_by_step(plan, views) for _, views in self._accumulators]
        self._derived = Derived(plan)

    @property
    def gradient(self) -> np.ndarray:
        """Flat, laid out like `flat_views` of the variables; overwritten by the next run."""
        return self._accumulators[0][0]

    @property
    def gradients(self) -> list[np.ndarray]:
        """One view of `gradient` for each variable."""
        return self._accumulators[0][1]

    def run(
        self,
        params: Mapping[str, np.ndarray],
        x: np.ndarray,
        *,
        target: np.ndarray | None = None,
        seed: np.ndarray | None = None,
        step: int = 0,
    ) -> Batch:
        """Forward over x (N, …), and backward from `seed` if it is given and the plan wants any gradient.

        `seed` is the gradient of the losses (N, …), or of the outputs when the plan has no loss. `target` goes with a
        loss. `step` counts training steps, for random ops.
        """
        job = _Job(self.plan, params, x, target, seed, step)
        chunks = [slice(first, first + self.plan.capacity) for first in range(0, len(x), self.plan.capacity)]
        if seed is None or not self.plan.runs_backward:
            lanes = min(config.num_threads(), len(chunks))
            claim = iter(chunks)
            work = [claim] * lanes  # one iterator: every lane takes the next chunk
        else:
            lanes = min(LANES, len(chunks))
            work = [iter(chunks[lane::LANES]) for lane in range(lanes)]
        while len(self._workspaces) < lanes:
            self._workspaces.append(Workspace(self.plan, self._derived))
        if job.runs_backward:
            self._derived.update(job.weights)

        def run_lane(lane: int) -> None:
            gradients: Sequence[Arrays] = ()
            if job.runs_backward and self._accumulators:
                self._accumulators[lane][0].fill(0)
                gradients = self._accumulator_steps[lane]
            elif job.runs_backward:
                gradients = [()] * len(self.plan.steps)
            for chunk in work[lane]:
                job.run_chunk(self._workspaces[lane], gradients, chunk)

        run_tasks(lanes, run_lane)
        if job.runs_backward and self._accumulators:
            self._add_in_order(lanes)
        return job.batch()

    def _add_in_order(self, lanes: int) -> None:
        """gradient = accumulator 0 + accumulator 1 + …, elementwise from left to right."""
        total, others = self._accumulators[0][0], [flat for flat, _ in self._accumulators[1:lanes]]

        def add(part: slice) -> None:
            for other in others:
                total[part] += other[part]

        if others:
            for_slices(len(total), add)


class _Job:
    """One batch in the making: inputs cut into chunks, outputs collected row by row."""

    def __init__(
        self,
        plan: Plan,
        params: Mapping[str, np.ndarray],
        x: np.ndarray,
        target: np.ndarray | None,
        seed: np.ndarray | None,
        step: int,
    ) -> None:
        self.plan, self.x, self.target, self.seed, self.step = plan, x, target, seed, step
        self.weights = [tuple(params[path] for path in s.op.parameters) for s in plan.steps]
        self.outputs = np.empty((len(x), *plan.output_shape), plan.dtype)
        self.losses = np.empty((len(x), *plan.output_shape[:-1]), plan.dtype) if plan.has_loss else None
        shapes = {s.op.name: s.output_shape for s in plan.steps}
        self.values = {name: np.empty((len(x), *shapes[name]), plan.dtype) for name in plan.intermediates}
        shapes[run.INPUT] = plan.input_shape
        self.value_gradients = (
            {name: np.empty((len(x), *shapes[name]), plan.dtype) for name in plan.value_gradients}
            if self.runs_backward
            else {}
        )

    @property
    def runs_backward(self) -> bool:
        return self.seed is not None and self.plan.runs_backward

    def run_chunk(self, ws: Workspace, gradients: Sequence[Arrays], chunk: slice) -> None:
        x = self.x[chunk]
        target = None if self.target is None else self.target[chunk]
        losses = None if self.losses is None else self.losses[chunk]
        self.outputs[chunk] = run.forward(ws, self.weights, x, target, losses, (self.step, chunk.start))
        if self.seed is not None and self.plan.runs_backward:
            run.backward(ws, gradients, self.seed[chunk])
        for name, array in self.values.items():
            array[chunk] = run.value(ws, name, len(x))
        for name, array in self.value_gradients.items():
            array[chunk] = run.value_gradient(ws, name, len(x))

    def batch(self) -> Batch:
        return Batch(self.outputs, self.losses, self.values, self.value_gradients)


def _by_step(plan: Plan, views: Sequence[np.ndarray]) -> list[Arrays]:
    """The accumulators of each step, an empty tuple where none are wanted."""
    by_path = dict(zip(plan.gradients, views, strict=True))
    return [tuple(by_path[path] for path in s.op.parameters) if s.wants_dw else () for s in plan.steps]


def for_slices(size: int, function: Callable[[slice], None]) -> None:
    """Call `function` on consecutive slices that cover range(size), over the threads. Slices never depend on them."""
    run_tasks(-(-size // SLICE), lambda index: function(slice(index * SLICE, min(size, (index + 1) * SLICE))))


def run_tasks(count: int, task: Callable[[int], None]) -> None:
    """Call task(0), …, task(count − 1), each once, over up to `config.num_threads()` threads; this one is among them.

    Returns when all are done. The first exception ends the claiming of further tasks and is raised here, after every
    running task has ended.
    """
    threads = min(config.num_threads(), count)
    claims = iter(range(count))
    if threads <= 1:
        for index in claims:
            task(index)
        return
    failed = False

    def work() -> None:
        nonlocal failed
        for index in claims:
            if failed:
                return
            try:
                task(index)
            except BaseException:
                failed = True
                raise

    helpers = [_pool(threads - 1).submit(work) for _ in range(threads - 1)]
    try:
        work()
    finally:
        wait(helpers)
    for helper in helpers:
        helper.result()


_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def _pool(helpers: int) -> ThreadPoolExecutor:
    """The process's pool of helper threads; a forked child makes its own."""
    key = (os.getpid(), helpers)
    if key not in _pools:
        _pools.clear()
        _pools[key] = ThreadPoolExecutor(helpers, thread_name_prefix="minicnn")
    return _pools[key]
