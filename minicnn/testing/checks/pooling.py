"""``check_max_pooling2d`` and ``check_average_pooling2d``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minicnn.testing import oracles
from minicnn.testing import strategies as cnn
from minicnn.testing.checks.common import INTEGERS, PLAIN, dtype_of, unchanged
from minicnn.testing.checks.pooling_patterns import AVERAGE_PATTERNS, MAX_PATTERNS
from minicnn.testing.compare import Mismatch, close, same
from minicnn.testing.geometry import PoolGeometry
from minicnn.testing.report import Report
from minicnn.testing.runner import Property, run_properties
from minicnn.testing.strategies import PoolCase
from minicnn.testing.target import Target, as_target
from minicnn.testing.tolerances import average_pooling2d_bound, pooling2d_backward_bound

Array = np.ndarray[Any, Any]
Geometries = Callable[[Target], st.SearchStrategy[PoolGeometry]]


def geometries(t: Target, **narrower: Any) -> st.SearchStrategy[PoolGeometry]:
    """Geometries that the target takes; without ``strides`` they equal the pool, as in Keras."""
    limits: dict[str, Any] = {} if "padding" in t.options else {"paddings": ("valid",)}
    source = cnn.pool_geometries(**{**limits, **narrower})
    if "strides" not in t.options:
        return source.map(lambda g: replace(g, strides=g.pool_size))
    return source


def forward(t: Target, x: Array, g: PoolGeometry) -> Any:
    """Calls the target."""
    return t.run(x, **g.options())


def _oracle(t: Target, x: Array, g: PoolGeometry) -> Array:
    pool = oracles.max_pooling2d_forward if _is_max(t) else oracles.average_pooling2d_forward
    return np.asarray(pool(x, **g.options()))


def _is_max(t: Target) -> bool:
    return t.op == "max_pooling2d"


def _compare(t: Target, label: str, got: Any, expected: Array, x: Array, g: PoolGeometry) -> float:
    """A maximum is exact, but for a flushed subnormal; an average is held to the rounding bound."""
    if _is_max(t):
        return _same_but_flushed(t, label, got, expected, x)
    bound = average_pooling2d_bound(x, arithmetic=t.arithmetic(x.dtype), **g.options())
    return close(label, got, expected, np.full(expected.shape, 2 * bound.max(initial=0.0)))


def _same_but_flushed(t: Target, label: str, got: Any, expected: Array, x: Array) -> float:
    if not t.flush_to_zero:
        return same(label, got, expected)
    return close(label, got, expected, np.array(t.arithmetic(x.dtype).eta))


def equals_oracle(t: Target, case: PoolCase) -> float:
    g = case.geometry
    expected, got = _oracle(t, case.x, g), forward(t, case.x, g)
    if _is_max(t):
        return _same_but_flushed(t, "y", got, expected, case.x)
    bound = average_pooling2d_bound(case.x, arithmetic=t.arithmetic(case.x.dtype), **g.options())
    return close("y", got, expected, bound)


def negative_same(t: Target, case: PoolCase) -> float:
    x = -1 - np.abs(case.x)
    return _compare(
        t, "y of negative x", forward(t, x, case.geometry), _oracle(t, x, case.geometry), x, case.geometry
    )


def constant_stays(t: Target, case: PoolCase) -> float:
    x = np.full(case.x.shape, 3, case.x.dtype)
    expected = np.full(case.geometry.output_shape, 3.0)
    return _compare(t, "y of a constant 3", forward(t, x, case.geometry), expected, x, case.geometry)


def composition(t: Target, case: PoolCase) -> float:
    g = case.geometry
    second = (2, 3)
    p, q = g.pool_size
    once = np.asarray(forward(t, case.x, g))
    after = replace(g, height=once.shape[1], width=once.shape[2], pool_size=second)
    joint = replace(g, pool_size=(p + 1, q + 2))
    expected = np.asarray(forward(t, case.x, joint))
    return same("max of a max", forward(t, once, after), expected)


def translation(t: Target, case: PoolCase) -> float:
    g = case.geometry
    (rows, columns), whole = g.strides, np.asarray(forward(t, case.x, g))
    moved = replace(g, height=g.height - rows, width=g.width - columns)
    got = forward(t, case.x[:, rows:, columns:], moved)
    return _compare(t, "y of the image moved by one stride", got, whole[:, 1:, 1:], case.x, g)


def permutation(t: Target, case: PoolCase) -> float:
    y = np.asarray(forward(t, case.x, case.geometry))
    got = forward(t, case.x[::-1, :, :, ::-1], case.geometry)
    return _compare(t, "y of reversed batch and channels", got, y[::-1, :, :, ::-1], case.x, case.geometry)


def stride_is_subsampling(t: Target, case: PoolCase) -> float:
    g = case.geometry
    every = np.asarray(forward(t, case.x, replace(g, strides=(1, 1))))
    return _compare(t, "y", forward(t, case.x, g), every[:, :: g.strides[0], :: g.strides[1]], case.x, g)


def scaling(t: Target, case: PoolCase) -> float:
    two = case.x.dtype.type(2.0**5)
    y = np.asarray(forward(t, case.x, case.geometry))
    return same("y of 32·x", forward(t, two * case.x, case.geometry), two * y)


def batch_splitting(t: Target, case: PoolCase) -> float:
    g = replace(case.geometry, batch=1)
    whole = np.asarray(forward(t, case.x, case.geometry))
    parts = [np.asarray(forward(t, case.x[n : n + 1], g)) for n in range(len(case.x))]
    return _compare(t, "y", whole, np.concatenate(parts), case.x, case.geometry)


def memory_layout(t: Target, case: PoolCase) -> float:
    plain = np.asarray(forward(t, np.array(case.x, order="C"), case.geometry))
    return _compare(t, "y", forward(t, case.x, case.geometry), plain, case.x, case.geometry)


def another_size(t: Target, case: PoolCase) -> float:
    """The smaller images often have as many windows: what is remembered by the output's size shows."""
    x, g = case.x, case.geometry
    forward(t, x, g)
    rows = replace(g, height=g.height - 1)
    columns = replace(g, width=g.width - 1)
    pairs = ((x[:, 1:], rows), (x[:, :, 1:], columns))
    return max(
        _compare(t, "y of the smaller image", forward(t, s, h), _oracle(t, s, h), s, h) for s, h in pairs
    )


