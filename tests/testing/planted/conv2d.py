"""A convolution by shifted slices with handles to turn, and what people get wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.testing import Target
from minicnn.testing.target import OPTIONS
from tests.testing.planted.mutant import Mutant, fixed

TAKES = frozenset(OPTIONS["conv2d"]) - {"data_format"}


def same_pads(size: int, k: int, s: int, d: int) -> tuple[int, int]:
    total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
    return total // 2, total - total // 2


def valid_size(size: int, k: int, s: int, d: int) -> int:
    return (size - (k - 1) * d - 1) // s + 1


def geometry(x, w, strides, padding, dilation_rate, groups, pads=same_pads, out=valid_size):
    """Padded amounts and output size; refuses what makes no sense."""
    if padding not in ("valid", "same") or min(*strides, *dilation_rate, groups) < 1:
        raise ValueError(f"{strides=} {padding=} {dilation_rate=}")
    if w.shape[2] * groups != x.shape[3] or w.shape[3] % groups:
        raise ValueError(f"{x.shape=} {w.shape=} {groups=}")
    axes = list(zip(x.shape[1:3], w.shape[:2], strides, dilation_rate, strict=True))
    amounts = [pads(*axis) if padding == "same" else (0, 0) for axis in axes]
    sizes = [-(-n // s) if padding == "same" else out(n, k, s, d) for n, k, s, d in axes]
    if min(sizes) < 1:
        raise ValueError("no window fits")
    return amounts, sizes


def blocks(w, groups):
    """(channels, filters) slices of each group."""
    c, f = w.shape[2], w.shape[3] // groups
    return [(slice(g * c, (g + 1) * c), slice(g * f, (g + 1) * f)) for g in range(groups)]


def shifted(padded, p, q, strides, dilation_rate, sizes):
    rows = slice(p * dilation_rate[0], None, strides[0])
    columns = slice(q * dilation_rate[1], None, strides[1])
    return padded[:, rows, columns][:, : sizes[0], : sizes[1]]


def conv2d(
    x,
    w,
    b=None,
    *,
    strides=(1, 1),
    padding="valid",
    dilation_rate=(1, 1),
    groups=1,
    pads=same_pads,
    out=valid_size,
    mode="constant",
    dealt=blocks,
):
    """The right one, as long as the handles in the last line are left alone."""
    amounts, sizes = geometry(x, w, strides, padding, dilation_rate, groups, pads, out)
    need = [
        max(0, (n - 1) * s + (k - 1) * d + 1 - side - sum(a))
        for n, s, k, d, side, a in zip(
            sizes, strides, w.shape[:2], dilation_rate, x.shape[1:3], amounts, strict=True
        )
    ]
    amounts = [(before, after + more) for (before, after), more in zip(amounts, need, strict=True)]
    padded = np.pad(x, ((0, 0), *amounts, (0, 0)), mode=mode)
    y = np.zeros((len(x), *sizes, w.shape[3]), x.dtype)
    for p, q in np.ndindex(*w.shape[:2]):
        part = shifted(padded, p, q, strides, dilation_rate, sizes)
        for channels, filters in dealt(w, groups):
            y[..., filters] += part[..., channels] @ w[p, q, :, filters]
    return y if b is None else y + b


def conv2d_backward(
    dy,
    x,
    w,
    *,
    strides=(1, 1),
    padding="valid",
    dilation_rate=(1, 1),
    groups=1,
    crop=lambda before, after: before,
    kernel=lambda w: w,
    add=True,
    dw_dilation=None,
):
    """The right gradients, as long as the handles in the last line are left alone."""
    amounts, sizes = geometry(x, w, strides, padding, dilation_rate, groups)
    padded = np.pad(x, ((0, 0), *amounts, (0, 0)))
    dpadded, dw, used = np.zeros_like(padded), np.zeros_like(w), kernel(w)
    for p, q in np.ndindex(*w.shape[:2]):
        part = shifted(padded, p, q, strides, dw_dilation or dilation_rate, sizes)
        into = shifted(dpadded, p, q, strides, dilation_rate, sizes)
        for channels, filters in blocks(w, groups):
            dw[p, q, :, filters] = np.tensordot(part[..., channels], dy[..., filters], ((0, 1, 2),) * 2)
            share = dy[..., filters] @ used[p, q, :, filters].T
            if add:
                into[..., channels] += share
            else:
                into[..., channels] = np.where(share != 0, share, into[..., channels])
    top, left = crop(*amounts[0]), crop(*amounts[1])
    dx = dpadded[:, top : top + x.shape[1], left : left + x.shape[2]]
    return dx, dw, dy.sum(axis=(0, 1, 2))


def _forward(name: str, caught_by: str, function: Callable[..., Any], **fields: Any) -> Mutant:
    return Mutant(name, "conv2d", fixed(Target(name, "conv2d", function, None, TAKES, **fields)), caught_by)


def _turned(name: str, caught_by: str, **handles: Any) -> Mutant:
    return _forward(name, caught_by, lambda *a, **o: conv2d(*a, **o, **handles))


def _backward(name: str, caught_by: str, function: Callable[..., Any]) -> Mutant:
    return Mutant(name, "conv2d", fixed(Target(name, "conv2d", conv2d, function, TAKES)), caught_by)


def _after(change: Callable[..., Any]) -> Callable[..., Any]:
    """``change(y, x, w, b)`` to the right result."""
    return lambda x, w, b=None, **o: change(conv2d(x, w, b, **o), x, w, b)


def _with(change: Callable[..., Any]) -> Callable[..., Any]:
    """The right function on ``change(x, w, b)``."""
    return lambda x, w, b=None, **o: conv2d(*change(x, w, b), **o)


def _options(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[..., Any]:
    return lambda x, w, b=None, **o: conv2d(x, w, b, **change(o))


def _cleared(y, *index):
    y[index] = 0
    return y


def _in_half(x, w, b=None, **o):
    half = [None if a is None else a.astype(np.float16) for a in (x, w, b)]
    return conv2d(*half, **o).astype(x.dtype)


def _in_single(x, w, b=None, **o):
    single = [None if a is None else a.astype(np.float32) for a in (x, w, b)]
    return conv2d(*single, **o).astype(x.dtype)


def _scaled_in_place(x, w, b=None, **o):
    if x.flags.writeable:
        x *= 2
        return conv2d(x, w, b, **o) / 2
    return conv2d(x, w, b, **o)


def _unchecked(x, w, b=None, *, strides=(1, 1), padding="valid", dilation_rate=(1, 1), groups=1):
    try:
        return conv2d(x, w, b, strides=strides, padding=padding, dilation_rate=dilation_rate, groups=groups)
    except ValueError:
        return np.zeros((len(x), 0, 0, w.shape[3]), x.dtype)


def _no_exact_fit(x, w, b=None, **o):
    y = conv2d(x, w, b, **o)
    return 0 * y if y.shape[1:3] == (1, 1) and w.shape[:2] == x.shape[1:3] else y


def _stale() -> Target:
    kept: dict[Any, Any] = {}

    def forward(x, w, b=None, **o):
        y = conv2d(x, w, b, **o)
        key = (y.shape, y.dtype)
        kept[key] = kept.get(key, 0) + y
        return kept[key].copy()

    return Target("stale", "conv2d", forward, None, TAKES)


def _reused() -> Target:
    kept: dict[Any, Any] = {}

    def forward(x, w, b=None, **o):
        y = conv2d(x, w, b, **o)
        out = kept.setdefault((y.shape, y.dtype), np.empty_like(y))
        out[...] = y
        return out

    return Target("reused", "conv2d", forward, None, TAKES)


def _stale_dw() -> Target:
    kept: dict[Any, Any] = {}

    def backward(dy, x, w, **o):
        dx, dw, db = conv2d_backward(dy, x, w, **o)
        key = (dw.shape, dw.dtype)
        kept[key] = kept.get(key, 0) + dw
        return dx, kept[key].copy(), db

    return Target("stale dw", "conv2d", conv2d, backward, TAKES)


def _dealt_one_by_one(w, groups):
    c = w.shape[2]
    return [(slice(g * c, (g + 1) * c), slice(g, None, groups)) for g in range(groups)]


def _all_from_first(w, groups):
    return [(slice(0, w.shape[2]), filters) for _, filters in blocks(w, groups)]


def _interleaved_channels(w, groups):
    return [(slice(g, None, groups), filters) for g, (_, filters) in enumerate(blocks(w, groups))]


def _less_dilation(o):
    d = tuple(max(1, k - 1) for k in o.get("dilation_rate", (1, 1)))
    return {**o, "dilation_rate": d} if o.get("padding") == "same" else o


def _gradients(change: Callable[..., Any]) -> Callable[..., Any]:
    """``change(dx, dw, db, dy, x, w)`` to the right gradients."""

    def backward(dy, x, w, **o):
        return change(*conv2d_backward(dy, x, w, **o), dy, x, w)

    return backward


def _dy_in_place(dy, x, w, **o):
    out = conv2d_backward(dy, x, w, **o)
    if dy.flags.writeable:
        dy[...] = 0
    return out


def _stride_ignored_in_dx(dy, x, w, *, strides=(1, 1), **o):
    dx, dw, db = conv2d_backward(dy, x, w, strides=strides, **o)
    if strides != (1, 1) and o.get("padding", "valid") == "valid":
        dx = np.zeros_like(x)
        for p, q in np.ndindex(*w.shape[:2]):
            for channels, filters in blocks(w, o.get("groups", 1)):
                d0, d1 = o.get("dilation_rate", (1, 1))
                into = dx[:, p * d0 : p * d0 + dy.shape[1], q * d1 : q * d1 + dy.shape[2], channels]
                into += dy[..., filters] @ w[p, q, :, filters].T
    return dx, dw, db


def either_format(forward):
    """``forward`` for channels_first too."""

    def wrapped(x, *arrays, data_format="channels_last", **o):
        if data_format == "channels_last":
            return forward(x, *arrays, **o)
        return np.moveaxis(forward(np.moveaxis(x, 1, -1), *arrays, **o), -1, 1)

    return wrapped


def _backward_in_either_format(dy, x, w, *, data_format="channels_last", **o):
    if data_format == "channels_last":
        return conv2d_backward(dy, x, w, **o)
    dx, dw, db = conv2d_backward(np.moveaxis(dy, 1, -1), np.moveaxis(x, 1, -1), w, **o)
    return np.moveaxis(dx, -1, 1), dw, db


def _either(name: str, caught_by: str, forward: Any, backward: Any = None) -> Mutant:
    takes = TAKES | {"data_format"}
    return Mutant(name, "conv2d", fixed(Target(name, "conv2d", forward, backward, takes)), caught_by)


def _columns_first(x, w, b=None, *, data_format="channels_last", **o):
    """Channels first, but the image's rows taken for its columns where it is square."""
    if data_format == "channels_first" and x.shape[2] == x.shape[3]:
        x = x.swapaxes(2, 3)
    return either_format(conv2d)(x, w, b, data_format=data_format, **o)


