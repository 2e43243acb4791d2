"""Random flip layer."""

from typing import Any

from minicnn.checks import one_of
from minicnn.layers.random_transform import Bounds, RandomTransform

MODES = ("horizontal", "vertical", "horizontal_and_vertical")


class RandomFlip(RandomTransform):
    """Flips each image with probability ½: left to right, top to bottom, or both at once, as Keras does.

    Raises:
        ValueError: an unknown mode.
    """

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, data_format, {}, **kwargs)
        self.mode = self.kind = one_of("mode", mode, MODES)

    def bounds(self) -> tuple[Bounds, ...]:
        return ((0.0, 1.0),)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"mode": self.mode}
