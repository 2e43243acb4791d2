"""What to draw of a failure: panels of numbers, which ``html`` makes pictures of.

Which panels there are follows from the array that is wrong: of a convolution's ``y`` the window in the image
and the kernel, of its ``dx`` the elements of ``dy`` that reach it, of its ``dw`` the pixels it met.  The
inputs are drawn only if the wrong element really is the sum (or the maximum, or the mean) of what would be
marked: a property may compare something else than the op on the arrays shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicnn.testing.geometry import pad_amounts
from minicnn.testing.report import Failure

Array = np.ndarray[Any, Any]
Cell = tuple[int, int]
MAX_CHANNELS = 3
"""Panels that differ in nothing but the channel, filter or image."""


@dataclass
class Panel:
    """A matrix with marked cells; those outside it are padding.  ``before`` is the sign to its left."""

    title: str
    values: Array
    marked: set[Cell] = field(default_factory=set)
    wrong: set[Cell] = field(default_factory=set)
    focus: Cell | None = None
    outside: str = ""
    before: str = ""


def panels(f: Failure) -> list[list[Panel]]:
    """Rows of panels for a failure; none if there is nothing to compare."""
    if f.got is None or f.expected is None or f.index is None:
        return []
    got, expected = np.asarray(f.got, dtype=np.float64), np.asarray(f.expected, dtype=np.float64)
    if got.shape != expected.shape or got.ndim == 0:
        return []
    rows = _inputs(f, expected)
    name, cut = _plane_name(f)
    focus = tuple(f.index[axis] for axis in cut)
    at = tuple(slice(None) if axis in cut else k for axis, k in enumerate(f.index))
    a, b = (np.atleast_2d(array[at]) for array in (got, expected))
    wrong = {(int(r), int(s)) for r, s in np.argwhere(~((a == b) | (np.isnan(a) & np.isnan(b))))}
    middle: Cell = (0, focus[0]) if len(focus) == 1 else (focus[0], focus[1])
    return [
        *rows,
        [
            Panel(f"expected {name}", b, focus=middle),
            Panel(f"got {name}", a, wrong=wrong, focus=middle, before="≠"),
        ],
    ]


def _plane_name(f: Failure) -> tuple[str, tuple[int, ...]]:
    """The two axes of a wrong array that are drawn, and what it is called with them."""
    index = f.index or ()
    cut: tuple[int, ...]
    if len(index) == 1:
        cut = (0,)
    elif len(index) == 4 and f.label == "dw":
        cut = (0, 1)
    elif len(index) == 4 and f.geometry and "channels_first" not in f.label:
        cut = (1, 2)
    else:
        cut = (len(index) - 2, len(index) - 1)
    inner = ", ".join(":" if axis in cut else str(k) for axis, k in enumerate(index))
    return f"{f.label}[{inner}]", cut


def _inputs(f: Failure, expected: Array) -> list[list[Panel]]:
    """The panels of what the wrong element is made of, if it is."""
    arrays = {name: np.asarray(value, dtype=np.float64) for name, value in f.arrays.items()}
    wanted = float(expected[f.index])
    try:
        if {"x", "w"} <= arrays.keys() and arrays["x"].ndim == 4:
            return _convolution(f, arrays, wanted)
        if "pool_size" in f.geometry and f.label in ("y", "dx"):
            return _pooling(f, arrays["x"], wanted)
        if {"x", "w"} <= arrays.keys() and arrays["x"].ndim == 2:
            return _dense(f, arrays, wanted)
    except (IndexError, KeyError, ValueError):
        return []  # a property on other arrays than those in the report
    return _elementwise(f, arrays, expected)


def cells(shape: tuple[int, ...]) -> list[Cell]:
    """All cells of a matrix, row by row."""
    return [(r, s) for r in range(shape[0]) for s in range(shape[1])]


class _Windows:
    """Where windows lie, in a failure's geometry."""

    def __init__(self, g: dict[str, Any], image: tuple[int, ...]) -> None:
        self.size = tuple(g.get("kernel_size") or g["pool_size"])
        self.strides, self.dilation = tuple(g["strides"]), tuple(g.get("dilation_rate", (1, 1)))
        sides = zip(image, self.size, self.strides, self.dilation, strict=True)
        self.pads = [pad_amounts(n, k, s, g["padding"], d)[0] for n, k, s, d in sides]
        self.image = image

    def pixel(self, i: int, j: int, p: int, q: int) -> Cell:
        """The pixel, maybe outside the image, that tap p, q of window i, j meets."""
        r, s = (
            at * stride + tap * dilation - pad
            for at, tap, stride, dilation, pad in zip(
                (i, j), (p, q), self.strides, self.dilation, self.pads, strict=True
            )
        )
        return r, s

    def taps(self) -> list[Cell]:
        return cells(self.size)

    def inside(self, pixel: Cell) -> bool:
        return 0 <= pixel[0] < self.image[0] and 0 <= pixel[1] < self.image[1]