def default_strides(t: Target, case: PoolCase) -> float:
    g = case.geometry
    got = t.run(case.x, pool_size=g.pool_size, padding=g.padding)
    return _compare(t, "y without strides", got, _oracle(t, case.x, g), case.x, g)


def channels_first(t: Target, case: PoolCase) -> float:
    x, g = case.x, case.geometry
    got = t.run(np.moveaxis(x, -1, 1), **g.options(), data_format="channels_first")
    expected = np.moveaxis(np.asarray(forward(t, x, g)), -1, 1)
    bound = average_pooling2d_bound(x, arithmetic=t.arithmetic(x.dtype), **g.options())
    return close("y of channels_first", got, expected, np.asarray(0.0 if _is_max(t) else 2 * bound.max()))


def channels_first_gradient(t: Target, case: PoolCase) -> float:
    dy, x = (np.moveaxis(array, -1, 1) for array in (case.dy, case.x))
    got = t.run_backward(dy, x, **case.geometry.options(), data_format="channels_first")
    bound = 2 * np.moveaxis(_gradient(t, case)[1], -1, 1)
    return close("dx of channels_first", got, np.moveaxis(np.asarray(backward(t, case)), -1, 1), bound)


def inputs_unmodified(t: Target, case: PoolCase) -> None:
    unchanged(case, ("x",), lambda c: forward(t, c.x, c.geometry))


def repeatable(t: Target, case: PoolCase) -> float:
    first = forward(t, case.x, case.geometry)
    kept = np.array(first)
    forward(t, case.x + 1, case.geometry)
    same("the earlier y after a later call", first, kept)
    return same("y of the second call", forward(t, case.x, case.geometry), kept)


def no_nan_hidden(t: Target, case: PoolCase) -> float:
    seed = int(np.abs(case.x).sum()) + 1
    x = cnn.make_array(case.x.shape, "special", seed, case.x.dtype)
    expected, got = _oracle(t, x, case.geometry), forward(t, x, case.geometry)
    if _is_max(t):
        return same("y", got, expected)
    return same("NaN and infinities of y", _special_part(got), _special_part(expected))


