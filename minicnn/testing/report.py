"""Results as data: what was checked, what held, and everything about the first failure of each property."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

HOLDS, FAILS, NOT_RUN, DIFFERS = "holds", "fails", "not run", "differs as documented"


@dataclass
class Failure:
    """One failing example, simplified as far as possible.

    ``arrays`` are nested lists, with their dtypes in ``dtypes``; ``index`` is the first wrong element of
    ``label``; ``terms`` are what it should have been the sum of; ``diagnosis`` names the likely mistakes.
    """

    message: str
    geometry: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Any] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)
    label: str = ""
    index: tuple[int, ...] | None = None
    got: Any = None
    expected: Any = None
    terms: list[tuple[str, float]] = field(default_factory=list)
    diagnosis: list[str] = field(default_factory=list)
    reproduce: str = ""


@dataclass
class PropertyResult:
    """One property's verdict.  ``worst`` is the largest error as a fraction of its bound, 0 where == was
    asked.

    ``examples`` is how many were run; when it fails, the number of the first one that failed.
    """

    name: str
    domain: str
    verdict: str
    examples: int = 0
    worst: float | None = None
    note: str = ""
    failure: Failure | None = None


@dataclass
class Report:
    """The results of one check on one target."""

    target: str
    op: str
    seed: int
    examples: int
    results: list[PropertyResult] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether no property fails that isn't documented to.  A check that ran nothing is not ok."""
        ran = [r for r in self.results if r.verdict != NOT_RUN]
        return bool(ran) and all(r.verdict != FAILS for r in ran)

    @property
    def failures(self) -> list[PropertyResult]:
        """The properties that fail."""
        return [r for r in self.results if r.verdict == FAILS]

    def __getitem__(self, name: str) -> PropertyResult:
        """The result of a property by its name; raises KeyError."""
        for result in self.results:
            if result.name == name:
                return result
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "ok": self.ok}

    def to_json(self) -> str:
        """The report as JSON; NaN and infinities as strings, so that any parser reads it."""
        return json.dumps(_plain(self.to_dict()), indent=1, ensure_ascii=False, allow_nan=False)

    def __str__(self) -> str:
        from minicnn.testing.render import as_text

        text: str = as_text(self)
        return text

    def raise_if_failed(self) -> Report:
        """Raises AssertionError with the whole report if a property fails; returns the report otherwise."""
        if not self.ok:
            raise AssertionError("\n" + str(self))
        return self


FRAMEWORKS = ("numpy", "hypothesis", "numba", "scipy", "keras", "tensorflow", "torch", "jax", "onnxruntime")


def environment() -> dict[str, str]:
    """Versions that a result depends on: of Python, and of what is loaded among the frameworks."""
    loaded = [name for name in FRAMEWORKS if name in sys.modules]
    versions = {name: str(getattr(sys.modules[name], "__version__", "unknown")) for name in loaded}
    return {"python": platform.python_version(), **versions, "machine": platform.machine()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value if isinstance(value, str | int | float | bool | type(None)) else str(value)
