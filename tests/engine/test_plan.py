"""Plans: how large a chunk is, what lives how long, what is computed at all."""

import numpy as np
import pytest

from minicnn.engine import ops
from minicnn.engine import plan as plan_module
from minicnn.engine.parallel import Executor
from minicnn.engine.plan import ALIGNMENT, CHUNK_BYTES, INPUT, MAX_CAPACITY, WORTHWHILE_NBYTES, make_plan
from minicnn.engine.workspace import Derived, Workspace
from tests.engine.chains import batch_for, small_convnet

BACKENDS = ("reference", "numba")


def names(chain):
    return [op.name for op in chain.ops[:-1]]


def run(chain, batch, capacity=2, **wants):
    plan = make_plan(
        chain.ops, chain.input_shape, capacity, training=True, dtype="float64", gradients=chain.paths, **wants
    )
    executor = Executor(plan, chain.variables)
    return executor.run(chain.params, batch["x"], target=batch["target"], seed=batch["seed"])


@pytest.mark.parametrize(
    ("sample_nbytes", "capacity"),
    [
        (1, MAX_CAPACITY),
        (CHUNK_BYTES // MAX_CAPACITY, MAX_CAPACITY),
        (CHUNK_BYTES // MAX_CAPACITY + 1, MAX_CAPACITY // 2),
        (CHUNK_BYTES // 2, 2),
        (CHUNK_BYTES // 2 + 1, 1),
        (10 * CHUNK_BYTES, 1),
    ],
)
def test_a_chunk_is_the_largest_power_of_two_that_fits(sample_nbytes, capacity):
    assert plan_module._capacity(sample_nbytes) == capacity


@pytest.mark.parametrize(
    ("sample_nbytes", "weights_nbytes", "capacity"),
    [
        (CHUNK_BYTES, CHUNK_BYTES, 1),  # they stay in the cache
        (CHUNK_BYTES, 8 * CHUNK_BYTES, 8),
        (CHUNK_BYTES, 8 * CHUNK_BYTES + 1, 16),
        (9 * CHUNK_BYTES, 8 * CHUNK_BYTES, 1),
        (1, 8 * CHUNK_BYTES, MAX_CAPACITY),
    ],
)
def test_a_chunk_is_not_smaller_than_large_weights(sample_nbytes, weights_nbytes, capacity):
    assert plan_module._capacity(sample_nbytes, weights_nbytes) == capacity


def test_the_default_capacity_fits_and_its_double_does_not():
    chain = small_convnet()
    big = [ops.Rescaling(name="x", scale=2.0, offset=0.0), ops.Tanh(name="y")]
    plan = make_plan(big, (64, 64, 3), dtype="float64")
    assert 1 < plan.capacity < MAX_CAPACITY
    assert plan.arena_nbytes <= CHUNK_BYTES
    assert make_plan(big, (64, 64, 3), 2 * plan.capacity, dtype="float64").arena_nbytes > CHUNK_BYTES
    assert make_plan(chain.ops, chain.input_shape).capacity == MAX_CAPACITY


def test_the_same_arguments_give_the_same_plan():
    chain = small_convnet()
    wants = {"training": True, "gradients": chain.paths}
    plan = make_plan(chain.ops, chain.input_shape, 3, **wants)
    assert make_plan(list(chain.ops), chain.input_shape, 3, **wants) is plan
    assert make_plan(chain.ops, chain.input_shape, 4, **wants) is not plan
    assert hash(plan) == hash(plan)


def test_an_empty_chain_is_the_identity():
    plan = make_plan([], (3,))
    assert (plan.output_shape, plan.has_loss, plan.runs_backward, plan.arena_nbytes) == (
        (3,),
        False,
        False,
        0,
    )


def test_a_reshape_that_loses_elements_is_refused():
    with pytest.raises(
        ValueError, match=r"Reshape 'r' must keep the number of elements\. Received \(2, 3\) → \(5,\)"
    ):
        make_plan([ops.Reshape(name="r", shape=(5,))], (2, 3))


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_kept_is_what_was_computed(backend):
    """Each value and each gradient alone, when its neighbours' memory is used again, and all at once."""
    chain = small_convnet()
    batch, every = batch_for(chain, 5), [INPUT, *names(chain)]
    whole = run(chain, batch, backend=backend, intermediates=every[1:], value_gradients=every)
    for name in every:
        values = [name] if name != INPUT else []
        alone = run(chain, batch, backend=backend, intermediates=values, value_gradients=[name])
        np.testing.assert_array_equal(alone.value_gradients[name], whole.value_gradients[name])
        assert np.any(alone.value_gradients[name])
        for value in values:
            np.testing.assert_array_equal(alone.values[value], whole.values[value])
    # Flattening moves nothing.
    np.testing.assert_array_equal(
        whole.value_gradients["flat"].ravel(), whole.value_gradients["second"].ravel()
    )
    np.testing.assert_array_equal(whole.values["flat"].ravel(), whole.values["second"].ravel())


def test_only_what_is_wanted_is_computed():
    chain = small_convnet()

    def wanted(**wants):
        plan = make_plan(chain.ops, chain.input_shape, training=True, **wants)
        return [(s.op.name, s.wants_dx, s.wants_dw) for s in plan.steps if s.runs_backward]

    assert wanted() == []
    assert wanted(gradients=["dense/bias"]) == [("dense", False, True), ("loss", True, False)]
    assert wanted(value_gradients=["flat"]) == [("dense", True, False), ("loss", True, False)]
    # The first convolution's dx would be the input's gradient.
    assert wanted(gradients=["conv/kernel"])[0] == ("conv/linear", False, True)
    assert wanted(value_gradients=[INPUT])[0] == ("conv/linear", True, False)
    assert [name for name, _, wants_dw in wanted(gradients=["conv/kernel"]) if wants_dw] == ["conv/linear"]


def test_a_frozen_large_weight_defers_nothing(monkeypatch):
    monkeypatch.setattr(plan_module, "LARGE_NBYTES", 64)
    plan_module._make_plan.cache_clear()
    chain = small_convnet()
    plan = make_plan(chain.ops, chain.input_shape, training=True, gradients=["conv/kernel"])
    large = make_plan(chain.ops, chain.input_shape, training=True, gradients=["dense/kernel"])
    plan_module._make_plan.cache_clear()
    assert [s.op.name for s in plan.steps if s.is_deferred] == []
    assert [s.op.name for s in large.steps if s.is_deferred] == ["dense"]


def test_dropout_acts_in_training_alone():
    chain = [ops.Dropout(name="d", rate=0.5, seed=1)]
    x = np.ones((4, 50), np.float32)
    outputs = [Executor(make_plan(chain, (50,), training=on)).run({}, x).outputs for on in (False, True)]
    np.testing.assert_array_equal(outputs[0], x)
    assert set(np.unique(outputs[1])) == {0, 2}


def test_a_workspace_is_aligned_and_its_views_lie_in_it():
    chain = small_convnet()
    plan = make_plan(chain.ops, chain.input_shape, 4, training=True, gradients=chain.paths)
    ws = Workspace(plan, Derived(plan))
    assert ws.arena.ctypes.data % ALIGNMENT == 0
    assert ws.arena.nbytes == plan.arena_nbytes
    for buffer in plan.buffers:
        assert buffer.offset % ALIGNMENT == 0
        for n in (4, 1):
            view = ws.view(buffer, n)
            assert view.shape == (n, *buffer.shape)
            assert view.ctypes.data == ws.arena.ctypes.data + buffer.offset
            assert buffer.offset + view.nbytes <= ws.arena.nbytes
    assert [frame.n for frame in ws.frames(3)] == [3] * len(plan.steps)
    assert ws.frames(3) is ws.frames(3)
    assert ws.frames(4)[0].n == 4


@pytest.mark.parametrize(
    ("n", "sizes"),
    [
        (64, [16] * 4),
        (65, [16] * 4 + [1]),
        (40, [10] * 4),
        (8, [2] * 4),
        (7, [2, 2, 2, 1]),
        (1, [1]),
        (0, []),
    ],
)
def test_a_batch_is_cut_into_chunks_for_all_lanes(n, sizes):
    plan = make_plan([ops.ReLU(name="y")], (128, 128, 2), 16)
    assert plan.arena_nbytes // plan.capacity == WORTHWHILE_NBYTES
    chunks = plan.chunks(n)
    assert [chunk.stop - chunk.start for chunk in chunks] == sizes
    assert [k for chunk in chunks for k in range(n)[chunk]] == list(range(n))


def test_a_small_chunk_is_not_cut():
    plan = make_plan([ops.ReLU(name="y")], (8, 8, 2), 16)
    assert plan.chunks(16) == [slice(0, 16)]
