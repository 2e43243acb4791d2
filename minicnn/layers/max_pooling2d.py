"""Max pooling layer."""

from typing import Any

from minicnn.engine import ops
from minicnn.layers.pooling2d import Pooling2D


class MaxPooling2D(Pooling2D):
    """Maximum of each window; padding counts as −∞, ties go to the first maximum in row-major order."""

    op = ops.MaxPool2D

    def __init__(
        self,
        pool_size: int | tuple[int, int] = (2, 2),
        strides: int | tuple[int, int] | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)
