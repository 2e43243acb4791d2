"""The kit is tested by planted bugs: every one must be caught, by the property that its table names, and
differ from a right implementation on inputs that are stored here and drawn by nobody.

The ordinary run takes one seed; ``MINICNN_NIGHTLY=1`` takes 20 seeds, and 10,000 examples against false
alarms.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minicnn.testing import CHECKS, Target, oracles
from minicnn.testing import strategies as cnn
from minicnn.testing.checks.conv2d_forward import INVALID as BAD_CONVOLUTIONS
from minicnn.testing.checks.model import ModelCase
from minicnn.testing.checks.optimizer import OptimizerCase
from minicnn.testing.checks.pooling import INVALID as BAD_POOLS
from minicnn.testing.compare import Mismatch
from minicnn.testing.plugin import PROPERTIES
from minicnn.testing.report import FAILS, NOT_RUN
from minicnn.testing.runner import evaluate
from tests.testing.mutants import BLIND, MUTANTS, RIGHT
from tests.testing.planted import blind_inputs, blind_right
from tests.testing.planted.mutant import Mutant

NIGHTLY = os.environ.get("MINICNN_NIGHTLY") == "1"
SEEDS = range(20) if NIGHTLY else range(1)
Conv, Pool = cnn.ConvGeometry, cnn.PoolGeometry

CONVOLUTIONS = [
    Conv(3, 7, 6, 2, 3, (3, 2)),
    Conv(2, 5, 5, 3, 5, (3, 3), padding="same"),
    Conv(2, 6, 7, 2, 2, (2, 4), (2, 1), "same"),
    Conv(1, 8, 9, 2, 3, (2, 3), (2, 3)),
    Conv(3, 9, 9, 4, 6, (3, 2), (1, 1), "same", (2, 3), 2),
    Conv(2, 9, 9, 6, 9, (2, 2), (1, 1), "valid", (1, 3), 3),
    Conv(2, 4, 4, 1, 2, (4, 4)),
    Conv(1, 5, 6, 2, 2, (1, 1)),
    Conv(2, 7, 7, 3, 3, (3, 3), (2, 2), "same"),
    Conv(2, 5, 8, 2, 2, (3, 3)),
    Conv(2, 6, 8, 2, 2, (3, 3), (2, 2), "same"),
    Conv(1, 6, 8, 2, 2, (3, 3), (2, 2)),
]
POOLS = [
    Pool(2, 5, 7, 2, (2, 2), (2, 2), "same"),
    Pool(2, 6, 6, 2, (3, 2), (1, 2)),
    Pool(1, 7, 5, 3, (2, 3), (1, 1)),
    Pool(2, 6, 7, 1, (3, 3), (2, 2), "same"),
    Pool(2, 6, 7, 2, (3, 3), (1, 1)),
    Pool(2, 8, 8, 2, (2, 3), (3, 1)),
    Pool(1, 3, 6, 1, (2, 2), (1, 2)),
    Pool(3, 5, 6, 2, (2, 2), (2, 1)),
]
BAD_PRODUCTS = [((2, 3), (4, 2), (2,)), ((2, 3), (2, 3), (3,))]


def _arrays(
    shapes: dict[str, tuple[int, ...]], values: str, layout: str, dtype: Any
) -> dict[str, np.ndarray]:
    return {
        name: cnn.lay_out(cnn.make_array(shape, values, k, dtype), layout)
        for k, (name, shape) in enumerate(shapes.items())
    }


def _stored(op: str, values: str, layout: str, dtype: Any) -> list[Any]:
    """Stored inputs of an op, in one kind of values."""
    if op == "conv2d":
        shapes = [
            dict(x=g.image_shape, w=g.kernel_shape, b=(g.filters,), dy=g.output_shape) for g in CONVOLUTIONS
        ]
        return [
            cnn.ConvCase(g, **_arrays(s, values, layout, dtype))
            for g, s in zip(CONVOLUTIONS, shapes, strict=True)
        ]
    if op.endswith("pooling2d"):
        shapes = [dict(x=g.image_shape, dy=g.output_shape) for g in POOLS]
        return [
            cnn.PoolCase(g, **_arrays(s, values, layout, dtype)) for g, s in zip(POOLS, shapes, strict=True)
        ]
    if op == "dense":
        geometries = [cnn.DenseGeometry(3, 5, 4), cnn.DenseGeometry(2, 3, 3)]
        shapes = [
            dict(x=(g.batch, g.inputs), w=(g.inputs, g.units), b=(g.units,), dy=(g.batch, g.units))
            for g in geometries
        ]
        return [
            cnn.DenseCase(g, **_arrays(s, values, layout, dtype))
            for g, s in zip(geometries, shapes, strict=True)
        ]
    if op in ("flatten", "activation"):
        sizes = [(3, 4, 2, 2), (3, 5)]
        return [cnn.ArrayCase(**_arrays(dict(x=s, dy=s), values, layout, dtype)) for s in sizes]
    if op == "model":
        labels = np.eye(3, dtype=dtype)[[2, 0, 1, 1]]
        return [ModelCase(cnn.lay_out(cnn.make_array((4, 3, 3, 1), values, 1, dtype), layout), labels)]
    if op == "optimizer":
        return _optimizer_cases(values, dtype)
    return _class_cases(layout, dtype)


def _optimizer_cases(values: str, dtype: Any) -> list[OptimizerCase]:
    w, dw = cnn.make_array((5,), "normal", 1, dtype), cnn.make_array((4, 5), values, 2, dtype)
    base = {"learning_rate": 0.125}
    options: list[dict[str, Any]] = [
        {**base, "momentum": 0.5, "nesterov": True},
        {**base, "momentum": 0.5, "nesterov": False},
        {**base, "rho": 0.875, "momentum": 0.5, "epsilon": 0.0625, "centered": True},
        {**base, "beta_1": 0.875, "beta_2": 0.75, "epsilon": 0.0625},
    ]
    return [OptimizerCase(w, dw, o) for o in options]


def _class_cases(layout: str, dtype: Any) -> list[cnn.ClassCase]:
    out = []
    for scale in (1.0, 30.0, 300.0):
        logits = cnn.make_array((3, 4), "normal", 3, dtype) * np.dtype(dtype).type(scale)
        labels = np.array([2, 0, 3])
        weight = np.array([1, 3, 2], dtype)
        one_hot = np.eye(4, dtype=dtype)[labels]
        out.append(
            cnn.ClassCase(cnn.ClassGeometry(3, 4), cnn.lay_out(logits, layout), labels, one_hot, weight)
        )
    return out


def _stored_inputs(mutant: Mutant, prop: Any) -> list[Any]:
    if prop.name.startswith("invalid"):
        return {"conv2d": BAD_CONVOLUTIONS, "dense": BAD_PRODUCTS}.get(mutant.op, BAD_POOLS)
    out = []
    for values in ("integers", "ties", "distinct", "mixed", "tiny", "special"):
        for layout in ("contiguous", "fortran", "reversed"):
            for dtype in (np.float32, np.float64):
                out += [case for case in _stored(mutant.op, values, layout, dtype) if prop.inside(case)]
    return out


def _property(mutant: Mutant) -> Any:
    return next(p for p in PROPERTIES[mutant.op] if p.name == mutant.caught_by)


def _right(mutant: Mutant) -> Target:
    """A right implementation of what the mutant gets wrong."""
    wrong = mutant.make()
    name = wrong.parameters.get("name")
    if mutant.op != "activation":
        return next(t for t in RIGHT if t.op == mutant.op and t.parameters.get("name") == name)
    return replace(
        wrong,
        forward=lambda x: oracles.activation_forward(name, x).astype(x.dtype),
        backward=lambda dy, x: (dy * oracles.activation_derivative(name, x)[0]).astype(x.dtype),
    )


def _fails(prop: Any, target: Any, case: Any) -> bool:
    try:
        evaluate(prop, target, case)
    except Mismatch:
        return True
    return False


def test_there_are_at_least_sixty() -> None:
    names = [str(m) for m in MUTANTS]
    assert len(set(names)) == len(names) >= 60


@pytest.mark.parametrize("mutant", [*MUTANTS, *BLIND], ids=str)
def test_every_mutant_names_a_property(mutant: Mutant) -> None:
    assert mutant.caught_by in [p.name for p in PROPERTIES[mutant.op]]


@pytest.mark.parametrize("op", PROPERTIES)
def test_every_property_is_named_by_a_mutant(op: str) -> None:
    named = {m.caught_by for m in [*MUTANTS, *BLIND] if m.op == op}
    assert {p.name for p in PROPERTIES[op]} <= named


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_every_mutant_differs_on_a_stored_input(mutant: Mutant) -> None:
    prop, right = _property(mutant), _right(mutant)
    # some stored values lie outside the property's domain: there the right one fails as well
    assert any(
        _fails(prop, mutant.make(), case) and not _fails(prop, right, case)
        for case in _stored_inputs(mutant, prop)
    )


@pytest.mark.parametrize("mutant", BLIND, ids=str)
def test_every_blind_mutant_differs_on_a_stored_input(mutant: Mutant) -> None:
    got, right = blind_inputs.STORED[mutant.name](mutant.make())
    assert np.shape(got) == np.shape(right)
    assert not np.array_equal(got, right, equal_nan=True)


def test_the_first_results_of_the_blind_mutants_are_kept() -> None:
    first = json.loads((Path(__file__).parent / "planted/blind_first.json").read_text())
    assert list(first["first_failing_example"]) == [str(m) for m in BLIND]
    assert len(BLIND) == 20
    assert sum(bool(caught) for caught in first["first_failing_example"].values()) == 14


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("mutant", [*MUTANTS, *BLIND], ids=str)
def test_every_mutant_is_caught(mutant: Mutant, seed: int) -> None:
    report = CHECKS[mutant.op](mutant.make(), properties=[mutant.caught_by], seed=seed, shrink=False)
    assert report[mutant.caught_by].verdict == FAILS


@pytest.mark.parametrize("target", [*RIGHT, *blind_right.RIGHT], ids=lambda t: f"{t.op} {t.name}")
def test_right_implementations_pass_everything(target: Any) -> None:
    report = CHECKS[target.op](target, examples=10_000 if NIGHTLY else 25)
    report.raise_if_failed()
    assert all(r.verdict != NOT_RUN or r.note for r in report.results)
