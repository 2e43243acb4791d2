"""Learning rates that follow the step. Names, arguments and arithmetic are Keras's.

    optimizer = optimizers.SGD(schedules.CosineDecay(0.1, decay_steps=1000))

A schedule is called with the number of steps taken so far and gives the rate of the next one. It is computed in
float32, whatever `config.floatx()` says, as TensorFlow does with Python's numbers: an optimizer in float64 then has
Keras's rates to the bit. Source: keras/src/optimizers/schedules/learning_rate_schedule.py.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from inspect import signature
from itertools import pairwise
from math import pi
from typing import Any

import numpy as np

from minicnn.checks import number
from minicnn.registry import Registry

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "serialize",
]

F = np.float32


class LearningRateSchedule:
    """Base: subclasses define `__call__`, which maps a step, counted from 0, to a rate, and `get_config`."""

    def __call__(self, step: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define `__call__`.")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; `from_config` takes them back."""
        raise NotImplementedError(f"{type(self).__name__} does not define `get_config`.")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> LearningRateSchedule:
        return cls(**config)


class _Schedule(LearningRateSchedule):
    """One whose arguments are its attributes."""

    def get_config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in signature(type(self)).parameters}


class ExponentialDecay(_Schedule):
    """η₀·rᵖ, p = step / decay_steps, rounded down if `staircase`; r is `decay_rate`.

    Raises:
        ValueError: something that isn't a number, `decay_steps` that aren't positive.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate = _number("initial_learning_rate", initial_learning_rate)
        self.decay_steps = _positive("decay_steps", decay_steps)
        self.decay_rate = _number("decay_rate", decay_rate)
        self.staircase, self.name = staircase, name

    def __call__(self, step: Any) -> np.float32:
        return F(self.initial_learning_rate) * F(self.decay_rate) ** _periods(self, step)


class InverseTimeDecay(_Schedule):
    """η₀ / (1 + r·p), p = step / decay_steps, rounded down if `staircase`; r is `decay_rate`.

    Raises:
        ValueError: something that isn't a number, `decay_steps` that aren't positive.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        self.initial_learning_rate = _number("initial_learning_rate", initial_learning_rate)
        self.decay_steps = _positive("decay_steps", decay_steps)
        self.decay_rate = _number("decay_rate", decay_rate)
        self.staircase, self.name = staircase, name

    def __call__(self, step: Any) -> np.float32:
        return F(self.initial_learning_rate) / (F(1) + F(self.decay_rate) * _periods(self, step))


class PiecewiseConstantDecay(_Schedule):
    """values[k] as long as `step` is at most boundaries[k], then the next one; the last value for ever.

    Raises:
        ValueError: not one value more than boundaries, boundaries that don't increase, something that isn't a number.
    """

    def __init__(
        self, boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant"
    ) -> None:
        if len(boundaries) != len(values) - 1:
            raise ValueError(
                "`values` must have one element more than `boundaries`. "
                f"Received boundaries={boundaries}, values={values}."
            )
        for argument, items in (("boundaries", boundaries), ("values", values)):
            for item in items:
                _number(argument, item)
        if any(a >= b for a, b in pairwise(boundaries)):
            raise ValueError(f"`boundaries` must increase. Received boundaries={boundaries}.")
        self.boundaries, self.values, self.name = boundaries, values, name

    def __call__(self, step: Any) -> np.float32:
        # Keras gives the boundaries the step's type: an integer's fraction is dropped.
        step = np.asarray(step)
        return F(self.values[bisect_left([step.dtype.type(b) for b in self.boundaries], step)])