def _special_part(y: Any) -> Array:
    return np.where(np.isfinite(y), 0.0, y)


def dtype_is_kept(t: Target, case: PoolCase) -> None:
    dtype_of("y", forward(t, case.x, case.geometry), case.x.dtype)


def backward(t: Target, case: PoolCase) -> Any:
    """Calls the target's backward."""
    return t.run_backward(case.dy, case.x, **case.geometry.options())


def _gradient(t: Target, case: PoolCase) -> tuple[Array, Array]:
    options = case.geometry.options()
    if _is_max(t):
        dx = oracles.max_pooling2d_backward(case.dy, case.x, **options)
    else:
        dx = oracles.average_pooling2d_backward(case.dy, case.x.shape, **options)
    kind = "max" if _is_max(t) else "average"
    arithmetic = t.arithmetic(case.x.dtype)
    return dx, pooling2d_backward_bound(case.dy, case.x, kind=kind, arithmetic=arithmetic, **options)


def gradient_equals_oracle(t: Target, case: PoolCase) -> float:
    dx, bound = _gradient(t, case)
    return close("dx", backward(t, case), dx, bound)


def mass_is_conserved(t: Target, case: PoolCase) -> float:
    got = np.asarray(backward(t, case), dtype=np.float64).sum(axis=(1, 2))
    wanted = case.dy.astype(np.float64).sum(axis=(1, 2))
    spread = np.abs(case.dy.astype(np.float64)).sum(axis=(1, 2))
    n = case.dy.shape[1] * case.dy.shape[2] * int(np.prod(case.geometry.pool_size)) + 2
    bound = t.arithmetic(case.x.dtype).sum_bound(n, spread)
    return close("Σdx of each channel against Σdy", got, wanted, bound)


def adjoint(t: Target, case: PoolCase) -> float:
    """⟨y, dy⟩ = ⟨x, dx⟩: average pooling is linear; a maximum is where its gradient goes."""
    x, dy = case.x.astype(np.float64), case.dy.astype(np.float64)
    y, dx = (np.asarray(a, dtype=np.float64) for a in (forward(t, case.x, case.geometry), backward(t, case)))
    magnitude = np.abs(y * dy).sum() + np.abs(x * dx).sum()
    bound = t.arithmetic(case.x.dtype).sum_bound(
        dy.size * int(np.prod(case.geometry.pool_size)) + 2, magnitude
    )
    return close("⟨x, dx⟩ against ⟨y, dy⟩", np.array((x * dx).sum()), np.array((y * dy).sum()), bound)


def central_differences(t: Target, case: PoolCase) -> float:
    """``x`` holds distinct integers: a step of at most 1/4 switches no maximum, so differences are exact."""
    step = np.rint(2 * np.cos(np.arange(case.x.size) * 2.3)).reshape(case.x.shape) / 8
    ends = [np.asarray(forward(t, case.x + sign * step, case.geometry)) for sign in (1, -1)]
    wanted = float(((ends[0] - ends[1]) / 2 * case.dy).sum())
    dx = np.asarray(backward(t, case), dtype=np.float64)
    got = float((dx * step).sum())
    # values up to 200 and 30 windows, in float64: 2^-53 · 200 · 4 · 30 · 16 taps
    return close("⟨dx, step⟩ against differences", np.array(got), np.array(wanted), np.array(1e-10))


def doubled_batch(t: Target, case: PoolCase) -> float:
    once, bound = np.asarray(backward(t, case)), 2 * _gradient(t, case)[1]
    g = replace(case.geometry, batch=2 * case.geometry.batch)
    twice = PoolCase(g, np.concatenate([case.x, case.x]), np.concatenate([case.dy, case.dy]))
    expected = np.concatenate([once, once])
    return close("dx of the doubled batch", backward(t, twice), expected, np.concatenate([bound, bound]))


def backward_clean(t: Target, case: PoolCase) -> float:
    first: list[Any] = []
    unchanged(case, ("x", "dy"), lambda c: first.append(backward(t, c)))
    kept = np.array(first[0])
    backward(t, replace(case, dy=case.dy + 1))
    same("the earlier dx after a later call", first[0], kept)
    dtype_of("dx", first[0], case.x.dtype)
    return same("dx of the second call", backward(t, case), kept)


