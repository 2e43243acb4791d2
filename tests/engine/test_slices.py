"""Slices cover everything, once in each call, whoever works on them, taken down or not."""

import numpy as np
import pytest

from minicnn import config
from minicnn.engine import slices
from minicnn.engine.binding import kernels_only
from minicnn.engine.slices import Sliced
from minicnn.kernels.elementwise import add_up


@pytest.fixture(autouse=True)
def restore_threads():
    number = config.num_threads()
    yield
    config.set_num_threads(number)


@pytest.mark.parametrize("threads", [1, 2, 3, 40])
@pytest.mark.parametrize("size", [1, slices.LEAST_IN_PYTHON, 3 * slices.LEAST_IN_PYTHON + 17])
def test_python_in_slices(size, threads):
    config.set_num_threads(threads)
    covered, parts = np.zeros(size, int), []

    def mark(part):
        covered[part] += 1
        parts.append(part)

    sliced = Sliced(size, mark)
    sliced()
    sliced()
    assert (covered == 2).all()
    assert len(parts) == 2 * min(threads, -(-size // slices.LEAST_IN_PYTHON))


@pytest.mark.parametrize("threads", [1, 2, 3, 40])
@pytest.mark.parametrize("size", [16, slices.LEAST, 9 * slices.LEAST + 16, 100 * slices.LEAST])
def test_machine_code_in_slices(size, threads):
    """Each call adds up what the rows hold then."""
    config.set_num_threads(threads)
    total, rows, calls = np.zeros(size), np.zeros((3, size)), []

    @kernels_only
    def add(part):
        calls.append(part)
        add_up(total, rows, part.start, part.stop)

    sliced = Sliced(size, add)
    for value in (1.0, 2.0, 3.0):
        rows[...] = value
        sliced()
        assert (total == 3 * value).all()
        assert (rows == 0).all()
    assert len(calls) <= slices.MOST * 3


@pytest.mark.jitted
def test_python_is_asked_once():
    total, rows, calls = np.zeros(16), np.ones((2, 16)), []

    @kernels_only
    def add(part):
        calls.append(part)
        add_up(total, rows, part.start, part.stop)

    sliced = Sliced(16, add)
    for _ in range(3):
        sliced()
    assert len(calls) == 1


def test_another_number_of_threads_takes_it_down_anew():
    covered = np.zeros(4 * slices.LEAST, int)

    def mark(part):
        covered[part] += 1

    sliced = Sliced(len(covered), mark)
    for threads in (1, 2, 3, 1):
        config.set_num_threads(threads)
        sliced()
    assert (covered == 4).all()
