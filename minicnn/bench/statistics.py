"""Ratios of medians and how sure they are."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 10_000
FEWEST = 3
"""Samples below which there is no interval."""


class Ratio(NamedTuple):
    """Of two medians, with a 95 % confidence interval, or None where there are too few samples for one."""

    value: float
    low: float | None
    high: float | None

    @property
    def is_significant(self) -> bool:
        """1 lies outside the interval."""
        return self.low is not None and self.high is not None and not self.low <= 1 <= self.high


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """median(ours) / median(theirs)."""
    return combined([ours], [theirs], "one")


def combined(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]], over: str) -> Ratio:
    """The worst, the geometric mean or the one of the ratios of medians of pairs of series.

    The interval is the percentile bootstrap's: every series is drawn anew from itself, on its own
    (B. Efron & R. Tibshirani, "An Introduction to the Bootstrap", chapter 13).
    """
    rng = np.random.default_rng(0)
    values = np.array([np.median(a) / np.median(b) for a, b in zip(ours, theirs, strict=True)])
    value = float(reduce(values[:, np.newaxis], over)[0])
    if min(len(series) for series in (*ours, *theirs)) < FEWEST:
        return Ratio(value, None, None)
    drawn = np.stack([medians(a, rng) / medians(b, rng) for a, b in zip(ours, theirs, strict=True)])
    low, high = np.percentile(reduce(drawn, over), (2.5, 97.5))
    return Ratio(value, float(low), float(high))


def medians(samples: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """(RESAMPLES,): medians of as many samples drawn with replacement."""
    array = np.asarray(samples)
    return np.median(array[rng.integers(0, len(array), (RESAMPLES, len(array)))], axis=1)


def reduce(ratios: np.ndarray, over: str) -> np.ndarray:
    """(pairs, n) → (n,)."""
    if over == "worst":
        return ratios.max(axis=0)
    if over == "gain":  # ours at 1 thread ÷ at all, over the same of the other's
        return ratios[0] / ratios[1]
    return np.exp(np.log(ratios).mean(axis=0))  # of one: itself
