"""The base of the layers that move images about while a model is trained, and the checks of their arguments."""

from typing import Any

from minicnn import random
from minicnn.checks import integer, is_number, number, one_of
from minicnn.engine import ops
from minicnn.layers.arguments import data_format_of
from minicnn.layers.channels import lower_images
from minicnn.layers.layer import Layer
from minicnn.reference.affine import FILL_MODES, INTERPOLATIONS

Bounds = tuple[float, float]


class RandomTransform(Layer):
    """Transforms each image by a draw of its own: in training, and when it is called alone; elsewhere the identity.

    The draw depends on the seed, the training step and the image's place in the batch, and on nothing else.
    """

    input_rank = 4
    kind: str
    """One of reference.random_affine's KINDS."""

    def __init__(
        self, seed: int | None, data_format: str | None, sampling: dict[str, Any], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.seed = None if seed is None else integer("seed", seed, 0)
        self.data_format = data_format_of(data_format)
        self.drawn_seed = random.next_seed() if self.seed is None else self.seed
        self._sampling = sampling

    def bounds(self) -> tuple[Bounds, ...]:
        """Between which two each number of the transform is drawn."""
        raise NotImplementedError(f"{type(self).__name__} does not define `bounds`.")

    def __call__(self, inputs: Any, training: bool = True) -> Any:
        return super().__call__(inputs, training=training)

    def lower(self, shape: ops.Shape) -> tuple[ops.Op, ...]:
        bounds = tuple((float(low), float(high)) for low, high in self.bounds())
        settings = {"kind": self.kind, "bounds": bounds, "seed": self.drawn_seed, **self._sampling}
        return lower_images(
            self.name, shape, self.data_format, lambda name, _: (ops.RandomAffine(name=name, **settings),)
        )

    def get_config(self) -> dict[str, Any]:
        own = {"seed": self.seed, "data_format": self.data_format}
        return super().get_config() | own | self._sampling


def sampling_of(fill_mode: Any, interpolation: Any, fill_value: Any) -> dict[str, Any]:
    """The three by name, checked."""
    return {
        "fill_mode": one_of("fill_mode", fill_mode, FILL_MODES),
        "interpolation": one_of("interpolation", interpolation, INTERPOLATIONS),
        "fill_value": number("fill_value", fill_value),
    }


def factor_bounds(name: str, factor: Any, low: float = -1.0, *, low_included: bool = True) -> Bounds:
    """(−|f|, |f|) for one number f, or two numbers in order; each from `low` to 1."""
    numbers = factor if isinstance(factor, list | tuple) else (factor, factor)
    if len(numbers) != 2 or not all(
        is_number(f) and low <= f <= 1 and (low_included or f > low) for f in numbers
    ):
        raise ValueError(
            f"`{name}` must be one number or two in {'[' if low_included else '('}{low}, 1.0]. "
            f"Received {name}={factor!r}."
        )
    if isinstance(factor, list | tuple):
        return min(numbers), max(numbers)
    return -abs(factor), abs(factor)
