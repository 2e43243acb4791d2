"""Contestants in processes of their own: what is right is timed, what is wrong or dead is reported and not timed."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from math import prod
from pathlib import Path

import numpy as np
import pytest

from minicnn.bench import peers, results
from minicnn.bench.check import DENORMAL_TOLERANCES, disagreement
from minicnn.bench.session import Busy, DeadWorker, Session, environment
from minicnn.bench.table import Contestant
from tests.bench.conftest import CONVOLUTION, EFFORT, NET, contest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("job", "case"),
    [
        ("train_step", NET),
        ("inference", NET),
        ("convolution_forward", CONVOLUTION),
        ("convolution_both", CONVOLUTION),
    ],
)
@pytest.mark.jitted
def test_the_reference_and_minicnn_agree_and_are_timed(job, case):
    measured = contest(job, "minicnn", "reference", case=case)
    for series in measured.series:
        assert (series.status, series.note) == (results.OK, "")
        assert [len(samples) for samples in series.rounds] == [EFFORT.samples] * EFFORT.rounds
        assert all(0 < sample < 1 for sample in series.samples)
        assert series.variant in series.trials and series.first_call_s > 0


def test_the_dense_work_at_the_rate_of_a_product():
    measured = contest("train_step", "sgemm")
    [series] = measured.series
    assert series.status == results.OK
    assert measured.multiply_adds == 4 * (6 * 6 * 9 * 3 * 2 + 27 * 4 * 3)  # conv: forward, dw; dense: dx too
    assert 1e6 < measured.multiply_adds / series.median < 1e13


@pytest.mark.parametrize("way", ["wrong", "not_a_number"])
def test_a_wrong_peer_is_refused(bad_peer, way):
    bad_peer(way)
    [series] = contest("inference", "bad").series
    assert series.status == results.WRONG
    assert "predictions differs by" in series.note and not series.rounds and series.median is None


def test_a_wrong_variant_leaves_the_others(bad_peer):
    bad_peer("wrong", "slow", "raises", "right")
    [series] = contest("inference", "bad").series
    assert (series.status, series.variant) == (results.OK, "right")  # the fastest of the right ones
    assert set(series.trials) == {"slow", "right"}
    assert "wrong is wrong" in series.note and "raises: IndexError" in series.note


def test_what_is_not_to_be_timed_is_not(bad_peer):
    bad_peer("slow")  # 100 ms before every sample and in each run, of 4 images
    [series] = contest("inference", "bad").series
    assert 0.025 <= min(series.samples) < 0.045


@pytest.mark.parametrize(("way", "status"), [("dies", 3), ("dies_later", 4)])
def test_a_dead_worker_is_reported_and_the_run_goes_on(bad_peer, way, status):
    bad_peer(way)
    dead, alive = contest("inference", "bad", "reference").series
    assert dead.status == results.FAILED and f"ended with status {status}" in dead.note and not dead.rounds
    assert alive.status == results.OK and alive.rounds


def test_a_peer_that_lacks_its_library_or_the_job_is_said_so(monkeypatch):
    monkeypatch.setitem(peers.REQUIRES, "keras", ("no_such_module",))
    missing, unable = contest("train_step", "keras", "onnxruntime").series
    assert (missing.status, missing.note) == (results.MISSING, "not installed: no_such_module")
    assert unable.status in (results.FAILED, results.MISSING) and not unable.rounds


def test_a_peer_whose_import_fails_is_reported(bad_peer, tmp_path):
    bad_peer("right")
    (tmp_path / "bad_peers" / "bad.py").write_text("raise ImportError('a library is broken')")
    [series] = contest("inference", "bad").series
    assert series.status == results.FAILED and "a library is broken" in series.note


def test_disagreement_names_what_differs():
    expected = {"losses": np.array([2.0, 1.0]), "gradient 3": np.eye(3)}
    assert disagreement({"losses": expected["losses"] + 1e-5, "gradient 3": np.eye(3)}, expected) == ""
    assert "losses differs by" in disagreement({"losses": expected["losses"] + 1e-3}, expected)
    off = {"gradient 3": np.eye(3) * 1.03}
    assert "gradient 3 differs by" in disagreement(off, expected)
    assert disagreement(off, expected, DENORMAL_TOLERANCES) == ""
    assert "losses differs by" in disagreement(
        {"losses": expected["losses"] + 1e-3}, expected, DENORMAL_TOLERANCES
    )
    assert "gradient 3 has shape (3,)" in disagreement({"gradient 3": np.ones(3)}, expected)


def test_every_process_gets_the_same_environment(monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    got = environment(2)
    assert got["OMP_NUM_THREADS"] == got["OPENBLAS_NUM_THREADS"] == "2"
    assert int(got["MALLOC_TRIM_THRESHOLD_"]) >= 1 << 31
    assert int(got["MALLOC_MMAP_THRESHOLD_"]) == 4 * 1024 * 1024 * 8  # DEFAULT_MMAP_THRESHOLD_MAX of glibc
    assert got["TF_ENABLE_ONEDNN_OPTS"] == "1"


def state(pid: int) -> str:
    """R running, S sleeping, T stopped, Z dead; '' for none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return ""


