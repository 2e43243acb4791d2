"""``check_conv2d``: the properties of a 2D convolution, gradients included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minicnn.testing import oracles
from minicnn.testing import strategies as cnn
from minicnn.testing.checks.common import unchanged
from minicnn.testing.checks.conv2d_forward import forward
from minicnn.testing.checks.conv2d_patterns import PATTERNS
from minicnn.testing.checks.conv2d_properties import FORWARD, exact_cases, geometries
from minicnn.testing.compare import close, same
from minicnn.testing.geometry import ConvGeometry
from minicnn.testing.report import Report
from minicnn.testing.runner import Property, run_properties
from minicnn.testing.strategies import ConvCase
from minicnn.testing.target import Target, as_target
from minicnn.testing.tolerances import conv2d_backward_bound

Array = np.ndarray[Any, Any]
LABELS = ("dx", "dw", "db")


def backward(t: Target, case: ConvCase) -> dict[str, Any]:
    """Calls the target's backward; without a bias it may return dx and dw only."""
    parts = tuple(t.run_backward(case.dy, case.x, case.w, **case.geometry.options()))
    return dict(zip(LABELS, parts, strict=False))


def _compare(t: Target, case: ConvCase, got: dict[str, Any], expected: Any) -> float:
    """Exact for direct algorithms, else within twice the bound."""
    bounds = conv2d_backward_bound(
        case.dy, case.x, case.w, arithmetic=t.arithmetic(case.x.dtype), **case.geometry.options()
    )
    worst = 0.0
    for label, value in got.items():
        wanted = np.asarray(getattr(expected, label))
        if t.algorithm == "direct":
            same(label, value, wanted)
        else:
            worst = max(worst, close(label, value, wanted, 2 * getattr(bounds, label)))
    return worst


def gradients_exact(t: Target, case: ConvCase) -> float:
    expected = oracles.conv2d_backward(case.dy, case.x, case.w, **case.geometry.options())
    return _compare(t, case, backward(t, case), expected)


def gradients_within_rounding(t: Target, case: ConvCase) -> float:
    options = case.geometry.options()
    expected = oracles.conv2d_backward(case.dy, case.x, case.w, **options)
    bounds = conv2d_backward_bound(case.dy, case.x, case.w, arithmetic=t.arithmetic(case.x.dtype), **options)
    got = backward(t, case)
    return max(close(k, v, getattr(expected, k), getattr(bounds, k)) for k, v in got.items())


def _inner(a: Any, b: Any) -> float:
    return float((np.asarray(a, dtype=np.float64) * np.asarray(b, dtype=np.float64)).sum())


def adjoint(t: Target, case: ConvCase) -> float:
    y = forward(t, case.x, case.w, 0 * case.b, case.geometry)
    got = backward(t, case)
    expected = _inner(y, case.dy)
    # integers below 2^53: all three numbers are exact unless the algorithm itself rounds
    slack = 0.0 if t.algorithm == "direct" else 1e-4 * _inner(np.abs(y), np.abs(case.dy)) + 1e-3
    pairs = (("⟨x, dx⟩ against ⟨y, dy⟩", "dx", case.x), ("⟨w, dw⟩ against ⟨y, dy⟩", "dw", case.w))
    for text, label, array in pairs:
        value = np.array(_inner(got[label], array))
        if t.algorithm == "direct":
            same(text, value, np.array(expected))
        else:
            close(text, value, np.array(expected), np.array(slack))
    return 0.0


def central_differences(t: Target, case: ConvCase) -> float:
    """The op is affine in each array: (f(x+e) − f(x−e))/2 is exact, whatever the step."""
    got = backward(t, case)
    for label, name in (("dx", "x"), ("dw", "w"), ("db", "b")):
        if label not in got or (name == "b" and not t.bias):
            continue
        step = np.rint(np.cos(np.arange(getattr(case, name).size) * 2.3)).reshape(getattr(case, name).shape)
        ends = []
        for sign in (1, -1):
            moved = replace(case, **{name: getattr(case, name) + sign * step})
            ends.append(_inner(forward(t, moved.x, moved.w, moved.b, case.geometry), case.dy))
        text, expected = f"⟨{label}, step⟩ against differences of the forward", (ends[0] - ends[1]) / 2
        if t.is_exact:
            same(text, _inner(got[label], step), np.array(expected))
        else:  # in float64 every rounding is below 1e-12 of the largest sum that it is in
            magnitude = _inner(np.abs(forward(t, case.x, case.w, case.b, case.geometry)), np.abs(case.dy))
            slack = 1e-9 * (magnitude + _inner(np.abs(got[label]), np.abs(step)) + 1)
            close(text, np.array(_inner(got[label], step)), np.array(expected), np.array(slack))
    return 0.0


