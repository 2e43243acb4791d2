"""What must hold of the forward pass of a 2D convolution: one function a property, on one case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from minicnn.testing import oracles
from minicnn.testing.checks.common import unchanged
from minicnn.testing.compare import Mismatch, close, same
from minicnn.testing.geometry import ConvGeometry
from minicnn.testing.strategies import ConvCase
from minicnn.testing.target import Target
from minicnn.testing.tolerances import conv2d_bound

Array = np.ndarray[Any, Any]


def forward(t: Target, x: Array, w: Array, b: Array | None, g: ConvGeometry) -> Any:
    """Calls the target, without the bias if it takes none."""
    arrays = (x, w) if b is None or not t.bias else (x, w, b)
    return t.run(*arrays, **g.options())


def agree(
    t: Target, label: str, got: Any, expected: Any, case: ConvCase, g: ConvGeometry | None = None
) -> float:
    """Exact equality; for an algorithm that is never exact, an FFT say, twice the rounding bound."""
    if t.is_exact:
        return same(label, got, np.asarray(expected))
    g = g or case.geometry
    bound = conv2d_bound(case.x, case.w, case.b, arithmetic=t.arithmetic(case.x.dtype), **g.options())
    return close(label, got, np.asarray(expected), np.full(np.shape(expected), 2 * bound.max(initial=0.0)))


def bias_of(t: Target, case: ConvCase) -> Array | None:
    return case.b if t.bias else None


def equals_oracle_exactly(t: Target, case: ConvCase) -> float:
    g = case.geometry
    expected = oracles.conv2d_forward(case.x, case.w, bias_of(t, case), **g.options())
    return agree(t, "y", forward(t, case.x, case.w, case.b, g), expected, case)


def equals_oracle_within_rounding(t: Target, case: ConvCase) -> float:
    options, bias = case.geometry.options(), bias_of(t, case)
    expected = oracles.conv2d_forward(case.x, case.w, bias, **options)
    bound = conv2d_bound(case.x, case.w, bias, arithmetic=t.arithmetic(case.x.dtype), **options)
    return close("y", forward(t, case.x, case.w, case.b, case.geometry), expected, bound)


def subnormals_are_kept(t: Target, case: ConvCase) -> float:
    # a bias of the inputs' size would lift every sum out of the subnormal range
    return equals_oracle_within_rounding(t, replace(case, b=np.zeros_like(case.b)))


def linear_in_x(t: Target, case: ConvCase) -> float:
    g, other = case.geometry, np.flip(case.x)
    parts = np.asarray(forward(t, case.x, case.w, None, g)) + np.asarray(forward(t, other, case.w, None, g))
    return agree(t, "y", forward(t, case.x + other, case.w, None, g), parts, case)


def linear_in_w(t: Target, case: ConvCase) -> float:
    g, other = case.geometry, np.flip(case.w)
    parts = np.asarray(forward(t, case.x, case.w, None, g)) + np.asarray(forward(t, case.x, other, None, g))
    return agree(t, "y", forward(t, case.x, case.w + other, None, g), parts, case)


def bias_is_added(t: Target, case: ConvCase) -> float:
    g = case.geometry
    without = np.asarray(forward(t, case.x, case.w, np.zeros_like(case.b), g))
    return agree(t, "y", forward(t, case.x, case.w, case.b, g), without + case.b, case)


def translation(t: Target, case: ConvCase) -> float:
    g = case.geometry
    rows, columns = g.strides
    whole = np.asarray(forward(t, case.x, case.w, case.b, g))
    moved = replace(g, height=g.height - rows, width=g.width - columns)
    got = forward(t, case.x[:, rows:, columns:], case.w, case.b, moved)
    return agree(t, "y of the image moved by one stride", got, whole[:, 1:, 1:], case)


def batch_permutation(t: Target, case: ConvCase) -> float:
    g = case.geometry
    y = np.asarray(forward(t, case.x, case.w, case.b, g))
    return agree(t, "y of the reversed batch", forward(t, case.x[::-1], case.w, case.b, g), y[::-1], case)


def channel_permutation(t: Target, case: ConvCase) -> float:
    g = case.geometry
    y = np.asarray(forward(t, case.x, case.w, case.b, g))
    got = forward(t, case.x[..., ::-1], case.w[:, :, ::-1, ::-1], case.b[::-1], g)
    return agree(t, "y of reversed channels and filters", got, y[..., ::-1], case)


def groups_are_independent(t: Target, case: ConvCase) -> float:
    g = case.geometry
    per_group, filters = g.channels // g.groups, g.filters // g.groups
    one, parts = replace(g, channels=per_group, filters=filters, groups=1), []
    for k in range(g.groups):
        mine = slice(k * filters, (k + 1) * filters)
        image = case.x[..., k * per_group : (k + 1) * per_group]
        parts.append(np.asarray(forward(t, image, case.w[..., mine], case.b[mine], one)))
    whole = forward(t, case.x, case.w, case.b, g)
    return agree(t, "y", whole, np.concatenate(parts, axis=-1), case)


def dilation_is_zero_stuffing(t: Target, case: ConvCase) -> float:
    g = case.geometry
    size = tuple((k - 1) * d + 1 for k, d in zip(g.kernel_size, g.dilation_rate, strict=True))
    stuffed = np.zeros((*size, *case.w.shape[2:]), case.w.dtype)
    stuffed[:: g.dilation_rate[0], :: g.dilation_rate[1]] = case.w
    dense = replace(g, kernel_size=(size[0], size[1]), dilation_rate=(1, 1))
    expected = np.asarray(forward(t, case.x, stuffed, case.b, dense))
    return agree(t, "y", forward(t, case.x, case.w, case.b, g), expected, case)


def stride_is_subsampling(t: Target, case: ConvCase) -> float:
    g = case.geometry
    every = np.asarray(forward(t, case.x, case.w, case.b, replace(g, strides=(1, 1))))
    expected = every[:, :: g.strides[0], :: g.strides[1]]
    return agree(t, "y", forward(t, case.x, case.w, case.b, g), expected, case)


def one_by_one_is_dense(t: Target, case: ConvCase) -> float:
    bias = case.b if t.bias else 0 * case.b
    expected = case.x.astype(np.float64) @ case.w[0, 0].astype(np.float64) + bias
    return agree(t, "y", forward(t, case.x, case.w, case.b, case.geometry), expected, case)


def full_size_kernel_is_dense(t: Target, case: ConvCase) -> float:
    g = case.geometry
    rows = np.ascontiguousarray(case.x).reshape(g.batch, -1).astype(np.float64)
    columns = np.ascontiguousarray(case.w).reshape(-1, g.filters).astype(np.float64)
    expected = rows @ columns + (case.b if t.bias else 0 * case.b)
    y = forward(t, case.x, case.w, case.b, g)
    return agree(t, "y", y, expected[:, None, None, :], case)


def padding_is_explicit_zeros(t: Target, case: ConvCase) -> float:
    g = case.geometry
    padded = np.pad(case.x, ((0, 0), *g.pads, (0, 0)))
    valid = replace(g, height=padded.shape[1], width=padded.shape[2], padding="valid")
    expected = np.asarray(forward(t, padded, case.w, case.b, valid))
    return agree(t, "y", forward(t, case.x, case.w, case.b, g), expected, case)


def power_of_two_scaling(t: Target, case: ConvCase) -> float:
    g, two = case.geometry, case.x.dtype.type(2.0**5)
    y = np.asarray(forward(t, case.x, case.w, case.b, g))
    return same("y of 32·x and 32·b", forward(t, two * case.x, case.w, two * case.b, g), two * y)


def delta_kernel(t: Target, case: ConvCase) -> float:
    g = case.geometry
    oh, ow = g.output_size
    for p in range(g.kernel_size[0]):
        for q in range(g.kernel_size[1]):
            w = np.zeros(g.kernel_shape, case.w.dtype)
            w[p, q] = np.eye(g.channels)
            row, column = p * g.dilation_rate[0], q * g.dilation_rate[1]
            expected = case.x[:, row : row + oh, column : column + ow]
            agree(t, f"y of a one at ({p}, {q})", forward(t, case.x, w, 0 * case.b, g), expected, case)
    return 0.0


def spatial_flip(t: Target, case: ConvCase) -> float:
    g = case.geometry
    y = np.asarray(forward(t, case.x, case.w, case.b, g))
    got = forward(t, case.x[:, ::-1, ::-1], case.w[::-1, ::-1], case.b, g)
    return agree(t, "y of flipped image and kernel", got, y[:, ::-1, ::-1], case)


def batch_splitting(t: Target, case: ConvCase) -> float:
    g = case.geometry
    whole = np.asarray(forward(t, case.x, case.w, case.b, g))
    one = replace(g, batch=1)
    parts = [np.asarray(forward(t, case.x[n : n + 1], case.w, case.b, one)) for n in range(g.batch)]
    return agree(t, "y", whole, np.concatenate(parts), case)


def memory_layout(t: Target, case: ConvCase) -> float:
    g = case.geometry
    plain = [np.array(a, order="C") for a in (case.x, case.w, case.b)]
    expected = np.asarray(forward(t, plain[0], plain[1], plain[2], g))
    return agree(t, "y", forward(t, case.x, case.w, case.b, g), expected, case)


def channels_first(t: Target, case: ConvCase) -> float:
    g = case.geometry
    y = np.asarray(forward(t, case.x, case.w, case.b, g))
    arrays = (np.moveaxis(case.x, -1, 1), case.w, case.b)[: 3 if t.bias else 2]
    got = t.run(*arrays, **g.options(), data_format="channels_first")
    return agree(t, "y of channels_first", got, np.moveaxis(y, -1, 1), case)


def inputs_unmodified(t: Target, case: ConvCase) -> None:
    unchanged(case, ("x", "w", "b"), lambda c: forward(t, c.x, c.w, c.b, c.geometry))


def repeatable(t: Target, case: ConvCase) -> float:
    g = case.geometry
    first = forward(t, case.x, case.w, case.b, g)
    kept = np.array(first)
    forward(t, case.x + 1, case.w, case.b, g)
    same("the earlier y after a later call", first, kept)
    return same("y of the second call", forward(t, case.x, case.w, case.b, g), kept)


def no_nan_hidden(t: Target, case: ConvCase) -> float:
    g = case.geometry
    w = np.array(case.w)
    expected = oracles.conv2d_forward(case.x, w, bias_of(t, case), **g.options())
    return same("y", forward(t, case.x, w, case.b, g), expected)


def dtype_is_kept(t: Target, case: ConvCase) -> float | None:
    y = np.asarray(forward(t, case.x, case.w, case.b, case.geometry))
    if y.dtype != case.x.dtype:
        raise Mismatch(f"y has dtype {y.dtype} for {case.x.dtype} inputs", "y")
    return None


def invalid_is_refused(t: Target, bad: dict[str, Any]) -> float | None:
    x, w = np.ones(bad["x"], np.float32), np.ones(bad["w"], np.float32)
    b = np.ones(bad["w"][3], np.float32)
    options = {k: v for k, v in bad.items() if k not in ("x", "w", "why")}
    try:
        y = t.run(*((x, w, b) if t.bias else (x, w)), **options)
    except t.refuses:
        return None
    shape = np.shape(y)
    raise Mismatch(f"{bad['why']}: must be refused, but y of shape {shape} was returned for {options}", "y")


INVALID: list[dict[str, Any]] = [
    {"x": (1, 2, 3, 1), "w": (3, 3, 1, 1), "why": "a 'valid' kernel of 3 rows on 2 rows"},
    {"x": (1, 3, 2, 1), "w": (2, 3, 1, 1), "why": "a 'valid' kernel of 3 columns on 2 columns"},
    {"x": (1, 4, 4, 2), "w": (2, 2, 3, 1), "why": "a kernel of 3 channels on 2 channels"},
    {"x": (1, 4, 4, 3), "w": (2, 2, 1, 2), "groups": 2, "why": "2 groups of 3 channels"},
    {"x": (1, 4, 4, 2), "w": (2, 2, 1, 3), "groups": 2, "why": "2 groups of 3 filters"},
    {"x": (1, 4, 4, 1), "w": (2, 2, 1, 1), "strides": (0, 1), "why": "stride 0"},
    {"x": (1, 4, 4, 1), "w": (2, 2, 1, 1), "dilation_rate": (0, 1), "why": "dilation 0"},
    {"x": (1, 4, 4, 1), "w": (2, 2, 1, 1), "padding": "diagonal", "why": "an unknown padding"},
]


def terms(t: Target, case: ConvCase, m: Mismatch) -> list[tuple[str, float]]:
    if m.label != "y" or m.index is None or len(m.index) != 4:
        return []
    n, i, j, f = m.index
    return oracles.conv2d_terms(case.x, case.w, bias_of(t, case), (n, i, j, f), **case.geometry.options())
