"""The report as one HTML page without scripts or links: the table, and each failure drawn.

A drawing shows one channel of one image under the window of the first wrong element, the kernel, and the
expected and the given map, with the wrong elements marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from minicnn.testing.geometry import pad_amounts
from minicnn.testing.render import MARKS, failure_lines, verdict_line, worst_as_text
from minicnn.testing.report import FAILS, Failure, PropertyResult, Report

Array = np.ndarray[Any, Any]
CELL = 46
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color:
#222 } table { border-collapse: collapse } td, th { padding: .2rem .7rem; border-bottom: 1px solid #ddd;
text-align: left } .holds { color: #17692b } .fails { color: #a8201a; font-weight: bold } .differs { color:
#8a6100 } pre { background: #f6f6f4; padding: .8rem; overflow-x: auto } svg { margin: 0 1.5rem .5rem 0 }
"""


def as_html(target: str, reports: Sequence[Report]) -> str:
    """One page for all the reports of a target."""
    body = "".join(_section(report) for report in reports)
    title = f"Verification of {escape(target)}"
    head = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    )
    return f"{head}<h1>{title}</h1>{body}</html>"


def _section(report: Report) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in report.versions.items())
    notes = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
    rows = "".join(_row(result) for result in report.results)
    failures = "".join(_failure(result) for result in report.results if result.failure is not None)
    return (
        f"<h2>{escape(report.op)} of {escape(report.target)}</h2>"
        f"<p>{escape(verdict_line(report))}; seed {report.seed}, {report.examples} examples; "
        f"{escape(versions)}</p><ul>{notes}</ul>"
        "<table><tr><th>property<th>domain<th>verdict<th>examples<th>worst error / bound<th>note</tr>"
        f"{rows}</table>{failures}"
    )


def _row(r: PropertyResult) -> str:
    verdict = f'<td class="{r.verdict.split()[0]}">{MARKS.get(r.verdict, "–")} {escape(r.verdict)}'
    cells = "".join(f"<td>{escape(str(v))}" for v in (r.examples or "", worst_as_text(r), r.note))
    return f"<tr><td>{escape(r.name)}<td>{escape(r.domain)}{verdict}{cells}</tr>"


def _failure(result: PropertyResult) -> str:
    heading = f'<h3 class="{"fails" if result.verdict == FAILS else "differs"}">{escape(result.name)}</h3>'
    drawing = "" if result.failure is None else _drawing(result.failure)
    return f"{heading}{drawing}<pre>{escape(chr(10).join(failure_lines(result)))}</pre>"


def _drawing(f: Failure) -> str:
    """Image under the window, kernel, expected and got, as far as the failure has them."""
    if f.got is None or f.expected is None or f.index is None or len(f.index) != 4:
        return ""
    n, i, j, c = f.index
    got, expected = np.asarray(f.got, dtype=np.float64), np.asarray(f.expected, dtype=np.float64)
    if got.shape != expected.shape:
        return ""
    parts = []
    if f.label == "y" and "x" in f.arrays and f.geometry:
        parts += _inputs(f, n, i, j, c)
    wrong = {(int(r), int(s)) for r, s in np.argwhere(_differs(got[n, ..., c], expected[n, ..., c]))}
    parts += [
        _grid("expected", expected[n, ..., c], {(i, j)}),
        _grid("got", got[n, ..., c], wrong, "#f2b8b5"),
    ]
    return "".join(parts)


def _differs(a: Array, b: Array) -> Array:
    return np.asarray(~((a == b) | (np.isnan(a) & np.isnan(b))))


def _inputs(f: Failure, n: int, i: int, j: int, c: int) -> list[str]:
    g, x = f.geometry, np.asarray(f.arrays["x"], dtype=np.float64)
    size = g.get("kernel_size") or g.get("pool_size")
    if size is None or x.ndim != 4:
        return []
    dilation = g.get("dilation_rate", (1, 1))
    taps = set()
    starts = [
        at * s - pad_amounts(side, k, s, g["padding"], d)[0]
        for at, side, k, s, d in zip((i, j), x.shape[1:3], size, g["strides"], dilation, strict=True)
    ]
    for p in range(size[0]):
        for q in range(size[1]):
            taps.add((starts[0] + p * dilation[0], starts[1] + q * dilation[1]))
    if "w" not in f.arrays:
        return [_grid(f"x, image {n}, channel {c}, window of y[{n},{i},{j},{c}]", x[n, ..., c], taps)]
    w = np.asarray(f.arrays["w"], dtype=np.float64)
    channel = (c // (w.shape[3] // g["groups"])) * w.shape[2]
    return [
        _grid(f"x, image {n}, channel {channel}, window of y[{n},{i},{j},{c}]", x[n, ..., channel], taps),
        _grid(f"kernel of filter {c}, channel 0", w[:, :, 0, c], set()),
    ]


def _grid(title: str, values: Array, marked: set[tuple[int, int]], colour: str = "#fde9a9") -> str:
    """A matrix of numbers as SVG; marked cells may lie outside (padding)."""
    rows, columns = values.shape
    low = (min([0, *(r for r, _ in marked)]), min([0, *(s for _, s in marked)]))
    high = (max([rows - 1, *(r for r, _ in marked)]), max([columns - 1, *(s for _, s in marked)]))
    cells = []
    for r in range(low[0], high[0] + 1):
        for s in range(low[1], high[1] + 1):
            x, y = (s - low[1]) * CELL, (r - low[0]) * CELL + 18
            inside = 0 <= r < rows and 0 <= s < columns
            fill = colour if (r, s) in marked else "#fff" if inside else "#eee"
            dash = "" if inside else ' stroke-dasharray="3"'
            cells.append(
                f'<rect x="{x}" y="{y}" width="{CELL}" height="{CELL}" fill="{fill}" stroke="#888"{dash}/>'
            )
            if inside:
                cells.append(
                    f'<text x="{x + CELL / 2}" y="{y + CELL / 2 + 4}" text-anchor="middle" font-size="12">'
                    f"{values[r, s]:.4g}</text>"
                )
    width, height = (high[1] - low[1] + 1) * CELL, (high[0] - low[0] + 1) * CELL + 20
    label = f'<text x="0" y="12" font-size="12">{escape(title)}</text>'
    size = f'width="{max(width, 8 * len(title))}" height="{height}"'
    return f'<svg {size} role="img">{label}{"".join(cells)}</svg>'