def doubled_batch(t: Target, case: ConvCase) -> float:
    once = backward(t, case)
    twice = replace(
        case,
        geometry=replace(case.geometry, batch=2 * case.geometry.batch),
        x=np.concatenate([case.x, case.x]),
        dy=np.concatenate([case.dy, case.dy]),
    )
    got = backward(t, twice)
    expected = {k: 2 * np.asarray(v) for k, v in once.items()} | {"dx": np.concatenate([once["dx"]] * 2)}
    bounds = conv2d_backward_bound(
        twice.dy, twice.x, twice.w, arithmetic=t.arithmetic(case.x.dtype), **twice.geometry.options()
    )
    for label in got:
        text = f"{label} of the doubled batch"
        if t.is_exact:
            same(text, got[label], expected[label])
        else:
            close(text, got[label], expected[label], 2 * getattr(bounds, label))
    return 0.0


def channels_first_gradients(t: Target, case: ConvCase) -> float:
    g, last = case.geometry, backward(t, case)
    parts = t.run_backward(
        np.moveaxis(case.dy, -1, 1),
        np.moveaxis(case.x, -1, 1),
        case.w,
        **g.options(),
        data_format="channels_first",
    )
    got = dict(zip(LABELS, parts, strict=False))
    expected = {**last, "dx": np.moveaxis(np.asarray(last["dx"]), -1, 1)}
    return max(same(f"{k} of channels_first", got[k], np.asarray(expected[k])) for k in last)


def backward_clean(t: Target, case: ConvCase) -> float:
    first: dict[str, Any] = {}
    unchanged(case, ("x", "w", "dy"), lambda c: first.update(backward(t, c)))
    kept = {k: np.array(v) for k, v in first.items()}
    backward(t, replace(case, dy=case.dy + 1))
    again = backward(t, case)
    for label in kept:
        same(f"the earlier {label} after a later call", first[label], kept[label])
        same(f"{label} of the second call", again[label], kept[label])
        if np.asarray(again[label]).dtype != case.x.dtype:
            same(f"{label}'s dtype", np.array(0), np.array(1))
    return 0.0


def _gradient_property(
    name: str,
    domain: str,
    holds: Callable[[Target, ConvCase], float],
    *,
    source: Callable[[Target], st.SearchStrategy[ConvGeometry]] = geometries,
    needs: tuple[str, ...] = ("backward",),
    **cases: Any,
) -> Property:
    return Property(
        name,
        domain,
        lambda t: cnn.conv_cases(source(t), **{"dtypes": t.dtypes, "values": t.exact_values, **cases}),
        holds,
        lambda case: case.geometry.is_valid(),
        needs,
        patterns=PATTERNS,
    )


INTEGERS = "small integers"
BACKWARD: list[Property] = [
    _gradient_property("gradients equal the oracle's exactly", INTEGERS, gradients_exact),
    _gradient_property(
        "gradients equal the oracle's within rounding",
        "finite values, no overflow",
        gradients_within_rounding,
        values=cnn.FINITE_VALUES,
    ),
    _gradient_property("adjoint identity", f"{INTEGERS}, no bias", adjoint),
    _gradient_property(
        "gradients equal differences of the forward",
        f"{INTEGERS} in float64",
        central_differences,
        needs=("backward", "float64"),
        dtypes=(np.float64,),
    ),
    _gradient_property("a doubled batch doubles dw and db", INTEGERS, doubled_batch),
    _gradient_property(
        "gradients of channels_first are those of channels_last moved",
        INTEGERS,
        channels_first_gradients,
        source=lambda t: geometries(t, strided_dilation=False),
        needs=("backward", "data_format"),
    ),
    _gradient_property("backward is repeatable and leaves its inputs alone", INTEGERS, backward_clean),
]

PROPERTIES = [*FORWARD, *BACKWARD]


def check_conv2d(
    impl: Any, *, backward: Callable[..., Any] | None = None, properties: Any = None, **options: Any
) -> Report:
    """Checks a 2D convolution.

    ``impl`` is a Target or ``forward(x, kernel, bias=None, *, strides=(1, 1), padding="valid",
    dilation_rate=(1, 1), groups=1) -> y`` on images ``(N, H, W, C)`` and kernels ``(P, Q, C // groups, F)``;
    ``backward(dy, x, kernel, ...) -> dx, dw, db`` is optional, and so is ``data_format="channels_last"``.
    Arguments that the function doesn't take narrow the geometries; the report says so.  Options:
    ``examples=200``, ``seed=0``, ``properties`` (names), ``shrink=True``, ``stop_at_first=False``,
    ``progress``.  Returns a Report; nothing is raised for a failure.
    """
    target = as_target(impl, "conv2d", backward)
    return run_properties(PROPERTIES, target, only=properties, **options)


__all__ = ["BACKWARD", "FORWARD", "PROPERTIES", "check_conv2d", "exact_cases"]
