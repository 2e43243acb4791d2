"""Models: compile, fit, evaluate, predict. Keras's meanings and arguments.

Source of the meanings: keras/src/trainers/trainer.py and keras/src/backend/tensorflow/trainer.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicnn import callbacks as callbacks_module
from minicnn import losses, metrics, optimizers
from minicnn import random as random_module
from minicnn.checks import integer, one_of, only_default
from minicnn.engine.plan import INPUT
from minicnn.engine.rows import gather
from minicnn.layers.symbolic import SymbolicTensor
from minicnn.models import compiling
from minicnn.models.chain import Chain
from minicnn.models.data import ArrayData, Batch, Data, make_data
from minicnn.models.data_arguments import split_validation, unpack
from minicnn.models.divergence import Divergence
from minicnn.models.functional import connect_config, functional_config
from minicnn.models.progress import Progress
from minicnn.models.steps import Steps
from minicnn.models.summary import summary
from minicnn.naming import unique_name

if TYPE_CHECKING:
    from minicnn.models.profile import Profile


class Gradients(NamedTuple):
    """What `model.gradients` returns. Arrays are owned by the caller."""

    loss: float
    weights: dict[str, np.ndarray]
    """By the variable's path; empty unless wanted."""
    input: np.ndarray | None
    layers: dict[str, np.ndarray]
    """Gradient by the output of each wanted layer, by name."""


