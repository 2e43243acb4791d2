"""A profile as a table: on a terminal, in a file, in a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minicnn.models.profile import Cost, Profile

COLUMNS = (
    "layer",
    "op",
    "pass",
    "algorithm",
    "ms",
    "% of step",
    "GFLOP/s",
    "% of peak",
    "MB",
    "dense",
    "needed",
)
LEFT = 4
"""Columns of words, before those of numbers."""

Line = tuple[str, ...]


def text(profile: Profile) -> str:
    """The table in characters, without colours, as wide as it needs to be."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if number < LEFT else "right", no_wrap=True)
    *groups, totals = _groups(profile)
    for group in groups:
        for line in group:
            table.add_row(*line)
    table.add_section()
    for line in totals:
        table.add_row(*line)
    console = Console(width=1000, force_terminal=False, color_system=None, highlight=False, markup=False)
    with console.capture() as capture:
        console.print(table)
    lines = [line.rstrip() for line in capture.get().splitlines()]
    return "\n".join([title(profile), *lines, *notes(profile)])


def html(profile: Profile) -> str:
    """The table for a notebook."""
    head = "".join(f"<th>{escape(column)}</th>" for column in COLUMNS)
    body = "".join(f"<tr>{_cells(line)}</tr>" for group in _groups(profile) for line in group)
    below = "<br>".join(map(escape, notes(profile)))
    return (
        f"<p>{escape(title(profile))}</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"<p>{below}</p>"
    )


def _cells(line: Line) -> str:
    return "".join(
        f'<td style="text-align: {"left" if number < LEFT else "right"}">{escape(cell)}</td>'
        for number, cell in enumerate(line)
    )


def title(profile: Profile) -> str:
    plan = "fused" if profile.fuses else "not fused"
    return (
        f"{profile.model}: one training step, batch {profile.batch_size}, {profile.dtype}, backend {profile.backend}, "
        f"{plan}, chunks of {profile.capacity}"
    )


def notes(profile: Profile) -> list[str]:
    """What one must know to read the numbers."""
    lines = [
        f"One thread, medians of {profile.repeats} runs. Peak: {profile.peak_gflops:.1f} GFLOP/s, a matrix product in "
        "NumPy with one thread.",
        "Multiply-adds of the batch, in millions: dense by the shapes alone; needed without padding, discarded "
        "positions and gradients of 0.",
        "GFLOP/s count two for every needed multiply-add; an algorithm that takes fewer (Winograd) may pass the peak. "
        "MB: arrays read and written, each once.",
    ]
    if any(row.gives_both for row in profile.rows):
        lines.append("Where dx shows no time, one call computes dw and dx, and its time is dw's.")
    return lines


def _groups(profile: Profile) -> list[list[Line]]:
    """The lines of each step, then those of the sums and of the rest of a training step."""
    groups = []
    for row in profile.rows:
        lines = [
            (name, row.algorithms.get(name, ""), *_numbers(profile, cost))
            for name, cost in row.passes.items()
        ]
        heads = [(row.layers, row.op), *[("", "")] * (len(lines) - 1)]
        groups.append([(*head, *line) for head, line in zip(heads, lines, strict=True)])
    sums = profile.total
    whole = sum(sums.values(), start=type(sums["dx"])(0.0, 0, 0, 0))
    names = ["all layers", *[""] * len(sums)]
    costs = [*sums.items(), ("all", whole)]
    totals = [
        (name, "", of, "", *_numbers(profile, cost)) for name, (of, cost) in zip(names, costs, strict=True)
    ]
    rest = {
        "engine": profile.engine_ms,
        "optimizer": profile.optimizer_ms,
        "metrics": profile.metrics_ms,
        "training step": profile.step_ms,
    }
    blank = [""] * (len(COLUMNS) - LEFT - 2)
    totals += [
        (name, "", "", "", f"{ms:.3f}", _percent(ms / profile.step_ms), *blank) for name, ms in rest.items()
    ]
    return [*groups, totals]


def _numbers(profile: Profile, cost: Cost) -> Line:
    rates = ("", "")
    if cost.needed and cost.ms:
        rates = (f"{cost.gflops:.1f}", _percent(profile.share_of_peak(cost)))
    counts = (_millions(cost.dense), _millions(cost.needed)) if cost.dense else ("", "")
    share = _percent(cost.ms / profile.step_ms)
    return (f"{cost.ms:.3f}", share, *rates, f"{cost.nbytes / 1e6:.2f}", *counts)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if abs(share) >= 0.095 else f"{100 * share:.1f} %"


def _millions(count: int) -> str:
    return f"{count / 1e6:,.2f}" if count < 1e8 else f"{count / 1e6:,.0f}"
