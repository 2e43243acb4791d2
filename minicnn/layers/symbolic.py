"""Symbolic tensors: what `Input` returns and what a layer returns when it is called on one.

They carry a shape and where it comes from, nothing else; `Model(inputs, outputs)` follows them back to the input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minicnn.layers.layer import Layer

BatchShape = tuple[int | None, ...]


class SymbolicTensor:
    """A tensor that will be: its shape with the batch axis, its dtype, and the layer that makes it from `parent`."""

    def __init__(
        self,
        shape: BatchShape,
        dtype: str,
        name: str,
        layer: Layer | None = None,
        parent: SymbolicTensor | None = None,
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.name = name
        self.layer = layer
        self.parent = parent

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def history(self) -> list[SymbolicTensor]:
        """From the input to this tensor."""
        tensor: SymbolicTensor | None = self
        tensors = []
        while tensor is not None:
            tensors.append(tensor)
            tensor = tensor.parent
        return tensors[::-1]

    def __repr__(self) -> str:
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}, sparse=False, ragged=False, name={self.name}>"


def shape_of(shape: Any, argument: str) -> BatchShape:
    """A tuple of positive integers or None.

    Raises:
        ValueError: anything else.
    """
    sizes = (shape,) if isinstance(shape, int) else tuple(shape) if isinstance(shape, list | tuple) else None
    if sizes is None or any(
        size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1)
        for size in sizes
    ):
        raise ValueError(
            f"`{argument}` must be a tuple of positive integers or None. Received {argument}={shape!r}."
        )
    return sizes
