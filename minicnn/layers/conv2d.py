"""2-D convolution layer."""

from typing import Any

from minicnn import activations, initializers, regularizers
from minicnn.checks import integer, only_default
from minicnn.engine import ops
from minicnn.errors import ShapeError
from minicnn.geometry import Pair, Window, make_window
from minicnn.layers.arguments import data_format_of, padding_of, positive_pair
from minicnn.layers.channels import channels_of, lower_images
from minicnn.layers.layer import Layer
from minicnn.layers.symbolic import BatchShape


class Conv2D(Layer):
    """Slides `filters` kernels over images: (N, H, W, C) → (N, OH, OW, filters), or channels first.

    Arguments are Keras's (keras/src/layers/convolutional/base_conv.py). The kernel has shape (P, Q, C / groups,
    filters) whatever the data format. What is computed is a cross-correlation: the kernel is not flipped.

    Raises:
        ValueError: sizes that aren't positive integers, strides and dilation both above 1, filters that `groups`
            doesn't divide, an unknown padding, data format, activation, initializer or regularizer, a constraint.
    """

    input_rank = 4

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int, int] = (1, 1),
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        only_default(
            "Conv2D",
            kernel_constraint=(kernel_constraint, None),
            bias_constraint=(bias_constraint, None),
        )
        self.filters = integer("filters", filters, 1)
        self.kernel_size = positive_pair("kernel_size", kernel_size)
        self.strides = positive_pair("strides", strides)
        self.padding = padding_of(padding)
        self.data_format = data_format_of(data_format)
        self.dilation_rate = positive_pair("dilation_rate", dilation_rate)
        self.groups = integer("groups", groups, 1)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        if self.filters % self.groups:
            raise ValueError(
                f"`filters` must be a multiple of `groups`. Received filters={filters}, groups={groups}."
            )
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                "`strides` > 1 can't be combined with `dilation_rate` > 1. "
                f"Received strides={strides}, dilation_rate={dilation_rate}."
            )

    def check_input_shape(self, input_shape: BatchShape) -> None:
        super().check_input_shape(input_shape)
        channels = channels_of(input_shape, self.data_format)
        if channels is None:
            raise ShapeError(
                f"Layer '{self.name}' needs to know the channels. Received input shape {input_shape}."
            )
        if channels % self.groups:
            raise ShapeError(
                f"Layer '{self.name}': the input's channels must be a multiple of groups={self.groups}. "
                f"Received {channels} channels, input shape {tuple(input_shape)}."
            )
        if self.built and channels != self.kernel.shape[2] * self.groups:
            raise ShapeError(
                f"Layer '{self.name}' has a kernel of shape {self.kernel.shape} and takes "
                f"{self.kernel.shape[2] * self.groups} channels ({self.data_format}). "
                f"Received input shape {tuple(input_shape)}."
            )

    def build(self, input_shape: BatchShape) -> None:
        self.check_input_shape(input_shape)
        channels = channels_of(input_shape, self.data_format) or 0
        shape = (*self.kernel_size, channels // self.groups, self.filters)
        self.kernel = self.add_weight(
            shape, self.kernel_initializer, regularizer=self.kernel_regularizer, name="kernel"
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                (self.filters,), self.bias_initializer, regularizer=self.bias_regularizer, name="bias"
            )
        self.built = True

    def lower(self, shape: ops.Shape) -> tuple[ops.Op, ...]:
        if self.data_format == "channels_first" and self.activation is activations.softmax:
            # Softmax over the last axis means the image's columns here: it comes after the channels are back in front.
            linear = lower_images(f"{self.name}/linear", shape, self.data_format, self._lower_linear)
            return (*linear, *activations.lower(self.activation, self.name))
        return lower_images(self.name, shape, self.data_format, self._lower_activated)

    def _lower_activated(self, name: str, shape: ops.Shape) -> tuple[ops.Op, ...]:
        activation = activations.lower(self.activation, name)
        return (*self._lower_linear(f"{name}/linear" if activation else name, shape), *activation)

    def _lower_linear(self, name: str, shape: ops.Shape) -> tuple[ops.Op, ...]:
        paths = [f"{self.name}/kernel", f"{self.name}/bias"][: 2 if self.use_bias else 1]
        window = self.window((shape[0], shape[1]))
        return (
            ops.Conv2D(
                name=name, parameters=tuple(paths), window=window, filters=self.filters, groups=self.groups
            ),
        )

    def window(self, image_size: Pair) -> Window:
        """The kernel as a window over images of this (H, W).

        Raises:
            ShapeError: a 'valid' kernel larger than the image.
        """
        try:
            return make_window(image_size, self.kernel_size, self.strides, self.padding, self.dilation_rate)
        except ValueError as error:
            raise ShapeError(f"Layer '{self.name}' (Conv2D): {error}") from None

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": None,
            "kernel_constraint": None,
            "bias_constraint": None,
        }
