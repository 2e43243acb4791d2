"""The report as one HTML page without scripts or links to elsewhere: the table, and each failure drawn."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from minicnn.testing.drawing import Panel, panels
from minicnn.testing.render import (
    MARKS,
    examples_as_text,
    failure_lines,
    has_sum,
    settings_line,
    verdict_line,
    worst_as_text,
)
from minicnn.testing.report import DIFFERS, FAILS, HOLDS, Failure, PropertyResult, Report

CELL, LABEL, TITLE = 46, 20, 24
MAX_CELLS = 14
"""Rows and columns of a larger array that are drawn, those around what is marked."""
MAX_TERMS = 24
STYLE = """
:root { --paper: #fdfdfc; --card: #fff; --ink: #1d1f23; --soft: #63676f; --line: #dedfe3; --good: #1a7f4b;
  --bad: #b3261e; --odd: #8f6400; --mark: #ffe9a8; --badfill: #f6c9c5; --pad: #efeff1; --code: #f4f4f2 }
@media (prefers-color-scheme: dark) { :root { --paper: #16181c; --card: #1e2126; --ink: #e8e8e6; --soft: #a2a6ae;
  --line: #363a42; --good: #5fc98f; --bad: #ff8a80; --odd: #e0b252; --mark: #6b5611; --badfill: #7c2b26;
  --pad: #2a2d33; --code: #262a30 } }
body { font: 15px/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; max-width: 66rem;
  margin: 0 auto; padding: 2rem 1.2rem 4rem; color: var(--ink); background: var(--paper) }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; overflow-wrap: anywhere } h2 { font-size: 1.25rem; margin: 2.4rem 0 .2rem }
p { margin: .3rem 0 } .soft { color: var(--soft); font-size: .9rem } ul.soft { margin: .4rem 0; padding-left: 1.2rem }
nav a { display: inline-block; margin: .3rem .5rem .3rem 0; padding: .1rem .7rem; border: 1px solid var(--line);
  border-radius: 1rem; color: var(--ink); text-decoration: none }
.badge { display: inline-block; padding: .05rem .6rem; border-radius: 1rem; border: 1px solid; font-weight: 600;
  font-size: .85rem; margin-right: .4rem }
.badge.holds, td.holds, nav .holds { color: var(--good) } .badge.fails, td.fails, nav .fails { color: var(--bad) }
.badge.differs, td.differs { color: var(--odd) } td.not { color: var(--soft) }
table { border-collapse: collapse; width: 100%; margin: .8rem 0 1.4rem; font-size: .92rem }
td, th { padding: .28rem .7rem .28rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top }
th { color: var(--soft); font-weight: 600 } td.n { text-align: right; font-variant-numeric: tabular-nums }
td.v, th, .whole { white-space: nowrap } td.v { font-weight: 600 } tr.not td { color: var(--soft); font-weight: 400 }
.bar { display: inline-block; width: 5rem; height: .5rem; background: var(--pad); border-radius: .25rem;
  margin-right: .5rem }
.bar i { display: block; height: 100%; background: var(--good); border-radius: .25rem }
details.card { background: var(--card); border: 1px solid var(--line); border-left: .3rem solid var(--bad);
  border-radius: .5rem; margin: .8rem 0; padding: .6rem 1.1rem }
details.card.differs { border-left-color: var(--odd) } details.card > summary { cursor: pointer; color: var(--ink) }
summary .name { font-weight: 650; margin-right: .6rem }
.message { font-size: 1.05rem; margin: .8rem 0; color: var(--bad) }
.likely { border: 1px solid var(--odd); border-radius: .4rem; padding: .5rem .9rem; margin: .8rem 0 }
.likely b { color: var(--odd) } .likely ul { margin: 0; padding-left: 1.1rem } .chips { margin: .5rem 0 }
.chip { display: inline-block; font: .82rem ui-monospace, "DejaVu Sans Mono", monospace; background: var(--code);
  border-radius: .3rem; padding: .1rem .5rem; margin: .12rem .3rem .12rem 0 } .chip.plain { color: var(--soft) }
.draw, .row { display: flex; flex-wrap: wrap; align-items: center; gap: .4rem 1rem; overflow-x: auto }
.draw { gap: .4rem 1.4rem; margin: 1.1rem 0 } .row + .row { margin-top: .7rem }
.sign { font-size: 1.7rem; color: var(--soft) } svg { font-family: ui-monospace, "DejaVu Sans Mono", monospace }
svg .title { font: 600 12px system-ui, "DejaVu Sans", sans-serif; fill: var(--ink) }
svg .at { font-size: 10px; fill: var(--soft); text-anchor: middle } svg .cell { fill: var(--card); stroke: var(--line) }
svg .value { font-size: 13px; fill: var(--ink); text-anchor: middle } svg .pad { fill: var(--pad); stroke-dasharray: 3 }
svg .marked { fill: var(--mark); stroke: var(--odd) } svg .pad.marked { fill: var(--mark); fill-opacity: .45 }
svg .wrong { fill: var(--badfill); stroke: var(--bad) } svg .focus { fill: none; stroke: var(--ink); stroke-width: 2.5 }
pre { background: var(--code); padding: .7rem .9rem; overflow-x: auto; border-radius: .4rem; font-size: .84rem;
  font-family: ui-monospace, "DejaVu Sans Mono", monospace } pre.run { white-space: pre-wrap; overflow-wrap: anywhere }
table.terms { width: auto; font: .86rem ui-monospace, "DejaVu Sans Mono", monospace; margin: .3rem 0 .8rem }
table.terms td { border: 0; padding: .08rem 1.4rem .08rem 0 }
table.terms tr.sum td { border-top: 1px solid var(--soft) }
table.terms tr.got td { color: var(--bad) } table.terms td:last-child { text-align: right; padding: .08rem 0 }
@media print { details.card { break-inside: avoid } }
"""


def as_html(target: str, reports: Sequence[Report]) -> str:
    """One page for all the reports of a target."""
    title = f"Verification of {escape(target)}"
    head = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    )
    size = '<meta name="viewport" content="width=device-width">'
    links = "".join(
        f'<a href="#op{k}"><span class="{"holds" if r.ok else "fails"}">{"✓" if r.ok else "✗"}</span> {_heading(r)}</a>'
        for k, r in enumerate(reports)
    )
    nav = f"<nav>{links}</nav>" if len(reports) > 1 else ""
    failed = sum(not report.ok for report in reports)
    differ = sum(result.verdict == DIFFERS for report in reports for result in report.results)
    verdict = "everything holds" if not failed else f"{failed} of {len(reports)} ops fail" if nav else "fails"
    verdict += (
        f", {differ} documented {'difference' if differ == 1 else 'differences'} apart" if differ else ""
    )
    badge = f'<span class="badge {"fails" if failed else "holds"}">{verdict}</span>'
    body = "".join(_section(report, k) for k, report in enumerate(reports))
    return f"{head}{size}<h1>{title}</h1><p>{badge}</p>{nav}{body}</html>\n"


def _heading(report: Report) -> str:
    return escape(report.target if report.op in report.target else f"{report.op} of {report.target}")


def _section(report: Report, number: int) -> str:
    notes = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
    rows = "".join(_row(result) for result in report.results)
    shown = [result for result in report.results if result.failure is not None]
    drawn = [k for k, result in enumerate(shown) if result.failure and panels(result.failure)]
    cards = "".join(_card(result, opened=k == (drawn or [0])[0]) for k, result in enumerate(shown))
    return (
        f'<section><h2 id="op{number}">{escape(report.op)} of {escape(report.target)}</h2>'
        f'<p>{escape(verdict_line(report))}</p><p class="soft">{escape(settings_line(report))}</p>'
        + (f'<ul class="soft">{notes}</ul>' if notes else "")
        + f"{cards}<table><tr><th>property<th>checked on<th>verdict<th>examples<th>worst error / bound</tr>"
        + f"{rows}</table></section>"
    )


def _row(r: PropertyResult) -> str:
    kind = r.verdict.split()[0]
    last = escape(r.note) if r.verdict != HOLDS else _bar(r)
    return (
        f'<tr class="{kind}"><td>{escape(r.name)}<td class="soft">{escape(r.domain)}'
        f'<td class="v {kind}">{MARKS.get(r.verdict, "–")} {escape(r.verdict)}'
        f'<td class="n">{examples_as_text(r)}<td>{last}</tr>'
    )


def _bar(r: PropertyResult) -> str:
    """How much of the bound the worst error takes."""
    if not r.worst:
        return worst_as_text(r)
    bar = f'<span class="bar"><i style="width:{min(100 * r.worst, 100):.0f}%"></i></span>'
    return f'<span class="whole">{bar}{worst_as_text(r)}</span>'


def _card(result: PropertyResult, opened: bool) -> str:
    f = result.failure or Failure("")
    kind = "differs" if result.verdict == DIFFERS else "fails"
    likely = "".join(f"<li>{escape(text)}</li>" for text in f.diagnosis)
    note = f"<p>Documented: {escape(result.note)}</p>" if result.verdict == DIFFERS else ""
    text = escape("\n".join(failure_lines(result)))
    body = (
        f'<p class="message">{escape(f.message)}</p>{note}'
        + (f'<div class="likely"><b>{_likely(f)}</b><ul>{likely}</ul></div>' if likely else "")
        + _chips(f)
        + _drawing(panels(f))
        + _terms(f)
        + f'<p class="soft">To reproduce:</p><pre class="run">{escape(f.reproduce)}</pre>'
        + f"<details><summary>All of it as text</summary><pre>{text}</pre></details>"
    )
    badge = f'<span class="badge {kind}">{"fails" if result.verdict == FAILS else "differs"}</span>'
    summary = f'<summary>{badge}<span class="name">{escape(result.name)}</span>'
    summary += f'<span class="soft">example {result.examples}: {escape(result.domain)}</span></summary>'
    return f'<details class="card {kind}"{" open" if opened else ""}>{summary}{body}</details>'


PLAIN = {
    "strides": [1, 1],
    "dilation_rate": [1, 1],
    "groups": 1,
    "padding": "valid",
    "data_format": "channels_last",
}


def _chips(f: Failure) -> str:
    """The geometry; what is at its default stays in the background."""
    chips = []
    for name, value in f.geometry.items():
        shown = list(value) if isinstance(value, tuple) else value
        text = " × ".join(map(str, shown)) if isinstance(shown, list) else str(shown)
        plain = " plain" if PLAIN.get(name) == shown else ""
        chips.append(f'<span class="chip{plain}">{escape(name)} {escape(text)}</span>')
    return f'<div class="chips">{"".join(chips)}</div>' if chips else ""


def _terms(f: Failure) -> str:
    """The products that should have summed to the element."""
    if not has_sum(f):
        return ""
    rows = []
    for name, value in f.terms[:MAX_TERMS]:
        what, _, factors = name.partition(" = ")
        rows.append(f"<tr><td>{escape(what)}<td>{escape(factors)}<td>{number(value)}</tr>")
    more = f"<tr><td>… and {len(f.terms) - MAX_TERMS} more</tr>" if len(f.terms) > MAX_TERMS else ""
    where = f"{f.label}[{', '.join(map(str, f.index or ()))}]"
    got = number(float(np.asarray(f.got, dtype=np.float64)[f.index])) if f.index is not None else ""
    total = number(float(sum(value for _, value in f.terms)))
    last = f'<tr class="sum"><td>{escape(where)} expected<td><td>{total}</tr>'
    last += f'<tr class="got"><td>got<td><td>{got}</tr>'
    return f'<table class="terms">{"".join(rows)}{more}{last}</table>'


def _likely(f: Failure) -> str:
    return "Likely mistake" if len(f.diagnosis) == 1 else "Likely mistakes: each of them gives these numbers"


def _drawing(rows: list[list[Panel]]) -> str:
    """What goes in, stacked, and to its right what was expected and what came."""
    if not rows:
        return ""
    lines = ["".join(map(_drawn, row)) for row in rows]
    inputs = "".join(f'<div class="row">{line}</div>' for line in lines[:-1])
    arrow = f'<div>{inputs}</div><span class="sign">→</span>' if inputs else ""
    return f'<div class="draw">{arrow}<div class="row">{lines[-1]}</div></div>'


def _drawn(panel: Panel) -> str:
    sign = f'<span class="sign">{panel.before}</span>' if panel.before else ""
    return sign + as_svg(panel)


def number(value: float) -> str:
    """A number as short as it can be read."""
    if not np.isfinite(value):
        return "NaN" if np.isnan(value) else "∞" if value > 0 else "−∞"
    return f"{value:.4g}".replace("-", "−").replace("e+", "e")


def as_svg(panel: Panel) -> str:
    """One panel; its colours are the page's classes."""
    rows, columns = panel.values.shape
    cells = {*panel.marked, *panel.wrong, *({panel.focus} if panel.focus else ())}
    (top, bottom), (left, right) = (
        _range(size, {cell[axis] for cell in cells}) for axis, size in enumerate((rows, columns))
    )
    parts = [f'<text class="title" x="0" y="14">{escape(panel.title)}</text>']
    for s in range(max(left, 0), min(right, columns - 1) + 1):
        parts.append(f'<text class="at" x="{LABEL + (s - left + 0.5) * CELL}" y="{TITLE + 12}">{s}</text>')
    for r in range(top, bottom + 1):
        y = TITLE + LABEL + (r - top) * CELL
        if 0 <= r < rows:
            parts.append(f'<text class="at" x="{LABEL / 2 - 2}" y="{y + CELL / 2 + 4}">{r}</text>')
        parts += [_cell(panel, r, s, LABEL + (s - left) * CELL, y) for s in range(left, right + 1)]
    if panel.focus is not None:
        x, y = LABEL + (panel.focus[1] - left) * CELL, TITLE + LABEL + (panel.focus[0] - top) * CELL
        parts.append(f'<rect class="focus" x="{x + 1}" y="{y + 1}" width="{CELL - 2}" height="{CELL - 2}"/>')
    width = max(LABEL + (right - left + 1) * CELL + 2, round(6.7 * len(panel.title)))
    height = TITLE + LABEL + (bottom - top + 1) * CELL + 2
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return f'<svg {size} role="img" aria-label="{escape(panel.title)}">{"".join(parts)}</svg>'


def _range(size: int, marked: set[int]) -> tuple[int, int]:
    """First and last row to draw: all of a small array with its padding, else what is marked and around it."""
    low, high = min({0, *marked}), max({size - 1, *marked})
    if high - low < MAX_CELLS or not marked:
        return low, min(high, low + MAX_CELLS - 1)
    start = max(low, min(min(marked) - 2, high - MAX_CELLS + 1))
    return start, min(high, start + MAX_CELLS - 1)


def _cell(panel: Panel, r: int, s: int, x: float, y: float) -> str:
    rows, columns = panel.values.shape
    inside, marked = 0 <= r < rows and 0 <= s < columns, (r, s) in panel.marked
    kinds = ["cell", *(["pad"] if not inside else []), *(["marked"] if marked else [])]
    kinds += ["wrong"] if (r, s) in panel.wrong else []
    if not inside and not marked:
        return ""
    text = number(float(panel.values[r, s])) if inside else panel.outside
    small = ' style="font-size:10px"' if len(text) > 6 else ""
    box = f'<rect class="{" ".join(kinds)}" x="{x}" y="{y}" width="{CELL}" height="{CELL}"/>'
    return f'{box}<text class="value" x="{x + CELL / 2}" y="{y + CELL / 2 + 4}"{small}>{text}</text>'
