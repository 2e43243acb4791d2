"""A report as text, as a rich table; ``minicnn.testing.html`` draws it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.testing.report import DIFFERS, FAILS, HOLDS, NOT_RUN, Failure, PropertyResult, Report

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
    """The report as plain text: head, notes, one line a property, then differences and failures."""
    head = f"{report.op} of {report.target}: {verdict_line(report)}"
    lines = [head, f"  {settings_line(report)}", *(f"  note: {note}" for note in report.notes), ""]
    width = max(len(name) for name in ("property", *(r.name for r in report.results)))
    lines.append(f"    {'property':<{width}}  {'verdict':<10} {'examples':>9}  worst error / bound")
    for r in report.results:
        verdict, _, rest = r.verdict.partition(" as ")
        last = r.note if r.verdict == NOT_RUN else f"as {rest}" if rest else worst_as_text(r)
        mark, count = MARKS.get(r.verdict, "–"), examples_as_text(r)
        lines.append(f"  {mark} {r.name:<{width}}  {verdict:<10} {count:>9}  {last}".rstrip())
    for r in report.results:
        if r.failure is not None:
            lines += ["", *failure_lines(r)]
    return "\n".join(lines)


def settings_line(report: Report) -> str:
    """What the result depends on."""
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return f"seed {report.seed}, {report.examples} examples a property" + (
        f"; {versions}" if versions else ""
    )


def examples_as_text(result: PropertyResult) -> str:
    """How many examples were run, or which one was the first to fail."""
    if result.verdict in (FAILS, DIFFERS):
        return f"after {result.examples}"
    return str(result.examples) if result.examples else ""


def verdict_line(report: Report) -> str:
    """How many properties held."""
    counts = [sum(r.verdict == verdict for r in report.results) for verdict in (HOLDS, FAILS, DIFFERS)]
    idle = len(report.results) - sum(counts)
    words = [f"{counts[0]} {'property holds' if counts[0] == 1 else 'properties hold'}"]
    words.append(f"{counts[1]} {'fails' if counts[1] == 1 else 'fail'}")
    words += [f"{counts[2]} {'differs' if counts[2] == 1 else 'differ'} as documented"] if counts[2] else []
    return ", ".join([*words, *([f"{idle} not run"] if idle else [])])


def failure_lines(result: PropertyResult) -> list[str]:
    """Everything about one failure; of a documented difference its reason and where it showed."""
    f = result.failure
    if f is None:
        return []
    lines = [f"“{result.name}” {result.verdict}: {f.message}"]
    geometry = "  geometry: " + ", ".join(f"{k}={_short(v)}" for k, v in f.geometry.items())
    if result.verdict == DIFFERS:
        documented = f"  documented: {result.note}"
        return [*lines, documented, *([geometry] if f.geometry else []), f"  reproduce: {f.reproduce}"]
    lines += [f"  domain: {result.domain}", *([geometry] if f.geometry else [])]
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
    first, *others = [
        line for line in text.split("\n") if line.strip()
    ]  # NumPy sets empty lines between planes
    return [head + first, *(" " * len(head) + line for line in others)]


def has_sum(f: Failure) -> bool:
    """Whether the terms belong to what was expected: a property may compare the op on other arrays."""
    if not f.terms or f.expected is None or f.index is None:
        return False
    total, wanted = (
        sum(value for _, value in f.terms),
        float(np.asarray(f.expected, dtype=np.float64)[f.index]),
    )
    size = sum(abs(value) for _, value in f.terms)
    return total == wanted or (total != total and wanted != wanted) or abs(total - wanted) <= 1e-6 * size


def _term_lines(f: Failure) -> list[str]:
    if not has_sum(f):
        return []
    shown = [f"    {name}" + ("" if "=" in name else f" = {value:g}") for name, value in f.terms[:20]]
    more = [f"    … and {len(f.terms) - 20} more"] if len(f.terms) > 20 else []
    total = sum(value for _, value in f.terms)
    where = f"{f.label}[{', '.join(map(str, f.index or ()))}]"
    return [f"  {where} should be the sum of", *shown, *more, f"    = {total:g}"]


def as_table(report: Report) -> Table:
    """The table of property × verdict × examples × worst error as a fraction of its bound (needs rich)."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    title = f"[bold]{escape(report.op)} of {escape(report.target)}[/]"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("property", "verdict", "examples", "worst error / bound"):
        table.add_column(name, justify="right" if name == "examples" else "left")
    for r in report.results:
        style = STYLES.get(r.verdict, "dim")
        verdict = f"[{style}]{MARKS.get(r.verdict, '–')} {r.verdict}[/]"
        last = f"[dim]{escape(r.note)}[/]" if r.verdict == NOT_RUN else worst_as_text(r)
        table.add_row(escape(r.name), verdict, examples_as_text(r), last)
    return table


def as_renderable(report: Report) -> Group:
    """Table, notes and failures, for ``rich.print`` (needs rich)."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [as_table(report), *(Text(f"note: {note}") for note in report.notes)]
    for r in report.results:
        first, *others = failure_lines(r) or [""]
        if r.failure is not None:
            whole = Text(
                "\n".join(others), no_wrap=True, overflow="ignore"
            )  # a command that wraps can't be copied
            parts += [Text(f"\n{first}", style=STYLES[r.verdict]), whole]
    parts.append(Text(f"\n{verdict_line(report)}; {settings_line(report)}", style="dim"))
    return Group(*parts)
