"""Many small pictures in one: filters, activations, images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from minicnn.viz.style import FAINT, LABEL, SMALL_SIZE, TITLE, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DIVERGING, SEQUENTIAL = "RdBu_r", "viridis"
"""Both stay apart for colour-blind readers; the first is white at zero, the second darkest there."""
GAP = "#9A9A9A"
"""Between tiles that are signed or have their own colours: it parts kernels of 3×3 numbers that are nearly zero, and so
nearly white.
"""
GAP_SHARE = 0x9A / 255


def mosaic(images: ArrayLike, columns: int, gap: int = 1) -> np.ndarray:
    """The images (N, H, W) or (N, H, W, 3) side by side in rows of `columns`, NaN in the gaps and behind the last."""
    array = np.asarray(images, np.float64)
    n, height, width = array.shape[:3]
    rows = -(-n // columns)
    whole = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, *array.shape[3:]), np.nan)
    for k, image in enumerate(array):
        i, j = k // columns * (height + gap), k % columns * (width + gap)
        whole[i : i + height, j : j + width] = image
    return whole


def tiles(
    images: ArrayLike,
    title: str,
    *,
    columns: int = 16,
    signed: bool = False,
    each: bool = False,
    largest: float | None = None,
    note: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the images (N, H, W), one colour scale for all, or (N, H, W, 3) in their own colours from 0 to 1.

    signed: red for positive, blue for negative, white for zero; otherwise from dark to light. each: a scale for each
    image. largest: the value in the strongest colour, None for the largest there is. note: a line below. ax: where to
    draw; None for a new figure.

    Returns: the axes.
    Raises: ValueError: no image, or not of such a shape.
    """
    array = np.asarray(images, np.float64)
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] != 3) or not array.size:
        raise ValueError(f"`images` must be (N, H, W) or (N, H, W, 3). Received shape={array.shape}.")
    if each and array.ndim == 3:
        array = _each_scaled(array, signed)
    columns = min(columns, len(array))
    zoom = max(1, 14 // array.shape[1])  # of kernels: gaps between them are narrower than their pixels
    array = array.repeat(zoom, axis=1).repeat(zoom, axis=2)
    whole = mosaic(array, columns, gap=max(1, array.shape[1] // 14))
    if ax is None:
        width = min(9.0, max(4.2, 0.5 * columns))
        height = width * whole.shape[0] / whole.shape[1] + (0.75 if note else 0.5)
        ax = new_figure(width + 0.2, height).add_subplot()
    if array.ndim == 4:
        # All around, too: a tile may be as white as the paper.
        edge = max(1, array.shape[1] // 14)
        whole = np.pad(whole, [(edge, edge), (edge, edge), (0, 0)], constant_values=np.nan)
        ax.imshow(np.nan_to_num(np.clip(whole, 0, 1), nan=GAP_SHARE), interpolation="nearest")
    else:
        largest = largest or float(np.nanmax(np.abs(array))) or 1.0
        low = -largest if signed else min(0.0, float(array.min()))
        ax.imshow(
            whole,
            cmap=_colours(signed),
            vmin=low,
            vmax=largest,
            interpolation="nearest",
        )
    ax.set_axis_off()
    ax.set_title(title, loc="left", parse_math=False, **TITLE)
    if note:
        ax.text(0, -0.02, note, transform=ax.transAxes, va="top", fontsize=SMALL_SIZE, color=FAINT)
    return ax


def _colours(signed: bool) -> Any:
    """Gaps are paper, or grey where white is a value."""
    from matplotlib import colormaps

    return colormaps[DIVERGING if signed else SEQUENTIAL].with_extremes(bad=GAP if signed else "white")


def _each_scaled(array: np.ndarray, signed: bool) -> np.ndarray:
    largest = np.abs(array).max((1, 2), keepdims=True)
    if signed:
        return array / np.where(largest > 0, largest, 1)
    low = array.min((1, 2), keepdims=True)
    return (array - low) / np.where(
        array.max((1, 2), keepdims=True) > low, np.ptp(array, (1, 2))[:, None, None], 1
    )


def overlays(
    image: ArrayLike, maps: Sequence[ArrayLike], titles: Sequence[str], notes: Sequence[str] | None = None
) -> list[Axes]:
    """Draw the image (H, W, 1 or 3), and once more under each map (any size), a map's largest value the brightest.

    titles: of the maps. notes: a line below each.

    Returns: the axes, the image's first.
    """
    pixels = np.asarray(image, np.float64)
    pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    figure = new_figure(2.5 * (1 + len(maps)) + 0.3, 3.1)
    axes = [figure.add_subplot(1, 1 + len(maps), k + 1) for k in range(1 + len(maps))]
    height, width = pixels.shape[:2]
    for ax, heat, title, note in zip(
        axes, [None, *maps], ["the image", *titles], ["", *(notes or [""] * len(maps))], strict=True
    ):
        ax.imshow(pixels, cmap="gray_r" if pixels.ndim == 2 else None, vmin=0, vmax=1)
        if heat is not None:
            values = np.asarray(heat, np.float64)
            extent = (-0.5, width - 0.5, height - 0.5, -0.5)
            ax.imshow(
                values,
                cmap="inferno",
                alpha=0.72,
                extent=extent,
                vmin=min(0.0, values.min()),
                interpolation="bilinear",
            )
        ax.set_xticks([])
        ax.set_yticks([])
        ax.set_title(title, fontsize=LABEL["fontsize"], loc="left", parse_math=False)
        ax.set_xlabel(note, fontsize=SMALL_SIZE, color=FAINT)
    return axes
