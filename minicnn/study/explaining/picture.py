"""An explanation drawn: the map with its window, window × kernel = products, the sum, the activation, the pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.engine import ops
from minicnn.study.explaining.steps import Choice, Copy, Curve, Difference, Mean, Share, Sum
from minicnn.viz import cells
from minicnn.viz.style import FAINT, INK, PAD_IN, SMALL_SIZE, TITLE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minicnn.study.explaining.explain import Explanation

ROWS = 3
"""Channels, filters or samples drawn at most: those that contribute most."""
BARS = 8
"""Contributions shown one by one; the others are one bar together."""


@dataclass
class Row:
    """One channel, filter or sample of a sum."""

    label: str
    plane: np.ndarray | None
    pixels: np.ndarray | None
    first: np.ndarray
    second: np.ndarray | None
    missing: np.ndarray | None
    """Taps that have no term, or lie in the padding."""

    @property
    def products(self) -> np.ndarray:
        return self.first if self.second is None else self.first * self.second


def plot(e: Explanation) -> Figure:
    """The whole picture."""
    rows, contributions = _rows(e)
    choices = [step for step in (*e.steps, *e.after) if isinstance(step, Choice | Mean)]
    panels = [step for step in e.steps if isinstance(step, Sum | Curve | Share | Difference)]
    maps = [step for step in e.steps if isinstance(step, Choice)]
    below = len(maps) + len(panels) + len(choices[:2]) or 1
    height = 2.6 if panels or choices else 0.3
    figure = new_figure(9.4, 1.9 * len(rows) + height + 0.9)
    outer = figure.add_gridspec(
        2 if rows else 1, 1, height_ratios=[1.9 * len(rows), height] if rows else None
    )
    if rows:
        _draw_rows(figure, outer[0], rows, e)
    widths = [1.0] * len(maps) + [1.7 if isinstance(s, Sum | Share) else 1.0 for s in panels]
    widths += [1.0] * (max(3, below) - len(widths))
    places = iter(outer[-1].subgridspec(1, len(widths), width_ratios=widths))
    for source in maps:
        _draw_source(figure.add_subplot(next(places)), source, e)
    for panel in panels:
        _draw_panel(figure.add_subplot(next(places)), panel, contributions)
    for choice in choices[:2]:
        _draw_choice(figure.add_subplot(next(places)), choice, e)
    if not panels and not choices:
        _draw_copy(figure.add_subplot(outer[-1]), e)
    left = PAD_IN / figure.get_figwidth()
    figure.suptitle(f"{e.title} = {cells.compact(e.stored)}", x=left, ha="left", parse_math=False, **TITLE)
    return figure


def _draw_source(ax: Any, step: Choice, e: Explanation) -> None:
    """The map that a maximum was chosen from, its window outlined."""
    if e.planes is not None:
        n, c = step.index[0], step.index[-1]
        pixels = step.pixels.reshape(-1, 2) if step.winner is not None else None
        cells.draw_map(ax, e.planes[0][n, ..., c], pixels, title=f"channel {c}")


def _draw_rows(figure: Figure, place: Any, rows: list[Row], e: Explanation) -> None:
    """Map, window, ×, kernel, =, products; one row a channel."""
    has_second, step = rows[0].second is not None, e.sum
    ratios = [1.15, 1, 0.12, 1, 0.12, 1] if has_second else [1.15, 1]
    inner = place.subgridspec(len(rows), len(ratios), width_ratios=ratios)
    largest = [_largest(rows, name) for name in ("first", "second", "products")]
    for k, row in enumerate(rows):

        def ax(column: int, k: int = k) -> Any:
            return figure.add_subplot(inner[k, column])

        if row.plane is not None:
            cells.draw_map(ax(0), row.plane, row.pixels, title=row.label)
        titles = (*step.factors, "products") if k == 0 else ("", "", "")
        if row.plane is None:
            titles = (f"{row.label}: {step.factors[0]}", *titles[1:])
        cells.draw_numbers(ax(1), row.first, largest=largest[0], missing=row.missing, title=titles[0])
        if row.second is None:
            continue
        cells.draw_sign(ax(2), "÷" if step.divides else "×")
        cells.draw_numbers(ax(3), row.second, largest=largest[1], title=titles[1])
        cells.draw_sign(ax(4), "=")
        cells.draw_numbers(ax(5), row.products, largest=largest[2], missing=row.missing, title=titles[2])


def _largest(rows: list[Row], name: str) -> float:
    arrays = [getattr(row, name) for row in rows]
    return max((float(np.nanmax(np.abs(a), initial=0)) for a in arrays if a is not None), default=1.0) or 1.0


def _draw_panel(ax: Any, step: Any, contributions: list[tuple[str, float]]) -> None:
    match step:
        case Sum():
            labels, values, sums = _bars(step, contributions)
            cells.draw_contributions(
                ax, labels, values, sums=sums, title=f"the sum: {cells.compact(step.value)}"
            )
        case Curve():
            name = step.op.lower()
            text = name if step.dy is None else f"{name}: dy {cells.compact(step.dy)} × slope"
            cells.draw_curve(ax, *step.curve, (step.input, step.output), step.derivative, title=text)
        case Share():
            shares = step.exponentials / step.exponentials.sum()
            labels, mine = [str(k) for k in range(len(shares))], [step.index[-1]]
            cells.draw_contributions(
                ax, labels, shares.tolist(), sums=mine, stacked=False, title="softmax: shares of 1"
            )
        case Difference():
            labels = ["p", "− t", "p − t"]
            values = [step.probability, -step.target, step.probability - step.target]
            cells.draw_contributions(ax, labels, values, sums=[2], title=f"times {cells.compact(step.seed)}")


def _bars(step: Sum, contributions: list[tuple[str, float]]) -> tuple[list[str], list[float], list[int]]:
    """The largest contributions, the others together, what follows, and the element itself."""
    ordered = sorted(contributions, key=lambda pair: -abs(pair[1]))
    shown = ordered if len(ordered) <= BARS + 1 else ordered[:BARS]
    labels, values = [label for label, _ in shown], [value for _, value in shown]
    if len(shown) < len(ordered):
        labels.append(f"{len(ordered) - BARS} others")
        values.append(sum(value for _, value in ordered[BARS:]))
    if not values:
        return ["nothing"], [0.0], [0]
    sums = []
    if step.divisor is not None:
        labels.append(f"÷ {step.divisor:g}")
        values.append(step.sum / step.divisor)
        sums.append(len(values) - 1)
    if step.bias is not None:
        labels.append("bias")
        values.append(step.bias)
    labels.append("sum")
    values.append(step.value)
    return labels, values, [*sums, len(values) - 1]


def _draw_choice(ax: Any, step: Choice | Mean, e: Explanation) -> None:
    values, missing = step.values, ~np.isfinite(step.values)
    winner = step.winner if isinstance(step, Choice) else None
    title = f"{step.name}: {'max' if isinstance(step, Choice) else 'mean'}"
    cells.draw_numbers(ax, values, missing=missing, marked=winner, title=title)
    if isinstance(step, Choice) and winner is not None:
        ax.set_xlabel(f"the maximum is outlined{_whose(step, e)}", fontsize=SMALL_SIZE, color=FAINT)


def _whose(step: Choice, e: Explanation) -> str:
    if step not in e.after or step.winner is None:
        return ""
    mine = tuple(step.pixels[step.winner].tolist()) == e.index[1:3]
    return ",\nit is this element" if mine else ",\nnot this element"


def _draw_copy(ax: Any, e: Explanation) -> None:
    step = e.steps[-1]
    text = "a zero of padding"
    if isinstance(step, Copy) and step.source is not None:
        text = f"moved from [{', '.join(map(str, step.source))}]"
    ax.set_axis_off()
    ax.text(0, 0.5, text, fontsize=11, color=INK, va="center")


# From terms to rows


def _rows(e: Explanation) -> tuple[list[Row], list[tuple[str, float]]]:
    """The rows that contribute most, and every contribution with its name."""
    step = next((s for s in e.steps if isinstance(s, Sum)), None)
    if step is None:
        return [], []
    grids = _grids(e, step)
    if not grids:
        names = list(step.indices)
        labels = [
            " ".join(f"{n} {int(step.indices[n][t])}" for n in names) or "x" for t in range(len(step.first))
        ]
        return [], list(zip(labels, step.terms.tolist(), strict=True))
    terms = [float(np.nansum(row.first / row.second if step.divides else row.products)) for row in grids]
    order = np.argsort(-np.abs(terms), kind="stable")[:ROWS]
    return [grids[k] for k in order], [(row.label, total) for row, total in zip(grids, terms, strict=True)]


def _grids(e: Explanation, step: Sum) -> list[Row]:
    """One row for each channel of y's window, filter of dx's, sample of dw's; none for what has no grid."""
    if e.planes is None or e.planes[0].ndim != 4 or not len(step.first):
        return []
    at, plane = step.indices, e.planes[0]
    if isinstance(e.op, ops.Conv2D) and e.what == "y":
        shape = (*e.op.window.kernel_size, -1)
        n = step.index[0]
        return [
            _row(f"channel {c}", plane[n, ..., c], step, shape, k, ("row", "column"))
            for k, c in enumerate(at["c"].reshape(shape)[0, 0])
        ]
    if isinstance(e.op, ops.Conv2D) and e.what == "dx":
        return _dx_rows(e, step)
    if isinstance(e.op, ops.Conv2D):
        return _sample_rows(e, step)
    if isinstance(e.op, ops.AveragePool2D) and e.what == "y":
        n, *_, c = step.index
        shape = (*e.op.window.kernel_size, 1)
        return [_row(f"channel {c}", plane[n, ..., c], step, shape, 0, ("row", "column"))]
    return []


