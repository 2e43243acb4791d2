"""The stream of seeds: repeatable, and touched by nobody else."""

import random as python_random

import numpy as np

from minicnn import random


def test_a_seed_repeats_the_stream():
    random.reset_stream(7)
    first = [random.next_seed() for _ in range(5)]
    random.reset_stream(7)
    assert [random.next_seed() for _ in range(5)] == first
    assert len(set(first)) == 5
    assert all(0 <= seed < 2**32 for seed in first)
    random.reset_stream(8)
    assert [random.next_seed() for _ in range(5)] != first


def test_other_generators_neither_change_it_nor_are_changed():
    random.reset_stream(7)
    first = random.next_seed()
    python_random.seed(1)
    np.random.seed(1)
    before = python_random.getstate(), np.random.get_state()[1].tolist()
    random.reset_stream(7)
    python_random.random()
    np.random.random()
    assert random.next_seed() == first
    python_random.seed(1)
    np.random.seed(1)
    random.next_seed()
    assert (python_random.getstate(), np.random.get_state()[1].tolist()) == before


def test_a_state_can_be_restored():
    random.reset_stream(1)
    random.next_seed()
    state = random.stream_state()
    expected = [random.next_seed() for _ in range(3)]
    random.restore_stream(state)
    assert [random.next_seed() for _ in range(3)] == expected
