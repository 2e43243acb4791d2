"""Twenty planted bugs written blind: without having read the kit's strategies, geometries or checks, nor the
other planted bugs, so that they say something about bugs that nobody had in mind.

Each is right but for one mistake; where it comes from a real report, that one is named.  What the kit made of
them at first sight is in ``blind_first.json`` and stays as it was, whatever became of the kit since.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.testing import Target
from minicnn.testing.target import OPTIONS
from tests.testing.planted.blind_right import (
    Array,
    AveragePool,
    Axis,
    Conv,
    Pool,
    index,
    need,
    scatter,
    windows,
)
from tests.testing.planted.mutant import Mutant, fixed

# Convolution


class PackedChannels(Conv):
    """Input channels are packed by eight; what a full pack leaves over is dropped (modular 6248)."""

    def multiply(self, v: Array, w: Array) -> Array:
        c = w.shape[2]
        full = c - c % 8 if c >= 8 else c
        return super().multiply(v[..., :full], w[:, :, :full])


class OddColumn(Conv):
    """Columns are computed in pairs; the loop for an odd last one forgets the dilation (CMSIS 1168)."""

    def positions(self, x: Array, w: Array, s: Any, padding: str, d: Any) -> tuple[Array, Array]:
        rows, cols = super().positions(x, w, s, padding, d)
        if len(cols) % 2:
            cols[-1] = cols[-1, 0] + np.arange(w.shape[1])
        return rows, cols


class PaddedRowsOfFirstGroup(Conv):
    """Rows whose window touches the padding read the first group's channels (burn 4727)."""

    def forward(self, x: Array, kernel: Array, bias: Array | None = None, **options: Any) -> Array:
        y = super().forward(x, kernel, bias, **options)
        groups = options.get("groups", 1)
        d, s = options.get("dilation_rate", (1, 1)), options.get("strides", (1, 1))
        rows, _ = self.positions(x, kernel, s, options.get("padding", "valid"), d)
        touched = ((rows < 0) | (rows >= x.shape[1])).any(1)
        first = np.concatenate([x[..., : kernel.shape[2]]] * groups, axis=-1)
        y[:, touched] = super().forward(first, kernel, bias, **options)[:, touched]
        return y


