"""The executor: gradients are true, bits don't depend on threads, and a plan computes only what is wanted."""

from functools import reduce

import numpy as np
import pytest

from minicnn import config
from minicnn.engine import parallel
from minicnn.engine import plan as plan_module
from minicnn.engine.fusion import fuse
from minicnn.engine.parallel import Executor
from minicnn.engine.parameters import aligned_offsets
from minicnn.engine.plan import INPUT, make_plan
from minicnn.engine.rows import Rows
from minicnn.engine.threads import run_tasks
from tests.engine.chains import Chain, batch_for, small_convnet

BACKENDS = ("reference", "numba")


@pytest.fixture(autouse=True)
def restore_threads():
    threads = config.num_threads()
    yield
    config.set_num_threads(threads)


def train(chain: Chain, batch, *, capacity=None, fused=False, step=0, **wants):
    """(losses, flat gradient, Batch) of one run in training mode."""
    wants = {"gradients": chain.paths} | wants
    keep = {*wants.get("intermediates", ()), *wants.get("value_gradients", ())}
    plan = make_plan(
        fuse(chain.ops, keep) if fused else chain.ops,
        chain.input_shape,
        capacity,
        training=True,
        dtype=batch["x"].dtype.name,
        **wants,
    )
    executor = Executor(plan, [v for v in chain.variables if v.path in plan.gradients])
    result = executor.run(chain.params, batch["x"], target=batch["target"], seed=batch["seed"], step=step)
    return result, executor.gradient.copy()


def split(flat, variables):
    """The views of a flat gradient, one for each variable."""
    offsets, _ = aligned_offsets(variables)
    return [flat[at : at + v.array.size].reshape(v.shape) for v, at in zip(variables, offsets, strict=True)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("fused", [False, True])
def test_gradients_are_the_slopes_of_the_loss(backend, fused):
    chain = small_convnet()
    batch = batch_for(chain, 5)
    wants = {"backend": backend, "fused": fused, "value_gradients": [INPUT]}
    result, flat = train(chain, batch, **wants)
    gradients = dict(zip(chain.paths, split(flat, chain.variables), strict=True))
    rng = np.random.default_rng(0)
    direction = rng.normal(size=batch["x"].shape)
    h = 1e-6
    ahead, behind = (
        train(chain, batch | {"x": batch["x"] + sign * h * direction}, **wants)[0].losses.mean()
        for sign in (1, -1)
    )
    # A central difference is off by O(h²) plus rounding u/h ≈ 2e-10; kinks lie farther than h from these values.
    assert np.sum(result.value_gradients[INPUT] * direction) == pytest.approx(
        (ahead - behind) / (2 * h), rel=1e-7
    )
    for variable in chain.variables:
        direction = rng.normal(size=variable.shape)
        slope = np.sum(gradients[variable.path] * direction)
        values = variable.numpy()
        variable.assign(values + h * direction)
        ahead = train(chain, batch, backend=backend, fused=fused)[0].losses.mean()
        variable.assign(values - h * direction)
        behind = train(chain, batch, backend=backend, fused=fused)[0].losses.mean()
        variable.assign(values)
        assert slope == pytest.approx((ahead - behind) / (2 * h), rel=1e-7), variable.path


@pytest.mark.parametrize("n", [1, 3, 13, 40])
@pytest.mark.parametrize("fused", [False, True])
def test_bits_do_not_depend_on_threads(n, fused):
    """A ragged chunk, more chunks than accumulators, more threads than chunks."""
    chain = small_convnet("float32", rate=0.3)
    batch = batch_for(chain, n, "float32")
    results = []
    for count in (1, 2, 3, 8):
        config.set_num_threads(count)
        results.append(train(chain, batch, capacity=3, fused=fused, step=4))
    (first, gradient), *others = results
    for other, other_gradient in others:
        assert other_gradient.tobytes() == gradient.tobytes()
        assert other.losses.tobytes() == first.losses.tobytes()
        assert other.outputs.tobytes() == first.outputs.tobytes()


def test_inference_gives_the_same_bits_for_any_part_of_a_batch():
    chain = small_convnet("float32")
    batch = batch_for(chain, 29, "float32")
    plan = make_plan(fuse(chain.ops[:-1]), chain.input_shape, 4)
    executor = Executor(plan)
    whole = executor.run(chain.params, batch["x"]).outputs
    for part in (slice(0, 1), slice(3, 29), slice(5, 6), slice(7, 14)):
        assert executor.run(chain.params, batch["x"][part]).outputs.tobytes() == whole[part].tobytes()


@pytest.mark.parametrize("capacity", [1, 3, 7, 64])
def test_chunks_change_only_rounding(capacity):
    """One chunk of everything is the definition; cutting it regroups the sum over samples."""
    chain = small_convnet()
    batch = batch_for(chain, 20)
    whole, expected = train(chain, batch, capacity=20, backend="reference")
    result, gradient = train(chain, batch, capacity=capacity, backend="reference")
    # At most 20·u relative to the sum of magnitudes, which is within 1e3 of the result's largest element here.
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=20 * 1e3 * 1.1e-16 * np.abs(expected).max())
    np.testing.assert_allclose(result.losses, whole.losses, rtol=1e-14)


