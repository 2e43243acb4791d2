"""The images that a model gets wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from numpy.typing import ArrayLike

from minicnn.viz.confusion import as_classes
from minicnn.viz.style import FAINT, GRID, INK, LABEL, PAD_IN, SMALL_SIZE, TITLE, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 8


def misclassified(
    images: ArrayLike,
    y_true: ArrayLike,
    y_pred: ArrayLike,
    probabilities: ArrayLike,
    limit: int = 40,
    *,
    order: Literal["confident", "unsure"] = "confident",
    class_names: Sequence[str] | None = None,
) -> list[Axes]:
    """Draw the images whose prediction isn't their label, each with "label → prediction" and its probability.

    images: (N, H, W), (N, H, W, 1) or (N, H, W, 3), uint8 or from 0 to 1; grey ones are drawn as ink on paper.
    y_true, y_pred: class numbers from 0, integers (N,).
    probabilities: (N, K), what the model gave to each of K classes.
    limit: how many images to draw at most.
    order: "confident", the most confidently wrong first, or "unsure", the least confident first.
    class_names: K names; None for the numbers.

    Returns: one axes for each image drawn, of one figure; if nothing is misclassified, one that says so.
    Raises: ValueError if the arrays don't fit together, limit isn't positive or there is no such order.
    """
    pictures, p = np.asarray(images), np.asarray(probabilities)
    true, predicted = as_classes(y_true, "y_true"), as_classes(y_pred, "y_pred")
    _check(pictures, true, predicted, p)
    names = [str(name) for name in (range(p.shape[1]) if class_names is None else class_names)]
    if len(names) != p.shape[1] or limit < 1 or order not in ("confident", "unsure"):
        raise ValueError(
            f"`class_names` must be {p.shape[1]}, `limit` at least 1 and `order` 'confident' or 'unsure'. "
            f"Received {len(names)} names, limit={limit}, order={order!r}."
        )
    wrong = np.flatnonzero(true != predicted)
    if not wrong.size:
        return [_say_none(len(pictures))]
    given = p[wrong, predicted[wrong]]
    shown = wrong[np.argsort(-given if order == "confident" else given, kind="stable")[:limit]]
    arrow = "\n→ " if max(map(len, names)) > 3 else " → "
    axes = _grid(len(shown), 1 + arrow.count("\n"))
    for ax, n in zip(axes, shown, strict=True):
        caption = names[true[n]] + arrow + names[predicted[n]]
        _draw_image(ax, pictures[n], caption, float(p[n, predicted[n]]))
    extreme = "most" if order == "confident" else "least"
    which = (
        f"the {len(shown)} {extreme} confident" if len(shown) < len(wrong) else f"{extreme} confident first"
    )
    _label(axes, f"{len(wrong):,} of {len(pictures):,} images misclassified", which)
    return axes


def _check(images: np.ndarray, true: np.ndarray, predicted: np.ndarray, p: np.ndarray) -> None:
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[-1] not in (1, 3)):
        raise ValueError(f"`images` must be (N, H, W[, 1 or 3]). Received shape={images.shape}.")
    classes = int(max(true.max(initial=0), predicted.max(initial=0))) + 1
    if p.ndim != 2 or p.shape[1] < classes:
        raise ValueError(f"`probabilities` must be (N, K), K at least {classes}. Received shape={p.shape}.")
    if not len(images) == len(true) == len(predicted) == len(p) > 0:
        raise ValueError(
            "`images`, `y_true`, `y_pred` and `probabilities` must be equally long, at least 1. "
            f"Received {len(images)}, {len(true)}, {len(predicted)} and {len(p)}."
        )


def _grid(count: int, caption_lines: int) -> list[Axes]:
    columns = max(4, min(count, COLUMNS))  # with fewer than four the title would be cut
    rows = math.ceil(count / columns)
    figure = new_figure(1.05 * columns + 0.1, (1.3 + 0.17 * caption_lines) * rows + 0.75)
    return [figure.add_subplot(rows, columns, k + 1) for k in range(count)]


def _draw_image(ax: Axes, image: np.ndarray, caption: str, probability: float) -> None:
    largest = 255 if image.dtype == np.uint8 else 1
    ax.imshow(image, cmap="gray_r", vmin=0, vmax=largest, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_color(GRID)
    ax.set_title(caption, fontsize=LABEL["fontsize"], color=INK, pad=3, parse_math=False)
    # 0.9996 must not read as certainty.
    percent = ">99.9%" if 0.9995 <= probability < 1 else f"{probability:.1%}"
    ax.set_xlabel(percent, fontsize=SMALL_SIZE, color=FAINT, labelpad=2)


def _label(axes: list[Axes], title: str, which: str) -> None:
    figure = cast("Figure", axes[0].figure)
    left = PAD_IN / figure.get_figwidth()
    figure.suptitle(title, x=left, ha="left", **TITLE)
    explanation = f"label → prediction and its probability; {which}"
    figure.supxlabel(explanation, x=left, ha="left", fontsize=SMALL_SIZE, color=FAINT)


def _say_none(count: int) -> Axes:
    ax = new_figure(5.0, 1.6).add_subplot()
    ax.set_axis_off()
    ax.text(0.5, 0.5, f"None of {count:,} images misclassified", ha="center", va="center", **TITLE)
    return ax
