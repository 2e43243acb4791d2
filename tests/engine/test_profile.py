"""The timed walk computes what an executor computes, and counts the gradients that the data let through."""

import numpy as np
import pytest

from minicnn.engine import ops, work
from minicnn.engine import plan as plan_module
from minicnn.engine import profile as profile_module
from minicnn.engine.fusion import fuse
from minicnn.engine.parallel import Executor
from minicnn.engine.plan import make_plan
from minicnn.engine.profile import DW, DX, FORWARD, Profiler
from tests.engine.chains import batch_for, small_convnet

BACKENDS = ("reference", "numba")
PLANS = pytest.mark.parametrize(("backend", "fuses"), [(b, f) for b in BACKENDS for f in (False, True)])


def plan_of(chain, backend="numba", fuses=True, capacity=2, **wants):
    wants = {"gradients": chain.paths} | wants
    linked = fuse(chain.ops) if fuses else chain.ops
    options = {"training": True, "dtype": "float64", "backend": backend}
    return make_plan(linked, chain.input_shape, capacity, **options, **wants)


def timed(plan, chain, batch):
    profiler = Profiler(plan, [v for v in chain.variables if v.path in plan.gradients])
    return profiler, profiler.run_timed(chain.params, batch["x"], batch["target"], batch["seed"])


@PLANS
@pytest.mark.parametrize("n", [1, 11])  # 6 chunks for 4 lanes, the last one ragged
def test_the_gradient_is_the_executors_bit_for_bit(backend, fuses, n):
    chain = small_convnet(rate=0.3)
    plan, batch = plan_of(chain, backend, fuses), batch_for(chain, n)
    executor = Executor(plan, chain.variables)
    executor.run(chain.params, **batch)
    profiler, _ = timed(plan, chain, batch)
    np.testing.assert_array_equal(profiler.gradient, executor.gradient)


def test_a_deferred_gradient_is_the_executors_too(monkeypatch):
    monkeypatch.setattr(plan_module, "LARGE_NBYTES", 0)
    plan_module._make_plan.cache_clear()
    chain = small_convnet()
    plan, batch = plan_of(chain, capacity=3), batch_for(chain, 7)
    plan_module._make_plan.cache_clear()
    assert [step.op.name for step in plan.steps if step.is_deferred] == ["dense"]
    executor = Executor(plan, chain.variables)
    executor.run(chain.params, **batch)
    profiler, result = timed(plan, chain, batch)
    np.testing.assert_array_equal(profiler.gradient, executor.gradient)
    dense = [step.op.name for step in plan.steps].index("dense")
    assert (result.seconds[dense] > 0).all()


@PLANS
def test_time_is_kept_for_what_is_wanted_and_for_nothing_else(backend, fuses, monkeypatch):
    monkeypatch.setattr(profile_module, "clock", lambda function: function() or 1.0)
    chain = small_convnet()
    plan = plan_of(chain, backend, fuses)
    _, result = timed(plan, chain, batch_for(chain, 5))
    for step, seconds in zip(plan.steps, result.seconds, strict=True):
        both = profile_module.gives_both(step, backend)
        assert both == (backend == "reference" and bool(step.op.parameters))
        assert seconds[FORWARD] == 3  # chunks
        assert seconds[DW] == (3 if step.wants_dw else 0)
        assert seconds[DX] == (3 if step.wants_dx and not (both and step.wants_dw) else 0)


def test_counting_can_be_left_out():
    chain, batch = small_convnet(), batch_for(small_convnet(), 5)
    profiler = Profiler(plan_of(chain), chain.variables)
    result = profiler.run_timed(chain.params, batch["x"], batch["target"], batch["seed"], counts=False)
    assert result.seconds[0, DW] > 0 and result.passed == [None] * len(result.seconds)


def test_nothing_runs_backward_below_what_is_trained():
    chain = small_convnet()
    plan = plan_of(chain, gradients=["dense/kernel"])
    _, result = timed(plan, chain, batch_for(chain, 3))
    names = [step.op.name for step in plan.steps]
    below = result.seconds[: names.index("dense")]
    assert (below[:, FORWARD] > 0).all() and not below[:, [DW, DX]].any()
    assert result.seconds[names.index("dense"), DW] > 0 == result.seconds[names.index("dense"), DX]
    assert result.passed[:2] == [None, None]


@PLANS
def test_gradients_are_counted_where_they_are_not_zero(backend, fuses):
    """Against the gradients themselves, which a plan without fusion keeps when asked."""
    chain, linear = small_convnet(), ("conv/linear", "second/linear", "dense")
    batch = batch_for(chain, 7)
    plain = plan_of(chain, "reference", False, value_gradients=[*linear])
    executor = Executor(plain, chain.variables)
    gradients = executor.run(chain.params, **batch).value_gradients
    expected = [
        np.count_nonzero(gradients["conv/linear"], axis=(0, 3)),
        np.count_nonzero(gradients["second/linear"], axis=(0, 3)),
        np.count_nonzero(gradients["dense"]),
    ]
    assert 0 < expected[0].sum() < gradients["conv/linear"].size / 4
    plan = plan_of(chain, backend, fuses)
    _, result = timed(plan, chain, batch)
    counted = [p for p in result.passed if p is not None]
    assert len(counted) == 3
    for counts, exact in zip(counted, expected, strict=True):
        np.testing.assert_array_equal(counts, exact)


@PLANS
def test_needed_work_is_the_same_fused_or_not(backend, fuses):
    chain, batch = small_convnet(), batch_for(small_convnet(), 7)
    plan = plan_of(chain, backend, fuses)
    works = [
        w
        for w, s in zip(work.count(plan, 7, timed(plan, chain, batch)[1].passed), plan.steps, strict=True)
        if isinstance(s.op, ops.Conv2D | ops.Dense)
    ]
    reference = plan_of(chain, "reference", False)
    expected = [
        w for w in work.count(reference, 7, timed(reference, chain, batch)[1].passed) if w.dense.forward
    ]
    assert [(w.dense, w.needed) for w in works] == [(w.dense, w.needed) for w in expected]
    bound = [w for w in work.count(plan_of(chain), 7) if w.dense.forward]
    assert all(a.needed.dw <= b.needed.dw for a, b in zip(works, bound, strict=True))
