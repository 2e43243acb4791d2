"""Mistakes that people make in convolutions, imitated: what reproduces a failure explains it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.testing import oracles
from minicnn.testing.geometry import ConvGeometry
from minicnn.testing.strategies import ConvCase
from minicnn.testing.target import Target

Array = np.ndarray[Any, Any]


def _y(t: Target, case: ConvCase, **changes: Any) -> Array:
    """The oracle's y, with arrays or options changed."""
    arrays: dict[str, Any] = {"x": case.x, "w": case.w, "b": case.b if t.bias else None}
    arrays.update({k: changes.pop(k) for k in list(changes) if k in arrays})
    options = {**case.geometry.options(), **changes}
    return oracles.conv2d_forward(arrays["x"], arrays["w"], arrays["b"], **options)


def _gradients(t: Target, case: ConvCase, **changes: Any) -> Any:
    arrays = {"dy": case.dy, "x": case.x, "w": case.w}
    arrays.update({k: changes.pop(k) for k in list(changes) if k in arrays})
    options = {**case.geometry.options(), **changes}
    return oracles.conv2d_backward(arrays["dy"], arrays["x"], arrays["w"], **options)


def _padded(t: Target, case: ConvCase, pads: Callable[[ConvGeometry], Any]) -> Array | None:
    g = case.geometry
    if g.padding != "same" or pads(g) == g.pads:
        return None
    x = np.pad(case.x, ((0, 0), *pads(g), (0, 0)))
    return _y(t, case, x=x, padding="valid")[:, : g.output_size[0], : g.output_size[1]]


def _swapped_pads(g: ConvGeometry) -> Any:
    return tuple((after, before) for before, after in g.pads)


def _symmetric_pads(g: ConvGeometry) -> Any:
    ends = [(k - 1) * d // 2 + ((k - 1) * d) % 2 for k, d in zip(g.kernel_size, g.dilation_rate, strict=True)]
    return tuple((end, end) for end in ends)


def _unless(trivial: bool, make: Callable[[], Array]) -> Array | None:
    return None if trivial else make()


def _for_y(make: Callable[[Target, ConvCase], Any]) -> Callable[[Target, ConvCase, str], Any]:
    return lambda t, case, label: make(t, case) if label == "y" else None


def _for(wanted: str, make: Callable[[Target, ConvCase], Any]) -> Callable[[Target, ConvCase, str], Any]:
    return lambda t, case, label: make(t, case) if label == wanted else None


def _interleaved(t: Target, case: ConvCase) -> Array | None:
    """Filters dealt to the groups like cards instead of in blocks."""
    g = case.geometry
    if g.groups == 1 or g.filters == g.groups:
        return None
    order = np.arange(g.filters).reshape(-1, g.groups).T.ravel()
    y = _y(t, case, w=case.w[..., order], b=None)
    out = np.empty_like(y)
    out[..., order] = y
    return out + (case.b if t.bias else 0)


def _without_last(t: Target, case: ConvCase, axis: int) -> Array:
    y = _y(t, case)
    y[tuple(slice(None) if k != axis else -1 for k in range(4))] = 0
    return y


def _transposed_kernel(t: Target, case: ConvCase) -> Array | None:
    if case.geometry.kernel_size[0] != case.geometry.kernel_size[1] or case.geometry.kernel_size == (1, 1):
        return None
    return _y(t, case, w=case.w.swapaxes(0, 1))


def _one(value: tuple[int, int]) -> bool:
    return value == (1, 1)


PATTERNS: dict[str, Callable[[Target, ConvCase, str], Any]] = {
    "matches a flipped kernel: this is convolution, Keras does cross-correlation": _for_y(
        lambda t, c: _unless(_one(c.geometry.kernel_size), lambda: _y(t, c, w=c.w[::-1, ::-1]))
    ),
    "matches a kernel with rows and columns swapped": _for_y(_transposed_kernel),
    "matches SAME padding with the odd row or column at the top or left; TensorFlow puts it last": _for_y(
        lambda t, c: _padded(t, c, _swapped_pads)
    ),
    "matches symmetric padding k//2, as PyTorch code writes it": _for_y(
        lambda t, c: _padded(t, c, _symmetric_pads)
    ),
    "matches a missing bias": _for_y(lambda t, c: _y(t, c, b=None) if t.bias and c.b.any() else None),
    "matches a bias added twice": _for_y(lambda t, c: _y(t, c, b=2 * c.b) if t.bias and c.b.any() else None),
    "matches strides given as (columns, rows)": _for_y(
        lambda t, c: _unless(
            c.geometry.strides[0] == c.geometry.strides[1], lambda: _y(t, c, strides=c.geometry.strides[::-1])
        )
    ),
    "matches strides ignored": _for_y(
        lambda t, c: _unless(_one(c.geometry.strides), lambda: _y(t, c, strides=(1, 1)))
    ),
    "matches dilation_rate ignored": _for_y(
        lambda t, c: _unless(_one(c.geometry.dilation_rate), lambda: _y(t, c, dilation_rate=(1, 1)))
    ),
    "matches reversed input channels": _for_y(
        lambda t, c: _unless(c.w.shape[2] == 1, lambda: _y(t, c, w=c.w[:, :, ::-1]))
    ),
    "matches filters dealt to groups one by one instead of in blocks": _for_y(_interleaved),
    "the last row of the output is missing": _for_y(lambda t, c: _without_last(t, c, 1)),
    "the last column of the output is missing": _for_y(lambda t, c: _without_last(t, c, 2)),
    "the last image of the batch is missing": _for_y(lambda t, c: _without_last(t, c, 0)),
    "the last filter is missing": _for_y(lambda t, c: _without_last(t, c, 3)),
    "the result of an earlier call is added in, or only half of the sum is there": _for_y(
        lambda t, c: 2 * _y(t, c) if _y(t, c).any() else None
    ),
    "dx matches a kernel that is not flipped on the way back": _for(
        "dx",
        lambda t, c: _unless(_one(c.geometry.kernel_size), lambda: _gradients(t, c, w=c.w[::-1, ::-1]).dx),
    ),
    "dw is of the first example only: not summed over the batch": _for(
        "dw", lambda t, c: _unless(len(c.x) == 1, lambda: _gradients(t, c, dy=c.dy[:1], x=c.x[:1]).dw)
    ),
    "dw is divided by the batch size: a mean where the sum belongs": _for(
        "dw", lambda t, c: _unless(len(c.x) == 1, lambda: _gradients(t, c).dw / len(c.x))
    ),
    "dw matches a flipped kernel gradient": _for(
        "dw", lambda t, c: _unless(_one(c.geometry.kernel_size), lambda: _gradients(t, c).dw[::-1, ::-1])
    ),
    "db is divided by the batch size: a mean where the sum belongs": _for(
        "db", lambda t, c: _unless(len(c.x) == 1, lambda: _gradients(t, c).db / len(c.x))
    ),
}
"""Text → what that mistake would give for a case and a label ("y", "dx", …); None where it says nothing."""
