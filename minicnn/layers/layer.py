"""The base of all layers: a name, a configuration, variables, and how it lowers to ops. No arithmetic."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minicnn import initializers, regularizers
from minicnn.checks import only_default
from minicnn.engine import ops, run
from minicnn.engine.parallel import Executor
from minicnn.engine.parameters import Variable, have_values, without_values
from minicnn.engine.plan import INPUT, make_plan
from minicnn.engine.workspace import Derived, Workspace
from minicnn.errors import ShapeError
from minicnn.layers.arguments import dtype_of
from minicnn.layers.symbolic import BatchShape, SymbolicTensor
from minicnn.naming import unique_name


class Residuals(NamedTuple):
    """What `layer.forward` leaves for `layer.backward`."""

    x: np.ndarray
    values: dict[str, np.ndarray]
    """Every array that the forward pass kept, by name."""
    workspace: Workspace


class LayerGradients(NamedTuple):
    dx: np.ndarray
    weights: list[np.ndarray]
    """One for each trainable weight."""


class Layer:
    """Configuration and weights. Subclasses define `build` (make variables), `lower` (ops) and `get_config`.

    Keras's meanings: keras/src/layers/layer.py. `dtype` is 'float32' or 'float64', by default `config.floatx()`.
    """

    input_rank: int | None = None
    """Rank of the input with its batch axis, None for any."""
    is_built_at_once: bool = False
    """A layer without weights that Keras calls built from the start; `summary` shows it."""

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: str | None = None,
        autocast: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        kind = type(self).__name__
        only_default(kind, activity_regularizer=(activity_regularizer, None), autocast=(autocast, True))
        if not isinstance(trainable, bool):
            raise ValueError(f"`trainable` must be a boolean. Received trainable={trainable!r}.")
        if name is not None and (
            not isinstance(name, str) or "/" in name or not name or not name.isprintable()
        ):
            raise ValueError(
                f"`name` must be a non-empty string without '/' and control characters. Received name={name!r}."
            )
        dim = kwargs.pop("input_dim", None)
        self.input_shape_argument = kwargs.pop("input_shape", None) if dim is None else (dim,)
        if kwargs:
            raise ValueError(f"{kind} has no such arguments. Received {', '.join(kwargs)}.")
        self.name = name or unique_name(kind)
        self.dtype = dtype_of(dtype)
        self.built = self.is_built_at_once
        self._trainable = trainable
        self._variables: list[Variable] = []
        self._input: SymbolicTensor | None = None
        self._output: SymbolicTensor | None = None
        self._calls = itertools.count()

    # What a subclass defines

    def build(self, input_shape: BatchShape) -> None:
        """Make the variables for inputs of `input_shape`, batch axis included. Layers without weights make none."""
        self.built = True

    def lower(self, shape: ops.Shape) -> tuple[ops.Op, ...]:
        """The ops that compute this layer on inputs of `shape`, batch axis left out. The last one has its name."""
        raise NotImplementedError(f"{type(self).__name__} does not define `lower`.")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; `from_config` takes them back."""
        return {"name": self.name, "trainable": self._trainable, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        return cls(**config)

    # Variables

    def add_weight(
        self,
        shape: tuple[int, ...] | None = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        aggregation: str = "none",
        overwrite_with_gradient: bool = False,
        name: str | None = None,
    ) -> Variable:
        """Make a variable, its values drawn by `initializer` (glorot_uniform), and own it. Arguments are Keras's.

        Raises:
            ValueError: a name that another weight of the layer has, a dtype other than the layer's, an unknown
                regularizer, or an argument that only Keras has.
        """
        only_default(
            "add_weight",
            autocast=(autocast, True),
            constraint=(constraint, None),
            aggregation=(aggregation, "none"),
            overwrite_with_gradient=(overwrite_with_gradient, False),
        )
        if dtype is not None and dtype_of(dtype) != self.dtype:
            raise ValueError(
                f"All weights of layer '{self.name}' must have its dtype {self.dtype}. Received dtype={dtype!r}."
            )
        name = name or f"variable_{len(self._variables)}".removesuffix("_0")
        if any(name == other.name for other in self._variables):
            raise ValueError(
                f"Weights of layer '{self.name}' must have unique names. Received another {name!r}."
            )
        draw = initializers.get(initializer or "glorot_uniform") if have_values() else without_values
        values = draw(shape or (), dtype=self.dtype)
        variable = Variable(values, name=name, path=f"{self.name}/{name}", trainable=trainable)
        variable.regularizer = regularizers.get(regularizer)
        self._variables.append(variable)
        return variable

    @property
    def losses(self) -> list[Any]:
        """The penalties on the trainable weights, one for each regularizer."""
        return [v.regularizer(v.array) for v in self.trainable_variables if v.regularizer is not None]

    @property
    def variables(self) -> list[Variable]:
        return list(self._variables)

    @property
    def weights(self) -> list[Variable]:
        return self.variables

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)

    @property
    def trainable_variables(self) -> list[Variable]:
        return [v for v in self.variables if v.trainable] if self.trainable else []

    @property
    def non_trainable_variables(self) -> list[Variable]:
        return [v for v in self.variables if not v.trainable] if self.trainable else self.variables

    trainable_weights = trainable_variables
    non_trainable_weights = non_trainable_variables

    def count_params(self) -> int:
        """Number of weights.

        Raises:
            ValueError: the layer isn't built.
        """
        if not self.built:
            raise ValueError(
                f"count_params needs a built layer: layer '{self.name}' has no input shape yet. "
                "Call `build(input_shape)` or call the layer on data first."
            )
        return sum(v.array.size for v in self.variables)

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the values of all variables."""
        return [v.numpy() for v in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Overwrite all variables in place, or none.

        Raises:
            ValueError: another number of arrays, or another shape than a variable's.
        """
        variables, arrays = self.weights, [np.asarray(w) for w in weights]
        if len(arrays) != len(variables):
            raise ValueError(
                f"Layer '{self.name}' has {len(variables)} weights; set_weights needs as many arrays. "
                f"Received {len(arrays)}."
            )
        for variable, array in zip(variables, arrays, strict=True):
            if variable.shape != array.shape:
                raise ShapeError(
                    f"Layer '{self.name}': weight '{variable.path}' has shape {variable.shape}. "
                    f"Received an array of shape {array.shape}."
                )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)

    # Shapes

    def compute_output_shape(self, input_shape: BatchShape) -> BatchShape:
        """The output's shape for `input_shape`, batch axis included in both; unknown sizes (None) stay unknown."""
        self.check_input_shape(input_shape)
        known = tuple(UNKNOWN_SIZE if size is None else size for size in input_shape[1:])
        shape = self.shape_after(known)
        if None not in input_shape[1:]:
            return (input_shape[0], *shape)
        other = self.shape_after(
            tuple(UNKNOWN_SIZE + 97 if size is None else size for size in input_shape[1:])
        )
        return (input_shape[0], *(a if a == b else None for a, b in zip(shape, other, strict=True)))

    def shape_after(self, shape: ops.Shape) -> ops.Shape:
        """The output's shape for inputs of `shape`, batch axis left out of both."""
        for op in self.lower(shape):
            shape = op.output_shape(shape)
        return shape

    def check_input_shape(self, input_shape: BatchShape) -> None:
        """Raise a ShapeError that names the layer if its rank or channels don't fit `input_shape` (with batch axis)."""
        if self.input_rank is not None and len(input_shape) != self.input_rank:
            raise ShapeError(
                f"Input of layer '{self.name}' ({type(self).__name__}) must have rank {self.input_rank}, batch axis "
                f"included. Received shape {tuple(input_shape)}, of rank {len(input_shape)}."
            )

    @property
    def input(self) -> SymbolicTensor:
        return _known(self._input, self.name, "input")

    @property
    def output(self) -> SymbolicTensor:
        return _known(self._output, self.name, "output")

    # Calling

    def __call__(self, inputs: Any, training: bool = False) -> Any:
        """The layer's output: an owned array for an array (N, …), a symbolic tensor for a symbolic one.

        Raises:
            ShapeError: a rank or a number of channels that the layer doesn't take.
        """
        if isinstance(inputs, SymbolicTensor):
            return self.connect(inputs)
        x = self._prepared(inputs)
        plan = make_plan(self.lower(x.shape[1:]), x.shape[1:], training=training, dtype=self.dtype)
        return Executor(plan).run(self.parameters(), x, step=next(self._calls)).outputs

    def connect(self, tensor: SymbolicTensor) -> SymbolicTensor:
        """Build for `tensor` if need be, and return the symbolic output."""
        self.ensure_built(tensor.shape)
        shape = self.compute_output_shape(tensor.shape)
        self._input, self._output = tensor, SymbolicTensor(shape, self.dtype, self.name, self, tensor)
        return self._output

    def ensure_built(self, input_shape: BatchShape) -> None:
        self.check_input_shape(input_shape)
        if not self.built:
            self.build(input_shape)

    def forward(self, x: Any, *, backend: str = "numba") -> tuple[np.ndarray, Residuals]:
        """Return y (N, …) and the residuals that `backward` needs. In training mode Dropout acts."""
        x = self._prepared(x)
        plan = make_plan(
            self.lower(x.shape[1:]),
            x.shape[1:],
            len(x),
            training=True,
            backend=backend,
            dtype=self.dtype,
            gradients=[v.path for v in self.trainable_variables],
            value_gradients=[INPUT],
        )
        parameters, derived = self.parameters(), Derived(plan)
        weights = [tuple(parameters[path] for path in step.op.parameters) for step in plan.steps]
        derived.update(weights)
        ws = Workspace(plan, derived)
        y = run.forward(ws, weights, x, draw=(next(self._calls), 0)).copy()
        return y, Residuals(x, {b.name: ws.view(b, len(x)) for b in plan.buffers}, ws)

    def backward(self, dy: Any, residuals: Residuals) -> LayerGradients:
        """Return the gradients of Σ dy·y by the input and by each trainable weight."""
        ws, dy = residuals.workspace, np.ascontiguousarray(dy, self.dtype)
        gradients = {v.path: np.zeros(v.shape, self.dtype) for v in self.trainable_variables}
        by_step = [
            tuple(gradients[path] for path in step.op.parameters) if step.wants_dw else ()
            for step in ws.plan.steps
        ]
        run.backward(ws, by_step, dy)
        return LayerGradients(run.value_gradient(ws, INPUT, len(dy)).copy(), list(gradients.values()))

    def parameters(self) -> dict[str, np.ndarray]:
        """The arrays of the variables by path: what a run reads."""
        return {v.path: v.array for v in self.variables}

    def _prepared(self, x: Any) -> np.ndarray:
        """x as a contiguous array of the layer's dtype, the layer built for it."""
        x = np.asarray(x)
        if x.dtype.kind not in "fiub":
            raise TypeError(f"Layer '{self.name}' takes real numbers. Received an array of dtype {x.dtype}.")
        self.ensure_built((None, *x.shape[1:]) if x.ndim else ())
        return np.ascontiguousarray(x, self.dtype)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


UNKNOWN_SIZE = 1009
"""Stands for an unknown image size where only shapes are computed; the sizes that depend on it are reported as None."""


def _known(tensor: SymbolicTensor | None, layer: str, what: str) -> SymbolicTensor:
    if tensor is None:
        raise AttributeError(f"The layer '{layer}' has never been called and thus has no defined {what}.")
    return tensor
