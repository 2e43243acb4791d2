"""Which pixels of an image a unit sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from minicnn.viz.cells import bare
from minicnn.viz.style import TITLE, VERMILLION, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def receptive_field(
    mask: ArrayLike, image: ArrayLike | None = None, ax: Axes | None = None, *, title: str = ""
) -> Axes:
    """Draw an image with the pixels of `mask` (H, W) framed one by one if they have gaps, together if not.

    image: (H, W) or (H, W, C), grey ones as ink on paper; None for blank paper.
    """
    from matplotlib.patches import Rectangle

    inside = np.asarray(mask, bool)
    picture = np.zeros(inside.shape) if image is None else np.squeeze(np.asarray(image))
    if ax is None:
        ax = new_figure(4.4, 4.7).add_subplot()
    ax.imshow(picture, cmap="gray_r", vmin=0, vmax=max(1.0, float(picture.max())))
    rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    # What is not seen is veiled in grey, so that the field shows without its frame, and in print.
    veil = np.zeros((*inside.shape, 4))
    veil[..., 3] = np.where(inside, 0, 0.16)
    ax.imshow(veil)
    if len(rows) and len(columns):
        top, left = rows[0], columns[0]
        height, width = rows[-1] - top + 1, columns[-1] - left + 1
        whole = len(rows) == height and len(columns) == width
        boxes = [(left, top, width, height)] if whole else [(c, r, 1, 1) for r in rows for c in columns]
        for x, y, w, h in boxes:
            ax.add_patch(
                Rectangle(
                    (x - 0.5, y - 0.5), w, h, fill=False, edgecolor=VERMILLION, linewidth=2 if whole else 1
                )
            )
    bare(ax)
    ax.set_title(title, loc="left", parse_math=False, **TITLE)
    return ax
