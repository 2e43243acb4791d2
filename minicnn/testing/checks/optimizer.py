"""``check_optimizer``: SGD, RMSprop and Adam over several steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minicnn.testing import oracles
from minicnn.testing import strategies as cnn
from minicnn.testing.checks.common import dtype_of, unchanged
from minicnn.testing.compare import Mismatch, close, same
from minicnn.testing.report import Report
from minicnn.testing.runner import Property, run_properties
from minicnn.testing.target import Target, as_target
from minicnn.testing.tolerances import optimizer_bound

Array = np.ndarray[Any, Any]

# Powers of two and their sums: a hyperparameter that float32 holds exactly is the same number in every dtype.
# (Keras on TensorFlow rounds Python floats to float32 even in float64 models.)
HYPERPARAMETERS: dict[str, dict[str, tuple[Any, ...]]] = {
    "sgd": {"learning_rate": (0.125, 1.0, 2.0**-7), "momentum": (0.0, 0.5, 0.875), "nesterov": (False, True)},
    "rmsprop": {
        "learning_rate": (2.0**-10, 0.125),
        "rho": (0.875, 0.5),
        "momentum": (0.0, 0.5),
        "epsilon": (2.0**-23, 0.0625),
        "centered": (False, True),
    },
    "adam": {
        "learning_rate": (2.0**-10, 0.125),
        "beta_1": (0.875, 0.5),
        "beta_2": (1 - 2.0**-10, 0.75),
        "epsilon": (2.0**-23, 0.0625),
    },
}


@dataclass(frozen=True, eq=False)
class OptimizerCase:
    """``w (K,)`` weights, ``dw (steps, K)`` gradients, and hyperparameters."""

    w: Array
    dw: Array
    options: dict[str, Any]


def optimizer_cases(t: Target, dtypes: Any = None) -> st.SearchStrategy[OptimizerCase]:
    """Cases for the target's optimizer, with the hyperparameters that it takes."""
    wanted = t.kept(HYPERPARAMETERS[t.parameters["name"]])
    options = st.fixed_dictionaries({k: st.sampled_from(v) for k, v in wanted.items()})

    def build(
        size: int, steps: int, seed: int, dtype: Any, values: str, drawn: dict[str, Any]
    ) -> OptimizerCase:
        w = cnn.make_array((size,), "normal", seed, dtype)
        return OptimizerCase(w, cnn.make_array((steps, size), values, seed + 1, dtype), drawn)

    kinds = st.sampled_from(["normal", "integers", "sparse"])
    seeds = st.integers(0, 2**31)
    return st.builds(
        build,
        st.integers(1, 6),
        st.integers(1, 6),
        seeds,
        st.sampled_from(dtypes or t.dtypes),
        kinds,
        options,
    )


def _run(t: Target, w: Array, gradients: Any, options: dict[str, Any]) -> list[Array]:
    """The weights after each step."""
    state, out = None, []
    for dw in gradients:
        w, state = t.forward(w, dw, state, **options)
        out.append(np.array(w))
    return out


def _oracle(t: Target, case: OptimizerCase) -> list[Array]:
    w, state, out = case.w, None, []
    for dw in case.dw:
        w, state = oracles.OPTIMIZERS[t.parameters["name"]](w, dw, state, **case.options)
        out.append(w)
    return out


def equals_oracle(t: Target, case: OptimizerCase) -> float:
    name = t.parameters["name"]
    bounds = optimizer_bound(
        name, case.w, list(case.dw), arithmetic=t.arithmetic(case.w.dtype), **case.options
    )
    got, expected, worst = _run(t, case.w, case.dw, case.options), _oracle(t, case), 0.0
    for k, (mine, wanted, bound) in enumerate(zip(got, expected, bounds, strict=True), start=1):
        worst = max(worst, close(f"weights after step {k} with {case.options}", mine, wanted, bound))
    return worst


