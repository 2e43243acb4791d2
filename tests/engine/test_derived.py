"""Weights in another layout: remade when the weights change, shared by all threads, the same bits in any chunk."""

import numpy as np
import pytest

from minicnn.engine import workspace
from minicnn.engine.ops import ConvReLUPool
from minicnn.engine.parallel import Executor
from minicnn.engine.plan import LANES, make_plan
from minicnn.engine.workspace import Derived
from minicnn.geometry import make_window
from tests.engine import test_identity as identity

pytestmark = pytest.mark.jitted

# Two convolutions wide enough for Winograd's algorithm, one padded, and 21 images in chunks of a few.
NET = identity.Net(
    (9, 10, 16),
    [
        ("Conv2D", {"filters": 32, "kernel_size": (3, 3), "padding": "same", "activation": "relu"}),
        ("MaxPooling2D", {"pool_size": (2, 2)}),
        ("Conv2D", {"filters": 32, "kernel_size": (3, 3), "activation": "relu"}),
        ("MaxPooling2D", {"pool_size": (2, 2)}),
        ("Flatten", {}),
    ],
    "RMSprop",
    5,
)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_winograd_has_the_same_bits_on_any_number_of_threads_and_for_any_part_of_a_batch(dtype):
    with identity.setting(dtype, 1 << 16, 1 << 16):
        x, y = identity.data_for(NET, 21)
        expected = identity.trained(NET, x, y, 2, 1)
        for count in (2, 3):
            identity.assert_same_bits(identity.trained(NET, x, y, 2, count), expected, f"{count} threads")
        model = identity.build(NET)
        whole, part = model.predict(x, batch_size=21, verbose=0), [20, 3, 4, 7]
        assert model.predict(x[part], batch_size=3, verbose=0).tobytes() == whole[part].tobytes()


def pooled_op():
    window = make_window((6, 6), (3, 3))
    pool = make_window(window.output_size, (2, 2), (2, 2))
    return ConvReLUPool(name="conv", parameters=("w",), window=window, filters=32, groups=1, pool=pool)


def test_inference_sees_weights_that_were_changed_in_place():
    rng = np.random.default_rng(0)
    w, x = (rng.integers(-3, 4, shape).astype(np.float32) for shape in ((3, 3, 16, 32), (2, 6, 6, 16)))
    executor = Executor(make_plan([pooled_op()], (6, 6, 16)))
    before = executor.run({"w": w}, x).outputs
    w *= -1
    after = executor.run({"w": w}, x).outputs
    assert (before != after).any()
    np.testing.assert_array_equal(
        after, Executor(make_plan([pooled_op()], (6, 6, 16))).run({"w": w}, x).outputs
    )


def pooled_derived(copies):
    plan = make_plan([pooled_op()], (6, 6, 16), training=True, gradients=["w"], value_gradients=["input"])
    return Derived(plan, copies)


def test_derived_arrays_start_at_a_cache_line():
    arrays = pooled_derived(1).of_lane(0)[0]
    assert set(arrays) == {"winograd", "by_window"}
    assert all(array.ctypes.data % 64 == 0 for array in arrays.values())


@pytest.mark.parametrize(
    ("copies", "shares"), [(1, [0, 0, 0, 0]), (2, [0, 0, 1, 1]), (3, [0, 0, 1, 2]), (4, [0, 1, 2, 3])]
)
def test_lanes_that_a_thread_runs_share_a_copy_and_all_are_remade(copies, shares):
    derived = pooled_derived(copies)
    places = [derived.of_lane(lane)[0]["winograd"].ctypes.data for lane in range(2 * LANES)]
    distinct = list(dict.fromkeys(places))
    assert [distinct.index(place) for place in places] == shares * 2
    w = np.random.default_rng(0).standard_normal((3, 3, 16, 32), np.float32)
    for _ in range(2):
        w *= -1
        derived.update([(w,)])
        for name, array in derived.copies[0][0].items():
            assert array.any()
            for other in derived.copies[1:]:
                np.testing.assert_array_equal(other[0][name], array)


def test_large_ones_are_not_copied(monkeypatch):
    monkeypatch.setattr(workspace, "COPIED_NBYTES", 100)
    assert len(pooled_derived(4).copies) == 1
