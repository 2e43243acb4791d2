"""A confusion as text: on a terminal with rich, and as a section of docs/semantics.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from minicnn.study.semantics.confusion import Confusion, Example, Row, Shown, Training

if TYPE_CHECKING:
    from rich.console import Console


def number(value: float) -> str:
    """Short, and whole numbers as such."""
    return f"{value:g}" if abs(value) >= 1e-3 or value == 0 else f"{value:.2g}"


def lines_of(shown: Shown) -> list[str]:
    """The rows of an array, its columns aligned on the right."""
    cells = [[number(value) for value in row] for row in np.atleast_2d(shown.values).tolist()]
    widths = [max(len(row[k]) for row in cells) for k in range(len(cells[0]))]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def listing(confusions: list[Confusion], console: Console) -> None:
    """All of them, and a discussion of each."""
    from rich.table import Table
    from rich.text import Text

    table = Table("name", "question", "here", "elsewhere", show_lines=True)
    for one in confusions:
        table.add_row(f"[bold]{one.name}[/]", *map(Text, (one.question, one.ours, one.other)))
    console.print(table)
    console.print("Where people asked, among other places:")
    width = max(len(one.name) for one in confusions)
    for one in confusions:
        # An address is copied: on a narrow terminal it goes on in the next line, not after a space.
        console.print(Text(f"  {one.name:{width}}  {one.sources[0].url}"), soft_wrap=True)


def head(one: Confusion, console: Console) -> None:
    console.print(f"[bold]{one.name}[/]: {one.question}")
    console.print(f"  here       {one.ours}", markup=False)
    console.print(f"  elsewhere  {one.other}\n", markup=False)


def example(shown: Example, console: Console) -> None:
    """The arrays side by side, as far as they fit, and what they say."""
    from rich.columns import Columns
    from rich.panel import Panel
    from rich.text import Text

    panels = [
        Panel(Text("\n".join(lines_of(one))), title=Text(one.label), expand=False) for one in shown.arrays
    ]
    console.print(Columns(panels))
    console.print(f"{shown.says}\n", markup=False)


def training(result: Training, console: Console) -> None:
    from rich.table import Table

    table = Table("", "test loss", "test accuracy", title="A training run")
    for row in result.rows:
        table.add_row(*_cells(row))
    console.print(table)
    console.print(f"{result.says}\n", markup=False)


def sources(one: Confusion, console: Console) -> None:
    console.print("Where people asked:")
    for source in one.sources:
        console.print(f"  {source.repository}#{source.number}  {source.title}", markup=False)
        console.print(f"    {source.url}", markup=False, soft_wrap=True)


def _cells(row: Row) -> tuple[str, str, str]:
    return row.what, f"{row.loss:.4f}", f"{100 * row.accuracy:.1f} %"


PAGE_HEAD = """# Semantics lab

Seven conventions that two libraries may disagree on while every shape fits and nothing complains. `minicnn semantics`
lists them, `minicnn semantics NAME` prints one: a worked difference, the same on a training run, and where people asked
about it. A variant is a pair of functions in the place of an op, in a plan of the reference backend
(`minicnn/study/semantics/`, one file each); the engine, the layers and the kernels know Keras's meaning only.

Trainings: 1,500 digits, two epochs, batches of 32 in the same order, the same initial weights; tested on 1,000 others.
"""


def page(confusions: list[Confusion], trainings: Mapping[str, Training]) -> str:
    """Markdown: examples are worked out anew, trainings are those of a run."""
    parts = [PAGE_HEAD]
    for one in confusions:
        shown, result = one.example(), trainings[one.name]
        arrays = "\n\n".join(
            "\n".join([f"{array.label}:", *(f"    {line}" for line in lines_of(array))])
            for array in shown.arrays
        )
        rows = "\n".join(f"| {' | '.join(_cells(row))} |" for row in result.rows)
        links = "\n".join(
            f"- [{source.repository}#{source.number}]({source.url}): {source.title}" for source in one.sources
        )
        parts.append(
            f"## {one.name}\n\n{one.question}\n\n- Here: {one.ours}\n- Elsewhere: {one.other}\n\n"
            f"```text\n{arrays}\n```\n\n{shown.says}\n\n"
            "| a training run | test loss | test accuracy |\n| --- | ---: | ---: "
            f"|\n{rows}\n\n{result.says}\n\nWhere people asked:\n\n{links}\n"
        )
    return "\n".join(parts)
