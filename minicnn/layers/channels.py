"""Lowering layers that work on channels-last images for data_format='channels_first': transpose in, transpose out."""

from collections.abc import Callable

from minicnn.engine import ops
from minicnn.engine.ops import Op, Shape
from minicnn.layers.symbolic import BatchShape

TO_LAST = (1, 2, 0)
TO_FIRST = (2, 0, 1)


def channels_last_shape(shape: Shape, data_format: str) -> Shape:
    """(H, W, C) of an image of `shape`, batch axis left out."""
    return shape if data_format == "channels_last" else (*shape[1:], shape[0])


def channels_of(input_shape: BatchShape, data_format: str) -> int | None:
    """Number of channels of images of `input_shape`, batch axis included."""
    return input_shape[-1 if data_format == "channels_last" else 1]


def lower_images(
    name: str, shape: Shape, data_format: str, lower: Callable[[str, Shape], tuple[Op, ...]]
) -> tuple[Op, ...]:
    """The ops of `lower(name, (H, W, C))`, between transposes if channels come first."""
    if data_format == "channels_last":
        return lower(name, shape)
    middle = lower(f"{name}/channels_last", channels_last_shape(shape, data_format))
    return (
        ops.Transpose(name=f"{name}/to_last", axes=TO_LAST),
        *middle,
        ops.Transpose(name=name, axes=TO_FIRST),
    )
