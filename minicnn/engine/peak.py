"""The machine's measured peak: what NumPy's matrix product reaches with one thread."""

import os
import subprocess
import sys

import numpy as np

SIZE = 768
"""Rows and columns: 0.9 GFLOP a product, and three matrices that stay in the L2 or L3 cache."""

THREADS = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

PROGRAM = """
import sys
from time import perf_counter
import numpy as np
size, dtype, seconds = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
a, b = np.random.default_rng(0).random((2, size, size)).astype(dtype)
c, best, end = np.empty_like(a), float("inf"), perf_counter() + seconds
while perf_counter() < end or best == float("inf"):
    start = perf_counter()
    np.matmul(a, b, out=c)
    best = min(best, perf_counter() - start)
print(2 * size**3 / best / 1e9)
"""


def matmul_gflops(dtype: str = "float32", seconds: float = 0.5) -> float:
    """10⁹ FLOP/s of the fastest of the products of two square matrices that fit into `seconds`.

    In a process of its own, because the number of a BLAS library's threads is read when it is loaded, and nobody
    else's threads are changed here.

    Raises:
        ValueError: not a NumPy float type.
        OSError: no process could be started, or it failed.
    """
    name = np.dtype(dtype).name
    if name not in ("float32", "float64"):
        raise ValueError(f"`dtype` must be float32 or float64. Received dtype={dtype!r}.")
    command = [sys.executable, "-c", PROGRAM, str(SIZE), name, str(seconds)]
    done = subprocess.run(
        command, env=os.environ | dict.fromkeys(THREADS, "1"), capture_output=True, text=True
    )
    if done.returncode:
        raise OSError(f"The matrix product that measures the machine's peak failed: {done.stderr.strip()}")
    return float(done.stdout)
