"""``check_activation`` and ``check_softmax``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from minicnn.testing import oracles
from minicnn.testing import strategies as cnn
from minicnn.testing.checks.common import INTEGERS, dtype_of, meeting, unchanged
from minicnn.testing.compare import Mismatch, close, same
from minicnn.testing.report import Report
from minicnn.testing.runner import Property, run_properties
from minicnn.testing.strategies import ArrayCase, ClassCase
from minicnn.testing.target import Target, as_target
from minicnn.testing.tolerances import (
    FUNCTION,
    activation_backward_bound,
    activation_bound,
    softmax_backward_bound,
    softmax_bound,
)

Array = np.ndarray[Any, Any]
SCALES = (1.0, 0.01, 10.0, 100.0)


def _spec(t: Target) -> tuple[str, dict[str, Any]]:
    parameters = dict(t.parameters)
    return parameters.pop("name"), parameters


def equals_oracle(t: Target, case: ArrayCase) -> float:
    name, options = _spec(t)
    bound = activation_bound(name, case.x, arithmetic=t.arithmetic(case.x.dtype), **options)
    return close("y", t.run(case.x), oracles.activation_forward(name, case.x, **options), bound)


def small_results(t: Target, case: ArrayCase) -> float:
    """Where ``exp(x) − 1`` and ``log(1 + exp(x))`` cancel, ``expm1`` and ``log1p`` don't: the bound is relative."""
    name, options = _spec(t)
    magnitude = np.abs(case.x)
    x = np.asarray(-magnitude * magnitude.dtype.type(2.0**-16) if name == "elu" else -8 * magnitude - 4)
    y = oracles.activation_forward(name, x, **options)
    arithmetic = t.arithmetic(x.dtype)
    return close("y", t.run(x), y, arithmetic.gamma(FUNCTION) * np.abs(y) + 4 * arithmetic.eta)


def elementwise(t: Target, case: ArrayCase) -> float:
    name, options = _spec(t)
    whole = np.asarray(t.run(case.x), dtype=np.float64)
    # a vector's tail may be computed by another routine, which rounds differently
    bound = 2 * activation_bound(name, case.x, arithmetic=t.arithmetic(case.x.dtype), **options)
    return close("y of the reversed array", t.run(case.x[::-1]), whole[::-1], bound[::-1])


def memory_layout(t: Target, case: ArrayCase) -> float:
    name, options = _spec(t)
    bound = 2 * activation_bound(name, case.x, arithmetic=t.arithmetic(case.x.dtype), **options)
    plain = np.asarray(t.run(np.array(case.x, order="C")), dtype=np.float64)
    return close("y", t.run(case.x), plain, bound)


def clean(t: Target, case: ArrayCase) -> float:
    first: list[Any] = []
    unchanged(case, ("x",), lambda c: first.append(t.run(c.x)))
    kept = np.array(first[0])
    t.run(case.x + 1)
    same("the earlier y after a later call", first[0], kept)
    dtype_of("y", first[0], case.x.dtype)
    return same("y of the second call", t.run(case.x), kept)


