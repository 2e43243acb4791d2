"""Densely connected layer."""

from typing import Any

from minicnn import activations, initializers, regularizers
from minicnn.checks import integer, only_default
from minicnn.engine import ops
from minicnn.errors import ShapeError
from minicnn.layers.layer import Layer
from minicnn.layers.symbolic import BatchShape


class Dense(Layer):
    """activation(x·kernel + bias) along the last axis: (N, …, C) → (N, …, units).

    Arguments are Keras's (keras/src/layers/core/dense.py); the kernel has shape (C, units).

    Raises:
        ValueError: `units` not a positive integer, an unknown activation, initializer or regularizer, a constraint,
            lora or quantization argument.
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: int | None = None,
        lora_alpha: int | None = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        only_default(
            "Dense",
            kernel_constraint=(kernel_constraint, None),
            bias_constraint=(bias_constraint, None),
            lora_rank=(lora_rank, None),
            lora_alpha=(lora_alpha, None),
            quantization_config=(quantization_config, None),
        )
        self.units = integer("units", units, 1)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)

    def check_input_shape(self, input_shape: BatchShape) -> None:
        if len(input_shape) < 2 or input_shape[-1] is None:
            raise ShapeError(
                f"Layer '{self.name}' (Dense) needs a batch axis and a last axis of known size. "
                f"Received input shape {tuple(input_shape)}."
            )
        if self.built and input_shape[-1] != self.kernel.shape[0]:
            raise ShapeError(
                f"Layer '{self.name}' has a kernel of shape {self.kernel.shape} and takes a last axis of "
                f"{self.kernel.shape[0]}. Received input shape {tuple(input_shape)}."
            )

    def build(self, input_shape: BatchShape) -> None:
        self.check_input_shape(input_shape)
        shape = (input_shape[-1] or 0, self.units)
        self.kernel = self.add_weight(
            shape, self.kernel_initializer, regularizer=self.kernel_regularizer, name="kernel"
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                (self.units,), self.bias_initializer, regularizer=self.bias_regularizer, name="bias"
            )
        self.built = True

    def lower(self, shape: ops.Shape) -> tuple[ops.Op, ...]:
        paths = (f"{self.name}/kernel", f"{self.name}/bias")[: 2 if self.use_bias else 1]
        activation = activations.lower(self.activation, self.name)
        name = f"{self.name}/linear" if activation else self.name
        return (ops.Dense(name=name, parameters=paths, units=self.units), *activation)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": None,
            "bias_constraint": None,
            "quantization_config": None,
        }
