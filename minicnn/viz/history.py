"""Curves of a training run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from minicnn.viz.style import BLUE, GRID, INK, LABEL, SMALL_SIZE, TITLE, VERMILLION, clean, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES: dict[str, dict[str, Any]] = {
    "training": {"color": BLUE, "linestyle": "-", "marker": "o"},
    "validation": {"color": VERMILLION, "linestyle": "--", "marker": "s", "markerfacecolor": "white"},
}


def history_curves(history: Mapping[str, ArrayLike], axes: Axes | Iterable[Axes] | None = None) -> list[Axes]:
    """Draw every quantity of `History.history` over the epochs, training and validation in one panel.

    history: numbers for each quantity, such as loss, accuracy, val_loss, val_accuracy; as many as epochs.
    axes: where to draw, one for each quantity, in the order returned; None for a new figure.

    Returns: the axes, loss first and the others in the history's order; `axes[0].figure` is the figure.
    Raises: ValueError if there is nothing to draw, the lists differ in length (as with validation_freq: nothing
    says which epochs the values belong to) or there are too few or many axes.
    """
    curves = {key: np.asarray(values, np.float64) for key, values in history.items()}
    shapes = {key: curve.shape for key, curve in curves.items()}
    if len(set(shapes.values())) != 1 or any(len(shape) != 1 or 0 in shape for shape in shapes.values()):
        raise ValueError(f"`history` must hold lists of one length, at least 1. Received shapes {shapes}.")
    names = list(dict.fromkeys(key.removeprefix("val_") for key in curves))
    names.sort(key=lambda name: name != "loss")
    if axes is None:
        figure = new_figure(4.4 * len(names), 3.7)
        axes = [figure.add_subplot(1, len(names), k + 1) for k in range(len(names))]
    panels = list(np.atleast_1d(np.asarray(axes, object)).flat)
    if len(panels) != len(names):
        raise ValueError(f"`axes` must be one each for {', '.join(names)}. Received {len(panels)}.")
    for ax, name in zip(panels, names, strict=True):
        found = {"training": curves.get(name), "validation": curves.get(f"val_{name}")}
        _draw(ax, name, {label: curve for label, curve in found.items() if curve is not None})
    return panels


def _draw(ax: Axes, name: str, curves: dict[str, Float[np.ndarray, " E"]]) -> None:
    clean(ax)
    together = np.stack(list(curves.values()))
    epochs = np.arange(1, together.shape[1] + 1)
    size = 5.5 if len(epochs) <= 15 else 3.5
    for label, curve in curves.items():
        # A single epoch shows as its marker; clip_on=False draws markers on the frame whole.
        text = f"{label}, last {curve[-1]:.4g}"
        ax.plot(epochs, curve, label=text, linewidth=1.8, markersize=size, clip_on=False, **STYLES[label])
    _set_limits(ax, name, together)
    ax.set_xticks(_epoch_ticks(len(epochs)))
    ax.grid(axis="y", color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.set_title(name.replace("_", " "), loc="left", pad=26, parse_math=False, **TITLE)
    ax.set_xlabel("epoch", **LABEL)
    spacing: dict[str, Any] = {
        "borderaxespad": 0.55,
        "borderpad": 0,
        "handlelength": 2.2,
        "columnspacing": 1.6,
    }
    above: dict[str, Any] = {"bbox_to_anchor": (0, 1), "ncols": 2, **spacing}  # no curve can run there
    ax.legend(loc="lower left", frameon=False, fontsize=SMALL_SIZE, labelcolor=INK, **above)


def _epoch_ticks(epochs: int) -> list[int]:
    """Return 1 to epochs, or the first and about eight round numbers."""
    from matplotlib.ticker import MaxNLocator

    if epochs <= 10:
        return list(range(1, epochs + 1))
    round_numbers = MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True).tick_values(0, epochs)
    return [1, *(int(epoch) for epoch in round_numbers if 1 < epoch <= epochs)]


def _set_limits(ax: Axes, name: str, values: Float[np.ndarray, "curves E"]) -> None:
    """Losses are read from 0 and accuracies up to 1; a marker of the only epoch stands in the middle."""
    epochs = values.shape[1]
    ax.set_xlim((0, 2) if epochs == 1 else (0.8, epochs + 0.2))
    finite = values[np.isfinite(values)]
    if not finite.size:
        return
    smallest, largest = finite.min(), finite.max()
    if "acc" in name and 0 <= smallest and largest <= 1:  # noqa: SIM300
        ax.set_ylim(max(0, smallest - max(0.15 * (1 - smallest), 0.005)), 1)
    elif smallest >= 0 and largest > 0:
        ax.set_ylim(0, 1.1 * largest)
