"""Arithmetic of shapes: how a window finds its places on an image, with the numbers in the formulas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.geometry import Pair, Window, dilated, make_window
from minicnn.viz.windows import window_step, window_steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

MOST_CELLS = 44
"""Rows or columns of a drawing on a terminal; of a larger image the part around the window is shown."""


@dataclass(frozen=True)
class ShapeExplanation:
    """A window on an image: print it, plot it, or step through it."""

    window: Window
    padding: str
    groups: int = 1
    channels: int = 1
    filters: int = 1
    at: Pair = (0, 0)
    """The output position that is drawn."""

    def lines(self) -> list[str]:
        """The formulas with their numbers; once if rows and columns are alike."""
        axes = [_axis(self.window, self.padding, axis) for axis in (0, 1)]
        if axes[0] == axes[1]:
            return axes[0] + self._group_lines()
        named = [
            [f"{name}: {line}" for line in lines]
            for name, lines in zip(("rows", "columns"), axes, strict=True)
        ]
        return named[0] + named[1] + self._group_lines()

    def _group_lines(self) -> list[str]:
        if self.groups == 1:
            return []
        c, f = self.channels // self.groups, self.filters // self.groups
        return [
            f"groups = {self.groups}: the kernel is {self.window.kernel_size[0]} × {self.window.kernel_size[1]} × "
            f"{self.channels}/{self.groups} = {c} × {self.filters}",
            *(f"  filters {_range(g * f, f)} see channels {_range(g * c, c)}" for g in range(self.groups)),
        ]

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        size = " × ".join(map(str, self.window.output_size))
        head = Text(f"output {size}; the window of output[{self.at[0]}, {self.at[1]}]", "bold")
        legend = Text.assemble(
            ("■", "bold color(166)"), " read  ", ("▣", "color(166)"), " read, but padding  ", "□ image  ",
            ("·", "dim"), " padding",
        )  # fmt: skip
        return Group(head, "", self._drawing(), "", legend, "", *map(Text, self.lines()))

    def _drawing(self) -> Any:
        from rich.text import Text

        cells = self.cells()
        rows, columns = (_part(size, place) for size, place in zip(cells.shape, self._place(), strict=True))
        text = Text(no_wrap=True)
        styles = {"■": "bold color(166)", "▣": "color(166)", "·": "dim"}
        for row in cells[rows, columns]:
            for cell in row:
                text.append(f"{cell} ", styles.get(cell))
            text.append("\n")
        text.rstrip()
        if cells[rows, columns].shape != cells.shape:
            text.append(f"\n(a part of {cells.shape[0]} × {cells.shape[1]} cells)")
        return text

    def _place(self) -> Pair:
        """The first tap's cell, padding counted."""
        (i, j), (down, right) = self.at, self.window.strides
        return i * down, j * right

    def cells(self) -> np.ndarray:
        """(rows, columns) of characters: the padded image with the taps of the window at `at`."""
        window = self.window
        (top, left), (height, width) = window.pads_before, window.image_size
        bottom, right = (max(0, pad) for pad in window.pads_after)
        cells = np.full((top + height + bottom, left + width + right), "·")
        cells[top : top + height, left : left + width] = "□"
        first_row, first_column = self._place()
        for p in range(window.kernel_size[0]):
            for q in range(window.kernel_size[1]):
                at = first_row + p * window.dilation[0], first_column + q * window.dilation[1]
                cells[at] = "■" if cells[at] == "□" else "▣"
        return cells

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=110, force_terminal=False, color_system=None, highlight=False)
        with console.capture() as capture:
            console.print(self)
        return "\n".join(line.rstrip() for line in capture.get().splitlines())

    def plot(self) -> Figure:
        """The window on the grid, the output beside it, and the groups if there are any."""
        return window_step(self.window, self.at, self._groups(), caption="\n".join(self.lines()))

    def frames(self) -> Iterator[Figure]:
        """The window at one output position after the other."""
        return window_steps(self.window, self._groups())

    def _groups(self) -> tuple[int, int, int] | None:
        return (self.groups, self.channels, self.filters) if self.groups > 1 else None


def explain_shape(
    image: Pair,
    kernel: Pair,
    stride: Pair = (1, 1),
    padding: str = "valid",
    dilation: Pair = (1, 1),
    *,
    groups: int = 1,
    at: Pair = (0, 0),
) -> ShapeExplanation:
    """A kernel or pool of this size on an image of this size, each (rows, columns).

    Raises:
        ValueError: sizes that aren't positive, another padding than 'valid' and 'same', a 'valid' window larger than
            the image, an output position that there isn't.
    """
    named = {"image": image, "kernel": kernel, "stride": stride, "dilation": dilation, "groups": (groups,)}
    for name, sizes in named.items():
        if min(sizes) < 1:
            raise ValueError(f"`{name}` must be positive. Received {name}={sizes}.")
    if padding not in ("valid", "same"):
        raise ValueError(f"`padding` must be 'valid' or 'same'. Received padding={padding!r}.")
    window = make_window(image, kernel, stride, padding, dilation)
    if any(not 0 <= k < size for k, size in zip(at, window.output_size, strict=True)):
        raise ValueError(f"`at` must lie within the output of {window.output_size}. Received at={at}.")
    channels, filters = (groups * 2, groups * 2) if groups > 1 else (1, 1)
    return ShapeExplanation(window, padding, groups, channels, filters, at)


def _axis(window: Window, padding: str, axis: int) -> list[str]:
    """The formulas along one axis (Dumoulin & Visin, 2016, arXiv:1603.07285, relationships 3, 6, 11 to 13)."""
    image, kernel, stride, step, out, before, after = (
        pair[axis]
        for pair in (
            window.image_size, window.kernel_size, window.strides, window.dilation, window.output_size,
            window.pads_before, window.pads_after,
        )
    )  # fmt: skip
    extent = dilated(kernel, step)
    lines = [f"extent of the kernel = (kernel − 1)·dilation + 1 = ({kernel} − 1)·{step} + 1 = {extent}"]
    if padding == "same":
        total = (out - 1) * stride + extent - image
        lines += [
            f"output = ⌈image / stride⌉ = ⌈{image} / {stride}⌉ = {out}",
            f"padding = max(0, (output − 1)·stride + extent − image) = "
            f"max(0, ({out} − 1)·{stride} + {extent} − {image}) = {max(0, total)}: "
            f"{before} before, {max(0, after)} after",
        ]
    else:
        lines.append(
            f"output = ⌊(image − extent) / stride⌋ + 1 = ⌊({image} − {extent}) / {stride}⌋ + 1 = {out}"
        )
    unread = image + before - ((out - 1) * stride + extent)
    if unread > 0:
        lines.append(f"at the end {unread} of {image} {'is' if unread == 1 else 'are'} never read")
    minus = f" − {before}" if before else ""
    lines.append(f"output i reads i·{stride} + p·{step}{minus} for p from 0 to {kernel - 1}")
    return lines


def _range(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first} to {first + count - 1}"


def _part(size: int, place: int) -> slice:
    """All of `size` cells, or MOST_CELLS of them with `place` among the first."""
    start = min(max(0, place - 4), max(0, size - MOST_CELLS))
    return slice(start, start + MOST_CELLS)
