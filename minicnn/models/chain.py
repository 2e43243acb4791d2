"""A chain of layers: its structure, what it lowers to, and the executors that run it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import numpy as np

from minicnn.engine import ops
from minicnn.engine.algorithms import Choice, Running, check_names, choose
from minicnn.engine.fusion import fuse
from minicnn.engine.parallel import Executor
from minicnn.engine.parameters import Variable, give_home
from minicnn.engine.plan import Plan, make_plan
from minicnn.errors import ShapeError
from minicnn.layers.input_layer import InputLayer
from minicnn.layers.layer import UNKNOWN_SIZE, Layer
from minicnn.layers.symbolic import BatchShape, SymbolicTensor
from minicnn.models.wants import Wants

_VERSION = attrgetter("version")

MAX_EXECUTORS = 16
"""Kinds of runs (image sizes, wanted values, …) whose memory a model keeps."""


class Chain(Layer):
    """Layers one after the other, from one input to one or several outputs on the way: a model without training."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.backend = "numba"
        self.fuses = True
        self.algorithm: Choice = None
        self.structure_version = 0
        self.has_single_output = True
        self._start: SymbolicTensor | None = None
        self._layers: list[Layer] = []
        self._taps: list[SymbolicTensor] = []
        self.forget_executors()

    def _connect_chain(self, starts: list[SymbolicTensor], taps: list[SymbolicTensor]) -> None:
        """Become the chain from the one start to the farthest tap.

        Raises:
            ValueError: outputs that don't all lie on one chain from the input.
        """
        chain = single_chain(starts, taps)
        self._start, self._taps = starts[0], taps
        self._layers = [tensor.layer for tensor in chain[1:] if tensor.layer is not None]
        self._input, self._output = starts[0], taps[-1]
        self._finish_build()

    def _finish_build(self) -> None:
        """Everything is known: check dtypes and names."""
        _check_unique_names(self._layers)
        dtypes = {layer.dtype for layer in self._layers} or {self.dtype}
        if len(dtypes) > 1:
            raise ValueError(
                "All layers of a model must have one dtype. Received "
                + ", ".join(f"'{layer.name}': {layer.dtype}" for layer in self._layers)
                + "."
            )
        self.dtype = dtypes.pop()
        self.built = True
        self.forget_executors()

    # Structure

    @property
    def layers(self) -> list[Layer]:
        start = self.input.layer
        return [start, *self._layers] if isinstance(start, InputLayer) else list(self._layers)

    @property
    def inputs(self) -> list[SymbolicTensor]:
        return [self.input]

    @property
    def outputs(self) -> list[SymbolicTensor]:
        return list(self._taps)

    @property
    def input_shape(self) -> BatchShape:
        return self.input.shape

    @property
    def output_shape(self) -> BatchShape | list[BatchShape]:
        return self._taps[0].shape if self.has_single_output else [tap.shape for tap in self._taps]

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """A layer by name or by position in `layers`.

        Raises:
            ValueError: both or neither given, or no such layer; the message lists what there is.
        """
        if (name is None) == (index is None):
            raise ValueError(
                f"get_layer takes either `name` or `index`. Received name={name!r}, index={index!r}."
            )
        layers = self.layers
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise ValueError(
                    f"`index` must lie within the model's {len(layers)} layers. Received index={index}."
                )
            return layers[index]
        for layer in layers:
            if layer.name == name:
                return layer
        raise ValueError(
            f"No layer is named {name!r}. Existing layers are: {[layer.name for layer in layers]}."
        )

    @property
    def variables(self) -> list[Variable]:
        return [variable for layer in self._layers for variable in layer.variables]

    @property
    def losses(self) -> list[Any]:
        return [penalty for layer in self._layers for penalty in layer.losses] if self.trainable else []

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for layer in self._layers:
            layer.trainable = value

    @property
    def trainable_variables(self) -> list[Variable]:
        return [v for layer in self._layers for v in layer.trainable_variables] if self.trainable else []

    @property
    def non_trainable_variables(self) -> list[Variable]:
        trainable = {id(v) for v in self.trainable_variables}
        return [v for v in self.variables if id(v) not in trainable]

    trainable_weights = trainable_variables
    non_trainable_weights = non_trainable_variables

    # Lowering and running

    def lower(self, shape: ops.Shape) -> tuple[ops.Op, ...]:
        """As a layer of another model: the ops of all layers, then the identity under the model's name."""
        return (*self.lower_layers(shape), ops.Identity(name=self.name))

    def lower_layers(self, shape: ops.Shape) -> list[ops.Op]:
        """The ops of all layers for inputs of `shape`, batch axis left out."""
        chain: list[ops.Op] = []
        for layer in self._layers:
            layer.check_input_shape((None, *shape))
            for op in layer.lower(shape):
                chain.append(op)
                shape = op.output_shape(shape)
        return chain

    @property
    def last_op(self) -> ops.Op:
        """What the model ends in: a loss that contains it takes its place."""
        shape = tuple(size or UNKNOWN_SIZE for size in self.input.shape[1:])
        return next(op for op in reversed(self.lower_layers(shape)) if not isinstance(op, ops.Identity))

    def make_plan(self, wants: Wants) -> Plan:
        """Lower, choose algorithms, fuse, plan."""
        keep = {*wants.value_gradients, *wants.intermediates}
        chain = [
            op
            for op in self.lower_layers(wants.input_shape)
            if not isinstance(op, ops.Identity) or op.name in keep
        ]
        chain = list(choose(join_loss(chain, wants.loss), self.algorithm))
        return make_plan(
            fuse(chain, keep) if self.fuses else chain,
            wants.input_shape,
            training=wants.training,
            backend=self.backend,
            dtype=self.dtype,
            gradients=wants.gradients,
            value_gradients=wants.value_gradients,
            intermediates=wants.intermediates,
        )

    def make_executor(self, wants: Wants) -> Executor:
        """An executor of the plan for `wants`, for the model's variables."""
        plan, by_path = self.make_plan(wants), {v.path: v for v in self.variables}
        return Executor(plan, [by_path[path] for path in plan.gradients])

    def check_algorithm(self, algorithm: Choice) -> None:
        """Refuse an algorithm that is unknown or, as far as the image's size is known, doesn't apply.

        Raises:
            ValueError: naming the layer and the reason.
        """
        check_names(algorithm)
        shape = None if algorithm is None else self._known_shape()
        if shape is not None:
            choose(self.lower_layers(shape), algorithm)

    def _known_shape(self) -> ops.Shape | None:
        """Of one sample, if all of it is known."""
        shape = self.input.shape[1:] if self.built else (None,)
        sizes = tuple(size for size in shape if size is not None)
        return sizes if len(sizes) == len(shape) else None

    def algorithms(self, input_shape: ops.Shape | None = None) -> dict[str, Running]:
        """By layer, the algorithms that compute a convolution's three passes in training: (forward, dw, dx).

        `input_shape` is that of one sample; the model's own without it.

        Raises:
            ValueError: the model doesn't know its input's shape and none is given.
        """
        shape = self._known_shape() if input_shape is None else tuple(input_shape)
        if shape is None:
            raise ValueError(f"`input_shape` must be known: (H, W, C). Received input_shape={input_shape}.")
        paths = tuple(v.path for v in self.trainable_variables)
        return self.make_plan(Wants(shape, True, gradients=paths)).algorithms

    @contextmanager
    def executor(self, wants: Wants) -> Iterator[Executor]:
        """An executor for `wants` that nobody else uses meanwhile; kept for the next time."""
        idle = self._executors.setdefault(wants, [])
        try:
            executor = idle.pop()
        except IndexError:
            executor = self.make_executor(wants)
        yield executor
        idle.append(executor)
        while len(self._executors) > MAX_EXECUTORS:
            self._executors.pop(next(iter(self._executors)), None)

    def forget_executors(self) -> None:
        """Plan anew: what the ops or the gradients depend on has changed."""
        self._executors: dict[Wants, list[Executor]] = {}
        self._parameters: dict[str, np.ndarray] | None = None
        self._counted: list[Variable] = []

    def parameters(self) -> dict[str, np.ndarray]:
        """The arrays of the variables by path. They are never rebound after this has been called.

        Not sooner do the weights get their home: a model that grows layer by layer then still has one flat vector.
        """
        if self._parameters is None:
            give_home(self.variables)
            self._parameters, self._counted = super().parameters(), self.variables
        return self._parameters

    @property
    def weights_version(self) -> int:
        """Counts the changes of all variables; to be read after `parameters`."""
        return sum(map(_VERSION, self._counted))

    def __call__(self, inputs: Any, training: bool = False) -> Any:
        """The outputs for an array (N, …), all in one batch; a symbolic tensor for a symbolic one.

        Raises:
            ShapeError: a rank or a number of channels that a layer doesn't take.
        """
        if isinstance(inputs, SymbolicTensor):
            return self.connect(inputs)
        x = np.asarray(inputs)
        return self.run_batch(self._prepared(self.adjust_rank(x)), training)

    def adjust_rank(self, x: np.ndarray) -> np.ndarray:
        """Add or drop a last axis of size 1 if that is all that is missing, as Keras does
        (keras/src/models/functional.py, `_adjust_input_rank`)."""
        if self._start is None:
            return x
        expected = self._start.shape
        if x.ndim == len(expected) - 1 and expected[-1] == 1:
            return x[..., None]
        if x.ndim == len(expected) + 1 and x.shape[-1] == 1:
            return x[..., 0]
        return x

    def connect(self, tensor: SymbolicTensor) -> SymbolicTensor:
        """As a layer of another model: the end of the chain is the output.

        Raises:
            ValueError: a model of several outputs.
        """
        self.ensure_built(tensor.shape)
        if len(self._taps) > 1:
            raise ValueError(
                f"Only a model with one output can be a layer of another. Model '{self.name}' has {len(self._taps)}."
            )
        shape = self.compute_output_shape(tensor.shape)
        return SymbolicTensor(shape, self.dtype, self.name, self, tensor)

    def run_batch(self, x: np.ndarray, training: bool = False) -> Any:
        """Outputs for one batch of the model's dtype; owned arrays, a list if the model was made with a list."""
        names = tuple([tap.name for tap in self._taps]) if len(self._taps) > 1 else ()
        wants = Wants(x.shape[1:], training, intermediates=names)
        with self.executor(wants) as executor:
            batch = executor.run(
                self.parameters(), x, step=next(self._calls) if training else 0, version=self.weights_version
            )
        if self.has_single_output:
            return batch.outputs
        return [batch.values[name] for name in names] or [batch.outputs]

    def check_input_shape(self, input_shape: BatchShape) -> None:
        if self._start is None:
            return
        expected = self._start.shape
        if expected[1:] == input_shape[1:]:
            return
        if len(input_shape) != len(expected) or any(
            size is not None and came is not None and size != came
            for size, came in zip(expected[1:], input_shape[1:], strict=False)
        ):
            raise ShapeError(
                f"Model '{self.name}' takes inputs of shape {expected}. Received shape {tuple(input_shape)}."
            )

    def count_params(self) -> int:
        if not self.built:
            raise ValueError(
                f"count_params needs a built model: model '{self.name}' has no input shape yet. "
                "Add an Input, call `build(input_shape)` or call the model on data first."
            )
        return sum(v.array.size for v in self.variables)


