"""Copies between a fixed place and wherever a batch lies."""

import numpy as np
import pytest

from minicnn.kernels import elementwise
from minicnn.kernels._copy import copy_in, copy_out
from minicnn.kernels._program import Program
from minicnn.recording import recording


def bytes_of(array):
    """(rows, bytes of a row)."""
    return array.reshape(len(array), -1).view(np.uint8)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("shape", [(1,), (7,), (5, 3), (4, 2, 9)])
def test_as_many_bytes_as_the_place_has(shape, dtype):
    n = shape[0]
    source, target = (
        np.arange((n + 2) * np.prod(shape[1:], dtype=int)).reshape(n + 2, *shape[1:]) for _ in "ab"
    )
    source, target = source.astype(dtype), np.zeros_like(target, dtype)
    place, cells = np.empty(shape, dtype), np.zeros((2, 2), np.int64)
    cells[:, 0] = source[1:].ctypes.data, target[1:].ctypes.data
    copy_in(bytes_of(place), cells, 0)
    assert np.array_equal(place, source[1:-1])
    copy_out(bytes_of(place), cells, 1)
    assert np.array_equal(target[1:-1], source[1:-1])
    assert not target[0].any() and not target[-1].any()


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("shape", [(9,), (6, 5), (3, 4, 2)])
def test_rows_in_any_order(shape, dtype):
    source = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    for numbers in ([0], [len(source) - 1], [2, 0, 2, 1, 1]):
        numbers = np.array([0, *numbers])
        place = np.empty((len(numbers) - 1, *shape[1:]), dtype)
        cells = np.array([(0, 0), (source.ctypes.data, numbers[1:].ctypes.data)])
        copy_in(bytes_of(place), cells, 1)
        assert np.array_equal(place, source[numbers[1:]])


@pytest.mark.jitted
def test_a_program_reads_and_writes_where_the_cells_say():
    arrays = [np.arange(-3, 4.0) * k for k in range(4)]
    results = [np.zeros(7) for _ in arrays]
    place, cells, numbers = np.empty(7), np.zeros((2, 2), np.int64), np.arange(7)[::-1].copy()
    cells[:, 0] = arrays[1].ctypes.data, results[1].ctypes.data
    with recording() as recorded:
        copy_in(bytes_of(place), cells, 0)
        elementwise.relu_forward(place, place)
        copy_out(bytes_of(place), cells, 1)
    program = Program(recorded.calls)
    for x, y in zip(arrays, results, strict=True):
        for order in (0, numbers.ctypes.data):
            cells[:] = (x.ctypes.data, order), (y.ctypes.data, 0)
            program.run()
            assert np.array_equal(y, np.maximum(x[::-1] if order else x, 0))
