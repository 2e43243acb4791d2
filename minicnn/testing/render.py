"""A report as text, as a rich table; ``minicnn.testing.html`` draws it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.testing.report import DIFFERS, FAILS, HOLDS, Failure, PropertyResult, Report

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

MARKS = {HOLDS: "✓", FAILS: "✗", DIFFERS: "≠"}
STYLES = {HOLDS: "green", FAILS: "bold red", DIFFERS: "yellow"}


def worst_as_text(result: PropertyResult) -> str:
    """ "exact", or the worst error as a percentage of its bound."""
    if result.worst is None or result.verdict != HOLDS:
        return ""
    return "exact" if result.worst == 0 else f"{100 * result.worst:.1f} %"


def as_text(report: Report) -> str:
    """The report as plain text, failures at the end."""
    head = f"{report.op} of {report.target}: {verdict_line(report)} (seed {report.seed})"
    lines = [head, *(f"  note: {note}" for note in report.notes)]
    width = max((len(r.name) for r in report.results), default=0)
    for r in report.results:
        mark = MARKS.get(r.verdict, "–")
        count = f"after {r.examples}" if r.verdict in (FAILS, DIFFERS) else f"{r.examples}"
        lines.append(
            f"  {mark} {r.name:<{width}}  {r.verdict:<8} {count:>9}  {worst_as_text(r)} {r.note}".rstrip()
        )
    for r in report.results:
        if r.failure is not None:
            lines += ["", *failure_lines(r)]
    return "\n".join(lines)


def verdict_line(report: Report) -> str:
    """How many properties held."""
    counts = [sum(r.verdict == verdict for r in report.results) for verdict in (HOLDS, FAILS, DIFFERS)]
    text = f"{counts[0]} properties hold, {counts[1]} fail"
    return text + (f", {counts[2]} differ as documented" if counts[2] else "")


def failure_lines(result: PropertyResult) -> list[str]:
    """Everything about one failure."""
    f = result.failure
    if f is None:
        return []
    lines = [f"“{result.name}” {result.verdict}: {f.message}"]
    lines += [f"  domain: {result.domain}"]
    if f.geometry:
        lines.append("  geometry: " + ", ".join(f"{k}={_short(v)}" for k, v in f.geometry.items()))
    for name, value in f.arrays.items():
        lines += _array_lines(name, value, f.dtypes[name])
    lines += _term_lines(f)
    lines += [f"  likely: {text}" for text in f.diagnosis]
    lines.append(f"  reproduce: {f.reproduce}")
    return lines


def _short(value: Any) -> str:
    return str(tuple(value)) if isinstance(value, list | tuple) else str(value)


def _array_lines(name: str, value: Any, dtype: str) -> list[str]:
    array = np.asarray(value)
    text = np.array2string(array, threshold=60, max_line_width=90, separator=", ")
    head = f"  {name} {array.shape} {dtype} = "
    return (head + text.replace("\n", "\n" + " " * len(head))).split("\n")


def _term_lines(f: Failure) -> list[str]:
    if not f.terms:
        return []
    shown = [f"    {name}" + ("" if "=" in name else f" = {value:g}") for name, value in f.terms[:20]]
    more = [f"    … and {len(f.terms) - 20} more"] if len(f.terms) > 20 else []
    total = sum(value for _, value in f.terms)
    where = f"{f.label}[{', '.join(map(str, f.index or ()))}]"
    return [f"  {where} should be the sum of", *shown, *more, f"    = {total:g}"]


def as_table(report: Report) -> Table:
    """The table of property × verdict × examples × worst error as a fraction of its bound (needs rich)."""
    from rich.table import Table

    table = Table(title=f"{report.op} of {report.target}", caption=verdict_line(report))
    for name in ("property", "verdict", "examples", "worst error / bound", "note"):
        table.add_column(name, justify="right" if name == "examples" else "left")
    for r in report.results:
        verdict = f"[{STYLES.get(r.verdict, 'dim')}]{MARKS.get(r.verdict, '–')} {r.verdict}[/]"
        table.add_row(r.name, verdict, str(r.examples or ""), worst_as_text(r), r.note)
    return table


def as_renderable(report: Report) -> Group:
    """Table, notes and failures, for ``rich.print`` (needs rich)."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [as_table(report), *(Text(f"note: {note}") for note in report.notes)]
    for r in report.results:
        if r.failure is not None:
            parts.append(Text("\n" + "\n".join(failure_lines(r))))
    return Group(*parts)
