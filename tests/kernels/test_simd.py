"""The instructions of `_simd_lowering` against the Python bodies in `_simd` that say what they mean.

A vector can't leave compiled code, so every function is tried in a small program of loads and stores. Compiled and
interpreted, the same program must leave the same bits: numbers are small integers, and sums exact.
"""

import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from minicnn.kernels import _jit, _simd
from minicnn.kernels._simd import (
    add_rows,
    add_scaled_rows,
    add_tiles,
    add_transposed,
    append_passed,
    copy_transposed,
    fetch_to_write,
    first_half,
    fold_max,
    index_row,
    is_finite,
    lanes,
    load_row,
    load_rows,
    max_state,
    outer_fma,
    passed_row,
    read,
    relu,
    repeat_rows,
    row_fma,
    rows_fma,
    second_half,
    select_row,
    shifted,
    store_max,
    store_rows,
    subtract_tiles,
    write,
    zeros,
    zeros_like,
)

ONE, TWO = (0,), (0, 0)
"""Rows of one and of two vectors."""


def sums(x, w, y, argmax, count):
    """Two rows of two vectors, the last one cut to `count`."""
    places = (2, 2 + 3 * lanes(x))
    tile = zeros(y, places, TWO)
    row = load_row(zeros(y, ONE, TWO), w, 1, count)
    tile = add_tiles(repeat_rows(tile, row), zeros_like(tile))
    tile = outer_fma(tile, x, (3, 5), 2, row)
    tile = rows_fma(tile, w, (0, 4), 1, read(x, 7), count)
    store_rows(y, places, tile, count)
    add_rows(y, places, load_rows(tile, w, (1, 2), count), count)
    add_scaled_rows(y, places, 1, read(x, 9), tile, count)
    fetch_to_write(y, 0)
    fetch_to_write(y, y.size + 1000)
    write(y, 0, 5)


def sums_of_whole_rows(x, w, y, argmax, count):
    """The same where nothing is masked, and what is only used there."""
    places = shifted((1, 1 + 3 * lanes(x)), 1)
    tile = load_rows(zeros(y, places, TWO), w, (0, 3), None)
    row = load_row(zeros(y, ONE, TWO), x, 0, None)
    tile = outer_fma(tile, x, places, 0, row)
    store_rows(y, places, relu(tile), None)
    add_rows(y, (places[0],), second_half(tile), None)
    add_scaled_rows(y, (places[1],), 0, read(x, 1), first_half(tile), None)


def equal_places(x, w, y, argmax, count):
    """Past the end a tile repeats its last row: it is added once."""
    tile = repeat_rows(zeros(y, (0, 0), ONE), load_row(zeros(y, ONE, ONE), w, 0, None))
    add_rows(y, (3, 3), tile, None)


def products(x, w, y, argmax, count):
    a, b = load_row(zeros(y, ONE, TWO), x, 1, count), load_row(zeros(y, ONE, TWO), w, 0, count)
    store_rows(y, (0,), relu(row_fma(a, b, a)), count)


def maxima(x, w, y, argmax, count):
    state = max_state(load_row(zeros(y, ONE, TWO), x, 0, count), 4)
    state = fold_max(state, load_rows(zeros(y, (0, 0), TWO), w, (0, 5), count), 5)
    state = fold_max(state, load_row(zeros(y, ONE, TWO), x, 1, count), 9)
    store_max(y, argmax, 1, state, count)


def maxima_of_whole_rows(x, w, y, argmax, count):
    state = max_state(load_row(zeros(y, ONE, ONE), x, 0, None), 0)
    store_max(y, argmax, 0, fold_max(state, load_row(zeros(y, ONE, ONE), w, 0, None), 1), None)


