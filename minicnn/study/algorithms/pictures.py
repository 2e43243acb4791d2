"""The four pictures of a run, from its records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.study.algorithms.measure import ENGINE
from minicnn.study.algorithms.results import Results
from minicnn.viz import algorithms as draw
from minicnn.viz.files import save
from minicnn.viz.style import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PASSES = {"forward": "forward", "backward": "backward (dx, dw, db)"}


def winners(results: Results) -> Figure:
    """The engine's own choice left aside: it is one of them, or a kernel that is faster than all."""
    rows, columns = results.kernels, results.channels
    figure = new_figure(2.5 * len(columns) + 1.6, 0.62 * len(rows) + 1.5)
    for place, (which, title) in enumerate(PASSES.items(), 1):
        tables = {
            name: _table(rows, columns, results.seconds(name, which))
            for name in results.algorithms
            if name != ENGINE
        }
        ax = draw.winner_map(rows, columns, tables, figure.add_subplot(1, len(PASSES), place))
        ax.set_title(f"{title}: the fastest, × the second", loc="left", fontsize=10)
    return figure


def rates(results: Results) -> Figure:
    """One panel a kernel size, forward."""
    kernels = results.kernels
    figure = new_figure(3.3 * len(kernels) + 1.0, 3.6)
    for place, kernel in enumerate(kernels, 1):
        shares = {}
        for name in results.algorithms:
            seconds = results.seconds(name, "forward")
            if any(key[0] == kernel for key in seconds):
                shares[name] = [results.share(name, "forward", kernel, c) for c in results.channels]
        ax = figure.add_subplot(1, len(kernels), place)
        draw.rate_curves(results.channels, shares, f"{kernel}×{kernel}, forward", ax)
    panels = figure.axes
    low, high = min(ax.get_ylim()[0] for ax in panels), max(ax.get_ylim()[1] for ax in panels)
    for ax in panels:
        ax.set_ylim(low, high)
        if ax is not panels[0]:
            ax.set_ylabel("")
    with_3x3 = panels[kernels.index(3)] if 3 in kernels else panels[-1]
    _legend_of(figure, with_3x3)
    return figure


def growth(results: Results) -> Figure:
    """One panel a pass: the root mean square over the number of products in a sum; 3×3."""
    figure = new_figure(9.8, 3.6)
    for place, which in enumerate(("forward", "dx", "dw"), 1):
        terms: dict[str, Any] = {}
        errors: dict[str, Any] = {}
        for name in results.algorithms:
            found = results.errors(name, which)
            if found:
                key = "channels" if which == "dw" else "terms"
                terms[name] = [record[key] for record in found]
                errors[name] = [record["rms"] for record in found]
        ax = draw.error_growth(terms, errors, f"{which}, 3×3", figure.add_subplot(1, 3, place))
        if which == "dw":
            ax.set_xlabel("channels (as many products in every sum)", fontsize=9.5)
        if place > 1:
            ax.set_ylabel("")
        else:
            ax.set_ylabel("root mean square error, u·Σ|x||w|")
    _legend_of(figure, figure.axes[0])
    return figure


def trade(results: Results) -> Figure:
    """Error over speed, for 3×3 and the largest number of channels that has both."""
    channels = max(set(results.channels) & set(results.growth))
    figure = new_figure(5.6, 4.4)
    shares, errors = {}, {}
    for name in results.algorithms:
        found = [r for r in results.errors(name, "forward") if r["channels"] == channels]
        share = results.share(name, "forward", 3, channels)
        if found and np.isfinite(share):
            shares[name], errors[name] = share, found[0]["largest"]
    draw.error_speed(shares, errors, f"3×3, {channels} channels, forward", figure.add_subplot())
    return figure


PICTURES = {"winners.png": winners, "rates.png": rates, "growth.png": growth, "trade.png": trade}


def draw_all(results: Results, folder: Path, prefix: str = "") -> list[Path]:
    """Write all pictures; return where."""
    paths = []
    for name, picture in PICTURES.items():
        paths.append(folder / f"{prefix}{name}")
        save(picture(results), paths[-1])
    return paths


def _table(rows: list[int], columns: list[int], seconds: dict[tuple[int, int], float]) -> list[list[float]]:
    return [[seconds.get((kernel, c), np.nan) for c in columns] for kernel in rows]


def _legend_of(figure: Figure, ax: Any) -> None:
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8.5)