def join_loss(chain: Sequence[ops.Op], loss: ops.Loss | None) -> list[ops.Op]:
    """Append the loss; a cross-entropy from logits takes the place of the softmax or sigmoid it contains."""
    if loss is None:
        return list(chain)
    rest = list(chain)
    if isinstance(loss, ops.SoftmaxCrossEntropy | ops.SigmoidCrossEntropy):
        while isinstance(rest.pop(), ops.Identity):
            pass
    return [*rest, loss]


def single_chain(starts: list[SymbolicTensor], taps: list[SymbolicTensor]) -> list[SymbolicTensor]:
    """The tensors from the one input to the farthest output.

    Raises:
        ValueError: not one input, no output, or outputs that don't lie on one chain from it.
    """
    for tensor in (*starts, *taps):
        if not isinstance(tensor, SymbolicTensor):
            raise ValueError(
                f"`inputs` and `outputs` must be symbolic tensors. Received {type(tensor).__name__}."
            )
    if len(starts) != 1 or not taps:
        raise ValueError(
            "A model is a chain: it has one input and at least one output. "
            f"Received {len(starts)} inputs and {len(taps)} outputs."
        )
    histories = [tap.history() for tap in taps]
    longest = max(histories, key=len)
    if starts[0] not in longest:
        raise ValueError(
            f"The outputs must come from the input {starts[0].name!r}. It is not among their ancestors."
        )
    chain = longest[longest.index(starts[0]) :]
    for tap in taps:
        if tap not in chain[1:]:
            raise ValueError(
                "A model is a chain: all outputs must lie on one path from the input. "
                f"Output {tap.name!r} is not on the path {[tensor.name for tensor in chain]}."
            )
    return chain


def _check_unique_names(layers: Sequence[Layer]) -> None:
    """Ops, weights and values are known by their layer's name, those of a model among the layers too."""
    for name, count in Counter(name for layer in layers for name in names_in(layer)).items():
        if count > 1:
            raise ValueError(
                "Layers of a model, and of models among them, must have unique names. "
                f"Received {name!r} more than once."
            )


def names_in(layer: Layer) -> Iterator[str]:
    """The layer's name, and those of all layers in it if it is a model."""
    yield layer.name
    if isinstance(layer, Chain):
        for inner in layer._layers:
            yield from names_in(inner)
