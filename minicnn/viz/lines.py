"""Several runs of one measurement as lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from minicnn.viz.style import GRID, INK, LABEL, SERIES, SMALL_SIZE, TITLE, clean, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def lines(
    series: Mapping[str, tuple[ArrayLike, ArrayLike]],
    title: str,
    labels: tuple[str, str],
    *,
    log: str = "",
    percent: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw up to six lines, each with a marker at every point, named below the title.

    series: name → (x, y), numbers of one length for each line, at least one point. labels: of the two axes.
    log: 'x', 'y' or 'xy', which axes are logarithmic. percent: whether y is a share, shown in percent.
    ax: where to draw; None for a new figure.

    Returns: the axes.
    Raises: ValueError: no line, more than six, or a line of other shapes.
    """
    from matplotlib.ticker import PercentFormatter

    points = {name: (np.asarray(x, float), np.asarray(y, float)) for name, (x, y) in series.items()}
    if not 0 < len(points) <= len(SERIES):
        raise ValueError(f"`series` must hold 1 to {len(SERIES)} lines. Received {len(points)}.")
    for name, (x, y) in points.items():
        if x.shape != y.shape or x.ndim != 1 or not x.size:
            raise ValueError(
                f"x and y of a line must be equally long, at least 1. Received {x.shape}, {y.shape}: {name}."
            )
    if ax is None:
        ax = new_figure(5.6, 3.9).add_subplot()
    clean(ax)
    for style, (name, (x, y)) in zip(SERIES, points.items(), strict=False):
        ax.plot(
            x, y, label=name, linewidth=1.8, markersize=5, clip_on=False, markerfacecolor="white", **style
        )
    for axis in log:
        getattr(ax, f"set_{axis}scale")("log")
    if "x" in log:
        _name_every_x(ax, np.unique(np.concatenate([x for x, _ in points.values()])))
    if percent:
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    ax.grid(axis="y", color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    columns = 2 if len(points) > 3 or max(map(len, points)) > 16 else 3
    rows = -(-len(points) // columns)
    ax.set_title(title, loc="left", pad=10 + 15 * rows, parse_math=False, **TITLE)
    ax.set_xlabel(labels[0], **LABEL)
    ax.set_ylabel(labels[1], **LABEL)
    above: dict[str, Any] = {"bbox_to_anchor": (0, 1), "ncols": columns, "borderpad": 0, "handlelength": 2.8}
    ax.legend(loc="lower left", frameon=False, fontsize=SMALL_SIZE, labelcolor=INK, **above)
    return ax


def _name_every_x(ax: Axes, values: np.ndarray) -> None:
    """Ticks where points are, in plain numbers, if they are few."""
    if len(values) <= 8:
        ax.set_xticks(values, [f"{value:,g}" for value in values])
        ax.minorticks_off()
