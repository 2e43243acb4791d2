"""What an element can be: a sum of terms, a copy, a choice, a point of a curve, a share of a whole. Arrays, no text.

All arithmetic here is float64, whatever the model's dtype is: a product of two float32 numbers is exact in it.
"""

from dataclasses import dataclass

import numpy as np

Index = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One op's part in an explanation."""

    op: str
    """The op's kind, 'Conv2D', 'ReLU', …"""
    name: str
    """Of the value that the op gives: the layer's, or with '/linear' and the like what it is on the way."""
    index: Index
    """Of the element in that value, or in the gradient that is explained."""
    stored: float
    """What the run of the model has there."""


@dataclass(frozen=True, kw_only=True)
class Sum(Step):
    """Σ first·second over T terms (or first ÷ second, or first alone), then ÷ divisor, then + bias.

    Terms of one group are added first, from first to last, and then the groups, as the reference does with the taps of
    a window: what it computes for each tap is a product of matrices.
    """

    indices: dict[str, np.ndarray]
    """Where each term's factors are: name of an index → (T,) integers. −1 stands for outside the image."""
    first: np.ndarray
    second: np.ndarray | None = None
    factors: tuple[str, ...] = ("x", "w")
    """What the factors are called."""
    divides: bool = False
    groups: np.ndarray | None = None
    """(T,) numbers of the groups, ascending; None for a single group."""
    is_inside: np.ndarray | None = None
    """(T,) bool: False where a window hangs over the border and reads a zero of padding."""
    divisor: float | None = None
    bias: float | None = None

    @property
    def terms(self) -> np.ndarray:
        """(T,) the numbers that are added."""
        first = self.first.astype(np.float64)
        if self.second is None:
            return first
        second = self.second.astype(np.float64)
        return first / second if self.divides else first * second

    @property
    def group_sums(self) -> np.ndarray:
        """(G,) the sum of each group."""
        return np.array([in_order(group) for group in np.split(self.terms, self.starts[1:])])

    @property
    def starts(self) -> np.ndarray:
        """(G,) the position of each group's first term."""
        if self.groups is None:
            return np.array([0])
        return np.concatenate([[0], np.flatnonzero(np.diff(self.groups)) + 1])

    @property
    def sum(self) -> float:
        """Of the terms, before division and bias."""
        return in_order(self.group_sums)

    @property
    def value(self) -> float:
        """The element."""
        total = self.sum
        if self.divisor is not None:
            total /= self.divisor
        return total if self.bias is None else total + float(self.bias)

    def bound(self, dtype: str) -> float:
        """How far `stored` may be from `value` when it was computed in `dtype` in whatever order: γₙ·Σ|terms| + n·η.

        n counts the terms, the division and the bias; the float64 sum's own error is in it
        (N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., §3.1).
        """
        info, n = np.finfo(dtype), len(self.first) + 2
        magnitude = float(np.abs(self.terms).sum()) / abs(self.divisor or 1) + abs(self.bias or 0)
        return (gamma(n, float(info.eps) / 2) + gamma(n, 2.0**-53)) * magnitude + n * float(
            info.smallest_subnormal
        )


@dataclass(frozen=True, kw_only=True)
class Copy(Step):
    """The element is another one at another place, or a zero of padding."""

    source: Index | None
    """Of x, or in a backward pass of dy; None for padding."""


@dataclass(frozen=True, kw_only=True)
class Choice(Step):
    """The element is the maximum of its window."""

    pixels: np.ndarray
    """(P, Q, 2): row and column that each tap reads, maybe outside the image."""
    values: np.ndarray
    """(P, Q), −∞ outside the image."""
    winner: tuple[int, int] | None
    """(p, q): the first maximum in row-major order; None for a global pool, which shares its gradient among ties."""
    ties: int
    """How many taps have the maximum."""


@dataclass(frozen=True, kw_only=True)
class Mean(Step):
    """The element is the mean of its window; only used to show where an element goes."""

    pixels: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Curve(Step):
    """Elementwise: y = f(x), and in a backward pass dx = dy·f'(x)."""

    input: float
    output: float
    derivative: float
    dy: float | None = None
    """None in a forward pass."""
    curve: tuple[np.ndarray, np.ndarray]
    """f around the input, to draw it."""


@dataclass(frozen=True, kw_only=True)
class Share(Step):
    """Softmax: the element is exp(z_k − max) ÷ Σ exp(z_j − max)."""

    logits: np.ndarray
    exponentials: np.ndarray
    """(K,): exp(z − max z)."""


@dataclass(frozen=True, kw_only=True)
class Difference(Step):
    """Softmax or sigmoid with its cross-entropy: dz = (p − t)·seed."""

    probability: float
    target: float
    seed: float
    """The gradient of the loss by this sample's loss: its weight ÷ the number of samples."""


def in_order(terms: np.ndarray) -> float:
    """The terms added one after the other, from first to last."""
    return float(np.add.accumulate(terms, dtype=np.float64)[-1]) if len(terms) else 0.0


def gamma(n: int, u: float) -> float:
    """γₙ = n·u / (1 − n·u)."""
    return n * u / (1 - n * u)
