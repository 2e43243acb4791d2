"""Losses as metrics: the mean over all samples seen, without the loss's reduction."""

from typing import Any

from minicnn import losses
from minicnn.metrics.metric import MeanMetricWrapper


class MeanSquaredError(MeanMetricWrapper):
    """The mean of `losses.mean_squared_error`."""

    direction = "down"

    def __init__(self, name: str | None = "mean_squared_error", dtype: Any = None) -> None:
        super().__init__(losses.mean_squared_error, name, dtype)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}


class MeanAbsoluteError(MeanMetricWrapper):
    """The mean of `losses.mean_absolute_error`."""

    direction = "down"

    def __init__(self, name: str | None = "mean_absolute_error", dtype: Any = None) -> None:
        super().__init__(losses.mean_absolute_error, name, dtype)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}


class _Crossentropy(MeanMetricWrapper):
    """The mean of a cross-entropy; its arguments are its configuration."""

    direction = "down"

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype} | self._fn_kwargs


class BinaryCrossentropy(_Crossentropy):
    """The mean of `losses.binary_crossentropy`."""

    def __init__(
        self,
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
    ) -> None:
        losses.BinaryCrossentropy(from_logits, label_smoothing)  # checks the arguments
        arguments = {"from_logits": from_logits, "label_smoothing": label_smoothing}
        super().__init__(losses.binary_crossentropy, name, dtype, **arguments)


class CategoricalCrossentropy(_Crossentropy):
    """The mean of `losses.categorical_crossentropy`."""

    def __init__(
        self,
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
        axis: int = -1,
    ) -> None:
        losses.CategoricalCrossentropy(from_logits, label_smoothing, axis)  # checks the arguments
        arguments = {"from_logits": from_logits, "label_smoothing": label_smoothing, "axis": axis}
        super().__init__(losses.categorical_crossentropy, name, dtype, **arguments)


class SparseCategoricalCrossentropy(_Crossentropy):
    """The mean of `losses.sparse_categorical_crossentropy`."""

    def __init__(
        self,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ) -> None:
        losses.SparseCategoricalCrossentropy(from_logits, ignore_class, axis=axis)  # checks the arguments
        arguments = {"from_logits": from_logits, "ignore_class": ignore_class, "axis": axis}
        super().__init__(losses.sparse_categorical_crossentropy, name, dtype, **arguments)
