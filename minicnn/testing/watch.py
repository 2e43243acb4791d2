"""The live display of a verification: which op and property is running, and what is done (needs rich)."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from minicnn.testing.report import FAILS, PropertyResult, Report


class Watch:
    """A context manager around a verification of several ops with so many properties each.

    On a terminal it keeps one line that moves, and shows each report as a table when it is complete;
    elsewhere it prints plain text.  Call ``begin`` before an op, ``advance`` with each result, ``show`` after.
    """

    def __init__(self, counts: Sequence[int], console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("properties"),
            TimeElapsedColumn(),
        )
        live = self.console.is_terminal
        self.progress = Progress(*columns, console=self.console, transient=True, disable=not live)
        self.task = self.progress.add_task("", total=sum(counts))
        self.reports, self.ops, self.failed = 0, len(counts), 0
        self.what = ""
        self.names: Sequence[str] = ()

    def __enter__(self) -> Watch:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def begin(self, target: str, op: str, names: Sequence[str]) -> None:
        """An op's first property starts."""
        self.reports += 1
        self.what = f"{op} of {target}" + (f" ({self.reports}/{self.ops})" if self.ops > 1 else "")
        self.names = names
        self._describe()

    def advance(self, result: PropertyResult) -> None:
        """A property is done, and the next one starts."""
        self.failed += result.verdict == FAILS
        self.names = self.names[1:]
        self.progress.advance(self.task)
        self._describe()

    def show(self, report: Report) -> None:
        """An op is done."""
        if self.console.is_terminal:
            from minicnn.testing.render import as_renderable

            self.console.print(as_renderable(report), crop=False)
        else:
            self.console.out(f"{report}\n", highlight=False)

    def _describe(self) -> None:
        failed = f"  [bold red]{self.failed} failed[/]" if self.failed else ""
        name = escape(self.names[0]) if self.names else ""
        self.progress.update(self.task, description=f"{escape(self.what)}: [bold]{name}[/]{failed}")