INVALID: list[dict[str, Any]] = [
    {"x": (1, 2, 3, 1), "pool_size": (3, 3), "why": "a 'valid' pool of 3 rows on 2 rows"},
    {"x": (1, 3, 2, 1), "pool_size": (2, 3), "why": "a 'valid' pool of 3 columns on 2 columns"},
    {"x": (1, 4, 4, 1), "pool_size": (0, 1), "why": "a pool of 0 rows"},
    {"x": (1, 4, 4, 1), "pool_size": (2, 2), "strides": (0, 1), "why": "stride 0"},
    {"x": (1, 4, 4, 1), "pool_size": (2, 2), "padding": "diagonal", "why": "an unknown padding"},
]


def _invalid(t: Target) -> st.SearchStrategy[dict[str, Any]]:
    return st.sampled_from([bad for bad in INVALID if {"x", "why", *t.options}.issuperset(bad)])


def invalid_is_refused(t: Target, bad: dict[str, Any]) -> None:
    options = {k: v for k, v in bad.items() if k not in ("x", "why")}
    try:
        y = t.run(np.ones(bad["x"], np.float32), **options)
    except t.refuses:
        return
    raise Mismatch(f"{bad['why']}: must be refused, but y of shape {np.shape(y)} was returned", "y")


def _grown(t: Target) -> st.SearchStrategy[PoolGeometry]:
    source = geometries(t, paddings=("valid",))
    return source.map(lambda g: replace(g, height=g.height + g.strides[0], width=g.width + g.strides[1]))


def _composable(t: Target) -> st.SearchStrategy[PoolGeometry]:
    source = geometries(t, paddings=("valid",), max_pool=3, large_pools=())
    return source.map(lambda g: replace(g, strides=(1, 1), height=g.height + 1, width=g.width + 2))


def _property(
    name: str,
    domain: str,
    holds: Any,
    *,
    source: Geometries = geometries,
    needs: tuple[str, ...] = (),
    inside: Callable[[PoolGeometry], bool] = lambda g: True,
    patterns: Any = None,
    **cases: Any,
) -> Property:
    return Property(
        name,
        domain,
        lambda t: cnn.pool_cases(source(t), **{"dtypes": t.dtypes, "values": cnn.EXACT_VALUES, **cases}),
        holds,
        lambda case: case.geometry.is_valid() and inside(case.geometry),
        needs,
        patterns=patterns or {},
    )


def _valid(g: PoolGeometry) -> bool:
    return g.padding == "valid"


