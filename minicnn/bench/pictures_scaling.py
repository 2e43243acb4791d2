"""How time grows with threads, batch and image: one line for each library."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from minicnn.bench.results import Measured, Results, Series
from minicnn.viz.style import BLUE, FAINT, GRID, INK, LABEL, SMALL_SIZE, TITLE, VERMILLION, clean, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PEERS: dict[str, dict[str, Any]] = {
    "minicnn": {"color": BLUE, "marker": "o", "linestyle": "-", "linewidth": 2.2},
    "keras": {"color": VERMILLION, "marker": "s", "linestyle": "--"},
    "torch": {"color": "#009E73", "marker": "^", "linestyle": "-."},
    "jax": {"color": "#E69F00", "marker": "D", "linestyle": ":"},
    "onnxruntime": {"color": "#CC79A7", "marker": "v", "linestyle": (0, (5, 1))},
    "sgemm": {"color": FAINT, "marker": "x", "linestyle": ":"},
}
LEGEND: dict[str, Any] = {"frameon": False, "fontsize": SMALL_SIZE, "labelcolor": INK}
Points = Mapping[str, Sequence[tuple[float, float]]]
"""By library: (x, y)."""

THREADS, BATCHES, IMAGES = "scaling/book/", "train_step/book/", "train_step/book_at_"


def scaling_over_threads(points: Points, ax: Axes | None = None) -> Axes:
    """Draw the gain over one thread, against the line on which n threads are n times as fast.

    points: by library, (threads, seconds a step); one thread must be among them.
    ax: where to draw; None for a new figure. Every function here returns its axes.

    Raises: ValueError if there are no points, or none of one thread.
    """
    for name, line in points.items():
        if 1 not in [threads for threads, _ in line]:
            raise ValueError(
                f"`points` must hold one thread for every library. Received {name}: {list(line)}."
            )
    gains = {name: [(n, dict(line)[1] / s) for n, s in line] for name, line in points.items()}
    ax = _draw(gains, ax, "threads", "gain over one thread")
    most = max(n for line in gains.values() for n, _ in line)
    ax.plot([1, most], [1, most], color=INK, linewidth=0.9, zorder=1)
    ax.annotate(
        "n threads, n times as fast", (most, most), xytext=(-6, 2), textcoords="offset points", ha="right",
        va="bottom", fontsize=SMALL_SIZE - 0.5, color=INK,
    )  # fmt: skip
    ax.legend(loc="lower right", **LEGEND)
    ax.set_xticks(sorted({n for line in gains.values() for n, _ in line}))
    ax.set_xlim(0.85, most + 0.15)
    ax.set_ylim(0, 1.12 * max(most, *(gain for line in gains.values() for _, gain in line)))
    ax.set_title("threads", loc="left", **TITLE)
    return ax


def scaling_over_batches(points: Points, ax: Axes | None = None) -> Axes:
    """Draw microseconds for each image over the batch size, both logarithmic.

    points: by library, (images in a batch, seconds a step).
    """
    ax = _draw(
        {name: [(n, 1e6 * s / n) for n, s in line] for name, line in points.items()},
        ax,
        "batch size",
        "µs an image",
    )
    _logarithmic(ax, sorted({n for line in points.values() for n, _ in line}))
    ax.set_title("batch size", loc="left", **TITLE)
    return ax


def scaling_over_images(points: Points, ax: Axes | None = None) -> Axes:
    """Draw milliseconds for each step over the image's side, both logarithmic.

    points: by library, (pixels along a side, seconds a step).
    """
    ax = _draw(
        {name: [(n, 1e3 * s) for n, s in line] for name, line in points.items()},
        ax,
        "pixels along a side",
        "ms a step",
    )
    _logarithmic(ax, sorted({n for line in points.values() for n, _ in line}))
    ax.set_title("image size", loc="left", **TITLE)
    return ax


def _draw(points: Points, ax: Axes | None, x: str, y: str) -> Axes:
    if not any(points.values()):
        raise ValueError("`points` must hold at least one. Received none.")
    ax = ax or new_figure(4.4, 3.7).add_subplot()
    clean(ax)
    for name, line in points.items():
        if line:
            xs, ys = zip(*sorted(line), strict=True)
            style = {"linewidth": 1.5, "markersize": 5.5} | PEERS.get(name, {"color": INK, "marker": "."})
            ax.plot(xs, ys, label=name, zorder=3, **style)
    ax.grid(color=GRID, linewidth=0.7)
    ax.set_axisbelow(True)
    ax.set_xlabel(x, **LABEL)
    ax.set_ylabel(y, **LABEL)
    ax.legend(loc="best", **LEGEND)
    return ax


def _logarithmic(ax: Axes, ticks: Sequence[float]) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

    ax.set(xscale="log", yscale="log")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


# From results


def threads_of(results: Results) -> dict[str, list[tuple[float, float]]]:
    """Of the first measurement over threads."""
    measured = [m for m in results.measurements if m.name.startswith(THREADS)][:1]
    points = _collect(measured, lambda m, s: s.threads)
    return {name: line for name, line in points.items() if 1 in dict(line)}


def batches_of(results: Results) -> dict[str, list[tuple[float, float]]]:
    return _collect(
        [m for m in results.measurements if m.name.startswith(BATCHES)], lambda m, s: m.batch_size
    )


def images_of(results: Results) -> dict[str, list[tuple[float, float]]]:
    """The book's net for other images than 28×28, at its own batch size, and for these."""
    others = [m for m in results.measurements if m.name.startswith(IMAGES)]
    sizes = {m.batch_size for m in others}
    own = [m for m in results.measurements if m.name.startswith(BATCHES) and m.batch_size in sizes]
    return _collect([*own, *others] if others else [], lambda m, s: m.input_shape[0])


def _collect(
    measurements: Sequence[Measured], x: Callable[[Measured, Series], float]
) -> dict[str, list[tuple[float, float]]]:
    """Medians by library, of those with a line to draw; the reference, far slower, would press the others together."""
    points: dict[str, list[tuple[float, float]]] = {}
    for measured in measurements:
        for series in measured.series:
            is_own = series.threads != 1 or measured.name.startswith(THREADS)
            if series.median and series.peer != "reference" and is_own:
                points.setdefault(series.peer, []).append((x(measured, series), series.median))
    return {name: line for name, line in points.items() if len(line) > 1}
