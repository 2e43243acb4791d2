"""A loss made of a user's NumPy pair (`minicnn.ops.register`)."""

from typing import Any

import numpy as np

from minicnn.engine import ops
from minicnn.engine.binding import PAIRS
from minicnn.errors import ShapeError
from minicnn.losses.loss import Loss
from minicnn.losses.targets import check_numbers


class RegisteredLoss(Loss):
    """The pair registered as `function`, reduced. Targets may have any shape with one entry a sample.

    Raises:
        ValueError: nothing is registered under that name.
    """

    def __init__(self, function: str, **kwargs: Any) -> None:
        super().__init__(**{"name": function} | kwargs)
        if function not in PAIRS:
            raise ValueError(f"No pair is registered as {function!r}. Known: {', '.join(PAIRS) or 'none'}.")
        self.function = function

    def call(self, y_true: Any, y_pred: np.ndarray) -> np.ndarray:
        forward, _ = PAIRS[self.function]
        return forward(y_pred, self.targets(y_true, y_pred.shape, y_pred.dtype.name))[0]

    def lower(self, name: str, last_op: ops.Op | None) -> ops.Loss:
        return ops.CustomLoss(name=name, function=self.function)

    def targets(self, y_true: Any, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        y = check_numbers("y_true", y_true)
        if y.shape[:1] != shape[:1]:
            raise ShapeError(
                f"{self.name} takes one target for each sample. Received y_true.shape={y.shape}, y_pred.shape={shape}."
            )
        return np.ascontiguousarray(y, dtype)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"function": self.function}