def _same(a: float, b: float) -> bool:
    """Whether a sum made here is the oracle's; another order of summation may round differently."""
    return a == b or (np.isnan(a) and np.isnan(b)) or abs(a - b) <= 1e-9 * max(abs(a), abs(b))


def _convolution(f: Failure, a: dict[str, Array], wanted: float) -> list[list[Panel]]:
    x, w = a["x"], a["w"]
    windows, groups = _Windows(f.geometry, x.shape[1:3]), f.geometry["groups"]
    parts = {"y": _of_y, "dx": _of_dx, "dw": _of_dw}.get(f.label)
    if parts is None:
        return []
    total, rows = parts(f, a, windows, w.shape[3] // groups)
    bias = a["b"][f.index[3]] if f.label == "y" and "b" in a else 0.0  # type: ignore[index]
    return rows if _same(total, wanted) or _same(total + bias, wanted) else []


def _of_y(
    f: Failure, a: dict[str, Array], windows: _Windows, filters: int
) -> tuple[float, list[list[Panel]]]:
    (n, i, j, out), x, w = f.index, a["x"], a["w"]  # type: ignore[misc]
    first = (out // filters) * w.shape[2]
    pixels = {tap: windows.pixel(i, j, *tap) for tap in windows.taps()}
    total = sum(
        x[(n, *pixel, first + c)] * w[(*tap, c, out)]
        for tap, pixel in pixels.items()
        for c in range(w.shape[2])
        if windows.inside(pixel)
    )
    rows = [
        [
            Panel(f"x[{n}, :, :, {first + c}] under the window of y[{n}, {i}, {j}, {out}]", x[n, ..., first + c],
                  set(pixels.values()), outside="0"),
            Panel(f"w[:, :, {c}, {out}]", w[:, :, c, out], set(pixels), before="·"),
        ]
        for c in range(min(w.shape[2], MAX_CHANNELS))
    ]  # fmt: skip
    return float(total), rows


def _of_dx(
    f: Failure, a: dict[str, Array], windows: _Windows, filters: int
) -> tuple[float, list[list[Panel]]]:
    (n, r, s, channel), dy, w = f.index, a["dy"], a["w"]  # type: ignore[misc]
    group, c = divmod(channel, w.shape[2])
    pairs = [
        (at, tap)
        for at in cells(dy.shape[1:3])
        for tap in windows.taps()
        if windows.pixel(*at, *tap) == (r, s)
    ]
    outs = range(group * filters, (group + 1) * filters)
    total = sum(dy[(n, *at, out)] * w[(*tap, c, out)] for at, tap in pairs for out in outs)
    rows = [
        [
            Panel(f"dy[{n}, :, :, {out}] whose windows see x[{n}, {r}, {s}, {channel}]", dy[n, ..., out],
                  {at for at, _ in pairs}),
            Panel(f"w[:, :, {c}, {out}]", w[:, :, c, out], {tap for _, tap in pairs}, before="·"),
        ]
        for out in outs[:MAX_CHANNELS]
    ]  # fmt: skip
    return float(total), rows


def _of_dw(
    f: Failure, a: dict[str, Array], windows: _Windows, filters: int
) -> tuple[float, list[list[Panel]]]:
    (p, q, c, out), x, dy = f.index, a["x"], a["dy"]  # type: ignore[misc]
    channel = (out // filters) * a["w"].shape[2] + c
    pixels = {at: windows.pixel(*at, p, q) for at in cells(dy.shape[1:3])}
    seen = {at: pixel for at, pixel in pixels.items() if windows.inside(pixel)}
    total = sum(
        x[(n, *pixel, channel)] * dy[(n, *at, out)] for n in range(len(x)) for at, pixel in seen.items()
    )
    rows = [
        [
            Panel(f"x[{n}, :, :, {channel}] that w[{p}, {q}, {c}, {out}] meets", x[n, ..., channel],
                  set(pixels.values()), outside="0"),
            Panel(f"dy[{n}, :, :, {out}]", dy[n, ..., out], set(pixels), before="·"),
        ]
        for n in range(min(len(x), MAX_CHANNELS))
    ]  # fmt: skip
    return float(total), rows


def _pooling(f: Failure, x: Array, wanted: float) -> list[list[Panel]]:
    (n, i, j, c), windows = f.index, _Windows(f.geometry, x.shape[1:3])  # type: ignore[misc]
    if f.label == "dx":
        return [[Panel(f"x[{n}, :, :, {c}]", x[n, ..., c], {(i, j)}), _dy_panel(f, n, c)]]
    pixels = {windows.pixel(i, j, *tap) for tap in windows.taps()}
    values = [x[(n, *pixel, c)] for pixel in pixels if windows.inside(pixel)]
    if wanted == np.max(values):
        outside = "−∞"
    elif _same(wanted, float(np.mean(values))) or not np.isfinite(wanted):
        outside = "–"
    else:
        return []
    title = f"x[{n}, :, :, {c}] under the window of y[{n}, {i}, {j}, {c}]"
    return [[Panel(title, x[n, ..., c], pixels, outside=outside)]]


def _dy_panel(f: Failure, n: int, c: int) -> Panel:
    return Panel(f"dy[{n}, :, :, {c}]", np.asarray(f.arrays["dy"], dtype=np.float64)[n, ..., c])


def _dense(f: Failure, a: dict[str, Array], wanted: float) -> list[list[Panel]]:
    if f.label not in ("y", "dx", "dw"):
        return []
    r, s = f.index  # type: ignore[misc]
    names = {"y": ("x", "w"), "dx": ("dy", "w"), "dw": ("x", "dy")}[f.label]
    left, right = (a[name] for name in names)
    # y[r, s] = x[r, :]·w[:, s];  dx[r, s] = dy[r, :]·w[s, :];  dw[r, s] = x[:, r]·dy[:, s]
    one = {(k, r) for k in range(len(left))} if f.label == "dw" else {(r, k) for k in range(left.shape[1])}
    two = {(s, k) for k in range(right.shape[1])} if f.label == "dx" else {(k, s) for k in range(len(right))}
    total = sum(float(left[m] * right[n]) for m, n in zip(sorted(one), sorted(two), strict=True))
    bias = float(a["b"][s]) if f.label == "y" and "b" in a else 0.0
    if not (_same(total, wanted) or _same(total + bias, wanted)):
        return []
    return [[Panel(names[0], left, one), Panel(names[1], right, two, before="·")]]


def _elementwise(f: Failure, a: dict[str, Array], expected: Array) -> list[list[Panel]]:
    """The array that was put in, where it has the shape of the one that came out."""
    name = next((k for k in ("x", "logits") if k in a and a[k].shape == expected.shape), None)
    if name is None or f.label not in ("y", "dx") or "pool_size" in f.geometry:
        return []
    _, cut = _plane_name(f)
    at = tuple(slice(None) if axis in cut else k for axis, k in enumerate(f.index or ()))
    spot = tuple(f.index[axis] for axis in cut)  # type: ignore[index]
    return [
        [Panel(name, np.atleast_2d(a[name][at]), {(0, spot[0]) if len(spot) == 1 else (spot[0], spot[1])})]
    ]
