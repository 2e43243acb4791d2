"""Pictures of algorithms side by side: who wins where, speed over channels, error over speed, error over terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from minicnn.viz.style import BLUE, FAINT, GRID, INK, LABEL, SMALL_SIZE, TITLE, VERMILLION, clean, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, each with a marker of its own; the engine's own choice is black.
STYLES: dict[str, dict[str, Any]] = {
    "loops": {"color": "#999999", "marker": "x"},
    "windows": {"color": "#CC79A7", "marker": "v"},
    "im2col": {"color": BLUE, "marker": "s"},
    "direct": {"color": VERMILLION, "marker": "o"},
    "winograd": {"color": "#009E73", "marker": "^"},
    "winograd4": {"color": "#56B4E9", "marker": "D"},
    "fft": {"color": "#E69F00", "marker": "P"},
    "engine": {"color": INK, "marker": "*"},
}
OTHER = {"color": FAINT, "marker": "."}


def winner_map(
    rows: Sequence[int], columns: Sequence[int], seconds: Mapping[str, ArrayLike], ax: Axes | None = None
) -> Axes:
    """Draw for every cell which algorithm is fastest, and by how much faster than the second.

    rows, columns: kernel sizes and channels.
    seconds: for each algorithm (rows, columns); NaN where it wasn't run.
    ax: where to draw; None for a new figure.

    Raises: ValueError if a table has another shape, or a cell has no number.
    """
    tables = {name: np.asarray(table, float) for name, table in seconds.items()}
    shape = len(rows), len(columns)
    if any(table.shape != shape for table in tables.values()):
        raise ValueError(
            f"`seconds` must hold tables of {shape}. Received { {n: t.shape for n, t in tables.items()} }."
        )
    names, stack = list(tables), np.stack(list(tables.values()))
    if np.isnan(stack).all(0).any():
        raise ValueError("`seconds` must have a number in every cell. Received a cell of NaN alone.")
    ax = ax or new_figure(1.25 * shape[1] + 1.2, 0.62 * shape[0] + 1.3).add_subplot()
    ordered = np.sort(np.where(np.isnan(stack), np.inf, stack), 0)
    for i, j in np.ndindex(shape):
        name = names[int(np.nanargmin(stack[:, i, j]))]
        color = STYLES.get(name, OTHER)["color"]
        ax.add_patch(_cell(j, i, color))
        lead = ordered[1, i, j] / ordered[0, i, j] if len(names) > 1 else np.inf
        text = name if not np.isfinite(lead) else f"{name}\n×{lead:.2g}"
        ax.text(j, i, text, ha="center", va="center", fontsize=SMALL_SIZE, color=INK)
    ax.set_xlim(-0.5, shape[1] - 0.5)
    ax.set_ylim(shape[0] - 0.5, -0.5)
    ax.set_xticks(range(shape[1]), [str(c) for c in columns])
    ax.set_yticks(range(shape[0]), [f"{k}×{k}" for k in rows])
    ax.tick_params(length=0, labelsize=SMALL_SIZE, labelcolor=INK)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("channels, and as many filters", **LABEL)
    ax.set_ylabel("kernel", **LABEL)
    return ax


def _cell(x: int, y: int, color: str) -> Any:
    """A pale square with a strong edge: dark text stays readable on every colour."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    pale = tuple(1 - 0.35 * (1 - part) for part in to_rgb(color))
    return Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, facecolor=pale, edgecolor=color, linewidth=1.5)


def rate_curves(
    channels: Sequence[int], shares: Mapping[str, ArrayLike], title: str, ax: Axes | None = None
) -> Axes:
    """Draw for each algorithm its rate by dense work, in % of the machine's peak, over the channels.

    shares: for each algorithm one number for each of `channels`, NaN where it wasn't run.
    """
    ax = ax or new_figure(4.6, 3.6).add_subplot()
    clean(ax)
    for name, share in shares.items():
        ax.plot(channels, np.asarray(share, float), label=name, linewidth=1.4, markersize=5.5, **_style(name))
    ax.axhline(100, color=FAINT, linewidth=0.9, linestyle=":")
    ax.set(xscale="log", yscale="log")
    ax.set_xticks(list(channels), [str(c) for c in channels])
    ax.minorticks_off()
    _plain(ax.yaxis)
    ax.grid(axis="y", color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.set_xlabel("channels, and as many filters", **LABEL)
    ax.set_ylabel("% of the peak, by dense work", **LABEL)
    ax.set_title(title, loc="left", **TITLE)
    return ax


def error_growth(
    terms: Mapping[str, ArrayLike], errors: Mapping[str, ArrayLike], title: str, ax: Axes | None = None
) -> Axes:
    """Draw for each algorithm its error, in units of u·Σ|x||w|, over the number of terms in a sum.

    terms, errors: for each algorithm, equally long.
    """
    ax = ax or new_figure(4.6, 3.6).add_subplot()
    clean(ax)
    for name, values in errors.items():
        ax.plot(
            np.asarray(terms[name], float),
            np.asarray(values, float),
            label=name,
            linewidth=1.4,
            markersize=5.5,
            **_style(name),
        )
    ax.set(xscale="log", yscale="log")
    _plain(ax.xaxis)
    _plain(ax.yaxis)
    ax.grid(color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.set_xlabel("products in a sum", **LABEL)
    ax.set_ylabel("error, u·Σ|x||w|", **LABEL)
    ax.set_title(title, loc="left", **TITLE)
    return ax


def error_speed(
    shares: Mapping[str, float], errors: Mapping[str, float], title: str, ax: Axes | None = None
) -> Axes:
    """Draw each algorithm as a point: error over speed in % of the peak. Low and right is good."""
    ax = ax or new_figure(4.6, 3.6).add_subplot()
    clean(ax)
    for name, share in shares.items():
        style = _style(name) | {"linestyle": "none"}
        ax.plot(share, errors[name], markersize=8, label=name, **style)
        is_covered = any(
            0 < np.log10(other / share) < 0.5 and abs(np.log10(errors[each] / errors[name])) < 0.15
            for each, other in shares.items()
        )  # by a point on the right: the name goes below on the left
        ax.annotate(
            name,
            (share, errors[name]),
            xytext=(-6, -4) if is_covered else (6, 4),
            ha="right" if is_covered else "left",
            va="top" if is_covered else "baseline",
            textcoords="offset points",
            fontsize=SMALL_SIZE,
            color=INK,
        )
    ax.set(xscale="log", yscale="log")
    ax.margins(x=0.2, y=0.15)
    _plain(ax.xaxis)
    _plain(ax.yaxis)
    ax.grid(color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.set_xlabel("% of the peak, by dense work", **LABEL)
    ax.set_ylabel("largest error, u·Σ|x||w|", **LABEL)
    ax.set_title(title, loc="left", **TITLE)
    return ax


def legend(ax: Axes) -> None:
    """Beside the axes, where no curve can run."""
    ax.legend(
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        fontsize=SMALL_SIZE,
        labelcolor=INK,
        borderaxespad=0,
    )


def _style(name: str) -> dict[str, Any]:
    return dict(STYLES.get(name, OTHER))


def _plain(axis: Any) -> None:
    """Numbers as people write them: 0.1, 1, 10."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
