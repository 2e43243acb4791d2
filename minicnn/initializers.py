"""Initial values of weights. Names, arguments and distributions are Keras's (keras/src/initializers/).

An initializer is called with a shape and gives a new array. A random one draws from a generator of its own, seeded with
its `seed`: called again with the same shape it gives the same values, as in Keras. Without a seed it takes the next one
of the global stream when it is made. Values are drawn in float64 and rounded once, so that a seed means the same
weights in both float types. The bits are not Keras's.
"""

from collections.abc import Mapping, Sequence
from math import prod, sqrt
from typing import Any

import numpy as np

from minicnn import config as settings
from minicnn import random
from minicnn.checks import integer, is_integer, number, one_of
from minicnn.naming import snake_case
from minicnn.registry import Registry

Shape = Sequence[int]

TRUNCATED_STDDEV = 0.87962566103423978
"""Standard deviation of the normal distribution cut off at ±2: √(1 − 4·φ(2) / (2·Φ(2) − 1))."""


class Initializer:
    """Base: subclasses define `__call__` and `get_config`."""

    def __call__(self, shape: Shape, dtype: Any = None) -> np.ndarray:
        """A new array of `shape`, in `config.floatx()` unless `dtype` is given."""
        raise NotImplementedError(f"{type(self).__name__} does not define `__call__`.")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; `from_config` takes them back."""
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Initializer":
        return cls(**config)

    def clone(self) -> "Initializer":
        """Another one of the same configuration; without a seed it draws other values."""
        return type(self).from_config(self.get_config())


class Zeros(Initializer):
    """All zeros."""

    def __call__(self, shape: Shape, dtype: Any = None) -> np.ndarray:
        return np.zeros(_checked(shape), settings.standardize_dtype(dtype))


class Ones(Initializer):
    """All ones."""

    def __call__(self, shape: Shape, dtype: Any = None) -> np.ndarray:
        return np.ones(_checked(shape), settings.standardize_dtype(dtype))


class Constant(Initializer):
    """All `value`.

    Raises:
        ValueError: a value that isn't a real number.
    """

    def __init__(self, value: float = 0.0) -> None:
        self.value = number("value", value)

    def __call__(self, shape: Shape, dtype: Any = None) -> np.ndarray:
        return np.full(_checked(shape), self.value, settings.standardize_dtype(dtype))

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value}


class RandomInitializer(Initializer):
    """Base of the random ones: subclasses define `_draw`.

    Raises:
        ValueError: a seed that is neither None nor a non-negative integer.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._given_seed = None if seed is None else integer("seed", seed, 0)
        self.seed = random.next_seed() if self._given_seed is None else self._given_seed

    def __call__(self, shape: Shape, dtype: Any = None) -> np.ndarray:
        values = self._draw(np.random.Generator(np.random.Philox(self.seed)), _checked(shape))
        return np.asarray(values).astype(settings.standardize_dtype(dtype))

    def _draw(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Values in float64."""
        raise NotImplementedError(f"{type(self).__name__} does not define `_draw`.")

    def get_config(self) -> dict[str, Any]:
        return {"seed": self._given_seed}


class RandomNormal(RandomInitializer):
    """Normal with `mean` and standard deviation `stddev`."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean, self.stddev = number("mean", mean), number("stddev", stddev, 0)
        super().__init__(seed)

    def _draw(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return generator.normal(self.mean, self.stddev, shape)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"mean": self.mean, "stddev": self.stddev}


class TruncatedNormal(RandomNormal):
    """Normal, values farther than 2·`stddev` from the mean drawn again."""

    def _draw(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return self.mean + self.stddev * _truncated_normal(generator, shape)


class RandomUniform(RandomInitializer):
    """Uniform between `minval` and `maxval`."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        self.minval, self.maxval = number("minval", minval), number("maxval", maxval)
        if self.maxval < self.minval:
            raise ValueError(
                f"`minval` must be at most `maxval`. Received minval={minval!r}, maxval={maxval!r}."
            )
        super().__init__(seed)

    def _draw(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return generator.uniform(self.minval, self.maxval, shape)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"minval": self.minval, "maxval": self.maxval}


class VarianceScaling(RandomInitializer):
    """Mean 0 and variance scale / n, where n is `fan_in`, `fan_out` or their mean `fan_avg` (see `compute_fans`).

    `distribution` is 'uniform', 'truncated_normal' (also 'normal') or 'untruncated_normal'. `input_axes` and
    `output_axes` name the axes that count as fan in and fan out, instead of the usual ones.

    Raises:
        ValueError: a scale that isn't positive, an unknown mode or distribution.
    """

    MODES = ("fan_in", "fan_out", "fan_avg")
    DISTRIBUTIONS = ("uniform", "truncated_normal", "untruncated_normal")

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        self.scale = number("scale", scale)
        if self.scale <= 0:
            raise ValueError(f"`scale` must be positive. Received scale={scale!r}.")
        self.mode = one_of("mode", mode, self.MODES)
        name = "truncated_normal" if str(distribution).lower() == "normal" else str(distribution).lower()
        self.distribution = one_of("distribution", name, self.DISTRIBUTIONS)
        self.input_axes, self.output_axes = input_axes, output_axes
        super().__init__(seed)

    def _draw(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1, fan)
        if self.distribution == "uniform":
            limit = sqrt(3 * variance)
            return generator.uniform(-limit, limit, shape)
        if self.distribution == "truncated_normal":
            return sqrt(variance) / TRUNCATED_STDDEV * _truncated_normal(generator, shape)
        return generator.normal(0, sqrt(variance), shape)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }


class _Named(VarianceScaling):
    """A scaling known by its author: only the seed and the axes are free."""

    SCALING: tuple[float, str, str]

    def __init__(
        self,
        seed: int | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(*self.SCALING, seed=seed, input_axes=input_axes, output_axes=output_axes)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self._given_seed, "input_axes": self.input_axes, "output_axes": self.output_axes}


class GlorotUniform(_Named):
    """Uniform in ±√(6 / (fan_in + fan_out)): Glorot & Bengio, AISTATS 2010, eq. 16."""

    SCALING = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Named):
    """Truncated normal of variance 2 / (fan_in + fan_out): Glorot & Bengio, AISTATS 2010, eq. 12."""

    SCALING = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Named):
    """Uniform in ±√(6 / fan_in): He et al., 2015, arXiv:1502.01852, eq. 10."""

    SCALING = (2.0, "fan_in", "uniform")


class HeNormal(_Named):
    """Truncated normal of variance 2 / fan_in: He et al., 2015, arXiv:1502.01852, eq. 10."""

    SCALING = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Named):
    """Uniform in ±√(3 / fan_in): LeCun et al., "Efficient BackProp", 1998, section 4.6."""

    SCALING = (1.0, "fan_in", "uniform")


class LecunNormal(_Named):
    """Truncated normal of variance 1 / fan_in: LeCun et al., "Efficient BackProp", 1998, section 4.6."""

    SCALING = (1.0, "fan_in", "truncated_normal")


def compute_fans(
    shape: Shape, input_axes: Sequence[int] | None = None, output_axes: Sequence[int] | None = None
) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight.

    A dense kernel (C, F) has C and F; a convolution kernel (P, Q, C, F) has P·Q·C and P·Q·F; a vector its length twice.
    """
    if input_axes is not None and output_axes is not None:
        return prod(shape[axis] for axis in input_axes), prod(shape[axis] for axis in output_axes)
    if len(shape) < 2:
        return prod(shape), prod(shape)
    taps = prod(shape[:-2])
    return taps * shape[-2], taps * shape[-1]


def _truncated_normal(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal values in ±2: those outside are drawn again."""
    values = np.asarray(generator.standard_normal(shape))
    outside = np.abs(values) > 2
    while outside.any():
        values[outside] = generator.standard_normal(np.count_nonzero(outside))
        outside = np.abs(values) > 2
    return values


def _checked(shape: Any) -> tuple[int, ...]:
    sizes = (shape,) if is_integer(shape) else tuple(shape)
    return tuple(integer("shape", size, 0) for size in sizes)


class _FromArray(Initializer):
    """Gives a copy of one array; made by `get` from an array."""

    def __init__(self, array: Any) -> None:
        self.array = np.array(array)

    def __call__(self, shape: Shape, dtype: Any = None) -> np.ndarray:
        if _checked(shape) != self.array.shape:
            raise ValueError(
                f"The initial values have shape {self.array.shape}. Received shape={tuple(shape)}."
            )
        return self.array.astype(settings.standardize_dtype(dtype))

    def get_config(self) -> dict[str, Any]:
        raise ValueError("An initializer made from an array can't be serialized.")


zeros, ones, constant = Zeros, Ones, Constant
random_normal, random_uniform, truncated_normal = RandomNormal, RandomUniform, TruncatedNormal
variance_scaling = VarianceScaling
glorot_uniform, glorot_normal = GlorotUniform, GlorotNormal
he_uniform, he_normal = HeUniform, HeNormal
lecun_uniform, lecun_normal = LecunUniform, LecunNormal

_RANDOM = (RandomNormal, RandomUniform, TruncatedNormal, VarianceScaling)
_NAMED = (GlorotNormal, GlorotUniform, HeNormal, HeUniform, LecunNormal, LecunUniform)
_CLASSES = (Constant, Ones, Zeros, *_RANDOM, *_NAMED)

registry = Registry(
    "initializer",
    "initializers",
    _CLASSES,
    {snake_case(cls.__name__): cls for cls in _CLASSES}
    | {"zero": Zeros, "one": Ones, "normal": RandomNormal, "uniform": RandomUniform},
)

serialize = registry.serialize
deserialize = registry.deserialize


def get(identifier: Any) -> Any:
    """An initializer by name, configuration, class, array or callable `(shape, dtype=None)`; None for None.

    Raises:
        ValueError: an unknown name, or something that is none of these.
    """
    if identifier is None:
        return None
    if isinstance(identifier, np.ndarray | np.generic):
        return _FromArray(identifier)
    return registry.get(identifier)
