"""What a planted bug is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minicnn.testing import Target


@dataclass(frozen=True)
class Mutant:
    """A wrong implementation.  ``make`` builds it afresh, because some keep state; ``caught_by`` names the
    property that is expected to catch it."""

    name: str
    op: str
    make: Callable[[], Target]
    caught_by: str

    def __str__(self) -> str:
        return f"{self.op}: {self.name}"


def fixed(target: Target) -> Callable[[], Target]:
    """For a bug without state."""
    return lambda: target


def plus(**changes: Any) -> dict[str, Any]:
    """Keyword arguments as a dict: reads better in the tables."""
    return changes
