"""One image over several threads: every band gives the bits that the whole image gives."""

import numpy as np
import pytest

from minicnn import config
from minicnn.engine import bands, ops
from minicnn.engine.parallel import Executor
from minicnn.engine.parameters import Variable
from minicnn.engine.plan import INPUT, make_plan
from minicnn.geometry import make_window

SHAPES = {  # image, channels, filters, kernel, strides, padding, dilation, groups
    "plain": ((13, 11), 17, 33, (3, 3), (1, 1), "valid", (1, 1), 1),
    "same": ((13, 11), 16, 8, (3, 3), (1, 1), "same", (1, 1), 1),
    "strided": ((14, 9), 20, 5, (5, 4), (3, 2), "same", (1, 1), 1),
    "gaps": ((12, 12), 18, 4, (2, 2), (3, 3), "valid", (1, 1), 1),
    "dilated": ((15, 12), 16, 6, (3, 2), (1, 1), "same", (3, 2), 1),
    "narrow": ((40, 31), 3, 7, (3, 3), (1, 1), "same", (1, 1), 1),
    "banded": ((50, 37), 16, 6, (3, 3), (1, 1), "same", (1, 1), 1),
    "one row": ((1, 30), 16, 6, (3, 3), (1, 1), "same", (1, 1), 1),
    "depthwise": ((14, 13), 19, 19, (3, 3), (1, 1), "same", (1, 1), 19),
    "depthwise, strided": ((15, 12), 10, 10, (5, 4), (2, 3), "same", (1, 1), 10),
}


@pytest.fixture(autouse=True)
def everything_is_worthwhile(monkeypatch):
    monkeypatch.setattr(bands, "WORTHWHILE", 0)
    number = config.num_threads()
    yield
    config.set_num_threads(number)


def results(name, threads, n=1):
    size, channels, filters, kernel, strides, padding, dilation, groups = SHAPES[name]
    window = make_window(size, kernel, strides, padding, dilation)
    op = ops.Conv2D(name="y", parameters=("y/w", "y/b"), window=window, filters=filters, groups=groups)
    rng = np.random.default_rng(0)
    shapes = ((*kernel, channels // groups, filters), (filters,))
    params = [
        Variable(rng.standard_normal(shape).astype(np.float32), name=path, path=path)
        for shape, path in zip(shapes, op.parameters, strict=True)
    ]
    shape = (*size, channels)
    plan = make_plan([op], shape, training=True, gradients=op.parameters, value_gradients=[INPUT])
    x, seed = (rng.standard_normal((n, *s)).astype(np.float32) for s in (shape, plan.output_shape))
    config.set_num_threads(threads)
    executor = Executor(plan, params)
    batch = executor.run({v.path: v.array for v in params}, x, seed=seed)
    return batch.outputs, batch.value_gradients[INPUT], *executor.gradients


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("threads", [2, 3, 5])
def test_the_number_of_threads_changes_no_bit(name, threads):
    for whole, cut in zip(results(name, 1), results(name, threads), strict=True):
        np.testing.assert_array_equal(cut, whole)


@pytest.mark.parametrize("cuts", ["forward_bands", "backward_bands"])
def test_bands_are_used(cuts, monkeypatch):
    asked = []
    original = getattr(bands, cuts)
    monkeypatch.setattr(bands, cuts, lambda *args: asked.append(args) or original(*args))
    results("plain", 2)
    assert [parts for _, parts in asked] == [2]


def test_several_images_are_not_cut(monkeypatch):
    monkeypatch.setattr(bands, "run_tasks", None)
    results("plain", 2, n=2)
