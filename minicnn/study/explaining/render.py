"""Explanations on a terminal, as plain text and in a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from minicnn.study.explaining.sections import Section, intro, sections

if TYPE_CHECKING:
    from minicnn.study.explaining.explain import Explanation

TERMS = 12
"""How many terms are shown unless told otherwise."""

WIDTH = 110
STYLE = "text-align: right; font-variant-numeric: tabular-nums; padding: 1px 10px"
HEADING = "border-left: 3px solid #0072B2; padding-left: 8px; margin: 14px 0 4px"
MARK = "background: #dcebf5; color: #222222; font-weight: bold"
"""With a colour of its own: in a dark notebook text is white."""


def rich_group(e: Explanation, terms: int | None = TERMS) -> Any:
    """What rich prints."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [Text(intro(e), "bold")]
    for section in sections(e, terms):
        parts += ["", Text(section.title, "color(33)"), *map(Text, section.lines)]
        if section.rows:
            parts.append(_table(section))
        if section.result:
            parts.append(Text(section.result))
    return Group(*parts)


def _table(section: Section) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in section.columns:
        table.add_column(Text(column), justify="right", no_wrap=True)
    for number, row in enumerate(section.rows):
        table.add_row(*map(Text, row), style="bold" if number in section.marked else None)
    return table


def text(e: Explanation, terms: int | None = TERMS) -> str:
    """The same without colours."""
    from rich.console import Console

    console = Console(width=WIDTH, force_terminal=False, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(rich_group(e, terms))
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def html(e: Explanation, terms: int | None = TERMS) -> str:
    """Tables for a notebook, and the picture."""
    from base64 import b64encode
    from io import BytesIO

    buffer, figure = BytesIO(), e.plot()
    figure.suptitle("")  # the line above the picture says it
    figure.savefig(buffer, format="png", dpi=96, metadata={"Software": None})
    picture = b64encode(buffer.getvalue()).decode()
    body = "".join(map(_html_section, sections(e, terms)))
    return (
        f"<div><p><b>{escape(intro(e))}</b></p>"
        f'<img alt="{escape(e.title)}" src="data:image/png;base64,{picture}">{body}</div>'
    )


def _html_section(section: Section) -> str:
    parts = [f'<p style="{HEADING}">{escape(section.title)}</p>']
    parts += [f"<p>{escape(line)}</p>" for line in section.lines]
    if section.rows:
        head = "".join(f'<th style="{STYLE}">{escape(column)}</th>' for column in section.columns)
        rows = "".join(
            f'<tr style="{MARK if number in section.marked else ""}">'
            + "".join(f'<td style="{STYLE}">{escape(cell)}</td>' for cell in row)
            + "</tr>"
            for number, row in enumerate(section.rows)
        )
        parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")
    if section.result:
        parts.append(f"<p>{escape(section.result)}</p>")
    return "".join(parts)
