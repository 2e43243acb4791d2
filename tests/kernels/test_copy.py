"""Copies between a fixed place and wherever a batch lies."""

import numpy as np
import pytest

from minicnn.kernels import elementwise
from minicnn.kernels._copy import copy_in, copy_out
from minicnn.kernels._program import Program
from minicnn.recording import recording


def bytes_of(array):
    return array.reshape(-1).view(np.uint8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [0, 1, 7, 1000])
def test_as_many_bytes_as_the_place_has(size, dtype):
    source, target = np.arange(size + 2).astype(dtype), np.zeros(size + 2, dtype)
    place, cells = np.empty(size, dtype), np.array([source[1:].ctypes.data, target[1:].ctypes.data])
    copy_in(bytes_of(place), cells, 0)
    assert np.array_equal(place, source[1:-1])
    copy_out(bytes_of(place), cells, 1)
    assert np.array_equal(target, [0, *source[1:-1], 0])


@pytest.mark.jitted
def test_a_program_reads_and_writes_where_the_cells_say():
    arrays = [np.arange(-3, 4.0) * k for k in range(4)]
    results = [np.zeros(7) for _ in arrays]
    place, cells = np.empty(7), np.zeros(2, np.int64)
    cells[:] = arrays[1].ctypes.data, results[1].ctypes.data
    with recording() as recorded:
        copy_in(bytes_of(place), cells, 0)
        elementwise.relu_forward(place, place)
        copy_out(bytes_of(place), cells, 1)
    program = Program(recorded.calls)
    for x, y in zip(arrays, results, strict=True):
        cells[:] = x.ctypes.data, y.ctypes.data
        program.run()
        assert np.array_equal(y, np.maximum(x, 0))