class PolynomialDecay(_Schedule):
    """(η₀ − η₁)·(1 − t / T)ᵖ + η₁, p being `power`; t = min(step, T), T = `decay_steps`.

    With `cycle`, T is the smallest multiple of `decay_steps` that isn't below `step`, and t = step.

    Raises:
        ValueError: something that isn't a number, `decay_steps` that aren't positive.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate = _number("initial_learning_rate", initial_learning_rate)
        self.decay_steps = _positive("decay_steps", decay_steps)
        self.end_learning_rate = _number("end_learning_rate", end_learning_rate)
        self.power = _number("power", power)
        self.cycle, self.name = cycle, name

    def __call__(self, step: Any) -> np.float32:
        t, length, end = F(step), F(self.decay_steps), F(self.end_learning_rate)
        if self.cycle:
            length *= max(np.ceil(t / length), F(1))
        part = F(1) - min(t, length) / length
        return (F(self.initial_learning_rate) - end) * part ** F(self.power) + end


class CosineDecay(_Schedule):
    """η·((1 − α)·(1 + cos(π·t / T)) / 2 + α), t = min(step, T), T = `decay_steps`, η = `initial_learning_rate`.

    With `warmup_target` the rate first grows in a line from `initial_learning_rate` to it, over `warmup_steps`; then it
    falls from there. Loshchilov & Hutter, ICLR 2017, arXiv:1608.03983.

    Raises:
        ValueError: something that isn't a number, `decay_steps` that aren't positive.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        self.initial_learning_rate = _number("initial_learning_rate", initial_learning_rate)
        self.decay_steps = _positive("decay_steps", decay_steps)
        self.alpha = _number("alpha", alpha)
        self.name = name
        self.warmup_target = None if warmup_target is None else _number("warmup_target", warmup_target)
        self.warmup_steps = _number("warmup_steps", warmup_steps)

    def __call__(self, step: Any) -> np.float32:
        t, length, start = F(step), F(self.decay_steps), F(self.initial_learning_rate)
        if self.warmup_target is not None:
            target, warmup = F(self.warmup_target), F(self.warmup_steps)
            if t < warmup:
                return (target - start) * (t / warmup) + start
            t, start = t - warmup, target
        return start * _cosine(min(t, length) / length, F(1), self.alpha)


class CosineDecayRestarts(_Schedule):
    """A cosine decay that begins again: each period is `t_mul` times as long and begins `m_mul` times as high.

    `first_decay_steps` is the length of the first period; α as in CosineDecay. Source: as there.

    Raises:
        ValueError: something that isn't a number, `first_decay_steps` that aren't positive.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = _number("initial_learning_rate", initial_learning_rate)
        self.first_decay_steps = _positive("first_decay_steps", first_decay_steps)
        self.t_mul, self.m_mul = _positive("t_mul", t_mul), _number("m_mul", m_mul)
        self.alpha, self.name = _number("alpha", alpha), name

    def __call__(self, step: Any) -> np.float32:
        done, growth = F(step) / F(self.first_decay_steps), F(self.t_mul)
        if growth == 1:
            restarts = np.floor(done)
            fraction = done - restarts
        else:
            restarts = np.floor(np.log(F(1) - done * (F(1) - growth)) / np.log(growth))
            before = (F(1) - growth**restarts) / (F(1) - growth)
            fraction = (done - before) / growth**restarts
        return F(self.initial_learning_rate) * _cosine(fraction, F(self.m_mul) ** restarts, self.alpha)


def _cosine(fraction: np.float32, height: np.float32, alpha: float) -> np.float32:
    """(1 − α)·height·(1 + cos(π·fraction)) / 2 + α."""
    half = F(0.5) * height * (F(1) + np.cos(F(pi) * fraction))
    return (F(1) - F(alpha)) * half + F(alpha)


def _periods(schedule: ExponentialDecay | InverseTimeDecay, step: Any) -> np.float32:
    periods = F(step) / F(schedule.decay_steps)
    return np.floor(periods) if schedule.staircase else periods


def _number(name: str, value: Any) -> Any:
    number(name, value)
    return value


def _positive(name: str, value: Any) -> Any:
    if number(name, value) <= 0:
        raise ValueError(f"`{name}` must be greater than 0. Received {name}={value!r}.")
    return value


registry = Registry(
    "learning rate schedule",
    "optimizers.schedules",
    (
        CosineDecay,
        CosineDecayRestarts,
        ExponentialDecay,
        InverseTimeDecay,
        PiecewiseConstantDecay,
        PolynomialDecay,
    ),
)


def serialize(learning_rate_schedule: Any) -> Any:
    """The configuration of a schedule."""
    return registry.serialize(learning_rate_schedule)


deserialize = registry.deserialize
