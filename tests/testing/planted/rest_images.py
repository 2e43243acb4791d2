"""One bug for each property of convolution and pooling that no other bug names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.testing import Target
from tests.testing.planted.conv2d import TAKES as CONV2D_TAKES
from tests.testing.planted.conv2d import conv2d, conv2d_backward, either_format, same_pads
from tests.testing.planted.mutant import Mutant, fixed
from tests.testing.planted.pooling import (
    EITHER,
    TAKES,
    average,
    average_backward,
    first,
    max_backward,
    pool,
    zero_padded,
)


def forwards(array, axis):
    """What is read when the sign of a stride is lost."""
    return np.flip(array, axis) if array.strides[axis] < 0 else array


def memory_order(array):
    """What is read when strides are ignored altogether."""
    return array.ravel(order="K").reshape(array.shape)


def reused(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` with one output buffer for each shape, handed out again and again."""
    kept: dict[Any, Any] = {}

    def forward(*arrays, **o):
        y = function(*arrays, **o)
        out = kept.setdefault((y.shape, y.dtype), np.empty_like(y))
        out[...] = y
        return out

    return forward


def clearing_dy(backward: Callable[..., Any]) -> Callable[..., Any]:
    """``backward`` that clears the upstream gradient once it has been used."""

    def cleared(dy, *arrays, **o):
        out = backward(dy, *arrays, **o)
        if dy.flags.writeable:
            dy[...] = 0
        return out

    return cleared


def _conv2d(name: str, caught_by: str, forward: Callable[..., Any] = conv2d, backward: Any = None) -> Mutant:
    return Mutant(name, "conv2d", fixed(Target(name, "conv2d", forward, backward, CONV2D_TAKES)), caught_by)


def _odd_tail_is_bias(x, w, b=None, **o):
    y = conv2d(x, w, b, **o)
    if y.shape[2] > 1 and y.shape[2] % 2:
        y[:, :, -1] = 0 if b is None else b
    return y


def _odd_channel_forgotten(x, w, b=None, **o):
    w = np.array(w)
    if w.shape[2] > 1 and w.shape[2] % 2:
        w[:, :, -1] = 0
    return conv2d(x, w, b, **o)


def _one_by_one_by_filters(x, w, b=None, **o):
    if w.shape[:2] == (1, 1):
        w = w.reshape(1, 1, w.shape[3], w.shape[2]).swapaxes(2, 3)
    return conv2d(x, w, b, **o)


def _last_kernel_column_forgotten(x, w, b=None, **o):
    w = np.array(w)
    w[:, 1:][:, -1:] = 0
    return conv2d(x, w, b, **o)


def _dw_in_single(dy, x, w, **o):
    dx, _, db = conv2d_backward(dy, x, w, **o)
    _, dw, _ = conv2d_backward(*(a.astype(np.float32) for a in (dy, x, w)), **o)
    return dx, dw.astype(w.dtype), db


CONV2D = [
    _conv2d(
        "kernel clipped to ±4", "linear in w", lambda x, w, b=None, **o: conv2d(x, np.clip(w, -4, 4), b, **o)
    ),
    _conv2d(
        "the last of an odd number of columns is left at the bias",
        "translation by a stride",
        _odd_tail_is_bias,
    ),
    _conv2d(
        "the last of an odd number of channels is forgotten",
        "channel and filter permutation",
        _odd_channel_forgotten,
    ),
    _conv2d("1x1: kernel read as (filters, channels)", "a 1x1 kernel is Dense", _one_by_one_by_filters),
    _conv2d("last kernel column forgotten", "a delta kernel shifts", _last_kernel_column_forgotten),
    _conv2d(
        "a kernel of negative strides is read forwards",
        "a flipped image with the flipped kernel",
        lambda x, w, b=None, **o: conv2d(x, forwards(forwards(w, 0), 1), b, **o),
    ),
    _conv2d("dw: summed in float32", "gradients equal the oracle's within rounding", backward=_dw_in_single),
]


def _max(
    name: str, caught_by: str, forward: Callable[..., Any] = pool, backward: Any = None, takes=TAKES
) -> Mutant:
    return Mutant(
        name, "max_pooling2d", fixed(Target(name, "max_pooling2d", forward, backward, takes)), caught_by
    )


def _average(
    name: str, caught_by: str, forward: Callable[..., Any] = average, backward: Any = None, takes=TAKES
) -> Mutant:
    target = Target(name, "average_pooling2d", forward, backward, takes)
    return Mutant(name, "average_pooling2d", fixed(target), caught_by)


def _stateful(op: str, name: str, caught_by: str, make: Callable[[], tuple[Any, Any]]) -> Mutant:
    """``make() -> forward, backward``."""
    return Mutant(name, op, lambda: Target(name, op, *make(), TAKES), caught_by)


def _padded_with_the_largest(x, **o):
    return zero_padded(x, fill=np.finfo(x.dtype).max, **o)


def _winner_of_the_first_channel(values, axis):
    places = np.argmax(values[..., :1], axis=axis)
    return np.take_along_axis(values, places[:, None, :], axis=axis)[:, 0]


def _dy_reshaped(dy, x, *, data_format="channels_last", **o):
    if data_format == "channels_last":
        return max_backward(dy, x, **o)
    n, c, height, width = dy.shape
    dx = max_backward(dy.reshape(n, height, width, c), np.moveaxis(x, 1, -1), **o)
    return np.moveaxis(dx, -1, 1)


