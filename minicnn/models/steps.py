"""One step of training or evaluation: targets in, executor run, optimizer applied, loss and metrics counted."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from itertools import takewhile
from math import isfinite
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import metrics as metrics_module
from minicnn.engine import ops
from minicnn.engine.job import Batch as Result
from minicnn.engine.parallel import Executor
from minicnn.engine.parameters import Variable
from minicnn.engine.plan import INPUT
from minicnn.engine.rows import Rows, gather
from minicnn.engine.slices import Sliced
from minicnn.metrics.accuracy import adds_exactly
from minicnn.models.chain import join_loss
from minicnn.models.data import ArrayData, Batch, Data
from minicnn.models.divergence import Divergence, find_divergence, find_spoilt_weights
from minicnn.models.wants import Wants
from minicnn.optimizers.optimizer import MOST_STEPS

if TYPE_CHECKING:
    from minicnn.losses import Loss
    from minicnn.models.model import Model

LOOK_UP_S = 0.05
"""How long machine code may train before Python looks up, for Ctrl-C or a progress bar."""


class Steps:
    """What `compile` chose, and how a batch is run with it."""

    def __init__(
        self, model: Model, optimizer: Any, loss: Loss | None, metrics: list[Any], weighted_metrics: list[Any]
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.loss = loss
        self.structure_version = model.structure_version
        self.loss_tracker = metrics_module.Mean(name="loss")
        self._given = metrics, weighted_metrics
        self._metrics: list[Any] | None = None
        self._weighted: list[Any] = []
        self._trainable = model.trainable_variables if model.built else None
        self._loss_op: ops.Loss | None = None
        self._has_penalties = False
        self._seeds: dict[ops.Shape, np.ndarray] = {}
        self.at_a_time = 1
        """How many batches are worth being trained together."""
        self.divergence: Divergence | None = None
        """Where the first value that isn't finite appeared, since the last `fit` began."""

    # Before the first step

    def prepare(self, data: Data, *, training: bool) -> None:
        """Build what isn't built, and check data, shapes and targets against each other; no weight changes.

        Raises:
            ValueError: no loss, a shape or a label that doesn't fit.
        """
        model, batch = self.model, data.peek()
        loss = self.required_loss
        if not model.has_single_output:
            raise ValueError(f"Only a model with one output can be trained. '{model.name}' has several.")
        y = _required(batch.y)
        x = model.build_for(gather(batch.x))
        output_shape = model.shape_after(x.shape[1:])
        # Arrays in memory are checked whole; the batches of a stream as they come.
        every = _required(data.arrays[1]) if isinstance(data, ArrayData) else y
        loss.check_targets(every, (len(every), *output_shape))
        if self._metrics is None:
            self._resolve_metrics(y.shape, (len(y), *output_shape))
        self._has_penalties = any(v.regularizer is not None for v in model.variables)
        if training:
            if not self.trainable_variables:
                warnings.warn("The model does not have any trainable weights.", stacklevel=3)
            self.build_optimizer()

    def build_optimizer(self) -> None:
        """Make the optimizer's slots for what is trained, unless they exist."""
        self.model.parameters()  # the slots are laid out like the weights' home
        if self.trainable_variables:
            self.optimizer.build(self.trainable_variables)

    @property
    def trainable_variables(self) -> list[Any]:
        """As they were when the model was compiled."""
        if self._trainable is None:
            self._trainable = self.model.trainable_variables
        return self._trainable

    def _resolve_metrics(self, y_shape: ops.Shape, output_shape: ops.Shape) -> None:
        resolve = metrics_module.resolve
        self._metrics, self._weighted = (
            [resolve(given, y_shape, output_shape) for given in group] for group in self._given
        )

    # Steps

    def train(self, batch: Batch) -> None:
        """Forward, backward, optimizer step; count the loss and the metrics."""
        x = self._input(batch.x)
        paths = tuple(v.path for v in self.trainable_variables)
        wants = Wants(x.shape[1:], True, self.loss_op, gradients=paths)
        with self.model.executor(wants) as executor:
            result, seed = self._run(executor, batch, x, backward=True)
            loss = self._loss(result, seed)
            if not isfinite(loss) and self.divergence is None:
                self._diverged(find_divergence(self, gather(x)))
            if self.trainable_variables:
                self._apply(executor)
        self._count(batch, result, loss)

    def train_all(self, batches: Sequence[Batch]) -> None:
        """`train` on one batch after the other; on as many as possible with nothing of Python's between them."""
        start = perf_counter()
        done = self._train_together(batches)
        for batch in batches[done:]:
            self.train(batch)
        each_s = (perf_counter() - start) / len(batches)
        self.at_a_time = max(1, min(MOST_STEPS, int(LOOK_UP_S / each_s)))

    def _train_together(self, batches: Sequence[Batch]) -> int:
        """Train on the first of the batches, as many as can be taken together; how many those were."""
        group = [*takewhile(partial(_goes_with, batches[0]), batches[:MOST_STEPS])]
        if len(group) < 2 or self._has_penalties or self.divergence is not None:
            return 0
        rows, y = _joined(group)
        x, n, finished = self._input(rows), group[0].x.shape[0], 0
        paths = tuple(v.path for v in self.trainable_variables)
        with self.model.executor(Wants(x.shape[1:], True, self.loss_op, gradients=paths)) as executor:
            update = self.optimizer.next_steps(executor.gradient, self.model.backend, Sliced, len(group))
            if update is None or not isinstance(x, Rows):
                return 0
            shape = (x.shape[0], *executor.plan.output_shape)
            target = self.required_loss.targets(y, shape, self.model.dtype)
            seed = self._seed((n, *shape[1:-1]), None)
            try:
                ran = executor.run_steps(
                    self.model.parameters(), x, target=target, seed=seed, batches=len(group), update=update
                )
                finished = ran[1] if ran is not None else 0
            except BaseException:  # Ctrl-C: by then the weights have changed
                finished = int(update.begun[0])
                raise
            finally:
                self.optimizer.end_steps(finished)
        if ran is not None:
            self._count_all(y, ran[0], seed, finished)
        return finished

    def finish(self) -> None:
        """Training is over: nothing computes a loss with the last weights."""
        if self.divergence is None and (spoilt := find_spoilt_weights(self)):
            self._diverged(spoilt)

    def _diverged(self, divergence: Divergence) -> None:
        self.divergence = divergence
        warnings.warn(str(divergence), stacklevel=5)

    def test(self, batch: Batch) -> None:
        """Forward; count the loss and the metrics."""
        x = self._input(batch.x)
        with self.model.executor(Wants(x.shape[1:], False, self.loss_op)) as executor:
            result, seed = self._run(executor, batch, x, backward=False)
        self._count(batch, result, self._loss(result, seed))

    def gradients(
        self, batch: Batch, weights: bool, values: tuple[str, ...]
    ) -> tuple[float, dict[str, np.ndarray], np.ndarray | None, dict[str, np.ndarray]]:
        """(loss, gradients by path, gradient of the input, gradients by layer), all owned."""
        x = self._input(batch.x)
        self._check_remain(x.shape[1:], values)
        variables = self.model.trainable_variables if weights else []
        paths = tuple(v.path for v in variables)
        wants = Wants(x.shape[1:], False, self.loss_op, paths, values)
        with self.model.executor(wants) as executor:
            result, seed = self._run(executor, batch, x, backward=True)
            if weights:
                add_penalty_gradients(variables, executor.gradients)
            arrays = [g.copy() for g in executor.gradients] if weights else []
        by_layer = dict(result.value_gradients)
        return (
            self._loss(result, seed),
            dict(zip(paths, arrays, strict=True)),
            by_layer.pop(INPUT, None),
            by_layer,
        )

    def _check_remain(self, input_shape: ops.Shape, names: tuple[str, ...]) -> None:
        """Refuse a layer in whose place the loss stands: its output is never computed."""
        computed = {INPUT, *(op.name for op in join_loss(self.model.lower_layers(input_shape), self.loss_op))}
        for name in names:
            if name not in computed:
                raise ValueError(
                    f"`wants` must name layers before '{name}': the loss is computed from the logits, so that there "
                    f"is no gradient of that layer's output. Received {name!r}."
                )

    def _input(self, x: np.ndarray | Rows) -> np.ndarray | Rows:
        if isinstance(x, Rows) and x.dtype == self.model.dtype:
            return x._replace(array=self.model.adjust_rank(x.array))
        return np.ascontiguousarray(self.model.adjust_rank(gather(x)), self.model.dtype)

    @property
    def loss_op(self) -> ops.Loss:
        if self._loss_op is None:
            self._loss_op = self.required_loss.lower("loss", self.model.last_op)
        return self._loss_op

    @property
    def required_loss(self) -> Loss:
        """The loss.

        Raises:
            ValueError: `compile` was called without one.
        """
        if self.loss is None:
            raise ValueError("`compile` was called without a loss; fit, evaluate and gradients need one.")
        return self.loss

    def _run(
        self, executor: Executor, batch: Batch, x: np.ndarray | Rows, *, backward: bool
    ) -> tuple[Result, np.ndarray]:
        """Run a batch; the seed is the gradient of the reduced loss by each sample's loss."""
        shape = (x.shape[0], *executor.plan.output_shape)
        target = self.required_loss.targets(_required(batch.y), shape, self.model.dtype)
        seed = self._seed(shape[:-1], batch.sample_weight)
        step = int(self.optimizer.iterations.array)
        result = executor.run(
            self.model.parameters(),
            x,
            target=target,
            seed=seed if backward else None,
            step=step,
            version=self.model.weights_version,
        )
        return result, seed

    def _seed(self, shape: ops.Shape, sample_weight: np.ndarray | None) -> np.ndarray:
        """The gradient of the reduced loss by each sample's loss."""
        if sample_weight is not None:
            return self.required_loss.seed(shape, sample_weight, self.model.dtype)
        if shape not in self._seeds:
            self._seeds = {shape: self.required_loss.seed(shape, None, self.model.dtype)}
        return self._seeds[shape]

    def _apply(self, executor: Executor) -> None:
        """Add the penalties' gradients, then one optimizer step, slice by slice over the threads."""
        add_penalty_gradients(self.trainable_variables, executor.gradients)
        self.optimizer.step(executor.gradient, self.model.backend, Sliced)

    # Counting

    def _loss(self, result: Result, seed: np.ndarray) -> float:
        """The reduced loss, ⟨losses, seed⟩, the seed being its gradient and it linear in them; plus the penalties."""
        total = float((result.losses * seed).sum(dtype=np.float64))
        if self._has_penalties:
            total += sum(float(penalty) for penalty in self.model.losses)
        return total

    def _count(self, batch: Batch, result: Result, loss: float) -> None:
        n = batch.x.shape[0]
        self.loss_tracker.add(loss * n, n)
        for metric in self._metrics or ():
            metric.update_state(batch.y, result.outputs)
        for metric in self._weighted:
            metric.update_state(batch.y, result.outputs, sample_weight=batch.sample_weight)

    def _count_all(self, y: np.ndarray, result: Result, seed: np.ndarray, batches: int) -> None:
        """`_count` for so many batches of one size, which lie one behind the other."""
        n, outputs, losses = len(seed), result.outputs, _required(result.losses)
        parts = [slice(k * n, (k + 1) * n) for k in range(batches)]
        for part in parts:
            self.loss_tracker.add(self._loss(result._replace(losses=losses[part]), seed) * n, n)
        for metric in (*(self._metrics or ()), *self._weighted):
            in_one = [slice(batches * n)] if batches else []
            for part in in_one if adds_exactly(metric, outputs) else parts:
                metric.update_state(y[part], outputs[part])

    @property
    def metrics(self) -> list[Any]:
        """The loss first, then the metrics as they were given; before the first data only the loss."""
        return [self.loss_tracker, *(self._metrics or ()), *self._weighted]

    def reset_metrics(self) -> None:
        for metric in self.metrics:
            metric.reset_state()

    def results(self) -> dict[str, float]:
        """Name → value, the names in alphabetical order as Keras logs them."""
        values = (float(metric.result()) for metric in self.metrics)
        return dict(sorted(zip(self._log_names(), values, strict=True)))

    def in_order(self, logs: dict[str, float]) -> list[float]:
        """The values with the loss first."""
        return [logs[name] for name in self._log_names()]

    def _log_names(self) -> list[str]:
        """Each metric's name in the logs: 'accuracy', the next one 'accuracy_1', a weighted one 'weighted_accuracy'.

        As in Keras: keras/src/trainers/compile_utils.py, CompileMetrics.result.
        """
        names, seen = [self.loss_tracker.name], dict[str, int]()
        plain = len(self._metrics or ())
        for k, metric in enumerate(self.metrics[1:]):
            name = metric.name
            if name in seen and k >= plain:
                name = f"weighted_{name}"
            seen[name] = seen.get(name, 0) + 1
            names.append(name if seen[name] == 1 else f"{name}_{seen[name] - 1}")
        return names