def test_dropout_depends_on_seed_step_and_position_alone():
    chain = small_convnet(rate=0.5)
    batch = batch_for(chain, 9)
    wants = {"intermediates": ["dropout"], "backend": "reference"}
    masks = {
        (capacity, step): train(chain, batch, capacity=capacity, step=step, **wants)[0].values["dropout"] == 0
        for capacity in (2, 9)
        for step in (0, 1)
    }
    flat = train(chain, batch, intermediates=["flat"], backend="reference")[0].values["flat"]
    alive = flat != 0
    assert (masks[2, 0] == masks[9, 0]).all()
    assert (masks[2, 0] != masks[2, 1])[alive].any()
    assert 0.3 < masks[2, 0][alive].mean() < 0.7


def test_plan_walks_backward_only_to_the_lowest_wanted():
    chain = small_convnet()
    plan = make_plan(chain.ops, chain.input_shape, gradients=["dense/kernel", "dense/bias"], training=True)
    assert [step.op.name for step in plan.steps if step.runs_backward] == ["dense", "loss"]
    assert not next(step for step in plan.steps if step.op.name == "dense").wants_dx


def test_inference_arena_is_smaller_than_the_training_arena():
    chain = small_convnet()
    inference = make_plan(chain.ops[:-1], chain.input_shape, 4, backend="reference")
    training = make_plan(
        chain.ops, chain.input_shape, 4, backend="reference", training=True, gradients=chain.paths
    )
    assert inference.arena_nbytes < training.arena_nbytes


def test_buffers_that_live_at_the_same_moment_do_not_overlap():
    chain = small_convnet()
    for fused in (False, True):
        plan = make_plan(
            fuse(chain.ops) if fused else chain.ops,
            chain.input_shape,
            5,
            training=True,
            gradients=chain.paths,
            value_gradients=[INPUT],
        )
        for a in plan.buffers:
            for b in plan.buffers:
                if a is b or a.last < b.first or b.last < a.first:
                    continue
                assert a.offset + a.nbytes(5) <= b.offset or b.offset + b.nbytes(5) <= a.offset, (a, b)


def test_run_tasks_runs_each_once_and_raises_the_error():
    config.set_num_threads(3)
    seen = []
    run_tasks(100, seen.append)
    assert sorted(seen) == list(range(100))

    def fail(index):
        if index == 5:
            raise RuntimeError("five")

    with pytest.raises(RuntimeError, match="five"):
        run_tasks(20, fail)


def test_a_large_weight_gets_the_same_gradient_as_a_small_one(monkeypatch):
    """Its gradient is left to the end of the batch: other bits are allowed, another value isn't."""
    chain = small_convnet()
    batch = batch_for(chain, 11)
    _, expected = train(chain, batch, capacity=3, fused=True)
    monkeypatch.setattr(plan_module, "LARGE_NBYTES", 64)
    monkeypatch.setattr(parallel, "DEFERRED_SLICE", 16)
    plan_module._make_plan.cache_clear()
    results = []
    for count in (1, 2, 3):
        config.set_num_threads(count)
        results.append(train(chain, batch, capacity=3, fused=True)[1])
    plan_module._make_plan.cache_clear()
    # Eleven samples are added in another order: 11·u of the sum of magnitudes, which is near the largest element.
    np.testing.assert_allclose(results[0], expected, rtol=0, atol=11 * 1.1e-16 * 10 * np.abs(expected).max())
    assert results[0].tobytes() == results[1].tobytes() == results[2].tobytes()


