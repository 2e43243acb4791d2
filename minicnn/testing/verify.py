"""Verifying a target by name: what ``minicnn verify`` runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn.testing.adapters import load
from minicnn.testing.checks import CHECKS
from minicnn.testing.report import PropertyResult, Report
from minicnn.testing.runner import EXAMPLES

if TYPE_CHECKING:
    from rich.console import Group

Progress = Callable[[Report, PropertyResult], None]


@dataclass
class Verification:
    """The reports of all of a target's ops."""

    target: str
    reports: list[Report] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything holds, documented differences apart."""
        return bool(self.reports) and all(report.ok for report in self.reports)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "target": self.target,
            "ok": self.ok,
            "reports": [json.loads(r.to_json()) for r in self.reports],
        }

    def to_json(self) -> str:
        """The reports as JSON."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False)

    def to_html(self) -> str:
        """The reports as one page, with the failures drawn."""
        from minicnn.testing.html import as_html

        page: str = as_html(self.target, self.reports)
        return page

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.reports))

    def __rich__(self) -> Group:
        from rich.console import Group as RichGroup

        from minicnn.testing.render import as_renderable

        return RichGroup(*(as_renderable(report) for report in self.reports))


def run(
    target: str,
    op: str | None = None,
    *,
    examples: int = EXAMPLES,
    seed: int = 0,
    properties: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Runs the checks of one op, or of all that the target has.

    ``target`` is a name that ``adapters.load`` knows or ``FILE.py:function``.  ``progress`` is called with
    the report so far and each result.  Raises ValueError for an unknown target, op or property,
    FileNotFoundError, ImportError if the framework is missing.
    """
    verification = Verification(target)
    for one in load(target, op):
        so_far = Report(one.name, one.op, seed, examples)
        tell = None if progress is None else _teller(progress, so_far)
        options = {"examples": examples, "seed": seed, "properties": properties}
        report = CHECKS[one.op](one, progress=tell, **options)
        _make_reproducible(report, target, op or one.op)
        verification.reports.append(report)
    return verification


def _teller(progress: Progress, so_far: Report) -> Callable[[PropertyResult], None]:
    def tell(result: PropertyResult) -> None:
        so_far.results.append(result)
        progress(so_far, result)

    return tell


def _make_reproducible(report: Report, target: str, op: str) -> None:
    """One line that runs the failing property again."""
    for result in report.results:
        if result.failure is not None:
            where = f"verify.run({target!r}, {op!r}, properties=[{result.name!r}], "
            line = f"{where}seed={report.seed}, examples={report.examples})"
            result.failure.reproduce = f'python -c "from minicnn.testing import verify; print({line})"'


def write(verification: Verification, *, html: str | None = None, json_path: str | None = None) -> None:
    """Writes the reports to files."""
    if html is not None:
        Path(html).write_text(verification.to_html(), encoding="utf-8")
    if json_path is not None:
        Path(json_path).write_text(verification.to_json(), encoding="utf-8")
