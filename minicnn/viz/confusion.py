"""Which class is taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int, Integer
from numpy.typing import ArrayLike

from minicnn.viz.style import INK, LABEL, SMALL_SIZE, TITLE, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def confusion_matrix(
    y_true: ArrayLike, y_pred: ArrayLike, class_names: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw how often each true class (row) was given each predicted class (column), with the counts in the cells.

    Colour follows log(1 + count), so that a single error shows beside a thousand right answers. Zeros are left
    blank.

    y_true, y_pred: class numbers from 0, integers (N,), N at least 1.
    class_names: a name for each class; None for the numbers up to the largest that occurs.
    ax: where to draw; None for a new figure.

    Returns: the axes.
    Raises: ValueError if the arrays aren't such, or there are fewer names than classes.
    """
    true, predicted = as_classes(y_true, "y_true"), as_classes(y_pred, "y_pred")
    if not len(true) == len(predicted) > 0:
        raise ValueError(
            "`y_true` and `y_pred` must be equally long, at least 1. "
            f"Received {len(true)} and {len(predicted)}."
        )
    largest = int(max(true.max(), predicted.max()))
    names = [str(name) for name in (range(largest + 1) if class_names is None else class_names)]
    if len(names) <= largest:
        raise ValueError(f"`class_names` must name classes 0 to {largest}. Received {len(names)} names.")
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (true, predicted), 1)
    if ax is None:
        side_in = max(4.0, 0.52 * len(names))
        ax = new_figure(side_in + 0.8, side_in + 0.9).add_subplot()
    _draw_cells(ax, counts)
    _label(ax, counts, names)
    return ax


def as_classes(y: ArrayLike, name: str) -> Integer[np.ndarray, " N"]:
    """Return y as an array of class numbers; ValueError, naming the argument, if it isn't one."""
    array = np.asarray(y)
    if array.ndim != 1 or array.dtype.kind not in "iu" or array.min(initial=0) < 0:
        raise ValueError(
            f"`{name}` must be class numbers from 0, integers of shape (N,). "
            f"Received dtype={array.dtype}, shape={array.shape}."
        )
    return array


def _draw_cells(ax: Axes, counts: Int[np.ndarray, "K K"]) -> None:
    shade = 0.85 * np.log1p(counts) / np.log1p(counts.max())  # the darkest blues are nearly black in print
    ax.imshow(shade, cmap="Blues", vmin=0, vmax=1)
    centred: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": SMALL_SIZE}
    for i, j in np.argwhere(counts):
        color = "white" if shade[i, j] > 0.715 else "black"  # there both have a contrast of 4.6 : 1
        weight = "bold" if i == j else "normal"
        ax.text(j, i, str(counts[i, j]), color=color, fontweight=weight, **centred)
    borders = np.arange(0.5, len(counts) - 1)
    ax.set_xticks(borders, minor=True)
    ax.set_yticks(borders, minor=True)
    ax.grid(which="minor", color="white", linewidth=1.5)
    ax.spines[:].set_visible(False)


def _label(ax: Axes, counts: Int[np.ndarray, "K K"], names: Sequence[str]) -> None:
    slanted: dict[str, Any] = {}
    if max(map(len, names)) > 4:  # they would run into each other
        slanted = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    ax.set_xticks(range(len(names)), names, parse_math=False, **slanted)
    ax.set_yticks(range(len(names)), names, parse_math=False)
    ax.tick_params(which="both", length=0, labelsize=SMALL_SIZE, labelcolor=INK)
    right, total = int(np.trace(counts)), int(counts.sum())
    ax.set_title(f"{right:,} of {total:,} right ({right / total:.2%})", loc="left", **TITLE)
    ax.set_xlabel("predicted", **LABEL)
    ax.set_ylabel("true", **LABEL)