def finite_or_not(x, w, y, argmax, count):
    """Some tiles are, some have a NaN, −∞ or ∞ in the first vector, in the last lane, or where it is masked."""
    for k in range(8):
        tile = load_row(zeros(y, ONE, TWO), x, k * lanes(x), count)
        other = load_row(zeros(y, ONE, TWO), w, k * lanes(x), count)
        store_rows(y, (2 * k * lanes(x),), subtract_tiles(tile, other), count)
        write(y, y.size - 2 * _simd.VECTOR_NBYTES + k, 1 if is_finite(tile) else 0)


def blocks(x, w, y, argmax, count):
    copy_transposed(y, 3, lanes(x) + 1, x, 1, 2 * lanes(x))
    add_transposed(y, 5, lanes(x), w, 0, lanes(x) + 2)


def lists(x, w, y, argmax, count):
    """The gradients of two taps; what is left behind the last one says nothing, and isn't compared."""
    places, number = np.zeros(y.size, np.int32), 0
    for tap in range(2):
        for first in (0, lanes(x)):
            number += append_passed((y, places), number, (x, w, argmax), first, tap, (first * 3, 3))
    for k in range(number, number + lanes(x)):
        write(y, k, 7)
    for k in range(number):
        write(y, 4 * lanes(x) + k, read(places, k))


def routes(x, w, y, argmax, count):
    """What a ReLU and a pool let through."""
    passed = passed_row(zeros(y, ONE, TWO), x, w, 2, count)
    store_rows(y, (0,), select_row(passed, index_row(zeros(y, ONE, TWO), argmax, 2, count), 1), count)


PROGRAMS = (
    sums,
    sums_of_whole_rows,
    equal_places,
    products,
    maxima,
    maxima_of_whole_rows,
    finite_or_not,
    blocks,
    lists,
    routes,
)
# For the first vector of a row, the last one and what is left of it, see `_simd`: (v − 1)·lanes < count ≤ v·lanes.
LEFT = (1, 3, 0)


def results(program, dtype, index_type, left):
    rng, size = np.random.default_rng(3), 12 * _simd.VECTOR_NBYTES
    x, w = (rng.integers(-3, 4, size).astype(dtype) for _ in range(2))
    if getattr(program, "py_func", program) in (maxima, maxima_of_whole_rows):
        x[::5] = np.nan
        w[::7] = np.nan
        w[3::4] = -np.inf
    if getattr(program, "py_func", program) is finite_or_not:
        x[lanes(x)] = np.nan
        x[6 * lanes(x) - 1], x[7 * lanes(x)] = -np.inf, np.inf
    y, argmax = np.full(size, 7, dtype), rng.integers(0, 3, size).astype(index_type)
    program(x, w, y, argmax, lanes(x) + (left or lanes(x)))
    return y, argmax


@pytest.mark.jitted  # compiles; without the compiler the last test starts a process that has one
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("program", PROGRAMS)
def test_compiled_and_interpreted_programs_leave_the_same(program, dtype):
    options = _jit.OPTIONS | {"fastmath": False}
    # Names are looked up in the program's module, so the interpreted one is the plain function itself.
    compiled = numba.njit(**options)(program)
    for index_type in (np.uint8, np.int32):
        for left in LEFT:
            for ours, meant in zip(
                results(compiled, dtype, index_type, left),
                results(program, dtype, index_type, left),
                strict=True,
            ):
                np.testing.assert_array_equal(ours, meant)
            if program not in (maxima, sums, products, routes, finite_or_not):
                break


def test_programs_change_something():
    """None of them is vacuous: each writes what wasn't there, and masks leave what they must."""
    for program in PROGRAMS:
        y, _ = results(program, np.float32, np.uint8, 1)
        assert (y != 7).any()
        assert (y[-_simd.VECTOR_NBYTES :] == 7).all()


@pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT") != "1", reason="the tests above have run in this process"
)
def test_the_same_in_a_process_with_the_compiler():
    program = f"import pytest, sys; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', {__file__!r}]))"
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"NUMBA_DISABLE_JIT": "0"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout
