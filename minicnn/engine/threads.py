"""Tasks over threads. What a task computes never depends on which thread takes it, or on how many there are.

A training step waits for all threads a few times, so the handing over counts: through a `SimpleQueue` it takes
15 µs, through a `ThreadPoolExecutor` 30 to 55. A helper that wakes up when everything has been claimed is not waited
for: while another process keeps its core busy, the caller does the work alone.
"""

import os
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread

from minicnn import config

SLICE = 1 << 12
"""The fewest elements of a flat vector that are worth a task of their own."""


def for_slices(size: int, function: Callable[[slice], None]) -> None:
    """Call `function` on consecutive slices that cover range(size), one for each thread.

    More slices than threads would even out a busy core, but threads that want the interpreter every few microseconds
    wait for each other.
    """
    step = max(SLICE, -(-size // config.num_threads()))
    run_tasks(-(-size // step), lambda index: function(slice(index * step, min(size, (index + 1) * step))))


def run_tasks(count: int, task: Callable[[int], None]) -> None:
    """Call task(0), …, task(count − 1), each once, over up to `config.num_threads()` threads; this one is among them.

    Returns when all are done. The first exception ends the claiming of further tasks and is raised here, after every
    running task has ended.
    """
    threads = min(config.num_threads(), count)
    if threads <= 1:
        for index in range(count):
            task(index)
        return
    tasks = _Tasks(count, task)
    for _ in range(threads - 1):
        _helpers(threads - 1).put(tasks.help)
    try:
        tasks.claim()
    finally:
        errors = tasks.wait()
    for error in errors:
        raise error


class _Tasks:
    """The tasks of one call, claimed one by one by the caller and whoever helps."""

    def __init__(self, count: int, task: Callable[[int], None]) -> None:
        self._indices = iter(range(count))
        self._task = task
        self._failed = False
        self._lock = Lock()
        self._is_over = False
        self._helping = 0
        self._ends: SimpleQueue[BaseException | None] = SimpleQueue()

    def claim(self) -> None:
        """Carry out tasks until none is left or one has failed."""
        for index in self._indices:
            if self._failed:
                return
            try:
                self._task(index)
            except BaseException:
                self._failed = True
                raise

    def help(self) -> None:
        """`claim`, in a helper."""
        with self._lock:
            if self._is_over:
                return
            self._helping += 1
        error = None
        try:
            self.claim()
        except BaseException as raised:
            error = raised
        self._ends.put(error)

    def wait(self) -> list[BaseException]:
        """Let nobody begin to help any more, wait for those who do, and return what they raised."""
        with self._lock:
            self._is_over = True
        ends = [self._ends.get() for _ in range(self._helping)]
        return [error for error in ends if error is not None]


_crews: dict[int, tuple[SimpleQueue[Callable[[], None]], list[Thread]]] = {}


def _helpers(number: int) -> SimpleQueue[Callable[[], None]]:
    """The queue that the process's helper threads, at least `number`, take calls from. A forked child makes its own."""
    calls, crew = _crews.setdefault(os.getpid(), (SimpleQueue(), []))
    while len(crew) < number:
        crew.append(Thread(target=_serve, args=(calls,), name=f"minicnn_{len(crew)}", daemon=True))
        crew[-1].start()
    return calls


def _serve(calls: SimpleQueue[Callable[[], None]]) -> None:
    while True:
        calls.get()()
