"""The profile of a model: what every step of a training step costs, and how much of that work is needed."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

import numpy as np

from minicnn import config
from minicnn.checks import integer
from minicnn.engine import work
from minicnn.engine.algorithms import running
from minicnn.engine.parameters import Variable
from minicnn.engine.peak import matmul_gflops
from minicnn.engine.plan import Plan, Step
from minicnn.engine.profile import Profiler, gives_both
from minicnn.engine.rows import gather
from minicnn.models.data import Batch
from minicnn.models.steps import Steps
from minicnn.models.wants import Wants

LEAST_REPEATS, MOST_REPEATS, BUDGET_S = 5, 100, 3.0
"""Unless told otherwise: as many runs as fit the budget, within these bounds."""


@dataclass(frozen=True)
class Cost:
    """Of one pass of a step (forward, dw or dx), for the whole batch."""

    ms: float
    """Median, in one thread."""
    dense: int
    """Multiply-adds that a library does which knows no more than shapes: see `engine.work`."""
    needed: int
    """Multiply-adds without products with padding, positions that nobody reads, and gradients that are zero."""
    nbytes: int
    """Bytes of the arrays that are read and written, each once."""

    @property
    def gflops(self) -> float:
        """10⁹ FLOP/s by needed work, a multiply-add being two."""
        return 2e-6 * self.needed / self.ms if self.ms else 0.0

    def __add__(self, other: Cost) -> Cost:
        mine, theirs = ((cost.ms, cost.dense, cost.needed, cost.nbytes) for cost in (self, other))
        return Cost(*(a + b for a, b in zip(mine, theirs, strict=True)))  # type: ignore[arg-type]


NOTHING = Cost(0.0, 0, 0, 0)


@dataclass(frozen=True)
class Row:
    """One step of the plan."""

    layers: str
    """Names of the layers it computes, joined by ' + '."""
    op: str
    """What the plan runs: 'ConvReLUPool', 'Dense', … ."""
    output_shape: tuple[int, ...]
    """Of one sample."""
    forward: Cost
    dw: Cost | None
    """None when no gradient of a weight is wanted."""
    dx: Cost | None
    """None when no gradient of the input is wanted: nothing before it is trained."""
    algorithms: dict[str, str] = field(default_factory=dict)
    """Of a convolution: by which algorithm the passes are computed."""
    gives_both: bool = False
    """One call computes dw and dx, as all of the reference backend do; its time is dw's, and dx's is 0."""

    @property
    def passes(self) -> dict[str, Cost]:
        """The costs that there are, by name."""
        costs = {"forward": self.forward, "dw": self.dw, "dx": self.dx}
        return {name: cost for name, cost in costs.items() if cost is not None}


@dataclass(frozen=True)
class Profile:
    """What `model.profile` returns: a table when printed, in notebooks too, and numbers to read."""

    model: str
    batch_size: int
    backend: str
    fuses: bool
    dtype: str
    capacity: int
    """Samples in a chunk: the batch is walked chunk by chunk."""
    repeats: int
    """Runs of which each time is the median."""
    peak_gflops: float
    """NumPy's matrix product of this dtype with one thread, measured before the profile."""
    rows: tuple[Row, ...]
    step_ms: float
    """A whole training step with one thread, as `fit` takes it once it has the batch."""
    optimizer_ms: float
    metrics_ms: float
    """Counting the loss and the metrics."""

    @property
    def total(self) -> dict[str, Cost]:
        """The sums over the rows: 'forward', 'dw', 'dx'."""
        return {
            name: sum((row.passes.get(name, NOTHING) for row in self.rows), NOTHING)
            for name in ("forward", "dw", "dx")
        }

    @property
    def kernels_ms(self) -> float:
        """All rows together."""
        return sum(cost.ms for cost in self.total.values())

    @property
    def engine_ms(self) -> float:
        """What is left of a step: cutting chunks, packing weights, targets, sums of gradients.

        A difference of medians, and of kernels that were run for dw and dx apart: a small one may come out below 0. On
        a busy machine waiting for the processor is in it too: short kernels are seldom interrupted, a whole step is.
        """
        return self.step_ms - self.kernels_ms - self.optimizer_ms - self.metrics_ms

    def share_of_peak(self, cost: Cost) -> float:
        """The rate of needed work as a share of `peak_gflops`: 1 is all of it."""
        return cost.gflops / self.peak_gflops

    def __str__(self) -> str:
        from minicnn.models.profile_table import text

        return text(self)

    __repr__ = __str__  # of the table that one wants to see in an interpreter

    def _repr_html_(self) -> str:
        from minicnn.models.profile_table import html

        return html(self)


def profile(steps: Steps, batch: Batch, repeats: int | None = None) -> Profile:
    """Measure one training step on `batch`: each step of the plan that `fit` runs, and the whole, in one thread.

    Weights, optimizer and metrics stay as they are. The machine's peak is measured first, which takes half a second.

    Raises:
        ValueError: `repeats` isn't a positive integer.
    """
    if repeats is not None:
        repeats = integer("repeats", repeats, 1)
    peak = matmul_gflops(steps.model.dtype)
    with _one_thread():
        return _Twin(steps).profile(batch, repeats, peak)


