"""The machine's peak, measured in a process of its own."""

import time

import numpy as np
import pytest

from minicnn.engine import peak


def test_a_rate_that_a_product_in_this_process_confirms():
    rate = peak.matmul_gflops("float32", seconds=0.1)
    a, best = np.ones((256, 256), np.float32), float("inf")
    for _ in range(20):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    # Any number of threads here, a smaller product, another moment: only the order of magnitude must agree.
    assert 2 * 256**3 / best / 1e9 / 100 < rate < 100 * 2 * 256**3 / best / 1e9


def test_the_process_is_told_to_use_one_thread(monkeypatch):
    told = f"{{os.environ[name] for name in {peak.THREADS!r}}} == {{'1'}}"
    program = f"import os; print(1e9 if {told} else 0)"
    monkeypatch.setattr(peak, "PROGRAM", program)
    assert peak.matmul_gflops() == 1e9


def test_what_is_no_float_type_is_refused():
    with pytest.raises(ValueError, match=r"`dtype` must be float32 or float64\. Received dtype='int8'"):
        peak.matmul_gflops("int8")


def test_a_process_that_fails_says_why(monkeypatch):
    monkeypatch.setattr(peak, "PROGRAM", "raise SystemExit('no BLAS today')")
    with pytest.raises(OSError, match="no BLAS today"):
        peak.matmul_gflops()
