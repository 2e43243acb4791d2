"""The forward properties of a 2D convolution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from minicnn.testing import oracles
from minicnn.testing import strategies as cnn
from minicnn.testing.checks import conv2d_patterns
from minicnn.testing.checks.common import PLAIN, unchanged
from minicnn.testing.compare import Mismatch, close, same
from minicnn.testing.geometry import ConvGeometry
from minicnn.testing.runner import Property
from minicnn.testing.strategies import ConvCase
from minicnn.testing.target import Target
from minicnn.testing.tolerances import conv2d_bound

Array = np.ndarray[Any, Any]


def geometries(t: Target, **narrower: Any) -> st.SearchStrategy[ConvGeometry]:
    """Geometries that the target takes."""
    limits: dict[str, Any] = {"max_groups": t.max_groups, "strided_dilation": t.strided_dilation}
    if "strides" not in t.options:
        limits["max_stride"] = 1
    if "dilation_rate" not in t.options:
        limits["max_dilation"] = 1
    if "groups" not in t.options:
        limits["max_groups"] = 1
    if "padding" not in t.options:
        limits["paddings"] = ("valid",)
    limits |= narrower
    if not t.compiles_groups or limits["max_groups"] == 1:
        return cnn.conv_geometries(**limits)
    one_group = cnn.conv_geometries(**{**limits, "max_groups": 1})
    return st.one_of(one_group, one_group, st.sampled_from(_grouped(*sorted(limits.items()))))


@cache
def _grouped(*limits: tuple[str, Any]) -> list[ConvGeometry]:
    """Twenty geometries with several groups, always the same for the same limits."""
    found: dict[ConvGeometry, None] = {}

    @settings(max_examples=80, derandomize=True, database=None, phases=[Phase.generate])
    @given(cnn.conv_geometries(**dict(limits)))
    def collect(geometry: ConvGeometry) -> None:
        if geometry.groups > 1:
            found[geometry] = None

    collect()
    return list(found)[:20]


def exact_cases(
    t: Target, source: st.SearchStrategy[ConvGeometry] | None = None
) -> st.SearchStrategy[ConvCase]:
    """Cases in exact mode, contiguous or not."""
    return cnn.conv_cases(geometries(t) if source is None else source, dtypes=t.dtypes, values=t.exact_values)


def forward(t: Target, x: Array, w: Array, b: Array | None, g: ConvGeometry) -> Any:
    """Calls the target, without the bias if it takes none."""
    arrays = (x, w) if b is None or not t.bias else (x, w, b)
    return t.run(*arrays, **g.options())


def agree(
    t: Target, label: str, got: Any, expected: Any, case: ConvCase, g: ConvGeometry | None = None
) -> float:
    """Exact equality; for an FFT, which is never exact, twice the rounding bound."""
    if t.algorithm != "fft":
        return same(label, got, np.asarray(expected))
    g = g or case.geometry
    bound = conv2d_bound(case.x, case.w, case.b, arithmetic=t.arithmetic(case.x.dtype), **g.options())
    return close(label, got, np.asarray(expected), np.full(np.shape(expected), 2 * bound.max(initial=0.0)))


def _bias(t: Target, case: ConvCase) -> Array | None:
    return case.b if t.bias else None


def equals_oracle_exactly(t: Target, case: ConvCase) -> float:
    g = case.geometry
    expected = oracles.conv2d_forward(case.x, case.w, _bias(t, case), **g.options())
    return agree(t, "y", forward(t, case.x, case.w, case.b, g), expected, case)


def equals_oracle_within_rounding(t: Target, case: ConvCase) -> float:
    options, bias = case.geometry.options(), _bias(t, case)
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
    expected = oracles.conv2d_forward(case.x, w, _bias(t, case), **g.options())
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


def _invalid(t: Target) -> st.SearchStrategy[dict[str, Any]]:
    known = {"x", "w", "why", *t.options}
    return st.sampled_from([bad for bad in INVALID if known.issuperset(bad)])


def _terms(t: Target, case: ConvCase, m: Mismatch) -> list[tuple[str, float]]:
    if m.label != "y" or m.index is None or len(m.index) != 4:
        return []
    n, i, j, f = m.index
    return oracles.conv2d_terms(case.x, case.w, _bias(t, case), (n, i, j, f), **case.geometry.options())


def _grown(t: Target, **narrower: Any) -> st.SearchStrategy[ConvGeometry]:
    """Valid geometries with one more stride of rows and columns: at least two windows each way."""
    source = geometries(t, paddings=("valid",), **narrower)
    return source.map(lambda g: replace(g, height=g.height + g.strides[0], width=g.width + g.strides[1]))


def _rest(g: ConvGeometry) -> tuple[int, int]:
    """Rows and columns that no 'valid' window reaches."""
    sizes = zip((g.height, g.width), g.kernel_size, g.strides, g.dilation_rate, strict=True)
    rows, columns = ((n - ((k - 1) * d + 1)) % s for n, k, s, d in sizes)
    return rows, columns


def _fitting(t: Target) -> st.SearchStrategy[ConvGeometry]:
    """Valid geometries whose windows end exactly at the image's last row and column."""

    def fit(g: ConvGeometry) -> ConvGeometry:
        rows, columns = _rest(g)
        return replace(g, height=g.height - rows, width=g.width - columns)

    return geometries(t, paddings=("valid",)).map(fit)


def _valid(case: ConvCase) -> bool:
    return case.geometry.is_valid()


