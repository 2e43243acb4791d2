"""Profiles as pictures: where a step's time goes, how near to the machine's roof, how much work is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicnn.models.profile import NOTHING, Cost, Profile, Row
from minicnn.viz.style import BLUE, FAINT, GRID, INK, LABEL, SMALL_SIZE, TITLE, clean, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GREEN, ORANGE = "#009E73", "#E69F00"  # two more of Okabe and Ito's
CARETLEFTBASE, CARETRIGHTBASE = 8, 9  # matplotlib.markers, not imported before a picture is drawn
# dw and dx often lie at one point: their triangles stand back to back, each with its base on the point.
PASSES: dict[str, dict[str, Any]] = {
    "forward": {"color": BLUE, "marker": "o", "size": 10.5, "shift": 0.0, "hatch": ""},
    "dw": {"color": ORANGE, "marker": CARETLEFTBASE, "size": 15.0, "shift": -4.2, "hatch": "...."},
    "dx": {"color": GREEN, "marker": CARETRIGHTBASE, "size": 15.0, "shift": 4.2, "hatch": "////"},
}
HIDES = 0.025
"""Markers that are nearer than this share of the axes lie over each other."""
LEGEND: dict[str, Any] = {"frameon": False, "fontsize": SMALL_SIZE, "labelcolor": INK}


class _Point(NamedTuple):
    """One pass of one layer under the roof."""

    layer: int
    """Counted from 1."""
    name: str
    intensity: float
    rate: float


def layer_shares(profile: Profile, ax: Axes | None = None) -> Axes:
    """Draw each step's share of a training step, forward, dw and dx one after the other, and below what else it takes.

    ax: where to draw; None for a new figure as high as it needs to be.
    """
    rows = [row for row in profile.rows if _ms(row) >= 0.001 * profile.step_ms]
    rest = {
        "engine": profile.engine_ms,
        "optimizer": profile.optimizer_ms,
        "metrics": profile.metrics_ms,
    }
    ax = ax or new_figure(7.2, 1.35 + 0.3 * (len(rows) + len(rest))).add_subplot()
    clean(ax)
    percent = 100 / profile.step_ms
    for y, row in enumerate(rows):
        left = 0.0
        for name, cost in row.passes.items():
            _bar(ax, y, left, percent * cost.ms, name)
            left += percent * cost.ms
        _number(ax, y, left, _ms(row), percent)
    for y, ms in enumerate(rest.values(), len(rows)):
        ax.barh(y, percent * ms, height=0.68, color=FAINT, zorder=2, label="rest" if y == len(rows) else None)
        _number(ax, y, max(0.0, percent * ms), ms, percent)
    longest = max(percent * ms for ms in [*map(_ms, rows), *rest.values()])
    ax.set_xlim(min(0.0, 1.05 * percent * min(rest.values())), 1.3 * longest)
    _name_rows(ax, [*(row.layers for row in rows), *rest])
    ax.set_xlabel("share of a training step, %", **LABEL)
    ax.set_title(f"{profile.model}: where {_three_digits(profile.step_ms)} ms go", loc="left", **TITLE)
    _explain(ax, profile)
    _legend_of_passes(ax, profile, rest=True)
    return ax


def needed_work(profile: Profile, ax: Axes | None = None) -> Axes:
    """Draw the multiply-adds of one image layer by layer: an outline for all, filled as far as they are needed.

    ax: where to draw; None for a new figure as high as it needs to be.
    """
    rows = [row for row in profile.rows if row.forward.dense]
    ax = ax or new_figure(7.2, 1.45 + 0.52 * max(1, len(rows))).add_subplot()
    clean(ax)
    millions = 1e-6 / profile.batch_size
    longest = millions * max((cost.dense for row in rows for cost in row.passes.values()), default=1)
    for k, row in enumerate(rows):
        for place, (name, cost) in enumerate(row.passes.items()):
            y = k + 0.27 * (place - (len(row.passes) - 1) / 2)
            ax.barh(
                y,
                millions * cost.dense,
                height=0.22,
                facecolor="white",
                edgecolor=FAINT,
                linewidth=0.9,
                zorder=2,
            )
            _bar(ax, y, 0.0, millions * cost.needed, name, height=0.22)
            share = f"{100 * cost.needed / cost.dense:.0f} %"
            place_of_text = millions * cost.dense + 0.008 * longest
            ax.text(place_of_text, y, share, va="center", fontsize=SMALL_SIZE - 1.5, color=INK)
    _name_rows(ax, [row.layers for row in rows])
    dense, needed = (
        sum(getattr(cost, which) for cost in profile.total.values()) for which in ("dense", "needed")
    )
    ax.set_xlim(0, 1.1 * longest)
    ax.set_xlabel("multiply-adds of one image, millions (outline: dense; filled: needed)", **LABEL)
    counts = " of ".join(_three_digits(millions * number) for number in (needed, dense))
    title = f"{profile.model}: {counts} million multiply-adds are needed"
    ax.set_title(title, loc="left", **TITLE)
    _explain(ax, profile, timed=False)
    _legend_of_passes(ax, profile)
    return ax


def roofline(profile: Profile, bandwidth_gbytes_s: float, ax: Axes | None = None) -> Axes:
    """Draw each pass of each layer: rate over intensity, both by needed work, under what the machine can do.

    S. Williams, A. Waterman & D. Patterson, "Roofline: an insightful visual performance model" (2009).
    bandwidth_gbytes_s: measured with one thread, 10⁹ bytes/s. The level roof is the profile's own peak.
    ax: where to draw; None for a new figure.

    Raises: ValueError if the bandwidth isn't positive.
    """
    if not bandwidth_gbytes_s > 0:
        raise ValueError(f"`bandwidth_gbytes_s` must be positive. Received {bandwidth_gbytes_s}.")
    ax = ax or new_figure(7.6, 4.7).add_subplot()
    clean(ax)
    rows = [row for row in profile.rows if row.forward.needed]
    points = [
        _Point(k, name, 2 * cost.needed / cost.nbytes, cost.gflops)
        for k, row in enumerate(rows, 1)
        for name, cost in row.passes.items()
        if cost.needed and cost.ms
    ]
    intensities, rates = [point.intensity for point in points], [point.rate for point in points]
    ridge = profile.peak_gflops / bandwidth_gbytes_s
    left, right = min([*intensities, ridge]) / 2, max([*intensities, ridge]) * 2
    x = np.array([left, ridge, right])
    roof = f"roof: memory, {bandwidth_gbytes_s:.3g} GB/s,\nmatrix product, {profile.peak_gflops:.3g} GFLOP/s"
    y = np.minimum(profile.peak_gflops, bandwidth_gbytes_s * x)
    (line,) = ax.plot(x, y, color=INK, linewidth=1.6, zorder=1, label=roof)
    ax.set(xscale="log", yscale="log", xlim=(left, right))
    lowest, highest = min([*rates, bandwidth_gbytes_s * left]), max([*rates, profile.peak_gflops])
    ax.set_ylim(lowest / 1.8, highest * 2.1)
    for _, name, intensity, rate in points:
        style = PASSES[name]
        ax.plot(
            intensity, rate, marker=style["marker"], color=style["color"], markersize=style["size"], zorder=3,
            markeredgecolor="white", markeredgewidth=0.6, linestyle="none",
        )  # fmt: skip
    _number_markers(ax, points)
    _plain_ticks(ax)
    ax.grid(color=GRID, linewidth=0.7)
    ax.set_axisbelow(True)
    ax.set_xlabel("needed FLOP for each byte that must be moved", **LABEL)
    ax.set_ylabel("GFLOP/s by needed work", **LABEL)
    ax.set_title(f"{profile.model}: every layer under the roof of one thread", loc="left", **TITLE)
    _explain(ax, profile)
    _legend_of_layers(ax, rows, line)
    return ax


def _number_markers(ax: Axes, points: list[_Point]) -> None:
    """Write into each marker the layer's number; beside one that hides others, all of their numbers."""
    to_axes = ax.transScale + ax.transLimits
    places = [to_axes.transform((point.intensity, point.rate)) for point in points]
    for k, point in enumerate(points):
        near = [
            other.layer
            for other, place in zip(points, places, strict=True)
            if other.name == point.name and np.abs(place - places[k]).max() < HIDES
        ]
        if near[-1] != point.layer:
            continue  # drawn below that one
        style, shift, side = PASSES[point.name], PASSES[point.name]["shift"], "center"
        colour = "black" if point.name == "dw" else "white"
        if len(near) > 1:
            colour, side = INK, "right" if shift < 0 else "left"
            shift = 3 * shift if shift else 0.6 * style["size"]
        ax.annotate(
            ",".join(map(str, near)), (point.intensity, point.rate), xytext=(shift, -0.3), textcoords="offset points",
            zorder=4, ha=side, va="center_baseline", fontsize=6.5, color=colour, weight="bold",
        )  # fmt: skip