class PadsWithoutSize(Conv):
    """SAME padding is kernel - stride, which holds only when the stride divides the size."""

    def axes(self, x: Array, w: Array, s: Any, padding: str, d: Any) -> tuple[Axis, Axis]:
        right = super().axes(x, w, s, padding, d)
        if padding == "valid":
            return right
        extents = [(w.shape[a] - 1) * d[a] + 1 for a in (0, 1)]
        (oh, _), (ow, _) = right
        return (oh, max(extents[0] - s[0], 0) // 2), (ow, max(extents[1] - s[1], 0) // 2)


class PastTheRow(Conv):
    """SAME with an even kernel pads one more on the right; the fast path for the columns that need no
    padding takes the left margin for both, and reads past the row's end (ComputeLibrary 78)."""

    def windows(self, x: Array, rows: Array, cols: Array) -> Array:
        v = super().windows(x, rows, cols)
        before, after = -cols[0, 0], cols[-1, -1] - (x.shape[2] - 1)
        unit = (
            len(cols) == x.shape[2]
            and (np.diff(cols[0]) == 1).all()
            and cols[-1, 0] == len(cols) - 1 - before
        )
        if unit and after == before + 1:
            below = np.concatenate([x[:, 1:], np.zeros_like(x[:, :1])], axis=1)[:, :, :1]
            j = len(cols) - 1 - before
            v[:, :, :, j, -1] = super().windows(below, rows, np.array([[0]]))[:, :, :, 0, 0]
        return v


class PlanWithoutDilation(Conv):
    """Which pixels a window gathers is cached by everything but the dilation."""

    def __init__(self) -> None:
        self.plans: dict[Any, tuple[Array, Array]] = {}

    def positions(self, x: Array, w: Array, s: Any, padding: str, d: Any) -> tuple[Array, Array]:
        key = (x.shape, w.shape, tuple(s), padding)
        if key not in self.plans:
            self.plans[key] = super().positions(x, w, s, padding, d)
        return self.plans[key]


class WidthPaddedByHeight(Conv):
    """dx takes the width's padding from the output's height (np-conv2d 2)."""

    def backward_positions(self, x: Array, w: Array, s: Any, padding: str, d: Any) -> tuple[Array, Array]:
        rows, cols = self.positions(x, w, s, padding, d)
        if padding == "same":
            total = (len(rows) - 1) * s[1] + (w.shape[1] - 1) * d[1] + 1 - x.shape[2]
            cols = index(len(cols), max(total, 0) // 2, w.shape[1], s[1], d[1])
        return rows, cols


class LeftoverOnTop(Conv):
    """Rows and columns that the stride doesn't reach are added to dx before the rest and not after it
    (FlagGems 1576)."""

    def backward_positions(self, x: Array, w: Array, s: Any, padding: str, d: Any) -> tuple[Array, Array]:
        rows, cols = self.positions(x, w, s, padding, d)
        if padding == "valid":
            rows = rows + (x.shape[1] - 1 - rows[-1, -1])
            cols = cols + (x.shape[2] - 1 - cols[-1, -1])
        return rows, cols


class LastChunkOfBatch(Conv):
    """dw is summed over chunks of four samples; a short chunk after a full one is lost."""

    def kernel_gradient(self, v: Array, dy: Array) -> Array:
        kept = max(len(v) // 4, 1) * 4
        return super().kernel_gradient(v[:kept], dy[:kept])


# Pooling


class SignedByte(Pool):
    """The winner's place in its window is kept in a signed byte: from 128 on it is negative."""

    def backward(self, dy: Array, x: Array, *, pool_size: Any = (2, 2), **options: Any) -> Array:
        rows, cols = self.positions(x, pool_size, options.get("strides"), options.get("padding", "valid"))
        won = self.winners(x, rows, cols).transpose(0, 1, 3, 5, 2, 4)
        place = won.reshape(*won.shape[:4], -1).argmax(-1).astype(np.int8)
        p, q = divmod(place.astype(np.int64), pool_size[1])
        dx = np.zeros(x.shape, dy.dtype)
        n, i, j, c = np.ogrid[tuple(slice(size) for size in place.shape)]
        r = (rows[i, 0] + p).clip(0, x.shape[1] - 1)
        np.add.at(dx, (n, r, (cols[j, 0] + q).clip(0, x.shape[2] - 1), c), dy)
        return dx


class WinnerOfAny(Pool):
    """Who won is kept for each pixel, not for each window: where windows overlap, a pixel that wins one is
    paid by all (ocannl 512)."""

    def winners(self, x: Array, rows: Array, cols: Array) -> Array:
        won = scatter(super().winners(x, rows, cols), rows, cols, x.shape) > 0
        return windows(won.astype(x.dtype), rows, cols)


class LowestFloat(Pool):
    """The search starts from the lowest float32, in any dtype, and not from minus infinity."""

    def reduce(self, x: Array, rows: Array, cols: Array, key: Any) -> Array:
        return np.maximum(super().reduce(x, rows, cols, key), x.dtype.type(np.finfo(np.float32).min))


class SquareDefault(Pool):
    """Strides that aren't given are the pool's height, along both axes."""

    def strides(self, pool: Any, strides: Any) -> Any:
        return (pool[0], pool[0]) if strides is None else strides


class CachedDivisor(AveragePool):
    """What to divide by is cached by the output's size, not by the image's (PyTorch for Metal, 273)."""

    def __init__(self) -> None:
        self.divisors: dict[Any, Array] = {}

    def divisor(self, x: Array, rows: Array, cols: Array, key: Any) -> Array:
        key = (len(rows), len(cols), x.dtype, *key)
        if key not in self.divisors:
            self.divisors[key] = super().divisor(x, rows, cols, key)
        return self.divisors[key]


class RunningSums(AveragePool):
    """A window's sum is a difference of running sums: small numbers drown beside large ones."""

    def reduce(self, x: Array, rows: Array, cols: Array, key: Any) -> Array:
        table = np.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0))).cumsum(1).cumsum(2)
        top, bottom = rows[:, 0].clip(0), (rows[:, -1] + 1).clip(None, x.shape[1])
        left, right = cols[:, 0].clip(0), (cols[:, -1] + 1).clip(None, x.shape[2])
        below, above = table[:, bottom], table[:, top]
        total = below[:, :, right] - below[:, :, left] - above[:, :, right] + above[:, :, left]
        return total / self.divisor(x, rows, cols, key)


# The others


def dense_skipping_zeros(x: Array, kernel: Array, bias: Array | None = None) -> Array:
    """Inputs that are zero are skipped, as reference BLAS does: 0 times infinity is lost."""
    need(x.ndim == 2 and kernel.ndim == 2 and x.shape[1] == kernel.shape[0], "the shapes must match")
    need(bias is None or bias.shape == kernel.shape[1:], "bias must have one number a unit")
    terms = np.where(x[:, :, None] == 0, 0, x[:, :, None] * kernel)
    y = terms.sum(1, dtype=x.dtype)
    return y if bias is None else y + bias


def softmax_shifted_by_positive(x: Array) -> Array:
    """The shift is max(0, the row's maximum): a row far below zero underflows (NNlib 43)."""
    e = np.exp(x - np.maximum(x.max(-1, keepdims=True), 0))
    return e / e.sum(-1, keepdims=True)


