"""Tiny cases for the real worker, and a peer that can be made wrong, dead or slow."""

import os

import pytest

from minicnn.bench.neutral import Convolution, Network
from minicnn.bench.run import run
from minicnn.bench.table import Contestant, Effort, Measurement

NET = Network(
    "tiny",
    (8, 8, 1),
    (
        ("Conv2D", {"filters": 3, "kernel_size": 3, "activation": "relu"}),
        ("MaxPooling2D", {"pool_size": 2}),
        ("Flatten", {}),
        ("Dense", {"units": 4, "activation": "softmax"}),
    ),
    "categorical_crossentropy",
    4,
)
CONVOLUTION = Convolution(2, 7, 4, 6, 3, stride=2, padding="same", groups=2)
EFFORT = Effort(rounds=2, samples=2, steps=4, at_least_s=0.001)

BAD_PEER = """
import os, time
import numpy as np
from minicnn.bench.peers import Job, reference

def wrong(job):
    return job._replace(answers=lambda: {k: a + 0.01 * np.abs(a).max() for k, a in job.answers().items()})

def not_a_number(job):
    return job._replace(answers=lambda: {k: a * np.nan for k, a in job.answers().items()})

def dies(job):
    return job._replace(run=lambda: os._exit(3))

def raises(job):
    return job._replace(run=lambda: [][1])

def dies_later(job):
    calls = []
    def run():
        calls.append(0)
        if len(calls) > 3:
            os._exit(4)
        time.sleep(0.002)
    return job._replace(run=run)

def slow(job):
    return job._replace(prepare=lambda: time.sleep(0.1), run=lambda: time.sleep(0.1))

def inference(*arguments):
    make = next(iter(reference.inference(*arguments).values()))
    ways = os.environ["BAD_PEER"].split(",")
    return {way: lambda way=way: globals()[way](make()) if way != "right" else make() for way in ways}
"""


@pytest.fixture
def bad_peer(tmp_path, monkeypatch):
    """Call with names of ways to be bad; the peer `bad` then has a variant for each."""
    package = tmp_path / "bad_peers"
    package.mkdir()
    (package / "sitecustomize.py").write_text(
        "import minicnn.bench.peers as p\np.__path__.append(" + repr(str(package)) + ")\n"
    )
    (package / "bad.py").write_text(BAD_PEER)
    monkeypatch.setenv("PYTHONPATH", str(package) + os.pathsep + os.environ.get("PYTHONPATH", ""))

    def choose(*ways: str) -> None:
        monkeypatch.setenv("BAD_PEER", ",".join(ways))

    return choose


def contest(job, *peers, case=NET, effort=EFFORT, threads=1):
    """What one measurement of a tiny case gives."""
    contestants = tuple(Contestant(peer) if isinstance(peer, str) else peer for peer in peers)
    measurement = Measurement(job, case.name, 4, contestants, effort)
    [measured] = run([measurement], lambda _: case, threads)
    return measured
