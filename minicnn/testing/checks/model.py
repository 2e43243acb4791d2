"""``check_model``: a whole net with its loss, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minicnn.testing import strategies as cnn
from minicnn.testing.checks.common import unchanged
from minicnn.testing.compare import Mismatch, close, same
from minicnn.testing.report import Report
from minicnn.testing.runner import Property, run_properties
from minicnn.testing.target import Target, as_target

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ModelUnderTest:
    """What the properties need of a model, in float64 if finite differences are to be run.

    ``predict(x) -> y``; ``loss(x, y, sample_weight) -> (loss, gradients)``, where the loss is the weighted
    sum over examples ÷ N and ``gradients`` is one array for each of the weights; ``get_weights()`` and
    ``set_weights(list)``.
    """

    predict: Callable[[Array], Array]
    loss: Callable[[Array, Array, Array | None], tuple[float, Sequence[Array]]]
    get_weights: Callable[[], Sequence[Array]]
    set_weights: Callable[[Sequence[Array]], None]
    input_shape: tuple[int, ...]
    classes: int


@dataclass(frozen=True, eq=False)
class ModelCase:
    """``x (N, ...)`` images, ``y (N, classes)`` one-hot."""

    x: Array
    y: Array


def _model(t: Target) -> ModelUnderTest:
    model = t.parameters["model"]
    if not isinstance(model, ModelUnderTest):
        raise TypeError(f"The model must be a ModelUnderTest. Received: {model!r}")
    return model


def model_cases(t: Target) -> st.SearchStrategy[ModelCase]:
    """Batches of one to five images of normal values."""
    m = _model(t)

    def build(n: int, seed: int, values: str) -> ModelCase:
        x = cnn.make_array((n, *m.input_shape), values, seed, t.dtypes[0])
        labels = np.random.default_rng(seed).integers(0, m.classes, n)
        return ModelCase(x, np.eye(m.classes, dtype=t.dtypes[0])[labels])

    return st.builds(build, st.integers(1, 5), st.integers(0, 2**32 - 1), st.sampled_from(["normal", "ties"]))


def _loss(m: ModelUnderTest, x: Array, y: Array, weight: Array | None = None) -> tuple[float, list[Array]]:
    loss, gradients = m.loss(x, y, weight)
    return float(loss), [np.array(g, dtype=np.float64) for g in gradients]


def _tolerance(t: Target, *values: Array) -> Array:
    """2¹⁰ roundings of the largest element: a few layers sum some hundred terms, several times over."""
    largest = max((float(np.max(np.abs(v), initial=0.0)) for v in values), default=0.0)
    return np.asarray(t.arithmetic(t.dtypes[0]).gamma(2.0**10) * (largest + 1e-3))


def batch_splitting(t: Target, case: ModelCase) -> float:
    m = _model(t)
    whole = np.asarray(m.predict(case.x))
    parts = np.concatenate([np.asarray(m.predict(case.x[n : n + 1])) for n in range(len(case.x))])
    return close("predictions", parts, whole, _tolerance(t, whole))


def batch_permutation(t: Target, case: ModelCase) -> float:
    m = _model(t)
    whole = np.asarray(m.predict(case.x))
    return close(
        "predictions of the reversed batch", m.predict(case.x[::-1]), whole[::-1], _tolerance(t, whole)
    )


def _compare_losses(
    t: Target, one: tuple[float, list[Array]], two: tuple[float, list[Array]], scale: float
) -> float:
    close("loss", np.array(two[0] * scale), np.array(one[0]), _tolerance(t, np.array(one[0])))
    if len(one[1]) != len(two[1]):
        raise Mismatch(f"{len(one[1])} gradients, then {len(two[1])}", "gradients")
    pairs = enumerate(zip(one[1], two[1], strict=True))
    return max(
        (close(f"gradient {k}", scale * b, a, _tolerance(t, a, b)) for k, (a, b) in pairs), default=0.0
    )


def doubled_batch(t: Target, case: ModelCase) -> float:
    m = _model(t)
    twice = _loss(m, np.concatenate([case.x, case.x]), np.concatenate([case.y, case.y]))
    return _compare_losses(t, _loss(m, case.x, case.y), twice, 1.0)


def weight_two(t: Target, case: ModelCase) -> float:
    m, n = _model(t), len(case.x)
    weights = np.ones(n, case.x.dtype)
    weights[0] = 2
    duplicate = _loss(m, np.concatenate([case.x, case.x[:1]]), np.concatenate([case.y, case.y[:1]]))
    # both are sums ÷ number of examples: N against N + 1
    return _compare_losses(t, _loss(m, case.x, case.y, weights), duplicate, (n + 1) / n)


def clean(t: Target, case: ModelCase) -> float:
    m = _model(t)
    before = [np.array(w) for w in m.get_weights()]
    first = np.array(m.predict(case.x))
    unchanged(case, ("x", "y"), lambda c: m.loss(c.x, c.y, None))
    for k, (now, then) in enumerate(zip(m.get_weights(), before, strict=True)):
        same(f"weight {k} after computing gradients", np.asarray(now), then)
    return same("predictions of the second call", m.predict(case.x), first)


def differences(t: Target, case: ModelCase) -> float:
    """One-sided differences along the gradient's direction at h and h/2.

    Where they agree from both sides there is no kink within h and the derivative must agree with them;
    where they part there is one, and the derivative must lie between them: it is a subgradient.
    """
    m = _model(t)
    start = [np.array(w) for w in m.get_weights()]
    loss, gradients = _loss(m, case.x, case.y)
    norm = float(np.sqrt(sum((g**2).sum() for g in gradients)))
    if norm == 0.0:
        return 0.0
    direction = [g / norm for g in gradients]

    def at(step: float) -> float:
        m.set_weights([w + step * d for w, d in zip(start, direction, strict=True)])
        return _loss(m, case.x, case.y)[0]

    try:
        h = 2.0**-12
        slopes = [(at(s * k) - loss) / (s * k) for k in (h, h / 2) for s in (1, -1)]
    finally:
        m.set_weights(start)
    # extrapolated to h = 0 on either side; their change from h to h/2 measures what the extrapolation
    # neglects
    right, left = 2 * slopes[2] - slopes[0], 2 * slopes[3] - slopes[1]
    slack = abs(slopes[2] - slopes[0]) / 16 + abs(slopes[3] - slopes[1]) / 16 + (abs(loss) + 1) * 2.0**-40 / h
    nearest = np.clip(norm, min(left, right), max(left, right))
    return close("slope along the gradient", np.array(norm), np.asarray(nearest), np.array(slack))


PROPERTIES = [
    Property("results don't depend on batch splitting", "one to five examples", model_cases, batch_splitting),
    Property("batch permutation", "one to five examples", model_cases, batch_permutation),
    Property("a doubled batch has the same mean loss and gradient", "any", model_cases, doubled_batch),
    Property("weight 2 is a duplicate", "sums: N against N + 1 examples", model_cases, weight_two),
    Property("inputs and weights are left unmodified", "any", model_cases, clean),
    Property(
        "the gradient is a slope of the loss",
        "float64; between both sides at kinks",
        model_cases,
        differences,
        needs=("float64",),
    ),
]


def model_target(
    model: ModelUnderTest, name: str = "model", dtype: Any = np.float64, **fields: Any
) -> Target:
    """A model as a Target.  ``dtype`` is what it computes in."""
    return Target(name, "model", model.predict, dtypes=(dtype,), parameters={"model": model}, **fields)


def check_model(
    model: ModelUnderTest | Target,
    *,
    properties: Any = None,
    name: str = "model",
    dtype: Any = np.float64,
    **options: Any,
) -> Report:
    """Checks a net with its loss.  ``dtype`` is what it computes in; options as in ``check_conv2d``.

    Finite differences are run in float64 only.
    """
    target = (
        model_target(model, name, dtype) if isinstance(model, ModelUnderTest) else as_target(model, "model")
    )
    return run_properties(PROPERTIES, target, only=properties, **options)