def _spot(
    name: str,
    domain: str,
    holds: Callable[[Target, ConvCase], float | None],
    source: Callable[[Target], st.SearchStrategy[ConvGeometry]] = geometries,
    inside: Callable[[ConvGeometry], bool] = lambda g: True,
    needs: tuple[str, ...] = (),
) -> Property:
    """A property on exact values."""
    return Property(
        name,
        domain,
        lambda t: exact_cases(t, source(t)),
        holds,
        lambda case: _valid(case) and inside(case.geometry),
        needs,
        _terms,
        conv2d_patterns.PATTERNS,
    )


@st.composite
def _special_cases(draw: st.DrawFn, t: Target) -> ConvCase:
    case: ConvCase = draw(exact_cases(t))
    seed = draw(st.integers(0, 2**32 - 1))
    return replace(case, x=cnn.make_array(case.x.shape, "special", seed, case.x.dtype))


INTEGERS = "small integers"
FORWARD: list[Property] = [
    _spot("equals the oracle exactly", INTEGERS, equals_oracle_exactly),
    Property(
        "equals the oracle within rounding",
        "finite values with Σ|x·w| below a quarter of overflow",
        lambda t: cnn.conv_cases(geometries(t), dtypes=t.dtypes, values=cnn.FINITE_VALUES),
        equals_oracle_within_rounding,
        _valid,
        terms=_terms,
        patterns=conv2d_patterns.PATTERNS,
    ),
    Property(
        "subnormal results are kept",
        "products below the smallest normal number, bias 0; not for targets declared flush-to-zero",
        lambda t: cnn.conv_cases(geometries(t), dtypes=t.dtypes, values=("tiny",)),
        subnormals_are_kept,
        _valid,
        needs=("subnormals",),
    ),
    _spot("linear in x", f"{INTEGERS}, no bias", linear_in_x),
    _spot("linear in w", f"{INTEGERS}, no bias", linear_in_w),
    _spot("the bias is added once", INTEGERS, bias_is_added, needs=("bias",)),
    _spot(
        "translation by a stride",
        f"{INTEGERS}, padding 'valid', two windows each way",
        translation,
        _grown,
        lambda g: g.padding == "valid" and min(g.output_size) > 1,
    ),
    _spot("batch permutation", INTEGERS, batch_permutation),
    _spot("channel and filter permutation", INTEGERS, channel_permutation),
    _spot("groups are independent convolutions", INTEGERS, groups_are_independent, needs=("groups",)),
    _spot("dilation is a zero-stuffed kernel", INTEGERS, dilation_is_zero_stuffing, needs=("dilation_rate",)),
    _spot(
        "stride is subsampling",
        f"{INTEGERS}, padding 'valid'",
        stride_is_subsampling,
        lambda t: geometries(t, paddings=("valid",)),
        lambda g: g.padding == "valid",
        ("strides",),
    ),
    _spot(
        "a 1x1 kernel is Dense",
        f"{INTEGERS}, one group, stride 1",
        one_by_one_is_dense,
        lambda t: geometries(t, max_kernel=1, max_stride=1, max_groups=1),
        lambda g: g.kernel_size == (1, 1) and g.strides == (1, 1) and g.groups == 1,
    ),
    _spot(
        "a full-size kernel is Dense on Flatten",
        f"{INTEGERS}, one group, one window",
        full_size_kernel_is_dense,
        lambda t: geometries(t, paddings=("valid",), max_extra=0, max_dilation=1, max_groups=1),
        lambda g: g.kernel_size == (g.height, g.width) and g.groups == 1,
    ),
    _spot(
        "padding is explicit zeros",
        f"{INTEGERS}, padding 'same'",
        padding_is_explicit_zeros,
        lambda t: geometries(t, paddings=("same",)),
        lambda g: g.padding == "same",
        ("padding",),
    ),
    Property(
        "scaling by a power of two is exact",
        "moderate values, far from under- and overflow",
        lambda t: cnn.conv_cases(
            geometries(t), dtypes=t.dtypes, values=("normal", "integers"), layouts=PLAIN
        ),
        power_of_two_scaling,
        _valid,
    ),
    _spot(
        "a delta kernel shifts",
        f"{INTEGERS}, stride 1, padding 'valid', one group",
        delta_kernel,
        lambda t: geometries(t, paddings=("valid",), max_stride=1, max_groups=1, max_kernel=3).map(
            lambda g: replace(g, filters=g.channels)
        ),
        lambda g: g.strides == (1, 1) and g.padding == "valid" and g.filters == g.channels and g.groups == 1,
    ),
    _spot(
        "a flipped image with the flipped kernel",
        f"{INTEGERS}, padding 'valid', windows that fit exactly",
        spatial_flip,
        _fitting,
        lambda g: g.padding == "valid" and _rest(g) == (0, 0),
    ),
    _spot("results don't depend on batch splitting", INTEGERS, batch_splitting),
    _spot("memory layout doesn't matter", INTEGERS, memory_layout),
    _spot(
        "channels_first is channels_last moved",
        f"{INTEGERS}, kernels (P, Q, C // groups, F) in both",
        channels_first,
        lambda t: geometries(t, strided_dilation=False),
        needs=("data_format",),
    ),
    _spot("inputs are left unmodified", INTEGERS, inputs_unmodified),
    Property(
        "repeatable, and earlier results survive",
        "moderate values",
        lambda t: cnn.conv_cases(geometries(t), dtypes=t.dtypes),
        repeatable,
        _valid,
    ),
    Property(
        "no NaN or infinity is hidden",
        "x with NaN and infinities, finite w and b",
        _special_cases,
        no_nan_hidden,
        _valid,
    ),
    _spot("dtype is kept", INTEGERS, dtype_is_kept),
    Property("invalid geometry is refused", "a fixed list of invalid calls", _invalid, invalid_is_refused),
]
