"""A window on the grid of an image: one position, or all of them one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

from minicnn.geometry import Window
from minicnn.viz.cells import bare
from minicnn.viz.style import BLUE, FAINT, GRID, INK, SMALL_SIZE, TITLE, VERMILLION, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_FRAMES = 48

Groups = tuple[int, int, int]
"""(groups, channels, filters)."""


def window_step(
    window: Window, at: tuple[int, int], groups: Groups | None = None, *, group: int = 0, caption: str = ""
) -> Figure:
    """Draw the padded image with the taps of the window at output position `at`, and the output with that position.

    With groups, which channels the filters of `group` see. `caption` is written below.
    """
    figure = new_figure(9.6 if groups else 7.8, 4.6 + 0.17 * len(caption.splitlines()))
    ratios = [1.7, 1.0, 0.8] if groups else [1.7, 1.0]
    grid = figure.add_gridspec(1, len(ratios), width_ratios=ratios)
    axes = [figure.add_subplot(grid[k]) for k in range(len(ratios))]
    _draw_image(axes[0], window, at)
    _draw_output(axes[1], window, at)
    if groups:
        _draw_groups(axes[2], groups, group)
    if caption:
        figure.supxlabel(caption, x=0.02, ha="left", fontsize=SMALL_SIZE, color=INK)
    return figure


def window_steps(window: Window, groups: Groups | None = None) -> Iterator[Figure]:
    """One picture a position, row by row; of more than MOST_FRAMES positions the first rows and the last one."""
    height, width = window.output_size
    rows, columns = list(range(height)), list(range(min(width, MOST_FRAMES // 2)))
    most = max(1, MOST_FRAMES // len(columns))
    if len(rows) > most:
        rows = [*rows[: most - 1], rows[-1]]
    for number, at in enumerate(product(rows, columns)):
        yield window_step(window, at, groups, group=number % groups[0] if groups else 0)


def _draw_image(ax: Axes, window: Window, at: tuple[int, int]) -> None:
    (top, left), (height, width) = window.pads_before, window.image_size
    bottom, right = (max(0, pad) for pad in window.pads_after)
    style: dict[str, Any] = {"facecolor": "#F4F4F4", "edgecolor": FAINT, "linewidth": 0, "hatch": "////"}
    _box(ax, -top, -left, height + top + bottom, width + left + right, **style)
    _box(ax, 0, 0, height, width, facecolor="white", edgecolor=FAINT, linewidth=1)
    for k in range(1, height):
        ax.plot([-0.5, width - 0.5], [k - 0.5] * 2, color=GRID, linewidth=0.7)
    for k in range(1, width):
        ax.plot([k - 0.5] * 2, [-0.5, height - 0.5], color=GRID, linewidth=0.7)
    first = [i * s - pad for i, s, pad in zip(at, window.strides, (top, left), strict=True)]
    for p, q in product(*map(range, window.kernel_size)):
        row, column = first[0] + p * window.dilation[0], first[1] + q * window.dilation[1]
        inside = 0 <= row < height and 0 <= column < width
        _box(
            ax,
            row,
            column,
            1,
            1,
            facecolor=VERMILLION,
            alpha=0.9 if inside else 0.35,
            edgecolor="white",
            linewidth=0.7,
        )
    extent = [(k - 1) * d + 1 for k, d in zip(window.kernel_size, window.dilation, strict=True)]
    _box(ax, *first, *extent, fill=False, edgecolor=INK, linewidth=1.6)
    ax.set_xlim(-left - 0.7, width + right - 0.3)
    ax.set_ylim(height + bottom - 0.3, -top - 0.7)
    ax.set_aspect("equal")
    bare(ax)
    ax.spines[:].set_visible(False)
    ax.set_title(f"image {height} × {width}", loc="left", **TITLE)


def _draw_output(ax: Axes, window: Window, at: tuple[int, int]) -> None:
    height, width = window.output_size
    _box(ax, 0, 0, height, width, facecolor="white", edgecolor=FAINT, linewidth=1)
    for k in range(1, height):
        ax.plot([-0.5, width - 0.5], [k - 0.5] * 2, color=GRID, linewidth=0.7)
    for k in range(1, width):
        ax.plot([k - 0.5] * 2, [-0.5, height - 0.5], color=GRID, linewidth=0.7)
    _box(ax, *at, 1, 1, facecolor=BLUE, edgecolor=INK, linewidth=1)
    ax.set_xlim(-0.7, width - 0.3)
    ax.set_ylim(height - 0.3, -0.7)
    ax.set_aspect("equal")
    bare(ax)
    ax.spines[:].set_visible(False)
    ax.set_title(f"output {height} × {width}", loc="left", **TITLE)
    ax.set_xlabel(f"output[{at[0]}, {at[1]}]", fontsize=SMALL_SIZE, color=FAINT)


def _draw_groups(ax: Axes, groups: Groups, group: int) -> None:
    """Channels on the left, filters on the right, a line where a filter sees a channel; one group stands out."""
    count, channels, filters = groups
    for c, f in product(range(channels), range(filters)):
        if c // (channels // count) == f // (filters // count):
            mine = c // (channels // count) == group
            ys = [(c + 0.5) / channels, (f + 0.5) / filters]
            ax.plot(
                [0, 1], ys, color=VERMILLION if mine else GRID, linewidth=1.8 if mine else 1, zorder=1 + mine
            )
    for x, size in ((0, channels), (1, filters)):
        for k in range(size):
            color = VERMILLION if k // (size // count) == group else FAINT
            ax.plot(x, (k + 0.5) / size, "os"[x], color=color, markersize=8, zorder=3)
    ax.set_xlim(-0.25, 1.25)
    ax.set_ylim(1.05, -0.05)
    bare(ax)
    ax.spines[:].set_visible(False)
    ax.set_title(f"group {group} of {count}", loc="left", **TITLE)
    ax.set_xlabel("channels → filters", fontsize=SMALL_SIZE, color=FAINT)


def _box(ax: Axes, row: int, column: int, height: int, width: int, **style: Any) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((column - 0.5, row - 0.5), width, height, **style))