def _legend_of_layers(ax: Axes, rows: list[Row], roof: Any) -> None:
    """Beside the picture, where no point can lie: what the line, the markers and the numbers mean."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [], [], marker=style["marker"], color=style["color"], linestyle="none", markersize=8, label=name
        )
        for name, style in PASSES.items()
    ]
    numbers = [
        Line2D([], [], linestyle="none", marker=f"${k}$", color=INK, markersize=6, label=_short(row.layers))
        for k, row in enumerate(rows, 1)
    ]
    ax.legend(handles=[roof, *handles, *numbers], loc="upper left", bbox_to_anchor=(1.01, 1.0), **LEGEND)


def _plain_ticks(ax: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def _ms(row: Row) -> float:
    return sum((cost for cost in row.passes.values()), NOTHING).ms


def _bar(ax: Axes, y: float, left: float, width: float, name: str, height: float = 0.68) -> None:
    style = PASSES[name]
    ax.barh(
        y, width, left=left, height=height, color=style["color"], hatch=style["hatch"], edgecolor="white",
        linewidth=0, zorder=3,
    )  # fmt: skip


def _number(ax: Axes, y: float, end: float, ms: float, percent: float) -> None:
    share = percent * ms
    rounded = f"{share:.0f}" if abs(share) >= 9.5 else f"{share:.1f}"
    text = f" {rounded} %, {_three_digits(ms)} ms".replace("-", "−")
    ax.text(end, y, text, va="center", fontsize=SMALL_SIZE - 0.5, color=INK)


def _three_digits(value: float) -> str:
    """12.3, 1.23 and 0.12, but 1,234: as many digits as one believes, at most two behind the point."""
    return f"{value:,.{max(0, min(2, 2 - int(np.floor(np.log10(max(abs(value), 1e-9))))))}f}"


def _name_rows(ax: Axes, names: list[str]) -> None:
    ax.set_yticks(range(len(names)), list(map(_short, names)), parse_math=False)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(names) - 0.4, -0.6)


def _short(layers: str) -> str:
    """max_pooling2d_1 as pool 1: a fused step names two layers."""
    return (
        layers.replace("max_pooling2d", "pool").replace("average_pooling2d", "average pool").replace("_", " ")
    )


def _explain(ax: Axes, profile: Profile, timed: bool = True) -> None:
    """Under the title: what was run."""
    words = [f"batch {profile.batch_size}", profile.dtype, "fused" if profile.fuses else "not fused"]
    words += ["one thread"] if timed else []
    ax.text(0, 1.02, ", ".join(words), transform=ax.transAxes, fontsize=SMALL_SIZE, color=FAINT, va="bottom")
    ax.set_title(ax.get_title(loc="left"), loc="left", pad=20, parse_math=False, **TITLE)


def _legend_of_passes(ax: Axes, profile: Profile, rest: bool = False) -> None:
    from matplotlib.patches import Patch

    present: dict[str, Cost] = {name: cost for name, cost in profile.total.items() if cost != NOTHING}
    handles = [
        Patch(facecolor=PASSES[name]["color"], hatch=PASSES[name]["hatch"], edgecolor="white", label=name)
        for name in present
    ]
    handles += [Patch(facecolor=FAINT, label="rest")] if rest else []
    ax.legend(handles=handles, loc="lower right", **LEGEND)