def until(condition) -> bool:
    """Whether it becomes true within a minute: a busy machine starts processes slowly."""
    for _ in range(6000):
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_processes_are_stopped_except_while_they_are_asked():
    with Session(1) as session:
        worker, busy = session.worker("reference"), session.busy()
        pids = worker.process.pid, busy.process.pid
        assert all(until(lambda pid=pid: state(pid) == "T") for pid in pids)
        with busy:
            assert until(lambda: state(pids[1]) == "R")
        assert until(lambda: state(pids[1]) == "T")
        with pytest.raises(ValueError, match="Nothing has been chosen"):
            worker.ask(do="sample", number=1)
        assert until(lambda: state(pids[0]) == "T")
    assert [state(pid) for pid in pids] == ["", ""]


def test_a_worker_that_was_killed_is_noticed():
    with Session(1) as session:
        worker = session.worker("reference")
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
        with pytest.raises(DeadWorker, match="status -9"):
            worker.ask(do="sample", number=1)


PARENT = """
from minicnn.bench.session import Session
import time
with Session(1) as session:
    print(session.worker("reference").process.pid, session.busy().process.pid, flush=True)
    session.busy().__enter__()
    time.sleep(100)
"""


def hears_ctrl_c() -> None:
    """A shell's background job, and all that it starts, ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_children_end_with_their_parent(number):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=hears_ctrl_c,
    )
    with parent:
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2 and all(state(pid) for pid in pids)
        parent.send_signal(number)
        parent.wait(20)
    assert all(until(lambda pid=pid: state(pid) in ("", "Z")) for pid in pids)


def ticks(pid: int) -> int:
    """Hundredths of a second that the process has computed."""
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11])


def command_line(pid: int) -> bytes:
    """Empty for a process that is gone."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def test_ctrl_c_in_a_run_ends_its_workers_at_once():
    """The whole group gets SIGINT from a terminal; the busiest moment is while a worker computes."""
    command = [
        sys.executable,
        "-m",
        "minicnn",
        "bench",
        "--only",
        "train_step/book_at_112",
        "--peers",
        "reference",
    ]
    parent = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=hears_ctrl_c,
    )
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")

    def workers() -> list[int]:
        found = [int(pid) for pid in children.read_text().split()]
        return [pid for pid in found if b"minicnn.bench.worker" in command_line(pid)]

    try:
        # Python loses an interrupt that comes while it forks: wait until a worker has imported for a while.
        assert until(lambda: any(ticks(pid) > 20 for pid in workers()))
        pids = workers()
        os.killpg(parent.pid, signal.SIGINT)
        _, errors = parent.communicate(timeout=60)
    finally:
        parent.kill()  # or a failed test would leave a run of minutes behind
    assert parent.returncode == 130 and "Traceback" not in errors
    assert all(until(lambda pid=pid: state(pid) in ("", "Z")) for pid in pids)


def test_contestants_in_one_process_share_what_was_built():
    quiet, busy = contest("inference", "reference", Contestant("reference", busy=True)).series
    assert (quiet.label, busy.label) == ("reference", "reference, one core busy")
    assert quiet.trials == busy.trials and quiet.rounds != busy.rounds and busy.status == results.OK


def test_busy_is_busy():
    busy = Busy()
    try:
        before = ticks(busy.process.pid)
        with busy:
            assert until(lambda: ticks(busy.process.pid) > before + 20)
    finally:
        busy.end()


def test_weights_and_images_are_the_same_for_everybody():
    first, second = (NET.examples(number) for number in (3, 5))
    assert all(np.array_equal(a, b[:3]) for a, b in zip(first, second, strict=True))
    assert [w.shape for w in NET.weights()] == [(3, 3, 1, 3), (3,), (27, 4), (4,)]
    assert CONVOLUTION.multiply_adds == 2 * prod((4, 4)) * 6 * 9 * 2