def _goes_with(first: Batch, other: Batch) -> bool:
    """Whether the samples of both may be taken together: as many rows of the same images, none with a weight."""
    if not isinstance(first.x, Rows) or not isinstance(other.x, Rows):
        return False
    is_like = first.x.array is other.x.array and first.x.shape == other.x.shape
    return is_like and other.y is not None and first.sample_weight is None and other.sample_weight is None


def _joined(batches: Sequence[Batch]) -> tuple[Rows, np.ndarray]:
    """x and y of batches that go with each other, one behind the other."""
    rows = [batch.x for batch in batches if isinstance(batch.x, Rows)]
    numbers = np.concatenate([x.numbers for x in rows])
    return rows[0]._replace(numbers=numbers), np.concatenate([_required(batch.y) for batch in batches])


def _required(y: np.ndarray | None) -> np.ndarray:
    if y is None:
        raise ValueError("`y` must be given: the loss compares it with the predictions. Received y=None.")
    return y


def add_penalty_gradients(variables: Sequence[Variable], gradients: Sequence[np.ndarray]) -> None:
    """Add to each gradient that of its weight's regularizer."""
    for variable, gradient in zip(variables, gradients, strict=True):
        if variable.regularizer is not None:
            gradient += variable.regularizer.gradient(variable.array)