def _db_of_wrong_axes(dy, x, w, *, data_format="channels_last", **o):
    dx, dw, db = _backward_in_either_format(dy, x, w, data_format=data_format, **o)
    return dx, dw, dy.sum(axis=(0, 1, 2))[: len(db)] if dy.shape[3] >= len(db) else db


RIGHT = Target(
    "right",
    "conv2d",
    either_format(conv2d),
    _backward_in_either_format,
    TAKES | {"data_format"},
)
ORACLE, ROUNDING = "equals the oracle exactly", "equals the oracle within rounding"
GRADIENTS = "gradients equal the oracle's exactly"
MUTANTS = [
    _forward("flipped kernel", ORACLE, _with(lambda x, w, b: (x, w[::-1, ::-1], b))),
    _forward(
        "kernel rows and columns swapped where square",
        ORACLE,
        _with(lambda x, w, b: (x, w.swapaxes(0, 1) if w.shape[0] == w.shape[1] else w, b)),
    ),
    _turned("SAME: odd row and column first", ORACLE, pads=lambda *a: same_pads(*a)[::-1]),
    _turned(
        "SAME: pads of stride 1 at any stride",
        "padding is explicit zeros",
        pads=lambda n, k, s, d: same_pads(n, k, 1, d),
    ),
    _turned("SAME: k // 2 on both sides", ORACLE, pads=lambda n, k, s, d: ((k - 1) * d // 2,) * 2),
    _turned("SAME: dilation forgotten in the pads", ORACLE, pads=lambda n, k, s, d: same_pads(n, k, s, 1)),
    _turned("padding repeats the edge", "padding is explicit zeros", mode="edge"),
    _turned(
        "valid: ceil instead of floor", ORACLE, out=lambda n, k, s, d: -(-(n - (k - 1) * d - 1) // s) + 1
    ),
    _turned(
        "valid: last window forgotten",
        ORACLE,
        out=lambda n, k, s, d: max(1, (n - (k - 1) * d - 1) // s) if n >= (k - 1) * d + 1 else 0,
    ),
    _forward(
        "strides as (columns, rows)",
        "stride is subsampling",
        _options(lambda o: {**o, "strides": o.get("strides", (1, 1))[::-1]}),
    ),
    _forward(
        "column stride taken from the rows",
        "stride is subsampling",
        _options(lambda o: {**o, "strides": (o.get("strides", (1, 1))[0],) * 2}),
    ),
    _forward("dilation off by one with SAME", "dilation is a zero-stuffed kernel", _options(_less_dilation)),
    _forward(
        "dilation as (columns, rows)",
        "dilation is a zero-stuffed kernel",
        _options(lambda o: {**o, "dilation_rate": o.get("dilation_rate", (1, 1))[::-1]}),
    ),
    _forward(
        "rows and columns of the image swapped where square",
        ORACLE,
        _with(lambda x, w, b: (x.swapaxes(1, 2) if x.shape[1] == x.shape[2] else x, w, b)),
    ),
    _forward("channels reversed", ORACLE, _with(lambda x, w, b: (x, w[:, :, ::-1], b))),
    _turned(
        "filters dealt to groups one by one", "groups are independent convolutions", dealt=_dealt_one_by_one
    ),
    _turned(
        "channels dealt to groups one by one",
        "groups are independent convolutions",
        dealt=_interleaved_channels,
    ),
    _turned(
        "every group reads the first one's channels",
        "groups are independent convolutions",
        dealt=_all_from_first,
    ),
    _forward("bias missing", "the bias is added once", _with(lambda x, w, b: (x, w, None))),
    _forward(
        "bias added for every kernel row",
        "the bias is added once",
        _with(lambda x, w, b: (x, w, None if b is None else b * len(w))),
    ),
    _forward(
        "bias added to the first image only",
        ORACLE,
        lambda x, w, b=None, **o: (
            conv2d(x, w, **o)
            + (0 if b is None else b * (np.arange(len(x)) == 0)[:, None, None, None].astype(x.dtype))
        ),
    ),
    _forward("last row skipped", ORACLE, _after(lambda y, x, w, b: _cleared(y, slice(None), -1))),
    _forward(
        "last column skipped where odd",
        ORACLE,
        _after(
            lambda y, x, w, b: _cleared(y, slice(None), slice(None), slice(y.shape[2] - y.shape[2] % 2, None))
        ),
    ),
    _forward(
        "batch remainder of 2 skipped",
        "results don't depend on batch splitting",
        _after(lambda y, x, w, b: _cleared(y, slice(len(y) - len(y) % 2 if len(y) > 1 else 1, None))),
    ),
    _forward(
        "filter remainder of 4 skipped",
        ORACLE,
        _after(lambda y, x, w, b: _cleared(y, ..., slice(4, None)) if 4 < y.shape[3] < 8 else y),
    ),
    _forward(
        "first image used for the whole batch",
        "batch permutation",
        _with(lambda x, w, b: (np.repeat(x[:1], len(x), axis=0), w, b)),
    ),
    Mutant(
        "sum into a buffer that isn't cleared", "conv2d", _stale, "repeatable, and earlier results survive"
    ),
    Mutant("returned buffer used again", "conv2d", _reused, "repeatable, and earlier results survive"),
    _forward("input scaled in place", "inputs are left unmodified", _scaled_in_place),
    _forward("accumulated in float16", ROUNDING, _in_half),
    _forward("float64 computed in float32", ROUNDING, _in_single),
    _forward("always float64", "dtype is kept", _after(lambda y, x, w, b: y.astype(np.float64))),
    _forward(
        "image read in memory order",
        "memory layout doesn't matter",
        _with(lambda x, w, b: (x.ravel(order="K").reshape(x.shape), w, b)),
    ),
    _forward(
        "kernel read in memory order",
        "memory layout doesn't matter",
        _with(lambda x, w, b: (x, w.ravel(order="K").reshape(w.shape), b)),
    ),
    _forward(
        "NaN replaced by zero",
        "no NaN or infinity is hidden",
        _with(lambda x, w, b: (np.nan_to_num(x), w, b)),
    ),
    _forward("saturates at ±100", "linear in x", _after(lambda y, x, w, b: np.clip(y, -100, 100))),
    _forward(
        "small weights pruned",
        ROUNDING,
        _with(lambda x, w, b: (x, np.where(abs(w) < 1e-3, 0, w).astype(w.dtype), b)),
    ),
    _forward(
        "subnormal results flushed",
        "subnormal results are kept",
        _after(lambda y, x, w, b: np.where(abs(y) < np.finfo(y.dtype).tiny, 0, y).astype(y.dtype)),
    ),
    _forward(
        "fourth kernel column forgotten",
        ORACLE,
        _with(
            lambda x, w, b: (x, np.where(np.arange(w.shape[1])[:, None, None] < 3, w, 0).astype(w.dtype), b)
        ),
    ),
    _forward(
        "kernel as large as the image: nothing", "a full-size kernel is Dense on Flatten", _no_exact_fit
    ),
    _forward(
        "adds 1e-6", "scaling by a power of two is exact", _after(lambda y, x, w, b: y + y.dtype.type(1e-6))
    ),
    _forward("bad geometry answered with an empty array", "invalid geometry is refused", _unchecked),
    _backward("dx: stride ignored", GRADIENTS, _stride_ignored_in_dx),
    _backward(
        "dx: kernel flipped",
        "adjoint identity",
        lambda *a, **o: conv2d_backward(*a, **o, kernel=lambda w: w[::-1, ::-1]),
    ),
    _backward(
        "dx: overlapping windows overwritten", GRADIENTS, lambda *a, **o: conv2d_backward(*a, **o, add=False)
    ),
    _backward(
        "dx: padding cut off at the wrong end",
        GRADIENTS,
        lambda *a, **o: conv2d_backward(*a, **o, crop=lambda before, after: after),
    ),
    _backward(
        "dw: first example only",
        GRADIENTS,
        lambda dy, x, w, **o: (
            conv2d_backward(dy, x, w, **o)[0],
            conv2d_backward(dy[:1], x[:1], w, **o)[1],
            dy.sum(axis=(0, 1, 2)),
        ),
    ),
    _backward(
        "dw: mean over the batch",
        "a doubled batch doubles dw and db",
        _gradients(lambda dx, dw, db, dy, x, w: (dx, dw / dw.dtype.type(len(x)), db)),
    ),
    _backward(
        "dw: dilation ignored",
        "gradients equal differences of the forward",
        lambda *a, **o: conv2d_backward(*a, **o, dw_dilation=(1, 1)),
    ),
    _backward(
        "dw: flipped", "adjoint identity", _gradients(lambda dx, dw, db, dy, x, w: (dx, dw[::-1, ::-1], db))
    ),
    _backward(
        "db: summed over too few axes",
        GRADIENTS,
        _gradients(lambda dx, dw, db, dy, x, w: (dx, dw, dy.sum(axis=(1, 2)))),
    ),
    _backward(
        "db: first row of the map only",
        "gradients equal differences of the forward",
        _gradients(lambda dx, dw, db, dy, x, w: (dx, dw, dy[:, 0].sum(axis=(0, 1)))),
    ),
    _backward("dy cleared in place", "backward is repeatable and leaves its inputs alone", _dy_in_place),
    _either(
        "channels_first: rows and columns swapped", "channels_first is channels_last moved", _columns_first
    ),
    _either(
        "channels_first: db over the axes of channels_last",
        "gradients of channels_first are those of channels_last moved",
        either_format(conv2d),
        _db_of_wrong_axes,
    ),
    Mutant(
        "dw summed into a buffer that isn't cleared",
        "conv2d",
        _stale_dw,
        "backward is repeatable and leaves its inputs alone",
    ),
]