# A kernel may add its products one by one to what is there; the reference adds a chunk's whole gradient.
@pytest.mark.parametrize(("backend", "n"), [("reference", 9), ("numba", 4)])
def test_chunks_are_summed_lane_by_lane(backend, n):
    """Chunk k adds to accumulator k mod 4; then ((a0 + a1) + a2) + a3. In float32 another order gives other bits."""
    chain = small_convnet("float32")
    batch = batch_for(chain, n, "float32")
    _, gradient = train(chain, batch, capacity=1, backend=backend)
    alone = [
        train(chain, {name: a[k : k + 1] for name, a in batch.items()}, capacity=1, backend=backend)[1]
        for k in range(n)
    ]
    lanes = [reduce(np.add, alone[lane :: plan_module.LANES]) for lane in range(plan_module.LANES)]
    assert gradient.tobytes() == reduce(np.add, lanes).tobytes()
    assert gradient.tobytes() != reduce(np.add, lanes[::-1]).tobytes()


def test_an_executor_can_be_used_again(monkeypatch):
    """Nothing of a batch is left for the next: larger, smaller, with other weights; also where a weight is large."""
    chain = small_convnet()
    for large in (plan_module.LARGE_NBYTES, 64):
        monkeypatch.setattr(plan_module, "LARGE_NBYTES", large)
        plan_module._make_plan.cache_clear()
        plan = make_plan(
            fuse(chain.ops), chain.input_shape, 3, training=True, dtype="float64", gradients=chain.paths
        )
        used = Executor(plan, chain.variables)
        for n, scale in ((5, 1.0), (2, 1.0), (11, 2.0), (3, -1.0), (11, 0.5)):
            batch = batch_for(chain, n)
            params = {path: scale * array for path, array in chain.params.items()}
            gradients = []
            for executor in (used, Executor(plan, chain.variables)):
                executor.run(params, batch["x"], target=batch["target"], seed=batch["seed"])
                gradients.append(executor.gradient.copy())
            assert gradients[0].tobytes() == gradients[1].tobytes()
            assert gradients[0].any()
    plan_module._make_plan.cache_clear()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("n", "rate"), [(11, 0.0), (17, 0.0), (11, 0.4)])
def test_the_next_batch_lies_where_it_likes(backend, n, rate):
    """At the same place or another one, as rows of a data set or gathered: the same comes of it, and is kept."""
    chain = small_convnet(rate=rate)
    plan = make_plan(
        fuse(chain.ops),
        chain.input_shape,
        3,
        training=True,
        dtype="float64",
        gradients=chain.paths,
        backend=backend,
    )
    used, params, data = Executor(plan, chain.variables), chain.params, batch_for(chain, 30)
    x, target = data["x"][:n].copy(), data["target"][:n].copy()
    rng, seen, expected = np.random.default_rng(0), [], []
    for step in range(8):
        numbers = rng.permutation(30)[:n]
        if step % 3 == 0:
            x, target = x.copy(), target.copy()
        x[...], target[...] = data["x"][numbers], data["target"][numbers]
        given = Rows(data["x"], numbers) if step in (2, 3, 4, 7) else x
        for executor, results in ((used, seen), (Executor(plan, chain.variables), expected)):
            batch = given if executor is used else x.copy()
            result = executor.run(params, batch, target=target, seed=data["seed"][:n], step=step)
            results.append((result.outputs, result.losses, executor.gradient.copy()))
    for first, second in zip(seen, expected, strict=True):
        assert [array.tobytes() for array in first] == [array.tobytes() for array in second]
    assert len({outputs.tobytes() for outputs, *_ in seen}) == 8


def test_without_a_seed_nothing_runs_backward():
    chain = small_convnet()
    batch = batch_for(chain, 3)
    plan = make_plan(chain.ops, chain.input_shape, training=True, dtype="float64", gradients=chain.paths)
    executor = Executor(plan, chain.variables)
    result = executor.run(chain.params, batch["x"], target=batch["target"])
    assert result.losses.shape == (3,)
    assert result.value_gradients == {}
    assert not any(view.any() for view in executor.gradients)
