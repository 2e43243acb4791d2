"""Softmax layer."""

from typing import Any

from minicnn.engine import ops
from minicnn.layers.layer import Layer


class Softmax(Layer):
    """exp(x) / Σ exp(x) along `axis`, counted with the batch axis as Keras does; never the batch axis itself.

    Raises:
        ValueError: an axis that isn't one integer, or that the input doesn't have.
    """

    is_built_at_once = True

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(axis, bool) or not isinstance(axis, int) or axis == 0:
            raise ValueError(f"`axis` of Softmax must be one integer other than 0. Received axis={axis!r}.")
        self.axis = axis

    def lower(self, shape: ops.Shape) -> tuple[ops.Op, ...]:
        rank = len(shape)
        axis = self.axis - 1 if self.axis > 0 else rank + self.axis
        if not 0 <= axis < rank:
            raise ValueError(
                f"Layer '{self.name}' has axis={self.axis}. Received an input of shape (None, *{shape})."
            )
        if axis == rank - 1:
            return (ops.Softmax(name=self.name),)
        # Swapping two axes undoes itself.
        axes = list(range(rank))
        axes[axis], axes[-1] = axes[-1], axes[axis]
        return (
            ops.Transpose(name=f"{self.name}/to_last", axes=tuple(axes)),
            ops.Softmax(name=f"{self.name}/last"),
            ops.Transpose(name=self.name, axes=tuple(axes)),
        )

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"axis": self.axis}
