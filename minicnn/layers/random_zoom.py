"""Random zoom layer."""

from typing import Any

from minicnn.layers.random_transform import Bounds, RandomTransform, factor_bounds, sampling_of


class RandomZoom(RandomTransform):
    """Zooms each image out (positive) or in (negative) about its middle, by random shares of its height and width.

    A factor f means shares in [−f, f], a pair the shares between its numbers; each above −1 and at most 1. Without
    `width_factor` both axes are zoomed alike.

    Raises:
        ValueError: a factor out of bounds, an unknown fill mode or interpolation.
    """

    kind = "zoom"

    def __init__(
        self,
        height_factor: Any,
        width_factor: Any = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, data_format, sampling_of(fill_mode, interpolation, fill_value), **kwargs)
        self.height_factor, self.width_factor = height_factor, width_factor
        factors = {"height_factor": height_factor, "width_factor": width_factor}
        self._bounds = tuple(
            factor_bounds(name, factor, low_included=False)
            for name, factor in factors.items()
            if name == "height_factor" or factor is not None
        )

    def bounds(self) -> tuple[Bounds, ...]:
        return self._bounds

    def get_config(self) -> dict[str, Any]:
        own = {"height_factor": self.height_factor, "width_factor": self.width_factor}
        return super().get_config() | own