def nan_stays(t: Target, case: ArrayCase) -> float:
    x = np.array(case.x)
    x.flat[x.size // 2] = np.nan
    got = np.asarray(t.run(x))
    return same("NaN of y", np.isnan(got).astype(int), np.isnan(x).astype(int))


def extremes(t: Target, case: ArrayCase) -> float:
    name, options = _spec(t)
    largest = np.finfo(case.x.dtype).max / 8
    x = np.where(case.x >= 0, largest, -largest).astype(case.x.dtype)
    bound = activation_bound(name, x, arithmetic=t.arithmetic(x.dtype), **options)
    return close("y", t.run(x), oracles.activation_forward(name, x, **options), bound)


def _gradient_range(t: Target, case: ArrayCase) -> tuple[Array, Array]:
    name, options = _spec(t)
    low, high = oracles.activation_derivative(name, case.x, **options)
    dy = case.dy.astype(np.float64)
    return np.minimum(low * dy, high * dy), np.maximum(low * dy, high * dy)


def gradient(t: Target, case: ArrayCase) -> float:
    """Away from a kink the derivative, at a kink any valid subgradient: the nearest one is expected."""
    name, options = _spec(t)
    low, high = _gradient_range(t, case)
    got = np.asarray(t.run_backward(case.dy, case.x))
    bound = activation_backward_bound(name, case.dy, case.x, arithmetic=t.arithmetic(case.x.dtype), **options)
    nearest = np.clip(got.astype(np.float64), low, high) if got.shape == low.shape else low
    return close("dx", got, nearest, bound)


def differences(t: Target, case: ArrayCase) -> float:
    """Central differences in float64; elements within h of a kink are left to the subgradient property."""
    h = 2.0**-13
    x = case.x + np.where(np.abs(case.x) <= 2 * h, 1.0, 0.0)
    ends = [np.asarray(t.run(x + sign * h)) for sign in (1, -1)]
    # third derivatives are below 2 for all the activations: h²/6·2 truncation, rounding |y|·2^-52/h
    bound = (h * h / 3 + (np.abs(ends[0]) + 1) * 2.0**-51 / h) * np.abs(case.dy)
    return close("dx", t.run_backward(case.dy, x), (ends[0] - ends[1]) / (2 * h) * case.dy, bound)


def backward_clean(t: Target, case: ArrayCase) -> float:
    first: list[Any] = []
    unchanged(case, ("x", "dy"), lambda c: first.append(t.run_backward(c.dy, c.x)))
    kept = np.array(first[0])
    t.run_backward(case.dy + 1, case.x)
    same("the earlier dx after a later call", first[0], kept)
    return same("dx of the second call", t.run_backward(case.dy, case.x), kept)


def _property(name: str, domain: str, holds: Any, *, needs: tuple[str, ...] = (), **cases: Any) -> Property:
    drawn = {"values": ("normal", "ties", "distinct", "sparse"), "scales": SCALES, **cases}
    return Property(
        name, domain, lambda t: cnn.array_cases(**{"dtypes": t.dtypes, **drawn}), holds, needs=needs
    )


ACTIVATION_PROPERTIES = [
    _property("equals the oracle", "finite values", equals_oracle, values=cnn.FINITE_VALUES),
    _property(
        "small results keep their digits",
        "elu of small, softplus of large negative numbers",
        small_results,
        values=("normal",),
        scales=(1.0,),
        needs=("elu or softplus",),
    ),
    _property("elementwise", "moderate values", elementwise, layouts=("contiguous",), values=("ties",)),
    _property("memory layout doesn't matter", INTEGERS, memory_layout, values=("ties",), scales=(1.0,)),
    _property("inputs are left unmodified, repeatable, dtype is kept", "moderate values", clean),
    _property("NaN stays NaN", "one NaN among moderate values", nan_stays),
    _property("the largest numbers", "± an eighth of the largest number", extremes),
    _property(
        "the gradient is a valid subgradient",
        "moderate values, zeros included",
        gradient,
        needs=("backward",),
    ),
    _property(
        "the gradient equals differences of the forward",
        "float64, away from kinks",
        differences,
        needs=("backward", "float64"),
        dtypes=(np.float64,),
        values=("normal", "integers"),
        scales=(1.0,),
    ),
    _property(
        "backward is repeatable and leaves its inputs alone",
        "moderate values",
        backward_clean,
        needs=("backward",),
    ),
]


def check_activation(
    impl: Any,
    name: str = "relu",
    *,
    backward: Callable[..., Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    properties: Any = None,
    **options: Any,
) -> Report:
    """Checks an elementwise activation ``forward(x) -> y``; ``backward(dy, x) -> dx`` is optional.

    ``name`` is one of ``oracles.ACTIVATIONS`` and ``parameters`` its parameters (negative_slope, alpha,
    approximate).  At a kink any valid subgradient passes.  Options as in ``check_conv2d``.
    Raises ValueError for an unknown name.
    """
    target = as_target(impl, "activation", backward)
    spec = dict(target.parameters) or {"name": name, **(parameters or {})}
    if spec["name"] not in oracles.ACTIVATIONS:
        raise ValueError(f"`name` must be one of {sorted(oracles.ACTIVATIONS)}. Received: {spec['name']!r}")
    target = replace(target, parameters=spec)
    offered = ACTIVATION_PROPERTIES
    if spec["name"] in ("elu", "softplus"):
        offered = meeting(offered, {"elu or softplus"})
    return run_properties(offered, target, only=properties, **options)


def softmax_equals_oracle(t: Target, case: ClassCase) -> float:
    x = case.logits
    return close(
        "y", t.run(x), oracles.softmax_forward(x), softmax_bound(x, arithmetic=t.arithmetic(x.dtype))
    )


def sums_to_one(t: Target, case: ClassCase) -> float:
    y = np.asarray(t.run(case.logits))
    if not np.all((y >= 0) & (y <= 1)):
        raise Mismatch("y has elements outside [0, 1]", "y")
    bound = softmax_bound(case.logits, arithmetic=t.arithmetic(y.dtype)).sum(axis=-1)
    return close("Σy", y.astype(np.float64).sum(axis=-1), np.ones(len(y)), bound)


def shift_invariance(t: Target, case: ClassCase) -> float:
    # integer logits plus an integer: the shift itself is exact
    x = np.rint(case.logits)
    shift = case.logits.dtype.type(1000)
    expected = np.asarray(t.run(x), dtype=np.float64)
    bound = 2 * softmax_bound(x, arithmetic=t.arithmetic(x.dtype))
    return close("y of logits + 1000", t.run(x + shift), expected, bound)


def class_permutation(t: Target, case: ClassCase) -> float:
    y = np.asarray(t.run(case.logits), dtype=np.float64)
    bound = 2 * softmax_bound(case.logits, arithmetic=t.arithmetic(case.logits.dtype))
    got = t.run(case.logits[::-1, ::-1])
    return close("y of reversed batch and classes", got, y[::-1, ::-1], bound[::-1, ::-1])


def extreme_logits(t: Target, case: ClassCase) -> float:
    largest = case.logits.dtype.type(np.finfo(case.logits.dtype).max / 4)
    for high, text in ((largest, "huge"), (-largest / 2, "far below zero")):
        x = np.where(case.one_hot > 0, high, -largest).astype(case.logits.dtype)
        same(f"y of logits {text}", t.run(x), np.asarray(case.one_hot))
    return 0.0


def softmax_clean(t: Target, case: ClassCase) -> float:
    first: list[Any] = []
    unchanged(case, ("logits",), lambda c: first.append(t.run(c.logits)))
    kept = np.array(first[0])
    t.run(case.logits[..., ::-1] * 2 + 1)
    same("the earlier y after a later call", first[0], kept)
    dtype_of("y", first[0], case.logits.dtype)
    return same("y of the second call", t.run(case.logits), kept)


def softmax_splits(t: Target, case: ClassCase) -> float:
    whole = np.asarray(t.run(case.logits), dtype=np.float64)
    parts = [np.asarray(t.run(case.logits[n : n + 1])) for n in range(len(whole))]
    bound = 2 * softmax_bound(case.logits, arithmetic=t.arithmetic(case.logits.dtype))
    return close("y", np.concatenate(parts), whole, bound)


def softmax_nan(t: Target, case: ClassCase) -> float:
    x = np.array(case.logits)
    x[0, 0] = np.nan
    expected = np.zeros(x.shape, int)
    expected[0] = 1
    return same("NaN of y", np.isnan(np.asarray(t.run(x))).astype(int), expected)


def _dy(case: ClassCase) -> Array:
    """Some upstream gradient: the target minus a quarter, times each example's weight."""
    return np.asarray((case.one_hot - case.logits.dtype.type(0.25)) * case.sample_weight[:, None])


def softmax_gradient(t: Target, case: ClassCase) -> float:
    dy, x = _dy(case), case.logits
    bound = softmax_backward_bound(dy, x, arithmetic=t.arithmetic(x.dtype))
    return close("dx", t.run_backward(dy, x), oracles.softmax_backward(dy, x), bound)


def softmax_gradient_sums_to_zero(t: Target, case: ClassCase) -> float:
    dy, x = _dy(case), case.logits
    bound = softmax_backward_bound(dy, x, arithmetic=t.arithmetic(x.dtype)).sum(axis=-1)
    total = np.asarray(t.run_backward(dy, x), dtype=np.float64).sum(axis=-1)
    return close("Σdx", total, np.zeros(len(x)), bound)


def _class_property(
    name: str, domain: str, holds: Any, *, needs: tuple[str, ...] = (), **cases: Any
) -> Property:
    return Property(
        name,
        domain,
        lambda t: cnn.class_cases(**{"dtypes": t.dtypes, **cases}),
        holds,
        lambda case: case.geometry.is_valid(),
        needs,
    )


SOFTMAX_PROPERTIES = [
    _class_property("equals the oracle", "logits up to a thousand", softmax_equals_oracle),
    _class_property("sums to one", "logits up to a thousand", sums_to_one),
    _class_property("shift invariance", "integer logits", shift_invariance, scales=(1.0, 5.0, 30.0)),
    _class_property("batch and class permutation", "logits up to a thousand", class_permutation),
    _class_property("extreme logits", "± a quarter of the largest number", extreme_logits),
    _class_property("results don't depend on batch splitting", "logits up to a thousand", softmax_splits),
    _class_property(
        "inputs are left unmodified, repeatable, dtype is kept", "logits up to a thousand", softmax_clean
    ),
    _class_property("NaN fills its row and no other", "one NaN", softmax_nan),
    _class_property(
        "the gradient equals the oracle's", "logits up to a thousand", softmax_gradient, needs=("backward",)
    ),
    _class_property(
        "the gradient sums to zero",
        "logits up to a thousand",
        softmax_gradient_sums_to_zero,
        needs=("backward",),
    ),
]


def check_softmax(
    impl: Any, *, backward: Callable[..., Any] | None = None, properties: Any = None, **options: Any
) -> Report:
    """Checks ``forward(x) -> y`` over the last axis of ``(N, K)``; ``backward(dy, x) -> dx`` is optional.

    Options as in ``check_conv2d``.
    """
    target = as_target(impl, "softmax", backward)
    return run_properties(SOFTMAX_PROPERTIES, target, only=properties, **options)
