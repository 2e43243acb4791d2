"""Weights in another layout: remade when the weights change, shared by all threads, the same bits in any chunk."""

import numpy as np
import pytest

from minicnn.engine.ops import ConvReLUPool
from minicnn.engine.parallel import Executor
from minicnn.engine.plan import make_plan
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


def test_derived_arrays_start_at_a_cache_line():
    plan = make_plan([pooled_op()], (6, 6, 16), training=True, gradients=["w"], value_gradients=["input"])
    arrays = Derived(plan).arrays[0]
    assert set(arrays) == {"winograd", "by_window"}
    assert all(array.ctypes.data % 64 == 0 for array in arrays.values())
