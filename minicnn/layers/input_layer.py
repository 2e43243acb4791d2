"""Where a model starts."""

from typing import Any

from minicnn import config
from minicnn.checks import only_default
from minicnn.engine import ops
from minicnn.layers.layer import Layer
from minicnn.layers.symbolic import BatchShape, SymbolicTensor, shape_of


class InputLayer(Layer):
    """Holds the shape of a model's input; computes nothing. Made by `Input`."""

    def __init__(
        self,
        shape: tuple[int | None, ...] | None = None,
        batch_size: int | None = None,
        dtype: str | None = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: BatchShape | None = None,
        input_tensor: Any = None,
        optional: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        only_default(
            "InputLayer",
            sparse=(bool(sparse), False),
            ragged=(bool(ragged), False),
            input_tensor=(input_tensor, None),
            optional=(optional, False),
        )
        if (shape is None) == (batch_shape is None):
            raise ValueError(
                f"Input takes either `shape` or `batch_shape`. Received shape={shape}, batch_shape={batch_shape}."
            )
        full = (
            (batch_size, *shape_of(shape, "shape"))
            if shape is not None
            else shape_of(batch_shape, "batch_shape")
        )
        self.dtype = dtype or config.floatx()
        """Of the data; images of integers are cast when they are fed."""
        self.batch_shape = full
        self.built = True
        self._output = SymbolicTensor(full, self.dtype, self.name, self)

    def lower(self, shape: ops.Shape) -> tuple[ops.Op, ...]:
        return (ops.Identity(name=self.name),)

    def get_config(self) -> dict[str, Any]:
        return {
            "batch_shape": self.batch_shape,
            "dtype": self.dtype,
            "sparse": False,
            "ragged": False,
            "name": self.name,
            "optional": False,
        }


def Input(
    shape: tuple[int | None, ...] | None = None,
    batch_size: int | None = None,
    dtype: str | None = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: BatchShape | None = None,
    name: str | None = None,
    tensor: Any = None,
    optional: bool = False,
) -> SymbolicTensor:
    """A symbolic tensor of `shape` (batch axis left out) or `batch_shape` (with it): where a model starts.

    Raises:
        ValueError: neither or both of shape and batch_shape; sizes that aren't positive integers or None; `sparse`,
            `ragged`, `tensor` or `optional`, which only Keras has.
    """
    layer = InputLayer(shape, batch_size, dtype, sparse, ragged, batch_shape, tensor, optional, name)
    return layer.output
