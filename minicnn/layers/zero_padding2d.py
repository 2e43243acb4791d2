"""Zero padding layer."""

from typing import Any

from minicnn.engine import ops
from minicnn.layers.arguments import data_format_of
from minicnn.layers.channels import lower_images
from minicnn.layers.layer import Layer


class ZeroPadding2D(Layer):
    """Surrounds images with zeros: `padding` is one integer, (rows, columns), or ((top, bottom), (left, right)).

    Raises:
        ValueError: anything else, or an unknown data format.
    """

    input_rank = 4

    def __init__(self, padding: Any = (1, 1), data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.padding = _pads(padding)
        self.data_format = data_format_of(data_format)

    def lower(self, shape: ops.Shape) -> tuple[ops.Op, ...]:
        return lower_images(
            self.name, shape, self.data_format, lambda name, _: (ops.ZeroPad2D(name=name, pads=self.padding),)
        )

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"padding": self.padding, "data_format": self.data_format}


def _pads(padding: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    sides = (padding, padding) if isinstance(padding, int) else padding
    try:
        pairs = tuple((side, side) if isinstance(side, int) else tuple(side) for side in sides)
    except TypeError:
        pairs = ()
    if len(pairs) != 2 or any(
        len(pair) != 2 or any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in pair)
        for pair in pairs
    ):
        raise ValueError(
            "`padding` must be a non-negative integer, two of them, or ((top, bottom), (left, right)). "
            f"Received padding={padding!r}."
        )
    return pairs[0], pairs[1]