def _default_of_one(forward: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, *, strides=(1, 1), **o: forward(x, strides=strides, **o)


MAX = [
    _max("padded with the largest number", "a constant image stays constant", _padded_with_the_largest),
    _max(
        "the first channel's winner for all channels",
        "batch and channel permutation",
        lambda x, **o: pool(x, reduce=_winner_of_the_first_channel, **o),
    ),
    _max("strides default to 1", "strides default to the pool", _default_of_one(pool)),
    _max("cut off at 6", "scaling by a power of two is exact", lambda x, **o: np.minimum(pool(x, **o), 6)),
    _max(
        "maximum not reset between examples",
        "results don't depend on batch splitting",
        lambda x, **o: np.maximum.accumulate(pool(x, **o), axis=0),
    ),
    _max("memory order", "memory layout doesn't matter", lambda x, **o: pool(memory_order(x), **o)),
    _stateful(
        "max_pooling2d",
        "output buffer handed out again",
        "repeatable, and earlier results survive",
        lambda: (reused(pool), None),
    ),
    _max("returned in float64", "dtype is kept", lambda x, **o: pool(x, **o).astype(np.float64)),
    _max(
        "backward: to the largest absolute value",
        "the gradient equals differences of the forward",
        backward=lambda *a, **o: max_backward(*a, **o, pick=lambda v: first(abs(v))),
    ),
    _max(
        "backward: mean over the batch",
        "a doubled batch",
        backward=lambda dy, x, **o: max_backward(dy, x, **o) / dy.dtype.type(len(x)),
    ),
    _max(
        "backward: dy of channels_first reshaped, not transposed",
        "the gradient of channels_first is that of channels_last moved",
        either_format(pool),
        _dy_reshaped,
        EITHER,
    ),
    _max(
        "backward: dy cleared in place",
        "backward is repeatable and leaves its inputs alone",
        backward=clearing_dy(max_backward),
    ),
]


def _odd_tail_is_zero(x, **o):
    y = average(x, **o)
    if y.shape[2] > 1 and y.shape[2] % 2:
        y[:, :, -1] = 0
    return y


def _odd_example_is_zero(x, **o):
    y = average(x, **o)
    if len(y) > 1 and len(y) % 2:
        y[-1] = 0
    return y


def _columns_first(x, *, data_format="channels_last", **o):
    if data_format == "channels_last":
        return average(x, **o)
    return average(x.transpose(0, 3, 2, 1), **o).transpose(0, 3, 2, 1)


def _running_sums_in_place(x, **o):
    y = average(x, **o)
    if x.flags.writeable:
        np.cumsum(np.array(x), axis=1, out=x)
    return y


def _empty(x, **o):
    try:
        return average(x, **o)
    except ValueError:
        return x[:, :0, :0]


def _last_of_an_even_batch(dy, x, **o):
    dx = average_backward(dy, x, **o)
    if len(dx) % 2 == 0:
        dx[-1] = 0
    return dx


def _summed_into_dx() -> Callable[..., Any]:
    kept: dict[Any, Any] = {}

    def backward(dy, x, **o):
        dx = average_backward(dy, x, **o)
        key = (dx.shape, dx.dtype)
        kept[key] = kept.get(key, 0) + dx
        return kept[key].copy()

    return backward


AVERAGE = [
    _average(
        "the last of an odd number of columns is left at zero", "translation by a stride", _odd_tail_is_zero
    ),
    _average(
        "sum not reset between channels",
        "batch and channel permutation",
        lambda x, **o: np.cumsum(average(x, **o), axis=-1),
    ),
    _average(
        "strides ignored",
        "stride is subsampling",
        lambda x, *, strides=None, **o: average(x, **o),
    ),
    _average("strides default to 1", "strides default to the pool", _default_of_one(average)),
    _average(
        "rounded to three decimals",
        "scaling by a power of two is exact",
        lambda x, **o: np.round(average(x, **o), 3),
    ),
    _average(
        "the last of an odd number of examples is left at zero",
        "results don't depend on batch splitting",
        _odd_example_is_zero,
    ),
    _average(
        "an image of negative strides is read forwards",
        "memory layout doesn't matter",
        lambda x, **o: average(forwards(forwards(x, 1), 2), **o),
    ),
    _average(
        "channels_first: pool's rows and columns swapped",
        "channels_first is channels_last moved",
        _columns_first,
        takes=EITHER,
    ),
    _average("running sums left in x", "inputs are left unmodified", _running_sums_in_place),
    _stateful(
        "average_pooling2d",
        "output buffer handed out again",
        "repeatable, and earlier results survive",
        lambda: (reused(average), None),
    ),
    _average(
        "NaN counts as zero",
        "no NaN or infinity is hidden",
        lambda x, **o: average(np.where(np.isnan(x), 0, x), **o),
    ),
    _average("always in float32", "dtype is kept", lambda x, **o: average(x, **o).astype(np.float32)),
    _average("bad geometry answered with an empty array", "invalid geometry is refused", _empty),
    _average(
        "backward: SAME has the odd row and column first",
        "adjoint identity",
        backward=lambda *a, **o: average_backward(*a, **o, pads=lambda *g: same_pads(*g)[::-1]),
    ),
    _average(
        "backward: the last of an even number of examples is forgotten",
        "a doubled batch",
        backward=_last_of_an_even_batch,
    ),
    _stateful(
        "average_pooling2d",
        "backward: dx summed into a buffer that isn't cleared",
        "backward is repeatable and leaves its inputs alone",
        lambda: (average, _summed_into_dx()),
    ),
]
MUTANTS: list[Mutant] = [*CONV2D, *MAX, *AVERAGE]
