"""Comparing what came with what was expected: exactly, or within an elementwise bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(eq=False)
class Mismatch(AssertionError):
    """A property doesn't hold.  ``label`` names the array ("y", "dx", …); ``index`` is where first."""

    message: str
    label: str = ""
    got: Array | None = None
    expected: Array | None = None
    bound: Array | None = None
    index: tuple[int, ...] | None = None
    raised: bool = False

    def __str__(self) -> str:
        return self.message


def _first(wrong: Array) -> tuple[int, ...]:
    return tuple(int(k) for k in np.unravel_index(int(np.argmax(wrong)), wrong.shape))


def _as_array(label: str, got: Any) -> Array:
    try:
        array = np.asarray(got)
    except Exception as error:
        raise Mismatch(f"{label} is no array: {error}", label) from error
    if array.dtype.kind not in "fiub":
        raise Mismatch(f"{label} has dtype {array.dtype}; numbers were expected", label)
    return array


def check_shape(label: str, got: Any, expected: Array) -> Array:
    """``got`` as an array, if it has the expected shape."""
    array = _as_array(label, got)
    if array.shape != expected.shape:
        message = f"{label} has shape {array.shape}; {expected.shape} was expected"
        raise Mismatch(message, label, array, expected)
    return array


def _fail(label: str, got: Array, expected: Array, bound: Array | None, wrong: Array) -> Mismatch:
    index = _first(wrong)
    where = f"{label}[{', '.join(map(str, index))}]" if index else label
    message = f"{where} is {got[index]!s}; {expected[index]!s} was expected"
    if bound is not None:
        message += (
            f" within {float(bound[index]):.3g} (error {abs(float(got[index]) - float(expected[index])):.3g})"
        )
    count = int(wrong.sum())
    message += f"; {count} of {wrong.size} elements are wrong" if wrong.size > 1 else ""
    return Mismatch(message, label, got, expected, bound, index)


def same(label: str, got: Any, expected: Array) -> float:
    """Raises Mismatch unless all elements are equal; NaN equals NaN and −0 equals 0.  Returns 0.0."""
    expected = np.asarray(expected)
    array = check_shape(label, got, expected)
    wrong = ~((array == expected) | (np.isnan(array) & np.isnan(expected)))
    if wrong.any():
        raise _fail(label, array, expected, None, wrong)
    return 0.0


def close(label: str, got: Any, expected: Array, bound: Array) -> float:
    """Raises Mismatch unless ``|got − expected| ≤ bound``; returns the worst error as a fraction of its
    bound.

    Where the expected value is NaN or infinite the same is demanded.
    """
    expected = np.asarray(expected)
    bound = np.broadcast_to(np.asarray(bound, dtype=np.float64), expected.shape)
    array = check_shape(label, got, expected)
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(array.astype(np.float64) - expected)
    identical = (array == expected) | (np.isnan(array) & np.isnan(expected))
    wrong = ~identical & ~(error <= bound)
    if wrong.any():
        raise _fail(label, array, expected, bound, wrong)
    finite = ~identical
    if not finite.any():
        return 0.0
    return float(np.max(error[finite] / np.maximum(bound[finite], np.finfo(np.float64).tiny)))
