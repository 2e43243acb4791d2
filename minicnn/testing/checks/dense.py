"""``check_dense`` and ``check_flatten``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minicnn.testing import oracles
from minicnn.testing import strategies as cnn
from minicnn.testing.checks.common import INTEGERS, PLAIN, dtype_of, unchanged
from minicnn.testing.compare import Mismatch, close, same
from minicnn.testing.report import Report
from minicnn.testing.runner import Property, run_properties
from minicnn.testing.strategies import ArrayCase, DenseCase
from minicnn.testing.target import Target, as_target
from minicnn.testing.tolerances import dense_backward_bound, dense_bound

Array = np.ndarray[Any, Any]
LABELS = ("dx", "dw", "db")


def forward(t: Target, x: Array, w: Array, b: Array) -> Any:
    """Calls the target, without the bias if it takes none."""
    return t.run(x, w, b) if t.bias else t.run(x, w)


def _bias(t: Target, case: DenseCase) -> Array | None:
    return case.b if t.bias else None


def equals_oracle_exactly(t: Target, case: DenseCase) -> float:
    return same(
        "y", forward(t, case.x, case.w, case.b), oracles.dense_forward(case.x, case.w, _bias(t, case))
    )


def equals_oracle_within_rounding(t: Target, case: DenseCase) -> float:
    bound = dense_bound(case.x, case.w, _bias(t, case), arithmetic=t.arithmetic(case.x.dtype))
    expected = oracles.dense_forward(case.x, case.w, _bias(t, case))
    return close("y", forward(t, case.x, case.w, case.b), expected, bound)


def linear(t: Target, case: DenseCase) -> float:
    zero, x, w = 0 * case.b, np.flip(case.x), np.flip(case.w)
    parts = np.asarray(forward(t, case.x, case.w, zero)) + np.asarray(forward(t, x, case.w, zero))
    same("y of a sum of inputs", forward(t, case.x + x, case.w, zero), parts)
    parts = np.asarray(forward(t, case.x, case.w, zero)) + np.asarray(forward(t, case.x, w, zero))
    return same("y of a sum of kernels", forward(t, case.x, case.w + w, zero), parts)


def permutation(t: Target, case: DenseCase) -> float:
    y = np.asarray(forward(t, case.x, case.w, case.b))
    got = forward(t, case.x[::-1, ::-1], case.w[::-1, ::-1], case.b[::-1])
    return same("y of reversed batch, inputs and units", got, y[::-1, ::-1])


def identity(t: Target, case: DenseCase) -> float:
    eye = np.eye(case.x.shape[1], dtype=case.x.dtype)
    return same("y of the identity kernel", forward(t, case.x, eye, np.zeros_like(eye[0])), case.x)


def scaling(t: Target, case: DenseCase) -> float:
    two = case.x.dtype.type(2.0**5)
    y = np.asarray(forward(t, case.x, case.w, case.b))
    return same("y of 32·x and 32·b", forward(t, two * case.x, case.w, two * case.b), two * y)


def batch_splitting(t: Target, case: DenseCase) -> float:
    parts = [np.asarray(forward(t, case.x[n : n + 1], case.w, case.b)) for n in range(len(case.x))]
    return same("y", forward(t, case.x, case.w, case.b), np.concatenate(parts))


def memory_layout(t: Target, case: DenseCase) -> float:
    plain = [np.array(a, order="C") for a in (case.x, case.w, case.b)]
    return same("y", forward(t, case.x, case.w, case.b), np.asarray(forward(t, *plain)))


def inputs_unmodified(t: Target, case: DenseCase) -> None:
    unchanged(case, ("x", "w", "b"), lambda c: forward(t, c.x, c.w, c.b))


def repeatable(t: Target, case: DenseCase) -> float:
    first = forward(t, case.x, case.w, case.b)
    kept = np.array(first)
    forward(t, case.x + 1, case.w, case.b)
    same("the earlier y after a later call", first, kept)
    return same("y of the second call", forward(t, case.x, case.w, case.b), kept)


def no_nan_hidden(t: Target, case: DenseCase) -> float:
    seed = int(np.abs(case.x).sum()) + 1
    x, w = (cnn.make_array(array.shape, "special", seed, array.dtype) for array in (case.x, case.w))
    for c in (replace(case, x=x), replace(case, w=w)):
        same("y", forward(t, c.x, c.w, c.b), oracles.dense_forward(c.x, c.w, _bias(t, c)))
    return 0.0


def dtype_is_kept(t: Target, case: DenseCase) -> None:
    dtype_of("y", forward(t, case.x, case.w, case.b), case.x.dtype)


def invalid_is_refused(t: Target, shapes: tuple[Any, Any, Any]) -> None:
    x, w, b = (np.ones(shape, np.float32) for shape in shapes)
    try:
        y = forward(t, x, w, b)
    except t.refuses:
        return
    raise Mismatch(
        f"x {x.shape} and w {w.shape}: must be refused, but y of shape {np.shape(y)} was returned", "y"
    )


def backward(t: Target, case: DenseCase) -> dict[str, Any]:
    """Calls the target's backward; without a bias it may return dx and dw only."""
    return dict(zip(LABELS, tuple(t.run_backward(case.dy, case.x, case.w)), strict=False))


