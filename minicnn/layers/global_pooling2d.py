"""Global pooling layers: one number for each feature map."""

from typing import Any

from minicnn.engine import ops
from minicnn.layers.arguments import data_format_of
from minicnn.layers.channels import TO_LAST
from minicnn.layers.layer import Layer


class GlobalPooling2D(Layer):
    """Base: (N, H, W, C) → (N, C), with `keepdims` (N, 1, 1, C); or channels first.

    Arguments are Keras's (keras/src/layers/pooling/base_global_pooling.py).
    """

    input_rank = 4
    is_built_at_once = True
    op: type[ops.GlobalMaxPool2D] | type[ops.GlobalAveragePool2D]

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = data_format_of(data_format)
        self.keepdims = bool(keepdims)

    def lower(self, shape: ops.Shape) -> tuple[ops.Op, ...]:
        channels_last = self.data_format == "channels_last"
        channels = shape[-1 if channels_last else 0]
        kept = (1, 1, channels) if channels_last else (channels, 1, 1)
        name = f"{self.name}/pooled" if self.keepdims else self.name
        to_last = () if channels_last else (ops.Transpose(name=f"{self.name}/to_last", axes=TO_LAST),)
        keep = (ops.Reshape(name=self.name, shape=kept),) if self.keepdims else ()
        return (*to_last, self.op(name=name), *keep)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"data_format": self.data_format, "keepdims": self.keepdims}


class GlobalMaxPooling2D(GlobalPooling2D):
    """Maximum of each feature map; the gradient is shared equally among ties, as Keras does."""

    op = ops.GlobalMaxPool2D


class GlobalAveragePooling2D(GlobalPooling2D):
    """Mean of each feature map."""

    op = ops.GlobalAveragePool2D
