"""Random rotation layer."""

from typing import Any

from minicnn.layers.random_transform import Bounds, RandomTransform, factor_bounds, sampling_of


class RandomRotation(RandomTransform):
    """Turns each image about its middle by a random share of a full turn, counter-clockwise if it is positive.

    A factor f means shares in [−f, f], a pair the shares between its numbers; each from −1 to 1.

    Raises:
        ValueError: a factor out of bounds, an unknown fill mode or interpolation.
    """

    kind = "rotation"

    def __init__(
        self,
        factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, data_format, sampling_of(fill_mode, interpolation, fill_value), **kwargs)
        self.factor = factor_bounds("factor", factor)

    def bounds(self) -> tuple[Bounds, ...]:
        return (self.factor,)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"factor": self.factor}
