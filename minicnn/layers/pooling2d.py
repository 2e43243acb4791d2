"""What max and average pooling layers share: a pool size, strides, padding and a data format."""

from typing import Any

from minicnn.engine import ops
from minicnn.errors import ShapeError
from minicnn.geometry import make_window
from minicnn.layers.arguments import data_format_of, padding_of, positive_pair
from minicnn.layers.channels import lower_images
from minicnn.layers.layer import Layer


class Pooling2D(Layer):
    """Base: slides a window over each channel: (N, H, W, C) → (N, OH, OW, C), or channels first.

    Arguments are Keras's (keras/src/layers/pooling/base_pooling.py); `strides` is the pool size by default.

    Raises:
        ValueError: sizes that aren't positive integers, an unknown padding or data format.
    """

    input_rank = 4
    is_built_at_once = True
    op: type[ops.MaxPool2D] | type[ops.AveragePool2D]

    def __init__(
        self,
        pool_size: int | tuple[int, int],
        strides: int | tuple[int, int] | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.pool_size = positive_pair("pool_size", pool_size)
        self.strides = self.pool_size if strides is None else positive_pair("strides", strides)
        self.padding = padding_of(padding)
        self.data_format = data_format_of(data_format)

    def lower(self, shape: ops.Shape) -> tuple[ops.Op, ...]:
        return lower_images(self.name, shape, self.data_format, self._lower)

    def _lower(self, name: str, shape: ops.Shape) -> tuple[ops.Op, ...]:
        try:
            window = make_window((shape[0], shape[1]), self.pool_size, self.strides, self.padding)
        except ValueError as error:
            raise ShapeError(f"Layer '{self.name}' ({type(self).__name__}): {error}") from None
        return (self.op(name=name, window=window),)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "pool_size": self.pool_size,
            "padding": self.padding,
            "strides": self.strides,
            "data_format": self.data_format,
        }