def _properties(kind: str, patterns: Any) -> list[Property]:
    smooth = ("distinct",) if kind == "max" else cnn.EXACT_VALUES
    out = [
        _property(
            "equals the oracle", "finite values", equals_oracle, values=cnn.FINITE_VALUES, patterns=patterns
        ),
        _property(
            "padding takes no part",
            "negative x, padding 'same'",
            negative_same,
            needs=("padding",),
            source=lambda t: geometries(t, paddings=("same",)),
            inside=lambda g: g.padding == "same",
        ),
        _property(
            "another image size before changes nothing",
            f"{INTEGERS}, padding 'same', two rows and columns",
            another_size,
            needs=("padding",),
            source=lambda t: geometries(t, paddings=("same",)).map(
                lambda g: replace(g, height=g.height + 1, width=g.width + 1)
            ),
            inside=lambda g: g.padding == "same" and min(g.height, g.width) > 1,
        ),
        _property("a constant image stays constant", INTEGERS, constant_stays),
        _property(
            "translation by a stride",
            f"{INTEGERS}, padding 'valid', two windows each way",
            translation,
            source=_grown,
            inside=lambda g: _valid(g) and min(g.output_size) > 1,
        ),
        _property("batch and channel permutation", INTEGERS, permutation),
        _property(
            "stride is subsampling",
            f"{INTEGERS}, padding 'valid'",
            stride_is_subsampling,
            source=lambda t: geometries(t, paddings=("valid",)),
            inside=_valid,
            needs=("strides",),
        ),
        _property(
            "strides default to the pool",
            INTEGERS,
            default_strides,
            needs=("pool_size", "default of strides"),
            source=lambda t: geometries(t).map(lambda g: replace(g, strides=g.pool_size)),
            inside=lambda g: g.strides == g.pool_size,
        ),
        _property(
            "scaling by a power of two is exact",
            "moderate values",
            scaling,
            values=("normal", "integers"),
            layouts=PLAIN,
        ),
        _property("results don't depend on batch splitting", INTEGERS, batch_splitting),
        _property("memory layout doesn't matter", INTEGERS, memory_layout),
        _property("channels_first is channels_last moved", INTEGERS, channels_first, needs=("data_format",)),
        _property("inputs are left unmodified", INTEGERS, inputs_unmodified),
        _property(
            "repeatable, and earlier results survive",
            "moderate values",
            repeatable,
            values=cnn.MODERATE_VALUES,
        ),
        _property("no NaN or infinity is hidden", "x with NaN and infinities", no_nan_hidden),
        _property("dtype is kept", INTEGERS, dtype_is_kept),
        Property(
            "invalid geometry is refused", "a fixed list of invalid calls", _invalid, invalid_is_refused
        ),
        _property(
            "the gradient equals the oracle's",
            "finite values without ties" if kind == "max" else "finite values",
            gradient_equals_oracle,
            needs=("backward",),
            patterns=patterns,
            values=("distinct", "mixed") if kind == "max" else cnn.FINITE_VALUES,
        ),
        _property(
            "the gradient's mass is conserved",
            "moderate values",
            mass_is_conserved,
            needs=("backward",),
            values=cnn.MODERATE_VALUES,
        ),
        _property("adjoint identity", INTEGERS, adjoint, needs=("backward",)),
        _property(
            "the gradient equals differences of the forward",
            "distinct integers in float64" if kind == "max" else f"{INTEGERS} in float64",
            central_differences,
            needs=("backward", "float64"),
            dtypes=(np.float64,),
            values=smooth,
        ),
        _property("a doubled batch", INTEGERS, doubled_batch, needs=("backward",)),
        _property(
            "the gradient of channels_first is that of channels_last moved",
            INTEGERS,
            channels_first_gradient,
            needs=("backward", "data_format"),
        ),
        _property(
            "backward is repeatable and leaves its inputs alone",
            INTEGERS,
            backward_clean,
            needs=("backward",),
        ),
    ]
    if kind == "max":
        out.insert(
            2,
            _property(
                "pools of p and q compose to p+q-1",
                f"{INTEGERS}, stride 1, padding 'valid'",
                composition,
                source=_composable,
                needs=("strides",),
                inside=lambda g: _valid(g) and g.strides == (1, 1),
            ),
        )
        out.append(
            _property(
                "a tie goes to the first maximum in row-major order",
                "many ties",
                gradient_equals_oracle,
                needs=("backward",),
                values=("ties", "sparse"),
                patterns=patterns,
            )
        )
    return out


MAX_PROPERTIES = _properties("max", MAX_PATTERNS)
AVERAGE_PROPERTIES = _properties("average", AVERAGE_PATTERNS)


def check_max_pooling2d(
    impl: Any, *, backward: Callable[..., Any] | None = None, properties: Any = None, **options: Any
) -> Report:
    """Checks ``forward(x, *, pool_size, strides=None, padding="valid") -> y``, NHWC.

    ``backward(dy, x, *, pool_size, ...) -> dx`` and ``data_format="channels_last"`` are optional.  Options as
    in ``check_conv2d``.
    """
    target = as_target(impl, "max_pooling2d", backward)
    return run_properties(MAX_PROPERTIES, target, only=properties, **options)


def check_average_pooling2d(
    impl: Any, *, backward: Callable[..., Any] | None = None, properties: Any = None, **options: Any
) -> Report:
    """Checks ``forward(x, *, pool_size, strides=None, padding="valid") -> y``; padding isn't averaged in.

    ``backward(dy, x, *, pool_size, ...) -> dx`` and ``data_format="channels_last"`` are optional.  Options as
    in ``check_conv2d``.
    """
    target = as_target(impl, "average_pooling2d", backward)
    return run_properties(AVERAGE_PROPERTIES, target, only=properties, **options)