def gradients_exact(t: Target, case: DenseCase) -> float:
    expected = oracles.dense_backward(case.dy, case.x, case.w)
    return max(same(k, v, getattr(expected, k)) for k, v in backward(t, case).items())


def gradients_within_rounding(t: Target, case: DenseCase) -> float:
    expected = oracles.dense_backward(case.dy, case.x, case.w)
    bounds = dense_backward_bound(case.dy, case.x, case.w, arithmetic=t.arithmetic(case.x.dtype))
    return max(close(k, v, getattr(expected, k), getattr(bounds, k)) for k, v in backward(t, case).items())


def adjoint(t: Target, case: DenseCase) -> float:
    got = backward(t, case)
    y = np.asarray(forward(t, case.x, case.w, 0 * case.b), dtype=np.float64)
    inner = np.array((y * case.dy).sum())
    same("⟨x, dx⟩ against ⟨y, dy⟩", np.array((np.asarray(got["dx"]) * case.x).sum(dtype=np.float64)), inner)
    return same(
        "⟨w, dw⟩ against ⟨y, dy⟩", np.array((np.asarray(got["dw"]) * case.w).sum(dtype=np.float64)), inner
    )


def doubled_batch(t: Target, case: DenseCase) -> float:
    once = backward(t, case)
    twice = replace(case, x=np.concatenate([case.x] * 2), dy=np.concatenate([case.dy] * 2))
    got = backward(t, twice)
    return max(
        same(f"{k} of the doubled batch", got[k], 2 * np.asarray(once[k])) for k in got.keys() & {"dw", "db"}
    )


def backward_clean(t: Target, case: DenseCase) -> float:
    first: dict[str, Any] = {}
    unchanged(case, ("x", "w", "dy"), lambda c: first.update(backward(t, c)))
    kept = {k: np.array(v) for k, v in first.items()}
    backward(t, replace(case, dy=case.dy + 1))
    again = backward(t, case)
    for label, value in kept.items():
        same(f"the earlier {label} after a later call", first[label], value)
        same(f"{label} of the second call", again[label], value)
    return 0.0


def _property(name: str, domain: str, holds: Any, *, needs: tuple[str, ...] = (), **cases: Any) -> Property:
    return Property(
        name,
        domain,
        lambda t: cnn.dense_cases(**{"dtypes": t.dtypes, "values": cnn.EXACT_VALUES, **cases}),
        holds,
        lambda case: case.geometry.is_valid(),
        needs,
        patterns=PATTERNS,
    )


