"""Pooling window by window, and what people get wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.testing import Target
from minicnn.testing.target import OPTIONS
from tests.testing.planted.conv2d import either_format, same_pads
from tests.testing.planted.mutant import Mutant, fixed

TAKES = frozenset(OPTIONS["max_pooling2d"]) - {"data_format"}


def windows(x, pool_size, strides, padding, pads=same_pads):
    """Every (i, j, row slice, column slice), clipped to the image, and the output's size."""
    strides = strides or pool_size
    if padding not in ("valid", "same") or min(*pool_size, *strides) < 1:
        raise ValueError(f"{pool_size=} {strides=} {padding=}")
    starts = []
    for size, k, s in zip(x.shape[1:3], pool_size, strides, strict=True):
        count = -(-size // s) if padding == "same" else (size - k) // s + 1
        before = pads(size, k, s, 1)[0] if padding == "same" else 0
        if count < 1:
            raise ValueError("no window fits")
        starts.append([n * s - before for n in range(count)])
    out = []
    for i, top in enumerate(starts[0]):
        for j, left in enumerate(starts[1]):
            rows = slice(max(top, 0), min(top + pool_size[0], x.shape[1]))
            columns = slice(max(left, 0), min(left + pool_size[1], x.shape[2]))
            out.append((i, j, rows, columns))
    return out, (len(x), len(starts[0]), len(starts[1]), x.shape[3])


def pool(x, *, pool_size, strides=None, padding="valid", reduce=np.max, pads=same_pads):
    """The right maximum; ``reduce=np.mean`` is the right average."""
    places, shape = windows(x, pool_size, strides, padding, pads)
    y = np.zeros(shape, x.dtype)
    for i, j, rows, columns in places:
        patch = x[:, rows, columns]
        y[:, i, j] = reduce(patch.reshape(len(x), -1, x.shape[3]), axis=1) if patch.size else 0
    return y


def first(values):
    """A one at the first maximum."""
    hit = np.zeros(values.shape, bool)
    hit[np.argmax(values)] = True
    return hit


def max_backward(dy, x, *, pool_size, strides=None, padding="valid", pick=first, add=True, stop=None):
    """The right gradient of a maximum."""
    places, _ = windows(x, pool_size, strides, padding)
    dx = np.zeros_like(x)
    for i, j, rows, columns in places[:stop]:
        for n in range(len(x)):
            for c in range(x.shape[3]):
                patch = x[n, rows, columns, c]
                hit = pick(patch.ravel()).reshape(patch.shape)
                share, into = hit * dy[n, i, j, c], dx[n, rows, columns, c]
                into[...] = into + share if add else np.where(hit, share, into)
    return dx


def average_backward(
    dy,
    x,
    *,
    pool_size,
    strides=None,
    padding="valid",
    divide=lambda patch, pool: patch.size,
    pads=same_pads,
):
    """The right gradient of an average."""
    places, _ = windows(x, pool_size, strides, padding, pads)
    dx = np.zeros_like(x)
    for i, j, rows, columns in places:
        into = dx[:, rows, columns]
        into += dy[:, i, j][:, None, None] / dx.dtype.type(divide(into[0, ..., 0], pool_size))
    return dx


def average(x, **o):
    return pool(x, reduce=np.mean, **o)


def either_backward(backward):
    """``backward`` for channels_first too."""

    def wrapped(dy, x, *, data_format="channels_last", **o):
        if data_format == "channels_last":
            return backward(dy, x, **o)
        return np.moveaxis(backward(np.moveaxis(dy, 1, -1), np.moveaxis(x, 1, -1), **o), -1, 1)

    return wrapped


EITHER = TAKES | {"data_format"}
RIGHT_MAX = Target("right", "max_pooling2d", either_format(pool), either_backward(max_backward), EITHER)
RIGHT_AVERAGE = Target(
    "right", "average_pooling2d", either_format(average), either_backward(average_backward), EITHER
)


def _max(name: str, caught_by: str, forward: Callable[..., Any] = pool, backward: Any = None) -> Mutant:
    return Mutant(
        name, "max_pooling2d", fixed(Target(name, "max_pooling2d", forward, backward, TAKES)), caught_by
    )


def _average(
    name: str, caught_by: str, forward: Callable[..., Any] = average, backward: Any = None
) -> Mutant:
    target = Target(name, "average_pooling2d", forward, backward, TAKES)
    return Mutant(name, "average_pooling2d", fixed(target), caught_by)


def zero_padded(x, *, pool_size, strides=None, padding="valid", reduce=np.max, fill=0):
    """Pads the image with ``fill`` and lets it take part."""
    if padding == "valid":
        return pool(x, pool_size=pool_size, strides=strides, reduce=reduce)
    s = strides or pool_size
    pads = [same_pads(n, k, t, 1) for n, k, t in zip(x.shape[1:3], pool_size, s, strict=True)]
    padded = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
    return pool(padded, pool_size=pool_size, strides=s, reduce=reduce)


def _pool_size_as_strides(x, *, pool_size, strides=None, padding="valid"):
    return pool(x, pool_size=pool_size, padding=padding)


def _swapped(x, *, pool_size, strides=None, padding="valid"):
    return pool(x, pool_size=pool_size[::-1], strides=strides, padding=padding)


def _last(values):
    return first(values[::-1])[::-1]


def _split(values):
    hit = values == values.max()
    return hit / hit.sum()


def _in_place(x, **o):
    y = pool(x, **o)
    if x.flags.writeable:
        x.sort(axis=1)
    return y


def _last_window_short(x, *, pool_size, strides=None, padding="valid"):
    y = pool(x, pool_size=pool_size, strides=strides, padding=padding)
    if y.shape[1] > 1:
        y[:, -1] = y[:, -2]
    return y


def _empty(x, **o):
    try:
        return pool(x, **o)
    except ValueError:
        return x[:, :0, :0]


def _format_ignored(x, *, data_format="channels_last", **o):
    return pool(x, **o)


def _dx_format_ignored(dy, x, *, data_format="channels_last", **o):
    dx = either_backward(average_backward)(dy, x, data_format=data_format, **o)
    return dx if data_format == "channels_last" else dx[:, ::-1]


def _padded_rows_counted(x, *, pool_size, strides=None, padding="valid"):
    y = average(x, pool_size=pool_size, strides=strides, padding=padding)
    for i, j, rows, _ in windows(x, pool_size, strides, padding)[0]:
        y[:, i, j] *= y.dtype.type((rows.stop - rows.start) / pool_size[0])
    return y


def _cached_windows() -> Target:
    kept: dict[Any, Any] = {}

    def forward(x, *, pool_size, strides=None, padding="valid"):
        places, shape = windows(x, pool_size, strides, padding)
        y = np.zeros(shape, x.dtype)
        for i, j, rows, columns in kept.setdefault((shape, pool_size, strides, padding), places):
            patch = x[:, rows, columns]
            y[:, i, j] = patch.max(axis=(1, 2)) if patch.size else 0
        return y

    return Target("cached windows", "max_pooling2d", forward, None, TAKES)


ORACLE, GRADIENT = "equals the oracle", "the gradient equals the oracle's"
TIE = "a tie goes to the first maximum in row-major order"
MUTANTS = [
    _max("padded with 0 instead of −inf", "padding takes no part", zero_padded),
    _max("maximum started at 0", ORACLE, lambda x, **o: np.maximum(pool(x, **o), 0)),
    _max("NaN dropped", "no NaN or infinity is hidden", lambda x, **o: pool(x, reduce=np.fmax.reduce, **o)),
    _max("maximum of absolute values", ORACLE, lambda x, **o: pool(abs(x), **o)),
    _max("strides ignored", "stride is subsampling", _pool_size_as_strides),
    _max("pool rows and columns swapped", ORACLE, _swapped),
    _max(
        "SAME: odd row and column first",
        ORACLE,
        lambda x, **o: pool(x, pads=lambda *a: same_pads(*a)[::-1], **o),
    ),
    _max("last row of windows repeated", "translation by a stride", _last_window_short),
    _max("input sorted in place", "inputs are left unmodified", _in_place),
    _max(
        "pools with a gap at stride 1",
        "pools of p and q compose to p+q-1",
        lambda x, **o: pool(
            x, reduce=lambda v, axis: v[:, :: 2 if v.shape[1] > 4 else 1].max(axis=axis), **o
        ),
    ),
    Mutant(
        "windows are cached by the output's size",
        "max_pooling2d",
        _cached_windows,
        "another image size before changes nothing",
    ),
    Mutant(
        "channels_first ignored",
        "max_pooling2d",
        fixed(Target("channels_first ignored", "max_pooling2d", _format_ignored, None, EITHER)),
        "channels_first is channels_last moved",
    ),
    Mutant(
        "backward: channels_first reversed",
        "average_pooling2d",
        fixed(
            Target(
                "channels reversed", "average_pooling2d", either_format(average), _dx_format_ignored, EITHER
            )
        ),
        "the gradient of channels_first is that of channels_last moved",
    ),
    _max("bad geometry answered with an empty array", "invalid geometry is refused", _empty),
    _max(
        "backward: ties to all maxima",
        TIE,
        backward=lambda *a, **o: max_backward(*a, **o, pick=lambda v: v == v.max()),
    ),
    _max(
        "backward: ties to the last maximum", TIE, backward=lambda *a, **o: max_backward(*a, **o, pick=_last)
    ),
    _max("backward: ties split evenly", TIE, backward=lambda *a, **o: max_backward(*a, **o, pick=_split)),
    _max(
        "backward: overlapping windows overwritten",
        GRADIENT,
        backward=lambda *a, **o: max_backward(*a, **o, add=False),
    ),
    _max(
        "backward: returns after the first window",
        "the gradient's mass is conserved",
        backward=lambda *a, **o: max_backward(*a, **o, stop=1),
    ),
    _max(
        "backward: only positive maxima",
        "adjoint identity",
        backward=lambda *a, **o: max_backward(*a, **o, pick=lambda v: first(v) & (v > 0)),
    ),
    _average(
        "divided by the whole pool",
        "a constant image stays constant",
        lambda x, **o: zero_padded(x, reduce=np.mean, **o),
    ),
    _average("padded rows are counted, padded columns not", "padding takes no part", _padded_rows_counted),
    _average("rounded down", ORACLE, lambda x, **o: np.floor(average(x, **o))),
    _average("sum instead of mean", ORACLE, lambda x, **o: pool(x, reduce=np.sum, **o)),
    _average("median", ORACLE, lambda x, **o: pool(x, reduce=np.median, **o)),
    _average(
        "SAME: odd row and column first",
        ORACLE,
        lambda x, **o: pool(x, reduce=np.mean, pads=lambda *a: same_pads(*a)[::-1], **o),
    ),
    _average(
        "backward: not divided",
        "the gradient's mass is conserved",
        backward=lambda *a, **o: average_backward(*a, **o, divide=lambda patch, size: 1),
    ),
    _average(
        "backward: divided by the whole pool",
        GRADIENT,
        backward=lambda *a, **o: average_backward(*a, **o, divide=lambda patch, size: size[0] * size[1]),
    ),
    _average(
        "backward: divided by the rows only",
        "the gradient equals differences of the forward",
        backward=lambda *a, **o: average_backward(*a, **o, divide=lambda patch, size: len(patch)),
    ),
]
