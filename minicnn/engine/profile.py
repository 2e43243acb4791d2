"""A clock around every step of a plan: what `Executor.run` does, in one thread, each binding's call timed by itself."""

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter_ns
from typing import NamedTuple

import numpy as np

from minicnn.engine import ops
from minicnn.engine.binding import Arrays, Frame, binding_of
from minicnn.engine.parallel import Executor
from minicnn.engine.plan import LANES, Step
from minicnn.engine.work import passed_gradients
from minicnn.engine.workspace import Workspace

FORWARD, DW, DX = range(3)


class Timed(NamedTuple):
    """One run over a batch."""

    seconds: np.ndarray
    """(steps, 3) float64: forward, dw, dx, summed over the chunks; 0 for what isn't wanted."""
    passed: list[np.ndarray | None]
    """For each step the non-zero gradients at each position, summed over the chunks: see `work.passed_gradients`."""


class Profiler(Executor):
    """An executor that runs in this thread alone, and keeps the time.

    The same chunks in the same order over the same lanes as with one thread. dw and dx are timed apart: the binding's
    backward pass is run once with the accumulators and without the buffer for dx, and once the other way round. What
    both need, dy behind a ReLU, is made twice then: together they take a little more than one call for both. Where
    one call gives both (`gives_both`), as in the reference, its time is dw's.
    """

    def run_timed(
        self,
        params: Mapping[str, np.ndarray],
        x: np.ndarray,
        target: np.ndarray,
        seed: np.ndarray,
        step: int = 0,
        counts: bool = True,
    ) -> Timed:
        """Forward and backward over a batch; arguments as for `run`, `gradient` is overwritten.

        Counting the gradients that passed reads arrays between the steps, and the next step finds other things in the
        caches: without `counts` that is left out.
        """
        steps = self.plan.steps
        weights = [tuple(params[path] for path in s.op.parameters) for s in steps]
        timed = Timed(np.zeros((len(steps), 3)), [None] * len(steps))
        chunks = self.plan.chunks(len(x))
        lanes = min(LANES, len(chunks))
        self._grow(lanes)
        self._derived.update(weights)
        stores = self._stores_for(len(x))
        for lane, gradients in enumerate(self._gradients.lanes(lanes)):
            for chunk in chunks[lane::LANES]:
                walk = _Walk(self._workspaces[lane], timed, weights, chunk, stores)
                walk.forward(x[chunk], target[chunk], (step, chunk.start))
                walk.backward(gradients, seed[chunk], counts)
        for k, inputs in stores.items():
            timed.seconds[k, DW] += clock(lambda: self._add_deferred({k: inputs}))  # noqa: B023
        self._gradients.add_up(lanes)
        return timed


class _Walk:
    """`run.forward` and `run.backward` of one chunk, with a clock."""

    def __init__(
        self,
        ws: Workspace,
        timed: Timed,
        weights: Sequence[Arrays],
        chunk: slice,
        stores: Mapping[int, Arrays],
    ) -> None:
        self.ws, self.timed, self.weights, self.chunk, self.stores = ws, timed, weights, chunk, stores

    def forward(self, x: np.ndarray, target: np.ndarray, draw: tuple[int, int]) -> None:
        frames, value = self.ws.frames(len(x)), x
        frames[-1].target = target
        frames[-1].losses = np.empty((len(x), *self.ws.plan.output_shape[:-1]), x.dtype)
        for k, step in enumerate(self.ws.plan.steps):
            frame, run = frames[k], self.ws.bindings[k].forward
            frame.x, frame.w, frame.draw = value, self.weights[k], draw
            self.timed.seconds[k, FORWARD] += clock(lambda: run(step.op, frame))  # noqa: B023
            value = frame.y

    def backward(self, gradients: Sequence[Arrays], dy: np.ndarray, counts: bool) -> None:
        frames = self.ws.frames(len(dy))
        frames[-1].loss_gradient = dy
        for k in reversed(range(len(frames))):
            step, frame = self.ws.plan.steps[k], frames[k]
            if not step.runs_backward:
                return
            frame.dy = dy
            self._step_backward(k, step, frame, gradients[k])
            passed = passed_gradients(step, frame) if counts else None
            if passed is not None:
                before = self.timed.passed[k]
                self.timed.passed[k] = passed if before is None else np.asarray(before + passed)
            dy = frame.dx

    def _step_backward(self, k: int, step: Step, frame: Frame, dw: Arrays) -> None:
        """dw, then dx, each by a call of its own; the last call leaves frame.dx for the step before."""
        run, seconds, wanted = self.ws.bindings[k].backward, self.timed.seconds[k], frame.dx_buffer
        if step.is_deferred:
            frame.dw = ()
            elapsed = clock(lambda: run(step.op, frame))
            # Without dx the call still makes what the deferred gradient is computed from.
            seconds[DX if step.wants_dx else DW] += elapsed
            seconds[DW] += clock(lambda: self._leave(k, frame))
        elif dw and step.wants_dx and not gives_both(step, self.ws.plan.backend):
            frame.dw, frame.dx_buffer = dw, None
            seconds[DW] += clock(lambda: run(step.op, frame))
            frame.dw, frame.dx_buffer = (), wanted
            seconds[DX] += clock(lambda: run(step.op, frame))
        else:
            frame.dw = dw
            seconds[DW if dw else DX] += clock(lambda: run(step.op, frame))

    def _leave(self, k: int, frame: Frame) -> None:
        deferred = self.ws.bindings[k].deferred
        for array, rows in zip(self.stores[k], deferred.inputs(frame), strict=True):
            array[self.chunk] = rows


def gives_both(step: Step, backend: str) -> bool:
    """Whether one call computes dw and dx, wanted or not: a NumPy pair's."""
    if not step.op.parameters:
        return False
    return isinstance(step.op, ops.Custom) or binding_of(step.op, backend) is binding_of(step.op, "reference")


def clock(function: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    start = perf_counter_ns()
    function()
    return (perf_counter_ns() - start) * 1e-9
