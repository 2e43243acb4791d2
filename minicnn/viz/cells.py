"""Small arrays as grids of numbers, maps with a window drawn on them, contributions as bars, a point on a curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from minicnn.viz.style import BLUE, FAINT, GRID, INK, LABEL, SMALL_SIZE, VERMILLION, clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

MOST_NUMBERS = 8
"""Rows or columns of a grid up to which its cells show their numbers."""


def signed_colors() -> Colormap:
    """Vermillion below zero, white at it, blue above; what is missing is hatched elsewhere, so it stays white here."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("signed", [VERMILLION, "#FFFFFF", BLUE])


def draw_numbers(
    ax: Axes,
    values: ArrayLike,
    *,
    largest: float | None = None,
    missing: ArrayLike | None = None,
    marked: tuple[int, int] | None = None,
    title: str = "",
) -> Axes:
    """Draw (P, Q) numbers as coloured cells, with their digits as long as there are few.

    largest: the absolute value of the darkest colour; by default the largest there is.
    missing: (P, Q) bool, cells that hold nothing or lie in the padding: hatched.
    marked: a cell to outline.
    """
    from matplotlib.patches import Rectangle

    array = np.asarray(values, float)
    hidden = np.zeros(array.shape, bool) if missing is None else np.asarray(missing, bool)
    finite = np.where(np.isfinite(array) & ~hidden, array, 0)
    top = largest or float(np.abs(finite).max(initial=0)) or 1.0
    # 0.62: on the darkest cells dark digits still have a contrast of 4.5 : 1.
    ax.imshow(0.62 * finite / top, cmap=signed_colors(), vmin=-1, vmax=1)
    power = 0 if 0.02 <= top < 1000 else int(np.floor(np.log10(top)))
    if max(array.shape) <= MOST_NUMBERS:
        digits = 3 if top / 10.0**power < 10 else 1
        size = SMALL_SIZE if max(array.shape) <= 4 else 6
        for (p, q), value in np.ndenumerate(array):
            if np.isfinite(value) and not hidden[p, q]:
                said = f"{value / 10.0**power:.{digits}f}".replace("-", "−") if value else "0"
                ax.text(q, p, said, ha="center", va="center", fontsize=size, color=INK)
        if power and title:
            title = f"{title}  in 10{str(power).translate(SUPERSCRIPTS)}".strip()
        edges = [np.arange(-0.5, n) for n in array.shape]
        ax.set_yticks(edges[0], minor=True)
        ax.set_xticks(edges[1], minor=True)
        ax.grid(which="minor", color=GRID, linewidth=0.8)
    for p, q in np.argwhere(hidden):
        ax.add_patch(
            Rectangle(
                (q - 0.5, p - 0.5), 1, 1, facecolor="#F4F4F4", edgecolor=FAINT, hatch="////", linewidth=0
            )
        )
    if marked is not None:
        ax.add_patch(
            Rectangle(
                (marked[1] - 0.5, marked[0] - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=2, zorder=5
            )
        )
    bare(ax, title)
    return ax


def draw_map(ax: Axes, plane: ArrayLike, pixels: ArrayLike | None = None, *, title: str = "") -> Axes:
    """Draw a feature map (H, W), ink on paper, or in signed colours if it has both signs; `pixels` (T, 2) outlined."""
    from matplotlib.patches import Rectangle

    array = np.asarray(plane, float)
    low, high = float(array.min(initial=0)), float(array.max(initial=0))
    if low < 0:
        reach = max(-low, high) / 0.85
        ax.imshow(array, cmap=signed_colors(), vmin=-reach, vmax=reach)
    else:
        ax.imshow(array, cmap="gray_r", vmin=0, vmax=(high or 1.0) / 0.85)
    height, width = array.shape
    for row, column in np.asarray([] if pixels is None else pixels, int).reshape(-1, 2):
        style = "-" if 0 <= row < height and 0 <= column < width else ":"
        ax.add_patch(
            Rectangle(
                (column - 0.5, row - 0.5),
                1,
                1,
                fill=False,
                edgecolor=VERMILLION,
                linewidth=1.3,
                linestyle=style,
            )
        )
    if pixels is not None and len(np.asarray(pixels)):
        rows, columns = np.asarray(pixels).reshape(-1, 2).T
        ax.set_xlim(min(-0.5, columns.min() - 0.6), max(width - 0.5, columns.max() + 0.6))
        ax.set_ylim(max(height - 0.5, rows.max() + 0.6), min(-0.5, rows.min() - 0.6))
    bare(ax, title)
    return ax


def draw_contributions(
    ax: Axes,
    labels: Sequence[str],
    values: Sequence[float],
    *,
    sums: Sequence[int] = (),
    stacked: bool = True,
    title: str = "",
) -> Axes:
    """Draw numbers as horizontal bars, each beginning where the last one ended; those at `sums`, in black, at zero.

    With stacked=False all begin at zero.
    """
    clean(ax)
    start, places = 0.0, []
    for k, value in enumerate(values):
        left = 0.0 if k in sums or not stacked else start
        start = left + value
        places.append((left, start))
        color = INK if k in sums else BLUE if value >= 0 else VERMILLION
        ax.barh(k, value, left=left, height=0.62, color=color, alpha=1.0 if k in sums else 0.8)
    low, high = min(min(pair) for pair in places), max(max(pair) for pair in places)
    reach = (high - low) or 1.0
    for k, (value, (left, end)) in enumerate(zip(values, places, strict=True)):
        label = ax.text(
            max(left, end) + 0.02 * reach, k, compact(value), va="center", fontsize=SMALL_SIZE, color=INK
        )
        label.set_bbox(
            {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
        )  # the line of zero may cross it
    ax.axvline(0, color=FAINT, linewidth=0.8, zorder=1.5)
    ax.locator_params(axis="x", nbins=5)
    ax.set_xlim(low - 0.05 * reach, high + 0.24 * reach)
    ax.set_ylim(len(values) - 0.4, -0.6)
    ax.set_yticks(range(len(values)), labels)
    ax.tick_params(axis="y", length=0)
    ax.set_title(title, loc="left", fontsize=LABEL["fontsize"], color=INK)
    return ax


def draw_curve(
    ax: Axes, x: ArrayLike, y: ArrayLike, point: tuple[float, float], slope: float, *, title: str = ""
) -> Axes:
    """Draw a function with one point of it and the tangent there."""
    clean(ax)
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    ax.plot(xs, ys, color=BLUE, linewidth=1.8)
    reach = 0.25 * (xs[-1] - xs[0])
    ends = np.array([point[0] - reach, point[0] + reach])
    tangent = point[1] + slope * (ends - point[0])
    ax.plot(ends, tangent, color=VERMILLION, linewidth=1.2, linestyle="--")
    ax.plot(*point, "o", color=VERMILLION, markersize=6)
    ax.axhline(0, color=GRID, linewidth=0.8, zorder=0)
    ax.axvline(0, color=GRID, linewidth=0.8, zorder=0)
    ax.set_title(title, loc="left", fontsize=LABEL["fontsize"], color=INK)
    ax.set_xlabel(f"f({compact(point[0])}) = {compact(point[1])}, slope {compact(slope)}", **LABEL)
    return ax


def bare(ax: Axes, title: str = "") -> None:
    """No ticks, a thin grey frame, a small title."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_color(GRID)
    ax.set_title(title, fontsize=SMALL_SIZE, color=INK, pad=4, parse_math=False)


def compact(value: float) -> str:
    """Three digits, no leading noise: 0.123, −1.2e−05."""
    text = f"{value:.3f}" if 0.001 <= abs(value) < 100 else f"{value:.3g}"
    if float(text) == 0:
        text = "0"
    elif "e" not in text and "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace("-", "−")


SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
STYLE: dict[str, Any] = {"fontsize": 15, "color": FAINT, "ha": "center", "va": "center"}


def draw_sign(ax: Axes, sign: str) -> Axes:
    """A × or = between two grids."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, sign, **STYLE)
    return ax
