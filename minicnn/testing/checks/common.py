"""What the checks of several ops share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import replace
from typing import Any

import numpy as np

from minicnn.testing.compare import Mismatch
from minicnn.testing.runner import Property


def unchanged(case: Any, names: Sequence[str], call: Callable[[Any], Any]) -> None:
    """Raises Mismatch if ``call(case)`` changes one of the case's arrays, bit for bit."""
    before = {name: getattr(case, name).tobytes() for name in names}
    call(case)
    for name in names:
        array = getattr(case, name)
        if array.tobytes() != before[name]:
            old = np.frombuffer(before[name], array.dtype).reshape(array.shape)
            raise Mismatch(f"the call changed its input {name}", name, np.array(array), old)


INTEGERS = "small integers"
# Another layout may take another path with another order of summation: bits are compared in one layout only.
PLAIN = ("contiguous",)


def dtype_of(label: str, array: Any, expected: Any) -> None:
    """Raises Mismatch unless the array has the expected dtype."""
    dtype = np.asarray(array).dtype
    if dtype != expected:
        raise Mismatch(f"{label} has dtype {dtype}; {np.dtype(expected)} was expected", label)


def meeting(properties: Iterable[Property], met: Set[str]) -> list[Property]:
    """The properties without the needs that are met by the kind of op that is under test."""
    return [replace(prop, needs=tuple(need for need in prop.needs if need not in met)) for prop in properties]
