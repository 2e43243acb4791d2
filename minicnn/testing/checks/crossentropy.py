"""``check_crossentropy``: categorical, sparse and binary, from logits and from probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from minicnn.testing import oracles
from minicnn.testing import strategies as cnn
from minicnn.testing.checks.common import meeting, unchanged
from minicnn.testing.compare import Mismatch, close, same
from minicnn.testing.report import Report
from minicnn.testing.runner import Property, run_properties
from minicnn.testing.strategies import ClassCase
from minicnn.testing.target import Target, as_target
from minicnn.testing.tolerances import crossentropy_backward_bound, crossentropy_bound

Array = np.ndarray[Any, Any]
KINDS = ("categorical", "sparse", "binary")


def _modes(t: Target) -> tuple[bool, ...]:
    """Values of from_logits to try: both, or the one that the function computes."""
    return (False, True) if "from_logits" in t.options else (bool(t.parameters["from_logits"]),)


def _inputs(t: Target, case: ClassCase, from_logits: bool, smooth: bool = False) -> tuple[Array, Array]:
    """Targets and predictions; ``smooth`` keeps probabilities away from the clip at 1e-7."""
    y_true = case.labels if t.parameters["kind"] == "sparse" else case.one_hot
    if from_logits:
        return y_true, case.logits
    p = case.probabilities
    if smooth:
        p = (0.9 * p + 0.1 / p.shape[-1]).astype(p.dtype)
    return y_true, p


def _call(function: Callable[..., Any], t: Target, y_true: Array, y_pred: Array, **options: Any) -> Any:
    if options.get("sample_weight") is None:
        options.pop("sample_weight", None)
    return function(y_true, y_pred, **t.kept(options))


def _oracle_options(t: Target, **options: Any) -> dict[str, Any]:
    fixed = {"kind": t.parameters["kind"], "from_logits": t.parameters["from_logits"]}
    return {**fixed, **t.kept({k: v for k, v in options.items() if v is not None})}


def _variants(t: Target, case: ClassCase) -> list[dict[str, Any]]:
    """Every combination of from_logits, reduction and weights that the target takes."""
    reductions = ("sum_over_batch_size", "sum") if "reduction" in t.options else ("sum_over_batch_size",)
    weights = (None, case.sample_weight) if "sample_weight" in t.options else (None,)
    return [
        {"from_logits": mode, "reduction": reduction, "sample_weight": weight}
        for mode in _modes(t)
        for reduction in reductions
        for weight in weights
    ]


def equals_oracle(t: Target, case: ClassCase) -> float:
    worst = 0.0
    for options in _variants(t, case):
        y_true, y_pred = _inputs(t, case, options["from_logits"])
        oracle = _oracle_options(t, **options)
        bound = crossentropy_bound(y_true, y_pred, arithmetic=t.arithmetic(y_pred.dtype), **oracle)
        expected = oracles.crossentropy_forward(y_true, y_pred, **oracle)
        got = _call(t.forward, t, y_true, y_pred, **options)
        worst = max(worst, close(f"loss with {_text(options)}", got, expected, bound))
    return worst


def _text(options: dict[str, Any]) -> str:
    weighted = "sample weights" if options["sample_weight"] is not None else "no weights"
    return f"from_logits={options['from_logits']}, {options['reduction']}, {weighted}"


def gradient_equals_oracle(t: Target, case: ClassCase) -> float:
    worst = 0.0
    for options in _variants(t, case):
        y_true, y_pred = _inputs(t, case, options["from_logits"], smooth=True)
        oracle = _oracle_options(t, **options)
        bound = crossentropy_backward_bound(y_true, y_pred, arithmetic=t.arithmetic(y_pred.dtype), **oracle)
        expected = oracles.crossentropy_backward(y_true, y_pred, **oracle)
        got = _call(t.run_backward, t, y_true, y_pred, **options)
        worst = max(worst, close(f"gradient with {_text(options)}", got, expected, bound))
    return worst


def differences(t: Target, case: ClassCase) -> float:
    """Central differences along one direction in float64, away from the clip."""
    worst = 0.0
    for from_logits in _modes(t):
        y_true, y_pred = _inputs(t, case, from_logits, smooth=True)
        direction = np.cos(np.arange(y_pred.size) * 2.3).reshape(y_pred.shape)
        h = 2.0**-17
        ends = [
            float(_call(t.forward, t, y_true, y_pred + s * h * direction, from_logits=from_logits))
            for s in (1, -1)
        ]
        gradient = np.asarray(_call(t.run_backward, t, y_true, y_pred, from_logits=from_logits))
        # third derivatives: below 1 for logits; 2/p³ ≤ 2·120³ for probabilities of at least 0.1/12
        third = 1.0 if from_logits else 4e6
        bound = h * h / 6 * third * y_pred.size + (abs(ends[0]) + 1) * 2.0**-46 / h
        slope = np.array((ends[0] - ends[1]) / (2 * h))
        worst = max(
            worst, close("⟨gradient, step⟩", np.array((gradient * direction).sum()), slope, np.array(bound))
        )
    return worst


def shift_invariance(t: Target, case: ClassCase) -> float:
    y_true, _ = _inputs(t, case, True)
    x = np.rint(case.logits)
    moved = x + x.dtype.type(64)
    options = _oracle_options(t, from_logits=True)
    bound = sum(
        crossentropy_bound(y_true, z, arithmetic=t.arithmetic(x.dtype), **options) for z in (x, moved)
    )
    plain = np.asarray(_call(t.forward, t, y_true, x, from_logits=True), dtype=np.float64)
    return close(
        "loss of logits + 64", _call(t.forward, t, y_true, moved, from_logits=True), plain, np.asarray(bound)
    )


def extreme_logits(t: Target, case: ClassCase) -> float:
    """Wrong by 1e4 with all confidence: the loss is 1e4 exactly, and right is exactly 0."""
    far = case.logits.dtype.type(1e4)
    y_true, _ = _inputs(t, case, True)
    right = np.where(case.one_hot > 0, far, -far).astype(case.logits.dtype)
    options = _oracle_options(t, from_logits=True)
    worst = 0.0
    for x in (right, -right):
        bound = crossentropy_bound(y_true, x, arithmetic=t.arithmetic(x.dtype), **options)
        expected = oracles.crossentropy_forward(y_true, x, **options)
        worst = max(worst, close("loss", _call(t.forward, t, y_true, x, from_logits=True), expected, bound))
    return worst


def doubled_batch(t: Target, case: ClassCase) -> float:
    from_logits = _modes(t)[-1]
    y_true, y_pred = _inputs(t, case, from_logits)
    options = _oracle_options(t, from_logits=from_logits)
    once = np.asarray(_call(t.forward, t, y_true, y_pred, from_logits=from_logits), dtype=np.float64)
    twice = (np.concatenate([y_true, y_true]), np.concatenate([y_pred, y_pred]))
    bound = 2 * crossentropy_bound(*twice, arithmetic=t.arithmetic(y_pred.dtype), **options)
    return close(
        "mean loss of the doubled batch", _call(t.forward, t, *twice, from_logits=from_logits), once, bound
    )


def soft_targets(t: Target, case: ClassCase) -> float:
    """Three quarters of each target for one class and a quarter for the next: what label smoothing gives."""
    three, quarter = (case.one_hot.dtype.type(share) for share in (0.75, 0.25))
    soft = three * case.one_hot + quarter * np.roll(case.one_hot, 1, axis=-1)
    return equals_oracle(t, replace(case, one_hot=soft))


def weight_two(t: Target, case: ClassCase) -> float:
    from_logits = _modes(t)[-1]
    y_true, y_pred = _inputs(t, case, from_logits)
    weights = np.ones(len(y_pred), y_pred.dtype)
    weights[0] = 2
    options: dict[str, Any] = {"from_logits": from_logits, "reduction": "sum"}
    twice = (np.concatenate([y_true, y_true[:1]]), np.concatenate([y_pred, y_pred[:1]]))
    expected = np.asarray(_call(t.forward, t, *twice, **options), dtype=np.float64)
    bound = 2 * crossentropy_bound(
        *twice, arithmetic=t.arithmetic(y_pred.dtype), **_oracle_options(t, **options)
    )
    return close(
        "summed loss with one weight 2",
        _call(t.forward, t, y_true, y_pred, sample_weight=weights, **options),
        expected,
        bound,
    )


def batch_permutation(t: Target, case: ClassCase) -> float:
    from_logits = _modes(t)[-1]
    y_true, y_pred = _inputs(t, case, from_logits)
    options = _oracle_options(t, from_logits=from_logits)
    bound = 2 * crossentropy_bound(y_true, y_pred, arithmetic=t.arithmetic(y_pred.dtype), **options)
    plain = np.asarray(_call(t.forward, t, y_true, y_pred, from_logits=from_logits), dtype=np.float64)
    got = _call(t.forward, t, y_true[::-1], y_pred[::-1], from_logits=from_logits)
    return close("loss of the reversed batch", got, plain, bound)


def nan_stays(t: Target, case: ClassCase) -> None:
    for from_logits in _modes(t):
        y_true, y_pred = _inputs(t, case, from_logits)
        y_pred = np.array(y_pred)
        y_pred[0] = np.nan
        got = _call(t.forward, t, y_true, y_pred, from_logits=from_logits)
        if not np.isnan(got):
            raise Mismatch(f"the loss of NaN predictions is {got}", "loss")


def clean(t: Target, case: ClassCase) -> float:
    from_logits = _modes(t)[-1]

    def call(c: ClassCase) -> Any:
        y_true = c.labels if t.parameters["kind"] == "sparse" else c.one_hot
        return _call(t.forward, t, y_true, c.logits if from_logits else p, from_logits=from_logits)

    p = case.probabilities
    first: list[Any] = []
    unchanged(case, ("logits", "one_hot", "labels"), lambda c: first.append(call(c)))
    return same("loss of the second call", call(case), np.asarray(first[0]))


def _property(name: str, domain: str, holds: Any, *, needs: tuple[str, ...] = (), **cases: Any) -> Property:
    return Property(
        name,
        domain,
        lambda t: cnn.class_cases(**{"dtypes": t.dtypes, **cases}),
        holds,
        lambda case: case.geometry.is_valid(),
        needs,
    )


ALL = "logits up to a thousand and their probabilities"
PROPERTIES = [
    _property("equals the oracle", ALL, equals_oracle),
    _property(
        "shift invariance",
        "integer logits; not binary",
        shift_invariance,
        scales=(1.0, 5.0),
        needs=("logits", "classes"),
    ),
    _property("extreme logits", "logits of ±10000", extreme_logits, needs=("logits",)),
    _property("soft targets", f"{ALL}; not sparse", soft_targets, needs=("targets",)),
    _property("a doubled batch has the same mean", ALL, doubled_batch),
    _property("weight 2 is a duplicate", "reduction 'sum'", weight_two, needs=("reduction", "sample_weight")),
    _property("batch permutation", ALL, batch_permutation),
    _property("NaN stays NaN", "one example of NaN", nan_stays),
    _property("inputs are left unmodified, repeatable", ALL, clean),
    _property(
        "the gradient has its closed form",
        f"{ALL}, away from the clip",
        gradient_equals_oracle,
        needs=("backward",),
    ),
    _property(
        "the gradient equals differences of the loss",
        "float64, away from the clip",
        differences,
        needs=("backward", "float64"),
        dtypes=(np.float64,),
        scales=(1.0, 5.0),
    ),
]


def check_crossentropy(
    impl: Any,
    kind: str = "categorical",
    *,
    from_logits: bool = False,
    backward: Callable[..., Any] | None = None,
    properties: Any = None,
    **options: Any,
) -> Report:
    """Checks ``forward(y_true, y_pred, *, from_logits=False, sample_weight=None, reduction=...) -> loss``.

    ``kind`` is 'categorical' (one-hot ``(N, K)``), 'sparse' (labels ``(N,)``) or 'binary' (``(N, K)``,
    mean over K).  ``reduction`` is 'sum_over_batch_size' (default) or 'sum'.  A function without
    ``from_logits`` computes what the check's own ``from_logits`` says.  ``backward`` takes the same and
    returns the gradient to ``y_pred``.  Options as in ``check_conv2d``.  Raises ValueError for an unknown
    kind.
    """
    target = as_target(impl, "crossentropy", backward)
    if "kind" not in target.parameters:
        target = replace(target, parameters={"kind": kind, "from_logits": from_logits})
    kind = target.parameters["kind"]
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {KINDS}. Received: {kind!r}")
    logits = "from_logits" in target.options or target.parameters["from_logits"]
    have = {"logits"} if logits else set()
    have |= set() if kind == "binary" else {"classes"}
    have |= set() if kind == "sparse" else {"targets"}
    return run_properties(meeting(PROPERTIES, have), target, only=properties, **options)
