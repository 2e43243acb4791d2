"""The forward properties of a 2D convolution: on what ``conv2d_forward``'s functions must hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from minicnn.testing import strategies as cnn
from minicnn.testing.checks import conv2d_forward as must
from minicnn.testing.checks import conv2d_patterns
from minicnn.testing.checks.common import PLAIN
from minicnn.testing.geometry import ConvGeometry
from minicnn.testing.runner import Property
from minicnn.testing.strategies import ConvCase
from minicnn.testing.target import Target


def geometries(t: Target, **narrower: Any) -> st.SearchStrategy[ConvGeometry]:
    """Geometries that the target takes."""
    limits: dict[str, Any] = {"max_groups": t.max_groups, "strided_dilation": t.strided_dilation}
    if "strides" not in t.options:
        limits["max_stride"] = 1
    if "dilation_rate" not in t.options:
        limits["max_dilation"] = 1
    if "groups" not in t.options:
        limits["max_groups"] = 1
    if t.kernel_sizes:
        limits["kernel_sizes"] = t.kernel_sizes
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


def _invalid(t: Target) -> st.SearchStrategy[dict[str, Any]]:
    known = {"x", "w", "why", *t.options}
    return st.sampled_from([bad for bad in must.INVALID if known.issuperset(bad)])


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
        must.terms,
        conv2d_patterns.PATTERNS,
    )


@st.composite
def _special_cases(draw: st.DrawFn, t: Target) -> ConvCase:
    case: ConvCase = draw(exact_cases(t))
    seed = draw(st.integers(0, 2**32 - 1))
    return replace(case, x=cnn.make_array(case.x.shape, "special", seed, case.x.dtype))


INTEGERS = "small integers"
FORWARD: list[Property] = [
    _spot("equals the oracle exactly", INTEGERS, must.equals_oracle_exactly),
    Property(
        "equals the oracle within rounding",
        "finite values with Σ|x·w| below a quarter of overflow",
        lambda t: cnn.conv_cases(geometries(t), dtypes=t.dtypes, values=cnn.FINITE_VALUES),
        must.equals_oracle_within_rounding,
        _valid,
        terms=must.terms,
        patterns=conv2d_patterns.PATTERNS,
    ),
    Property(
        "subnormal results are kept",
        "products below the smallest normal number, bias 0; not for targets declared flush-to-zero",
        lambda t: cnn.conv_cases(geometries(t), dtypes=t.dtypes, values=("tiny",)),
        must.subnormals_are_kept,
        _valid,
        needs=("subnormals",),
    ),
    _spot("linear in x", f"{INTEGERS}, no bias", must.linear_in_x),
    _spot("linear in w", f"{INTEGERS}, no bias", must.linear_in_w),
    _spot("the bias is added once", INTEGERS, must.bias_is_added, needs=("bias",)),
    _spot(
        "translation by a stride",
        f"{INTEGERS}, padding 'valid', two windows each way",
        must.translation,
        _grown,
        lambda g: g.padding == "valid" and min(g.output_size) > 1,
    ),
    _spot("batch permutation", INTEGERS, must.batch_permutation),
    _spot("channel and filter permutation", INTEGERS, must.channel_permutation),
    _spot("groups are independent convolutions", INTEGERS, must.groups_are_independent, needs=("groups",)),
    _spot(
        "dilation is a zero-stuffed kernel",
        INTEGERS,
        must.dilation_is_zero_stuffing,
        needs=("dilation_rate",),
    ),
    _spot(
        "stride is subsampling",
        f"{INTEGERS}, padding 'valid'",
        must.stride_is_subsampling,
        lambda t: geometries(t, paddings=("valid",)),
        lambda g: g.padding == "valid",
        ("strides",),
    ),
    _spot(
        "a 1x1 kernel is Dense",
        f"{INTEGERS}, one group, stride 1",
        must.one_by_one_is_dense,
        lambda t: geometries(t, max_kernel=1, max_stride=1, max_groups=1),
        lambda g: g.kernel_size == (1, 1) and g.strides == (1, 1) and g.groups == 1,
        ("kernels of any size",),
    ),
    _spot(
        "a full-size kernel is Dense on Flatten",
        f"{INTEGERS}, one group, one window",
        must.full_size_kernel_is_dense,
        lambda t: geometries(t, paddings=("valid",), max_extra=0, max_dilation=1, max_groups=1),
        lambda g: g.kernel_size == (g.height, g.width) and g.groups == 1,
    ),
    _spot(
        "padding is explicit zeros",
        f"{INTEGERS}, padding 'same'",
        must.padding_is_explicit_zeros,
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
        must.power_of_two_scaling,
        _valid,
    ),
    _spot(
        "a delta kernel shifts",
        f"{INTEGERS}, stride 1, padding 'valid', one group",
        must.delta_kernel,
        lambda t: geometries(t, paddings=("valid",), max_stride=1, max_groups=1, max_kernel=3).map(
            lambda g: replace(g, filters=g.channels)
        ),
        lambda g: g.strides == (1, 1) and g.padding == "valid" and g.filters == g.channels and g.groups == 1,
    ),
    _spot(
        "a flipped image with the flipped kernel",
        f"{INTEGERS}, padding 'valid', windows that fit exactly",
        must.spatial_flip,
        _fitting,
        lambda g: g.padding == "valid" and _rest(g) == (0, 0),
    ),
    _spot("results don't depend on batch splitting", INTEGERS, must.batch_splitting),
    _spot("memory layout doesn't matter", INTEGERS, must.memory_layout),
    _spot(
        "channels_first is channels_last moved",
        f"{INTEGERS}, kernels (P, Q, C // groups, F) in both",
        must.channels_first,
        lambda t: geometries(t, strided_dilation=False),
        needs=("data_format",),
    ),
    _spot("inputs are left unmodified", INTEGERS, must.inputs_unmodified),
    Property(
        "repeatable, and earlier results survive",
        "moderate values",
        lambda t: cnn.conv_cases(geometries(t), dtypes=t.dtypes),
        must.repeatable,
        _valid,
    ),
    Property(
        "no NaN or infinity is hidden",
        "x with NaN and infinities, finite w and b",
        _special_cases,
        must.no_nan_hidden,
        _valid,
    ),
    _spot("dtype is kept", INTEGERS, must.dtype_is_kept),
    Property(
        "invalid geometry is refused", "a fixed list of invalid calls", _invalid, must.invalid_is_refused
    ),
]
