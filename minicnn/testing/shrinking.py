"""Simplifying the arrays of a failing case: Hypothesis has shrunk the geometry, this does the elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

MAX_TRIES = 400


def simplify(case: Any, names: Sequence[str], fails: Callable[[Any], bool]) -> Any:
    """A case that still fails, with contiguous arrays and as many zeros and ones as can be had.

    Tries, for each array: plain memory layout; all zeros; then for each element 0, then 1.  An array whose
    layout matters is left as it is.  At most MAX_TRIES calls of ``fails``, so that a slow target stays
    usable.
    """
    budget = [MAX_TRIES]

    def still_fails(candidate: Any) -> bool:
        budget[0] -= 1
        return budget[0] >= 0 and fails(candidate)

    for name in names:
        for change in (np.ascontiguousarray, np.zeros_like):
            candidate = replace(case, **{name: np.array(change(getattr(case, name)))})
            if still_fails(candidate):
                case = candidate
        array = getattr(case, name)
        if array.flags.c_contiguous and array.flags.writeable and array.any():
            case = _simplify_elements(case, name, still_fails)
    return case


def _simplify_elements(case: Any, name: str, still_fails: Callable[[Any], bool]) -> Any:
    for index in np.ndindex(*getattr(case, name).shape):
        for value in (0, 1):
            if getattr(case, name)[index] == value:
                break
            changed = getattr(case, name).copy()
            changed[index] = value
            candidate = replace(case, **{name: changed})
            if still_fails(candidate):
                case = candidate
                break
    return case


def array_names(case: Any) -> list[str]:
    """The names of a case's arrays."""
    if not is_dataclass(case):
        return []
    return [f.name for f in fields(case) if isinstance(getattr(case, f.name), np.ndarray)]