def crossentropy_of_argmax(
    y_true: Array,
    y_pred: Array,
    *,
    from_logits: bool = False,
    sample_weight: Array | None = None,
    reduction: str = "sum_over_batch_size",
) -> Any:
    """The label is the likeliest class: right for one-hot labels, wrong for soft ones."""
    if from_logits:
        shifted = y_pred - y_pred.max(-1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    else:
        log_p = np.log((y_pred / y_pred.sum(-1, keepdims=True)).clip(1e-7, 1 - 1e-7))
    losses = -log_p[np.arange(len(y_true)), y_true.argmax(-1)]
    weighted = losses if sample_weight is None else losses * sample_weight
    return weighted.sum() if reduction == "sum" else weighted.sum() / len(y_true)


def elu_without_expm1(x: Array) -> Array:
    """exp(x) - 1 keeps no digit of a small x."""
    return np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1)


def adam_of_pytorch(
    w: Array,
    dw: Array,
    state: Any = None,
    *,
    learning_rate: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
) -> tuple[Array, Any]:
    """Epsilon is added to the corrected root, as PyTorch does; Keras adds it to the uncorrected one."""
    t, m, v = (0, np.zeros_like(w), np.zeros_like(w)) if state is None else state
    t, m, v = t + 1, m + (dw - m) * (1 - beta_1), v + (dw * dw - v) * (1 - beta_2)
    root = np.sqrt(v / (1 - beta_2**t)) + epsilon
    stepped = w - learning_rate * (m / (1 - beta_1**t)) / root
    return stepped.astype(w.dtype), (t, m, v)


ELU = Target("elu", "activation", elu_without_expm1, parameters={"name": "elu"})
LOSS = Target(
    "loss",
    "crossentropy",
    crossentropy_of_argmax,
    options=frozenset(OPTIONS["crossentropy"]),
    parameters={"kind": "categorical", "from_logits": False},
)
ADAM = Target(
    "adam",
    "optimizer",
    adam_of_pytorch,
    options=frozenset({"learning_rate", "beta_1", "beta_2", "epsilon"}),
    parameters={"name": "adam"},
)
DENSE = Target("dense", "dense", dense_skipping_zeros)
SOFTMAX = Target("softmax", "softmax", softmax_shifted_by_positive, bias=False)

EXACT, DX = "equals the oracle exactly", "gradients equal the oracle's exactly"
SIZE = "another image size before changes nothing"
ZEROS = "padding is explicit zeros"
ORACLE, POOL_DX = "equals the oracle", "the gradient equals the oracle's"
DEFAULT = "strides default to the pool"
HIDDEN, DOUBLED = "no NaN or infinity is hidden", "a doubled batch doubles dw and db"

BLIND = [
    Mutant("channels after the last full pack of eight are dropped", "conv2d", PackedChannels.target, EXACT),
    Mutant("an odd last column forgets the dilation", "conv2d", OddColumn.target, EXACT),
    Mutant("rows at the padding read the first group", "conv2d", PaddedRowsOfFirstGroup.target, EXACT),
    Mutant("same pads kernel - stride, whatever the size", "conv2d", PadsWithoutSize.target, EXACT),
    Mutant("an even kernel reads past the row's end", "conv2d", PastTheRow.target, EXACT),
    Mutant("gathered pixels are cached without the dilation", "conv2d", PlanWithoutDilation.target, ZEROS),
    Mutant("dx pads the width by the output's height", "conv2d", WidthPaddedByHeight.target, DX),
    Mutant("dx puts first what the stride leaves over", "conv2d", LeftoverOnTop.target, DX),
    Mutant("dw loses a short chunk after a full one", "conv2d", LastChunkOfBatch.target, DOUBLED),
    Mutant("the winner's place is a signed byte", "max_pooling2d", SignedByte.target, POOL_DX),
    Mutant("a winner of one window is paid by all", "max_pooling2d", WinnerOfAny.target, POOL_DX),
    Mutant("the search starts at float32's lowest", "max_pooling2d", LowestFloat.target, HIDDEN),
    Mutant("strides not given are the pool's height", "max_pooling2d", SquareDefault.target, DEFAULT),
    Mutant("divisors are cached by the output's size", "average_pooling2d", CachedDivisor.target, SIZE),
    Mutant("sums are differences of running sums", "average_pooling2d", RunningSums.target, HIDDEN),
    Mutant("inputs of zero are skipped", "dense", fixed(DENSE), HIDDEN),
    Mutant("the shift is never negative", "softmax", fixed(SOFTMAX), "extreme logits"),
    Mutant("soft labels are taken for their likeliest class", "crossentropy", fixed(LOSS), "soft targets"),
    Mutant("elu by exp(x) - 1", "activation", fixed(ELU), "small results keep their digits"),
    Mutant("epsilon as in PyTorch's Adam", "optimizer", fixed(ADAM), ORACLE),
]