PATTERNS: dict[str, Any] = {
    "matches a missing bias": lambda t, c, label: (
        oracles.dense_forward(c.x, c.w) if label == "y" and t.bias and c.b.any() else None
    ),
    "dw is divided by the batch size: a mean where the sum belongs": lambda t, c, label: (
        oracles.dense_backward(c.dy, c.x, c.w).dw / len(c.x) if label == "dw" and len(c.x) > 1 else None
    ),
    "db is divided by the batch size: a mean where the sum belongs": lambda t, c, label: (
        oracles.dense_backward(c.dy, c.x, c.w).db / len(c.x) if label == "db" and len(c.x) > 1 else None
    ),
}
_BAD = [((2, 3), (4, 2), (2,)), ((2, 3), (2, 3), (3,))]
DENSE_PROPERTIES = [
    _property("equals the oracle exactly", INTEGERS, equals_oracle_exactly),
    _property(
        "equals the oracle within rounding",
        "finite values, no overflow",
        equals_oracle_within_rounding,
        values=cnn.FINITE_VALUES,
    ),
    _property("linear in x and in w", f"{INTEGERS}, no bias", linear),
    _property("batch, input and unit permutation", INTEGERS, permutation),
    _property("the identity kernel", INTEGERS, identity),
    _property(
        "scaling by a power of two is exact",
        "moderate values",
        scaling,
        values=("normal", "integers"),
        layouts=PLAIN,
    ),
    _property("results don't depend on batch splitting", INTEGERS, batch_splitting),
    _property("memory layout doesn't matter", INTEGERS, memory_layout),
    _property("inputs are left unmodified", INTEGERS, inputs_unmodified),
    _property(
        "repeatable, and earlier results survive", "moderate values", repeatable, values=cnn.MODERATE_VALUES
    ),
    _property("no NaN or infinity is hidden", "x, then the kernel, with NaN and infinities", no_nan_hidden),
    _property("dtype is kept", INTEGERS, dtype_is_kept),
    Property(
        "invalid shapes are refused",
        "inner sizes that differ",
        lambda t: st.sampled_from(_BAD),
        invalid_is_refused,
    ),
    _property("gradients equal the oracle's exactly", INTEGERS, gradients_exact, needs=("backward",)),
    _property(
        "gradients equal the oracle's within rounding",
        "finite values, no overflow",
        gradients_within_rounding,
        needs=("backward",),
        values=cnn.FINITE_VALUES,
    ),
    _property("adjoint identity", f"{INTEGERS}, no bias", adjoint, needs=("backward",)),
    _property("a doubled batch doubles dw and db", INTEGERS, doubled_batch, needs=("backward",)),
    _property(
        "backward is repeatable and leaves its inputs alone", INTEGERS, backward_clean, needs=("backward",)
    ),
]


def check_dense(
    impl: Any, *, backward: Callable[..., Any] | None = None, properties: Any = None, **options: Any
) -> Report:
    """Checks ``forward(x, kernel, bias=None) -> y`` on ``x (N, K)``, ``kernel (K, M)``, ``bias (M,)``.

    ``backward(dy, x, kernel) -> dx, dw, db`` is optional.  Options as in ``check_conv2d``.
    """
    target = as_target(impl, "dense", backward)
    return run_properties(DENSE_PROPERTIES, target, only=properties, **options)


def flatten_equals_oracle(t: Target, case: ArrayCase) -> float:
    return same("y", t.run(case.x), oracles.flatten_forward(case.x))


def flatten_splits(t: Target, case: ArrayCase) -> float:
    parts = [np.asarray(t.run(case.x[n : n + 1])) for n in range(len(case.x))]
    return same("y", t.run(case.x), np.concatenate(parts))


def flatten_clean(t: Target, case: ArrayCase) -> None:
    unchanged(case, ("x",), lambda c: t.run(c.x))
    dtype_of("y", t.run(case.x), case.x.dtype)


def flatten_gradient(t: Target, case: ArrayCase) -> float:
    dy = np.ascontiguousarray(case.dy).reshape(len(case.x), -1)
    return same("dx", t.run_backward(dy, case.x), oracles.flatten_backward(dy, case.x.shape))


def _arrays(values: tuple[str, ...]) -> Callable[[Target], st.SearchStrategy[ArrayCase]]:
    return lambda t: cnn.array_cases(cnn.shapes(min_dims=2), dtypes=t.dtypes, values=values)


FLATTEN_PROPERTIES = [
    Property(
        "equals the oracle",
        "any values, NaN included",
        _arrays(("distinct", "special", "mixed")),
        flatten_equals_oracle,
    ),
    Property(
        "results don't depend on batch splitting", "distinct values", _arrays(("distinct",)), flatten_splits
    ),
    Property("inputs are left unmodified and dtype is kept", "any", _arrays(("distinct",)), flatten_clean),
    Property(
        "the gradient equals the oracle's",
        "distinct values",
        _arrays(("distinct",)),
        flatten_gradient,
        needs=("backward",),
    ),
]


def check_flatten(
    impl: Any, *, backward: Callable[..., Any] | None = None, properties: Any = None, **options: Any
) -> Report:
    """Checks ``forward(x) -> y``, ``(N, ...)`` to ``(N, size)`` in row-major order.

    ``backward(dy, x) -> dx`` is optional.  Options as in ``check_conv2d``.
    """
    target = as_target(impl, "flatten", backward)
    return run_properties(FLATTEN_PROPERTIES, target, only=properties, **options)
