"""Unit roundoff, γₙ, the smallest subnormal: what a target's arithmetic can be held to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

ALGORITHMS = ("direct", "winograd", "winograd4", "fft")
"""direct: any order of summation, im2col included; winograd: F(2×2, 3×3), winograd4: F(4×4, 3×3); fft: by the
convolution theorem."""


@dataclass(frozen=True)
class Arithmetic:
    """How a target computes: its dtype, whether subnormals become zero, and by which algorithm."""

    dtype: Any = np.float32
    flush_to_zero: bool = False
    algorithm: str = "direct"

    @property
    def u(self) -> float:
        """Unit roundoff: half the distance from 1 to the next number."""
        return float(np.finfo(self.dtype).eps) / 2

    @property
    def eta(self) -> float:
        """The most that one underflow can cost."""
        info = np.finfo(self.dtype)
        return float(info.tiny if self.flush_to_zero else info.smallest_subnormal)

    def gamma(self, n: Any) -> Any:
        """``γₙ = n·u / (1 − n·u)``, plus the float64 oracle's own share."""
        u64 = 2.0**-53
        return n * self.u / (1 - n * self.u) + n * u64 / (1 - n * u64)

    def sum_bound(self, n: Any, magnitude: Array) -> Array:
        """Bound for sums of n products whose absolute values add up to ``magnitude``."""
        return np.asarray(self.gamma(n) * magnitude + n * self.eta)


FLOAT32, FLOAT64 = Arithmetic(np.float32), Arithmetic(np.float64)


def is_exact(magnitude: Array, dtype: Any = np.float32, *operands: Array) -> bool:
    """Whether exact mode applies: integer operands and all ``magnitude`` (Σ|x·w| + |b|) below 1/u."""
    whole = all(bool(np.all(np.isfinite(a)) and np.all(a == np.rint(a))) for a in operands)
    return whole and float(np.max(magnitude, initial=0.0)) < 2.0 / float(np.finfo(dtype).eps)


def overflows(magnitude: Array, dtype: Any = np.float32) -> bool:
    """Whether the rounding bound is out of its depth: ``Σ|x·w| ≥ MAX / 4``."""
    return not float(np.max(magnitude, initial=0.0)) < float(np.finfo(dtype).max) / 4


def ulps(error: Array, expected: Array, dtype: Any = np.float32) -> Array:
    """An error in units in the last place of the expected value (at least of the smallest normal number)."""
    info = np.finfo(dtype)
    size = np.maximum(np.abs(np.asarray(expected, dtype=np.float64)), float(info.tiny))
    return np.asarray(np.abs(error) / np.exp2(np.floor(np.log2(size))) / float(info.eps))


# Errors of a library's exp, log, tanh, erf in units of u.  The fastest in use (Eigen, SLEEF's u35, Intel's
# SVML at its default accuracy) promise at most 4 ULP; one ULP is at most 2u.
FUNCTION = 8.0