def zero_gradients(t: Target, case: OptimizerCase) -> float:
    got = _run(t, case.w, np.zeros_like(case.dw), case.options)
    return max(same("weights after gradients of zero", w, case.w) for w in got)


def odd_symmetry(t: Target, case: OptimizerCase) -> float:
    ahead = _run(t, case.w, case.dw, case.options)
    back = _run(t, -case.w, -case.dw, case.options)
    return max(same("−w under −dw", -b, a) for a, b in zip(ahead, back, strict=True))


def elements_are_independent(t: Target, case: OptimizerCase) -> float:
    whole = _run(t, case.w, case.dw, case.options)
    flipped = _run(t, np.array(case.w[::-1]), np.array(case.dw[:, ::-1]), case.options)
    return max(same("reversed weights", b, a[::-1]) for a, b in zip(whole, flipped, strict=True))


def state_is_its_own(t: Target, case: OptimizerCase) -> float:
    """Two runs in alternation give what each gives alone."""
    alone = _run(t, case.w, case.dw, case.options)
    w1, w2, s1, s2 = case.w, case.w + 1, None, None
    for k, dw in enumerate(case.dw):
        w1, s1 = t.forward(w1, dw, s1, **case.options)
        w2, s2 = t.forward(w2, -2 * dw, s2, **case.options)
        same(f"weights after step {k + 1}, with another run in between", np.array(w1), alone[k])
    return 0.0


def clean(t: Target, case: OptimizerCase) -> None:
    unchanged(case, ("w", "dw"), lambda c: _run(t, c.w, c.dw, c.options))
    for w in _run(t, case.w, case.dw, case.options):
        dtype_of("w", w, case.w.dtype)


def nan_stays(t: Target, case: OptimizerCase) -> None:
    dw = np.array(case.dw)
    dw[0, 0] = np.nan
    got = _run(t, case.w, dw, case.options)[-1]
    if not np.isnan(got[0]) or np.isnan(got[1:]).any():
        raise Mismatch(f"a NaN gradient of the first weight gave {got}", "w")


PROPERTIES = [
    Property(
        "equals the oracle",
        "1 to 6 steps, hyperparameters that float32 holds",
        optimizer_cases,
        equals_oracle,
    ),
    Property("zero gradients change nothing", "a fresh state", optimizer_cases, zero_gradients),
    Property("the negative problem gives the negative weights", "any", optimizer_cases, odd_symmetry),
    Property("elements are independent", "any", optimizer_cases, elements_are_independent),
    Property("two runs don't share state", "any", optimizer_cases, state_is_its_own),
    Property("inputs are left unmodified and dtype is kept", "any", optimizer_cases, clean),
    Property("NaN stays NaN, in its own element", "one NaN gradient", optimizer_cases, nan_stays),
]


def check_optimizer(impl: Any, name: str = "sgd", *, properties: Any = None, **options: Any) -> Report:
    """Checks ``step(w, dw, state, *, learning_rate, ...) -> (w, state)``.

    ``state`` is None at first and then whatever the step returned.  ``name`` is 'sgd', 'rmsprop' or 'adam',
    with Keras's hyperparameters and meanings; those that the function doesn't take stay at Keras's defaults.
    Options as in ``check_conv2d``.  Raises ValueError for an unknown name.
    """
    target = as_target(impl, "optimizer")
    if "name" not in target.parameters:
        target = replace(target, parameters={"name": name})
    if target.parameters["name"] not in HYPERPARAMETERS:
        raise ValueError(
            f"`name` must be one of {list(HYPERPARAMETERS)}. Received: {target.parameters['name']!r}"
        )
    target = replace(target, options=target.options & HYPERPARAMETERS[target.parameters["name"]].keys())
    if "learning_rate" not in target.options:
        raise TypeError("The step must take `learning_rate`.")
    return run_properties(PROPERTIES, target, only=properties, **options)
