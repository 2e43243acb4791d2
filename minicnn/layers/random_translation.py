"""Random translation layer."""

from typing import Any

from minicnn.layers.random_transform import Bounds, RandomTransform, factor_bounds, sampling_of


class RandomTranslation(RandomTransform):
    """Moves each image down and right by random shares of its height and width.

    A factor f means shares in [−f, f], a pair the shares between its numbers; each from −1 to 1. `fill_mode` says what
    comes in over the edge: 'reflect', 'wrap', 'nearest', or `fill_value` for 'constant'.

    Raises:
        ValueError: a factor out of bounds, an unknown fill mode or interpolation.
    """

    kind = "translation"

    def __init__(
        self,
        height_factor: Any,
        width_factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, data_format, sampling_of(fill_mode, interpolation, fill_value), **kwargs)
        self.height_factor, self.width_factor = height_factor, width_factor
        self._bounds = (
            factor_bounds("height_factor", height_factor),
            factor_bounds("width_factor", width_factor),
        )

    def bounds(self) -> tuple[Bounds, ...]:
        return self._bounds

    def get_config(self) -> dict[str, Any]:
        own = {"height_factor": self.height_factor, "width_factor": self.width_factor}
        return super().get_config() | own
