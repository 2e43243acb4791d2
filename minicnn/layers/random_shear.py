"""Random shear layer."""

from typing import Any

from minicnn.layers.random_transform import Bounds, RandomTransform, factor_bounds, sampling_of


class RandomShear(RandomTransform):
    """Shears each image about its upper left corner: rows slide along x, columns along y, by random shares.

    A factor f from 0 to 1 means shares in [−f, f], a pair the shares between its numbers; half of the draws are
    reversed. A pair may be negative, so that `from_config` takes what `get_config` gives; Keras's raises there.

    Raises:
        ValueError: a factor out of bounds, an unknown fill mode or interpolation.
    """

    kind = "shear"

    def __init__(
        self,
        x_factor: Any = 0.0,
        y_factor: Any = 0.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, data_format, sampling_of(fill_mode, interpolation, fill_value), **kwargs)
        self.x_factor = _bounds("x_factor", x_factor)
        self.y_factor = _bounds("y_factor", y_factor)

    def bounds(self) -> tuple[Bounds, ...]:
        return (0.0, 1.0), self.x_factor, self.y_factor

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"x_factor": self.x_factor, "y_factor": self.y_factor}


def _bounds(name: str, factor: Any) -> Bounds:
    return factor_bounds(name, factor, -1.0 if isinstance(factor, list | tuple) else 0.0)