def _row(
    label: str, plane: np.ndarray, step: Sum, shape: tuple[int, ...], k: int, names: tuple[str, str]
) -> Row:
    """The k-th slice along the last axis of the terms in `shape`."""

    def cut(array: np.ndarray) -> np.ndarray:
        return array.reshape(shape)[..., k]

    pixels = np.stack([cut(step.indices[name]).ravel() for name in names], -1)
    second = None if step.second is None else cut(step.second)
    missing = None if step.is_inside is None else ~cut(step.is_inside)
    return Row(label, plane, pixels, cut(step.first), second, missing)


def _dx_rows(e: Explanation, step: Sum) -> list[Row]:
    """dy where the windows lie, each beside the tap that reads the pixel; taps without a window have no term."""
    size = e.op.window.kernel_size  # type: ignore[union-attr]
    n, *_, c = step.index
    w, rows = e.planes[1], []  # type: ignore[index]
    for f in np.unique(step.indices["f"]):
        mine = step.indices["f"] == f
        p, q, i, j = (step.indices[name][mine] for name in "pqij")
        first = np.full(size, np.nan)
        first[p, q] = step.first[mine]
        kernel = w[:, :, c % w.shape[2], f]
        rows.append(
            Row(f"filter {f}", e.planes[0][n, ..., f], np.stack([i, j], -1), first, kernel, np.isnan(first))  # type: ignore[index]
        )
    return rows


def _sample_rows(e: Explanation, step: Sum) -> list[Row]:
    """All windows of a sample: what this tap reads there, times dy."""
    shape = (int(step.indices["n"].max()) + 1, int(step.indices["i"].max()) + 1, -1)
    cut: Any = [None if a is None else a.reshape(shape) for a in (step.first, step.second, step.is_inside)]
    first, second, inside = cut
    return [
        Row(
            f"sample {n}",
            None if second is None else e.planes[0][n, ..., _channel(e, step)],  # type: ignore[index]
            None,
            first[n],
            None if second is None else second[n],
            None if inside is None else ~inside[n],
        )
        for n in range(shape[0])
    ]


def _channel(e: Explanation, step: Sum) -> int:
    """Of x that a weight of a grouped convolution reads."""
    _, _, c, f = step.index
    groups = e.op.groups  # type: ignore[union-attr]
    return c + f // (e.op.filters // groups) * (e.planes[0].shape[-1] // groups)  # type: ignore[union-attr,index]