class Model(Chain):
    """A chain of layers that can be trained.

    `Model(inputs, outputs)` makes a prefix of a chain, or a model with several outputs (every intermediate activation,
    say), out of symbolic tensors; it shares its layers and weights with every other model that contains them.

    Raises:
        ValueError: outputs that don't all lie on one chain from `inputs`.
    """

    def __init__(
        self,
        inputs: SymbolicTensor | Sequence[SymbolicTensor],
        outputs: SymbolicTensor | Sequence[SymbolicTensor],
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        self._begin(name or unique_name("Functional"))
        self.has_single_output = isinstance(outputs, SymbolicTensor)
        starts = [inputs] if isinstance(inputs, SymbolicTensor) else list(inputs)
        self._connect_chain(starts, [outputs] if isinstance(outputs, SymbolicTensor) else list(outputs))
        if not trainable:
            self.trainable = False

    def _begin(self, name: str) -> None:
        """An empty chain that hasn't been compiled."""
        Chain.__init__(self, name)
        self.optimizer: Any = None
        self.compiled = False
        self.stop_training = self.stop_evaluating = self.stop_predicting = False
        self.history: Any = None
        self.progress: Progress | None = None
        self._steps: Steps | None = None
        self._compile_arguments: dict[str, Any] = {}

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
        *,
        backend: str = "numba",
        fuse: bool = True,
        algorithm: str | Mapping[str, str] | None = None,
    ) -> None:
        """Choose how the model learns. Which weights are trained is read off `layer.trainable` here.

        `backend` is 'numba' or 'reference' (plain NumPy, to step through); `fuse=False` keeps every op by itself.
        `algorithm` computes the convolutions: 'loops', 'windows', 'im2col', 'direct', 'winograd', 'winograd4' or 'fft'
        for all of them, or a dict by layer's name; None leaves it to the engine. Those in NumPy don't promise the same
        bits for any number of threads. What runs is in `profile`'s table and in `model.algorithms()`.
        `run_eagerly`, `jit_compile` and `auto_scale_loss` are accepted and change nothing.

        Raises:
            ValueError: an unknown optimizer, loss, metric or backend; an algorithm that is unknown or doesn't apply to
                a layer (which shows when the image's size is known); `loss_weights`, which isn't implemented.
        """
        only_default("compile", loss_weights=(loss_weights, None))
        chosen = one_of("backend", backend, ("numba", "reference"))
        self.check_algorithm(algorithm)
        counted = metrics_of(metrics, "metrics"), metrics_of(weighted_metrics, "weighted_metrics")
        resolved = losses.resolve(loss) if loss is not None else None
        steps = Steps(self, optimizers.get(optimizer), resolved, *counted)
        self.steps_per_execution = integer("steps_per_execution", steps_per_execution, 1)
        self._steps, self.optimizer, self.loss = steps, steps.optimizer, loss
        self._compile_arguments = {
            "optimizer": steps.optimizer,
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": counted[0],
            "weighted_metrics": counted[1],
            "run_eagerly": run_eagerly,
            "steps_per_execution": self.steps_per_execution,
            "jit_compile": jit_compile,
        }
        self.backend, self.fuses = chosen, bool(fuse)
        self.algorithm = dict(algorithm) if isinstance(algorithm, Mapping) else algorithm
        self.compiled = True
        self.forget_executors()

    def get_compile_config(self) -> dict[str, Any]:
        """What `compile` was given, as Keras writes it down: without `backend` and `fuse`. {} before that."""
        return compiling.describe(self._compile_arguments) if self.compiled else {}

    def compile_from_config(
        self, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> None:
        """Compile as `get_compile_config` described it, and make the optimizer's slots if the model is built.

        Raises:
            ValueError: as `compile`, or something unknown; `custom_objects` maps further names to objects.
        """
        self.compile(**compiling.arguments(config, custom_objects))
        if self.built:
            self.build_optimizer()

    def build_optimizer(self) -> None:
        """Make the optimizer's slots for what is trained, unless it has them; `fit` does it too."""
        self._compiled_steps("build_optimizer").build_optimizer()

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool | str = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Iterable[int] = 1,
    ) -> Any:
        """Train for `epochs` passes over the data and return the History. Arguments are Keras's.

        x, y: arrays (N, …), a generator of (x, y[, sample_weight]) batches, or a `utils.PyDataset`.

        Raises:
            TypeError: complex, object or string arrays.
            ValueError: whatever doesn't fit, checked before the first step; no weight has changed then.
        """
        steps = self._compiled_steps("fit")
        epochs = integer("epochs", epochs, 1)
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = split_validation(x, y, sample_weight, validation_split)
        train = make_data(
            x,
            y,
            sample_weight,
            batch_size=batch_size,
            steps=steps_per_epoch,
            shuffle=shuffle,
            class_weight=class_weight,
            seed=random_module.next_seed(),
        )
        steps.prepare(train, training=True)
        validation = None
        if validation_data is not None:
            val_x, val_y, val_weight = unpack(validation_data)
            validation = make_data(
                val_x,
                val_y,
                val_weight,
                batch_size=validation_batch_size or batch_size,
                steps=validation_steps,
            )
            steps.prepare(validation, training=False)
        listeners = self._listeners(callbacks, verbose, epochs, train.num_batches, add_history=True)
        self.stop_training, steps.divergence = False, None
        self.progress = Progress(self, train, validation, initial_epoch)
        try:
            self._run_epochs(steps, self.progress, epochs, validation_freq, listeners)
        finally:
            self.progress = None
        return self.history

    def _run_epochs(
        self,
        steps: Steps,
        at: Progress,
        epochs: int,
        validation_freq: int | Iterable[int],
        listeners: Any,
    ) -> None:
        """Train from where `at` stands, and keep it up to date."""
        listeners.on_train_begin()  # which may take up an interrupted training, and move `at` on
        for epoch in range(at.epoch, epochs):
            if at.is_over:
                break
            logs = self._run_epoch(steps, at, listeners)
            if at.validation is not None and _is_due(epoch, validation_freq):
                steps.reset_metrics()
                listeners.on_test_begin()
                results = self._run_test(steps, at.validation, listeners)
                listeners.on_test_end(results)
                logs |= {f"val_{name}": value for name, value in results.items()}
            at.epoch, at.batch, at.logs = epoch + 1, 0, logs
            listeners.on_epoch_end(epoch, logs)
            if self.stop_training:
                break
        steps.finish()
        listeners.on_train_end(at.logs)

    def _run_epoch(self, steps: Steps, at: Progress, listeners: Any) -> dict[str, float]:
        """The rest of the epoch that `at` is in; usually all of it."""
        if at.batch == 0:
            steps.reset_metrics()
            listeners.on_epoch_begin(at.epoch)
        was_stopping = self.stop_training and at.batch > 0
        batches = () if was_stopping else at.data.epoch(at.epoch, at.batch)
        is_heard = listeners.hears_batches
        for first, last, group in _groups(batches, self._group_size(steps, at.data, listeners), at.batch):
            if is_heard:
                listeners.on_train_batch_begin(first)
            steps.train_all(group)
            at.batch, at.taken = last + 1, at.taken + len(group)
            if is_heard:
                listeners.on_train_batch_end(last, steps.results())
            if self.stop_training:
                break
        return steps.results() if at.batch else {}

    def _group_size(self, steps: Steps, data: Data, listeners: Any) -> Callable[[], int]:
        """How many batches come next between two calls of the listeners: more than was asked for if nobody notices.

        Batches of a generator, or of a dataset, may depend on what has been trained before.
        """
        size = self.steps_per_execution
        may_grow = size == 1 and isinstance(data, ArrayData) and not listeners.hears_every_batch
        return lambda: steps.at_a_time if may_grow else size

    def _run_test(self, steps: Steps, data: Data, listeners: Any) -> dict[str, float]:
        self.stop_evaluating = False
        for first, last, group in _groups(data.epoch(0), lambda: self.steps_per_execution):
            listeners.on_test_batch_begin(first)
            for batch in group:
                steps.test(batch)
            listeners.on_test_batch_end(last, steps.results())
            if self.stop_evaluating:
                break
        return steps.results()

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss and the metrics over the data: a number, a list [loss, *metrics], or a dict.

        Raises:
            TypeError, ValueError: as `fit`.
        """
        compiled = self._compiled_steps("evaluate")
        data = make_data(x, y, sample_weight, batch_size=batch_size, steps=steps)
        compiled.prepare(data, training=False)
        listeners = self._listeners(callbacks, verbose, 1, data.num_batches)
        listeners.on_test_begin()
        compiled.reset_metrics()
        logs = self._run_test(compiled, data, listeners)
        listeners.on_test_end(logs)
        return logs if return_dict else _unwrapped(compiled.in_order(logs))

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """The outputs for all of x, batch by batch: an array (N, …), or a list of them for several outputs.

        Raises:
            TypeError, ValueError: data of the wrong kind or shape. NaN goes through.
        """
        data = make_data(x, batch_size=batch_size, steps=steps, finite=False)
        self.build_for(gather(data.peek().x))
        listeners = self._listeners(callbacks, verbose, 1, data.num_batches)
        self.stop_predicting = False
        listeners.on_predict_begin()
        parts = []
        for index, batch in enumerate(data.epoch(0)):
            listeners.on_predict_batch_begin(index)
            outputs = self.predict_on_batch(gather(batch.x))
            parts.append(outputs if isinstance(outputs, list) else [outputs])
            listeners.on_predict_batch_end(index, {"outputs": outputs})
            if self.stop_predicting:
                break
        listeners.on_predict_end()
        whole = [np.concatenate(column) for column in zip(*parts, strict=True)]
        return whole[0] if self.has_single_output else whole

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch."""
        return self(x)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One training step on exactly this batch; the loss and the metrics are this batch's."""
        steps = self._compiled_steps("train_on_batch")
        data = make_data(x, y, sample_weight, batch_size=_length(x), class_weight=class_weight)
        steps.prepare(data, training=True)
        steps.reset_metrics()
        steps.train(data.peek())
        logs = steps.results()
        return logs if return_dict else _unwrapped(steps.in_order(logs))

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """The loss and the metrics on exactly this batch, without training."""
        steps = self._compiled_steps("test_on_batch")
        data = make_data(x, y, sample_weight, batch_size=_length(x))
        steps.prepare(data, training=False)
        steps.reset_metrics()
        steps.test(data.peek())
        logs = steps.results()
        return logs if return_dict else _unwrapped(steps.in_order(logs))

    def gradients(
        self, x: Any, y: Any, sample_weight: Any = None, *, wants: Sequence[str] = ("weights",)
    ) -> Gradients:
        """The loss on one batch and its gradients, without changing anything; Dropout is off.

        Args:
            x, y, sample_weight: one batch, as for `train_on_batch`.
            wants: any of 'weights' (every trainable weight), 'input' (x), and names of layers (their outputs).

        Raises:
            ValueError: a name that no layer has, or that of a softmax or sigmoid which the loss, computed from the
                logits, takes the place of; otherwise as `fit`.
        """
        steps = self._compiled_steps("gradients")
        data = make_data(x, y, sample_weight, batch_size=_length(x))
        steps.prepare(data, training=False)
        wants = (wants,) if isinstance(wants, str) else tuple(wants)
        named = tuple(name for name in wants if name not in ("weights", INPUT))
        for name in named:
            self.get_layer(name)
        values = (*named, *((INPUT,) if INPUT in wants else ()))
        return Gradients(*steps.gradients(data.peek(), "weights" in wants, values))

    def profile(self, x: Any, y: Any, sample_weight: Any = None, *, repeats: int | None = None) -> Profile:
        """What one training step on this batch costs, layer by layer, in one thread; print it. Nothing changes.

        `repeats` runs are measured, by default as many as fit into about three seconds.

        Raises:
            TypeError, ValueError: as `fit`; `repeats` that isn't a positive integer.
        """
        from minicnn.models.profile import profile

        steps = self._compiled_steps("profile")
        data = make_data(x, y, sample_weight, batch_size=_length(x))
        steps.prepare(data, training=False)
        return profile(steps, data.peek(), repeats)

    def reset_metrics(self) -> None:
        """Start counting the loss and all metrics anew."""
        if self._steps is not None:
            self._steps.reset_metrics()

    @property
    def divergence(self) -> Divergence | None:
        """At which step and in which layer the first value that isn't finite appeared in the last `fit`, if one did."""
        return self._steps.divergence if self._steps is not None else None

    @property
    def metrics(self) -> list[Any]:
        return self._steps.metrics if self._steps is not None else []

    @property
    def metrics_names(self) -> list[str]:
        return [metric.name for metric in self.metrics]

    summary = summary

    def save(self, filepath: Any, overwrite: bool = True, zipped: bool | None = None, **kwargs: Any) -> None:
        """Write the model, its optimizer's state and how it was compiled to a `.keras` file: `models.save_model`."""
        from minicnn.saving import save_model

        save_model(self, filepath, overwrite, zipped, **kwargs)

    def export(
        self,
        filepath: Any,
        format: str = "onnx",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Write the model for inference elsewhere, as an ONNX file for any batch size. Needs the `onnx` extra.

        Raises:
            ValueError: another format, an argument that only Keras has, a layer that has no ONNX form.
        """
        from minicnn.saving.onnx_export import export_onnx

        refused = {"verbose": (verbose, None), "input_signature": (input_signature, None)}
        only_default(
            "export", format=(format, "onnx"), **refused, **{name: (kwargs[name], None) for name in kwargs}
        )
        export_onnx(self, filepath)

    def save_weights(
        self, filepath: Any, overwrite: bool = True, max_shard_size: float | None = None
    ) -> None:
        """Write the weights and the optimizer's state to a `.weights.h5` file: `saving.save_weights`."""
        from minicnn.saving import save_weights

        save_weights(self, filepath, overwrite, max_shard_size)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
        """Overwrite the weights in place from a `.weights.h5` file, or none: `saving.load_weights`."""
        from minicnn.saving import load_weights

        load_weights(self, filepath, skip_mismatch, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """The architecture in Keras's functional form; `from_config` takes it back, with new weights."""
        return functional_config(self)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Model:
        model = cls(*connect_config(config, custom_objects), name=config.get("name"))
        model._trainable = bool(config.get("trainable", True))
        return model

    def _compiled_steps(self, method: str) -> Steps:
        if self._steps is None:
            raise ValueError(f"You must call `compile()` before calling `{method}()`.")
        if self._steps.structure_version != self.structure_version:
            raise ValueError(
                f"The layers of model '{self.name}' have changed since `compile()`. Call `compile()` again before "
                f"`{method}()`."
            )
        return self._steps

    def build_for(self, x: np.ndarray) -> np.ndarray:
        """x with its rank adjusted, the model built for it."""
        if not self.built:
            self.build((None, *x.shape[1:]))
        x = self.adjust_rank(x)
        self.check_input_shape((None, *x.shape[1:]))
        return x

    def _listeners(
        self, callbacks: Any, verbose: int | str, epochs: int, steps: int | None, add_history: bool = False
    ) -> Any:
        if isinstance(callbacks, callbacks_module.CallbackList):
            return callbacks
        return callbacks_module.CallbackList(
            callbacks,
            add_history=add_history,
            add_progbar=verbose != 0,
            model=self,
            verbose=verbose,
            epochs=epochs,
            steps=steps,
        )


def metrics_of(given: Any, argument: str) -> list[Any]:
    """A flat list of metrics, still as they were given: what 'accuracy' means shows when the targets are known.

    Raises:
        ValueError: not a list of metrics, or an unknown one.
    """
    if given is None:
        return []
    if isinstance(given, str | metrics.Metric) or callable(given):
        given = [given]
    if not isinstance(given, list | tuple):
        raise ValueError(f"`{argument}` must be a list of metrics. Received {argument}={given!r}.")
    for item in given:
        if item not in ("accuracy", "acc"):
            metrics.get(item)
    return list(given)


def _groups(
    batches: Iterable[Batch], size: Callable[[], int], start: int = 0
) -> Iterable[tuple[int, int, list[Batch]]]:
    """Batches, counted from `start`, in groups, each with its first and last index. `size` is that of the next one."""
    rest = iter(batches)
    while group := [*islice(rest, size())]:
        yield start, start + len(group) - 1, group
        start += len(group)


def _is_due(epoch: int, frequency: int | Iterable[int]) -> bool:
    """Whether validation runs after `epoch`, counted from 0."""
    return (epoch + 1) % frequency == 0 if isinstance(frequency, int) else epoch + 1 in frequency


def _unwrapped(values: list[float]) -> Any:
    return values[0] if len(values) == 1 else values


def _length(x: Any) -> int:
    return max(1, len(x))
