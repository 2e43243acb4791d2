"""Programs: kernel calls repeated by machine code do what the calls did."""

from typing import NamedTuple

import numpy as np
import pytest

from minicnn.kernels import dense, elementwise
from minicnn.kernels._jit import kernel
from minicnn.kernels._program import WORDS, Program, words_of
from minicnn.recording import recording, run_or_repair

pytestmark = pytest.mark.jitted


class Pair(NamedTuple):
    first: int
    second: tuple[int, int]


@kernel
def place(x, numbers, y, factor):
    """y = factor·x plus what is in the tuples; every kind of argument that a program can hold."""
    for k in range(len(x)):
        y[k] = factor * x[k] + numbers.first * 100 + numbers.second[0] * 10 + numbers.second[1]


@kernel
def is_positive(x, y):
    """y = x as far as it is positive; False where that ends."""
    for k in range(len(x)):
        if x[k] <= 0:
            return False
        y[k] = x[k]
    return True


@kernel
def last_of(x, size):
    x[0] = np.zeros(size[0], np.float64)[-1]


def test_a_program_repeats_on_what_the_arrays_hold_now():
    rng = np.random.default_rng(0)
    x, w, b = (rng.random(shape, np.float32) for shape in [(5, 7), (7, 9), (9,)])
    y = np.empty((5, 9), np.float32)
    with recording() as recorded:
        dense.dense_forward(x, w, b, y)
        elementwise.relu_forward(y.reshape(-1), y.reshape(-1))
    program = Program(recorded.calls)
    x[:] = rng.normal(size=x.shape)
    program.run()
    again = np.empty_like(y)
    dense.dense_forward(x, w, b, again)
    assert np.array_equal(y, np.maximum(again, 0))


def test_integers_and_tuples_arrive_in_their_places():
    x, y = np.arange(4.0), np.empty(4)
    with recording() as recorded:
        place(x, Pair(1, (2, 3)), y, 7)
    y[:] = 0
    Program(recorded.calls).run()
    assert y.tolist() == [123, 130, 137, 144]


def test_a_call_that_fails_is_repaired_and_the_next_one_made():
    x, y, z = np.ones(3), np.zeros(3), np.zeros(3)

    def repair():
        y[:] = -1

    with recording() as recorded:
        run_or_repair(is_positive, (x, y), repair)
        place(y, Pair(0, (0, 0)), z, 2)
    program = Program(recorded.calls)
    program.run()
    assert z.tolist() == [2, 2, 2]
    x[1] = 0
    program.run()
    assert y.tolist() == [-1, -1, -1]
    assert z.tolist() == [-2, -2, -2]


def test_what_a_kernel_raises_is_raised():
    x, size, before = np.zeros(1), np.ones(1, np.int64), np.zeros(1)
    with recording() as recorded:
        place(x, Pair(0, (0, 1)), before, 0)
        last_of(x, size)
        place(x, Pair(0, (0, 2)), before, 0)
    program = Program(recorded.calls)
    program.run()
    size[0] = 1 << 60
    with pytest.raises(ValueError, match="too big"):
        program.run()
    assert before == [1]


@pytest.mark.parametrize("args", [(1.0,), (True,), (np.float32(1),), ((1, (2.0,)),), ("one",)])
def test_what_travels_otherwise_is_refused(args):
    with pytest.raises(TypeError, match="arrays, integers and tuples"):
        words_of(args)


def test_more_words_than_there_is_room_for_are_refused():
    with recording() as recorded:
        place(np.zeros(1), Pair(0, (0, 0)), np.zeros(1), 1)
    with pytest.raises(ValueError):
        Program([recorded.calls[0]._replace(args=(0,) * (WORDS + 1))])
