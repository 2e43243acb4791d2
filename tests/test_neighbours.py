"""Importing minicnn, and training with it, changes nothing in other libraries' threads."""

import json
import subprocess
import sys

SCRIPT = """
import json, os, sys, threading
import numpy
from threadpoolctl import threadpool_info

def state():
    pools = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info() if pool["filepath"] in known}
    return {"pools": pools, "environment": dict(os.environ), "threads": threading.active_count()}

known = {pool["filepath"] for pool in threadpool_info()}
assert known, "NumPy has a BLAS with threads"
states = [state()]
import minicnn
from minicnn import Input, layers, models
states.append(state())
model = models.Sequential([Input(shape=(8, 8, 1)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(2)])
model.compile("sgd", "mse")
if "meddle" in sys.argv:
    from threadpoolctl import threadpool_limits
    threadpool_limits(1)
    os.environ["OMP_NUM_THREADS"] = "1"
model.fit(numpy.zeros((64, 8, 8, 1)), numpy.zeros((64, 2)), verbose=0)
states.append(state() | {"threads": None})
print(json.dumps(states))
"""


def states(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_blas_keeps_its_threads_and_importing_starts_none():
    before, imported, trained = states()
    assert imported == before
    assert trained["pools"] == before["pools"]
    assert trained["environment"] == before["environment"]


def test_meddling_would_be_seen():
    before, _, trained = states("meddle")
    assert trained["environment"] != before["environment"]
    if max(before["pools"].values()) > 1:
        assert trained["pools"] != before["pools"]


OTHERS = """
import sys
import numpy
from minicnn import Input, layers, models
model = models.Sequential([Input(shape=(8, 8, 1)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(2)])
model.predict(numpy.zeros((2, 8, 8, 1)), verbose=0)
assert "numba" in sys.modules
assert "scipy.linalg" not in sys.modules, "SciPy's BLAS was loaded"

import numba

@numba.njit
def products(a):
    return a @ a, numpy.correlate(a[0], a[1])

a = numpy.arange(9.0).reshape(3, 3)
assert numpy.array_equal(products(a)[0], a @ a)
assert numpy.array_equal(products(a)[1], numpy.correlate(a[0], a[1]))
"""


def test_no_second_blas_is_loaded_and_others_may_still_load_one():
    done = subprocess.run([sys.executable, "-c", OTHERS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
