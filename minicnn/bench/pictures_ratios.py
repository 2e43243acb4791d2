"""Ratios of times, ours over theirs, each with the bar that was promised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from minicnn.bench.results import OK, Measured, Results, Verdict
from minicnn.viz.style import BLUE, FAINT, GRID, INK, LABEL, SMALL_SIZE, TITLE, VERMILLION, clean, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDEST = 3.0
"""Ratios beyond this are drawn as long as this; the number says how large they are."""


PAPER: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
"""Behind words, so that no line runs through them."""


class Ratio(NamedTuple):
    """One bar of the picture."""

    group: str
    """What was measured: a heading over its bars."""
    against: str
    value: float | None
    """Ours over theirs; None if it was not measured."""
    low: float | None = None
    high: float | None = None
    """95 % confidence interval."""
    limit: float | None = None
    """The bar, where one was promised."""
    at_least: bool = False
    """The value must be at least the limit, not at most."""

    @property
    def is_missed(self) -> bool:
        if self.value is None or self.limit is None:
            return False
        return self.value < self.limit if self.at_least else self.value > self.limit


def ratio_bars(ratios: Sequence[Ratio], ax: Axes | None = None) -> Axes:
    """Draw one horizontal bar for each ratio under its group's heading; a black line is what was promised.

    ratios: those of a group beside each other.
    ax: where to draw; None for a new figure as high as it needs to be.

    Raises: ValueError if there are none.
    """
    if not ratios:
        raise ValueError("`ratios` must hold at least one. Received none.")
    groups = list(dict.fromkeys(ratio.group for ratio in ratios))
    lines = len(ratios) + 1.25 * len(groups)
    if ax is None:
        ax = new_figure(7.6, 1.25 + 0.205 * lines).add_subplot()
    clean(ax)
    ends = [max(v for v in (r.value, r.high, r.limit, 1.0) if v is not None) for r in ratios]
    right = min(WIDEST, 1.12 * max(ends))
    y, ticks = 0.0, []
    for group in groups:
        heading: dict[str, Any] = {
            "fontsize": SMALL_SIZE + 0.5,
            "color": INK,
            "va": "center",
            "bbox": PAPER,
            "zorder": 3,
        }
        ax.text(0.008 * right, y, group, parse_math=False, **heading)
        y += 1
        for ratio in (r for r in ratios if r.group == group):
            _draw(ax, y, ratio, right)
            ticks.append((y, f"÷ {ratio.against}"))
            y += 1
        y += 0.25
    ax.axvline(1, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    ax.set_yticks([at for at, _ in ticks], [text for _, text in ticks], parse_math=False)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(y - 0.5, -0.8)
    ax.set_xlim(0, right)
    ax.set_xlabel("minicnn ÷ peer (below 1 minicnn needs less)", **LABEL)
    ax.set_title("minicnn against its peers", loc="left", **TITLE)
    right_side: dict[str, Any] = {
        "transform": ax.get_yaxis_transform(),
        "fontsize": SMALL_SIZE - 0.5,
        "color": FAINT,
    }
    ax.text(1.02, -0.8, "promised", va="bottom", **right_side)
    return ax


def _draw(ax: Axes, y: float, ratio: Ratio, right: float) -> None:
    beside: dict[str, Any] = {"va": "center", "fontsize": SMALL_SIZE, "color": INK}
    if ratio.value is None:
        free = 0.0 if ratio.limit is None or ratio.limit > 0.25 * right else ratio.limit
        ax.text(free + 0.012 * right, y, "not measured", style="italic", **(beside | {"color": FAINT}))
    else:
        style: dict[str, Any] = (
            {"color": VERMILLION, "hatch": "////", "edgecolor": "white"}
            if ratio.is_missed
            else {"color": BLUE}
        )
        if ratio.limit is None:
            style = {"facecolor": GRID, "edgecolor": FAINT}
        shown = min(ratio.value, right)
        ax.barh(y, shown, height=0.62, linewidth=0.6, zorder=2, **style)
        end = shown
        if ratio.low is not None and ratio.high is not None:
            end = max(end, min(ratio.high, right))
            ax.plot(
                [min(ratio.low, right), min(ratio.high, right)], [y, y], color=INK, linewidth=1.1, zorder=4
            )
        if ratio.limit is not None and end <= ratio.limit < end + 0.1 * right:
            end = min(ratio.limit, right)  # the number stands behind the line
        inside = end > 0.92 * right
        ax.text(
            (end - 0.012 * right) if inside else end + 0.012 * right,
            y,
            f"{ratio.value:.2f}" + (" →" if ratio.value > right else ""),
            ha="right" if inside else "left",
            zorder=5,
            bbox=PAPER,
            **beside,
        )
    if ratio.limit is not None:
        ax.plot(
            [ratio.limit] * 2, [y - 0.42, y + 0.42], color="black", linewidth=2.2, zorder=6, clip_on=False
        )
        sign = "≥" if ratio.at_least else "≤"
        text = f"{sign} {ratio.limit:.2f}" + ("  missed" if ratio.is_missed else "")
        place: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "clip_on": False}
        colour = VERMILLION if ratio.is_missed else FAINT
        ax.text(1.02, y, text, **(beside | {"color": colour} | place))


def ratios_of(results: Results) -> list[Ratio]:
    """The verdicts in their order; after those on one measurement its other peers, with nothing promised."""
    ratios: list[Ratio] = []
    seen = set()
    for verdict in results.verdicts:
        if verdict.measurement in seen:
            continue
        seen.add(verdict.measurement)
        same = [v for v in results.verdicts if v.measurement == verdict.measurement]
        group = _heading(same)
        ratios += [_of_verdict(v, group) for v in same]
        measured = results.measurement(verdict.measurement)
        if measured is not None and measured.name.startswith(measured.job):
            ratios += _others(measured, group, {v.against for v in same})
    return ratios


def _heading(verdicts: Sequence[Verdict]) -> str:
    """What the verdicts on one measurement have in common: the shortest, for 'X' and 'X: against …' are about X."""
    return min((v.what for v in verdicts), key=len).split(": worst")[0].split(": geometric mean")[0]


def _of_verdict(verdict: Verdict, group: str) -> Ratio:
    extra = verdict.what.removeprefix(group).removeprefix(": ") if verdict.what != group else ""
    against = f"{verdict.against}, {extra}" if extra in ("worst", "geometric mean") else verdict.against
    return Ratio(group, against, verdict.value, verdict.low, verdict.high, verdict.limit, verdict.at_least)


def _others(measured: Measured, group: str, known: set[str]) -> list[Ratio]:
    ours = measured.series_of("minicnn")
    if ours is None or not ours.median:
        return []
    return [
        Ratio(group, series.label, ours.median / series.median)
        for series in measured.series
        if series.label not in known | {"minicnn", "reference"} and series.status == OK and series.median
    ]
