"""The processes of a run: started with the same environment, stopped while another is measured, ended with the run."""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import minicnn

ROOT = Path(minicnn.__file__).parents[1]
PATIENCE_S = 900.0
"""For one answer; XLA takes a minute to compile a training step. Who takes longer is ended."""
BUSY = "while True:\n    for k in range(1000):\n        k * k"
NO_LIMIT, LARGEST = str(1 << 32), str(1 << 25)  # of glibc, which ignores a larger M_MMAP_THRESHOLD
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded here, not between fork and exec
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>; outlives exec


def environment(threads: int) -> dict[str, str]:
    """What every process gets, ours too: the same threads, and a malloc that keeps large buffers.

    glibc would hand them back to the system after every step and fetch them anew, page by page.
    """
    shared = {
        "MALLOC_TRIM_THRESHOLD_": NO_LIMIT,
        "MALLOC_MMAP_THRESHOLD_": LARGEST,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "1",  # TensorFlow's default, whatever the caller's environment says
        "TORCHINDUCTOR_COMPILE_THREADS": "1",  # or its pool of compilers would outlive a stopped worker
    }
    pools = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    return os.environ | shared | dict.fromkeys(pools, str(threads))


def cpus() -> list[int]:
    """That this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


class DeadWorker(Exception):
    """A process has ended, or has taken too long, instead of answering."""


class Child:
    """A process that is stopped (SIGSTOP) except while it is wanted. Use as a context: `with child: …` lets it run."""

    def __init__(self, arguments: list[str], threads: int) -> None:
        parent = os.getpid()
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by `end`)
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            env=environment(threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            preexec_fn=lambda: prepare(parent, threads),
        )

    def __enter__(self) -> "Child":
        self.process.send_signal(signal.SIGCONT)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def end(self) -> None:
        """Kill it, stopped or not, and wait until it's gone."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.log):
            with suppress(BrokenPipeError):  # what it has not read any more
                pipe.close()  # type: ignore[union-attr]

    def last_words(self) -> str:
        """How it ended, and the last line that it has written to stderr."""
        code = self.process.poll()
        how = "was too slow" if code is None else f"ended with status {code}"
        self.log.seek(0)
        lines = [line for line in self.log.read().splitlines() if line.strip()]
        return f"{how}: {lines[-1].strip()[:300]}" if lines else how


def prepare(parent: int, threads: int) -> None:
    """In the new process, before its program: have the kernel kill it with its parent, even while it's stopped."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has ended already
            os._exit(1)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the parent ends its children
    pin(threads)


def pin(threads: int) -> None:
    """Bind this process to `threads` CPUs: some libraries have no other way to be told."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus()[:threads])


class Worker(Child):
    """One peer's process; see worker.py for what can be asked of it."""

    def __init__(self, peer: str, threads: int) -> None:
        super().__init__(["-m", "minicnn.bench.worker", peer], threads)
        self.peer, self._is_ready = peer, False

    def await_ready(self) -> None:
        """Wait until its libraries are imported, then stop it.

        Raises:
            DeadWorker: they can't be.
        """
        if not self._is_ready:
            self._receive()
            self._is_ready = True
            self.__exit__()

    def ask(self, **request: Any) -> dict[str, Any]:
        """Let it run until it has answered.

        Raises:
            DeadWorker: it won't answer any more.
            ValueError: it answers with an error.
        """
        pipe: Any = self.process.stdin
        with self:
            try:
                pipe.write(json.dumps(request) + "\n")
                pipe.flush()
            except BrokenPipeError:
                raise DeadWorker(self._gone()) from None
            answer = self._receive()
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    def _receive(self) -> dict[str, Any]:
        pipe: Any = self.process.stdout
        ready, _, _ = select.select([pipe], [], [], PATIENCE_S)
        line = pipe.readline() if ready else ""
        if not line:
            raise DeadWorker(self._gone())
        return json.loads(line)

    def _gone(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(1)
        return self.last_words()


class Busy(Child):
    """A process that keeps one core busy while it runs."""

    def __init__(self) -> None:
        super().__init__(["-c", BUSY], len(cpus()))
        self.__exit__()


class Session:
    """All processes of a run: `with Session(threads) as session: …` ends them, whatever happens."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._workers: dict[tuple[str, int], Worker] = {}
        self._busy: Busy | None = None

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.end_workers()
        if self._busy is not None:
            self._busy.end()

    def worker(self, peer: str, threads: int | None = None) -> Worker:
        """The peer's process with so many threads, started if need be, its libraries imported.

        Raises:
            DeadWorker: it doesn't start.
        """
        worker = self.start(peer, threads)
        try:
            worker.await_ready()
        except BaseException:  # Ctrl-C too
            self.drop(peer, threads)
            raise
        return worker

    def start(self, peer: str, threads: int | None = None) -> Worker:
        """The same, perhaps still importing its libraries.

        To be called by the main thread: a process is killed with the thread that has started it.
        """
        key = peer, threads or self.threads
        if key not in self._workers:
            self._workers[key] = Worker(*key)
        return self._workers[key]

    def drop(self, peer: str, threads: int | None = None) -> None:
        """End the peer's process if there is one; the next measurement may start another."""
        if worker := self._workers.pop((peer, threads or self.threads), None):
            worker.end()

    def end_workers(self) -> None:
        while self._workers:
            self._workers.popitem()[1].end()

    def busy(self) -> Busy:
        if self._busy is None:
            self._busy = Busy()
        return self._busy