class _Twin(Steps):
    """Takes the training steps of another `Steps` with copies of the weights, the optimizer and the metrics.

    It runs forward and backward on the model's weights, but the gradients are applied to the copies, so that every
    repetition sees the same weights and the model keeps them.
    """

    def __init__(self, steps: Steps) -> None:
        vars(self).update(vars(steps))
        self.loss_tracker = copy.deepcopy(steps.loss_tracker)
        self._metrics, self._weighted = copy.deepcopy((self._metrics, self._weighted))
        self.optimizer = type(steps.optimizer).from_config(steps.optimizer.get_config())
        self.optimizer.iterations.assign(steps.optimizer.iterations.array)
        copies = [Variable(v.array.copy(), name=v.name, path=v.path) for v in steps.trainable_variables]
        if copies:
            self.optimizer.build(copies)

    def profile(self, batch: Batch, repeats: int | None, peak: float) -> Profile:
        model, x = self.model, gather(self._input(batch.x))
        paths = tuple(v.path for v in self.trainable_variables)
        wants = Wants(x.shape[1:], True, self.loss_op, gradients=paths)
        with model.executor(wants) as executor:
            plan = executor.plan
        by_path = {v.path: v for v in model.variables}
        profiler = Profiler(plan, [by_path[path] for path in plan.gradients])
        shape = (len(x), *plan.output_shape)
        target = self.required_loss.targets(batch.y, shape, model.dtype)
        seed = self.required_loss.seed(shape[:-1], batch.sample_weight, model.dtype)

        # The first run compiles or loads kernels.
        passed = profiler.run_timed(model.parameters(), x, target, seed).passed
        self._timed_train(batch, wants)
        times, wholes, start = [], [], perf_counter()
        for run in range(repeats or MOST_REPEATS):
            if repeats is None and run >= LEAST_REPEATS and perf_counter() - start > BUDGET_S:
                break
            times.append(profiler.run_timed(model.parameters(), x, target, seed, counts=False).seconds)
            wholes.append(self._timed_train(batch, wants))
        step_ms, optimizer_ms, metrics_ms = (1e3 * median(column) for column in zip(*wholes, strict=True))
        return Profile(
            model=model.name,
            batch_size=len(x),
            backend=plan.backend,
            fuses=model.fuses,
            dtype=plan.dtype,
            capacity=plan.capacity,
            repeats=len(times),
            peak_gflops=peak,
            rows=_rows(plan, len(x), 1e3 * np.median(times, axis=0), passed),
            step_ms=step_ms,
            optimizer_ms=optimizer_ms,
            metrics_ms=metrics_ms,
        )

    def _timed_train(self, batch: Batch, wants: Wants) -> tuple[float, float, float]:
        """`train` with a clock: seconds of all of it, of the optimizer, and of counting."""
        start = perf_counter()
        x = self._input(batch.x)
        with self.model.executor(wants) as executor:
            executor._derived.version = None  # the weights stay, but in training each step changes them
            result, seed = self._run(executor, batch, x, backward=True)
            loss = self._loss(result, seed)
            ran = perf_counter()
            if self.trainable_variables:
                self._apply(executor)
        applied = perf_counter()
        self._count(batch, result, loss)
        end = perf_counter()
        return end - start, applied - ran, end - applied


def _rows(plan: Plan, n: int, ms: np.ndarray, passed: list[np.ndarray | None] | None) -> tuple[Row, ...]:
    rows = []
    for step, counted, times in zip(plan.steps, work.count(plan, n, passed), ms.tolist(), strict=True):
        forward, dw, dx = (Cost(*numbers) for numbers in zip(times, *counted, strict=True))
        row = Row(
            layers=_layers(step),
            op=type(step.op).__name__,
            output_shape=step.output_shape,
            forward=forward,
            dw=dw if step.wants_dw else None,
            dx=dx if step.wants_dx else None,
            algorithms=_algorithms(step, plan.backend),
            gives_both=step.wants_dw and step.wants_dx and gives_both(step, plan.backend),
        )
        rows.append(row)
    return tuple(rows)


def _algorithms(step: Step, backend: str) -> dict[str, str]:
    names = running(step.op, step.input_shape, backend)
    return {} if names is None else names._asdict()


def _layers(step: Step) -> str:
    """The layer whose weights are read, and, if a fused op goes on to another, that one."""
    names = [*(path.split("/")[-2] for path in step.op.parameters if "/" in path), step.op.name.split("/")[0]]
    return " + ".join(dict.fromkeys(names))


@contextmanager
def _one_thread() -> Iterator[None]:
    before = config._num_threads
    config.set_num_threads(1)
    try:
        yield
    finally:
        config.set_num_threads(before)
