"""Tasks and programs over threads. What is computed never depends on which thread does it, or on how many there are.

Tasks are Python's: they are handed over through a `SimpleQueue`, in 15 µs (a `ThreadPoolExecutor` takes 30 to 55), or
in 80 where a sleeping thread wakes up slowly. A helper that wakes up when everything has been claimed is not waited
for: while another process keeps its core busy, the caller does the work alone.

Programs are machine code's: see `kernels._crew`. The helpers are the same threads; they stand by for programs for a
while before they wait for tasks.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import accumulate
from queue import SimpleQueue
from threading import Lock, Thread, get_native_id
from time import perf_counter, sleep
from typing import TYPE_CHECKING

import numpy as np

from minicnn import config
from minicnn.recording import spoil

if TYPE_CHECKING:
    from minicnn.kernels._program import Program

LOOKS = 50_000
"""How often a helper looks for programs before it goes to sleep: a millisecond or two, more than passes between two
batches."""

LAST_LOOKS = 30_000
"""How often the caller looks whether the helpers have ended, before it frees its core for one of them."""

NAP_S = 50e-6

LONG_S = 500e-6

LATE_S = 100e-6
"""What a helper that has its core to itself never takes longer than the caller."""

LONGEST_REST = 8
"""After one was late, helpers are left alone for as long as a round of the work took, and twice as long whenever one is
late again, up to so many times."""

LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None

BELL = 24
"""Place on the board: `kernels._crew.BELL`."""

MOST = 64
"""Programs that the board has room for: `kernels._crew.MOST_PROGRAMS`. More are shared out in several meetings."""


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
    spoil()
    tasks = _Tasks(count, task)
    crew = _crew(threads - 1)
    for _ in range(threads - 1):
        crew.call(tasks.help)
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


def run_programs(*phases: Sequence[Program], times: int = 1) -> None:
    """Run all programs, each in one thread, over up to `config.num_threads()` threads; this one is among them.

    Those of a phase may run in any order, or at the same time; the next phase begins when all have ended, and when
    there is none, the first one again until all have been run so many times. What a kernel raises, or what repairs its
    result, is raised when its phase has ended, instead of the next one.
    """
    meetings = [programs[k : k + MOST] for programs in phases for k in range(0, len(programs), MOST)]
    seats = min(config.num_threads(), max(map(len, meetings), default=1)) - 1
    held, last, crew = 0, times * len(meetings), _crew(seats)
    while held < last:
        if seats > 0 and crew.rest_s <= 0 and crew.is_free.acquire(blocking=False):
            try:
                held, outcomes = crew.run(meetings, held, last, seats)
            finally:
                crew.is_free.release()
        else:  # alone, or another thread of the user's has the helpers
            start = perf_counter()
            outcomes = [program.run_once() for program in meetings[held % len(meetings)]]
            held += 1
            crew.rest_s -= perf_counter() - start
        for program, outcome in zip(meetings[(held - 1) % len(meetings)], outcomes, strict=True):
            program.go_on(outcome)


class _Crew:
    """The helper threads of a process."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._members: list[Thread] = []
        self._sleeping = set[int]()
        """Their native ids. A set: numbers lose some when several threads count at once."""
        self._board: np.ndarray | None = None
        """Where programs are shared out, once there have been any."""
        self.is_free = Lock()
        """Held while the board is in use."""
        self._last_rest = 0
        """In terms of the work that was late."""
        self.rest_s = 0.0
        """How long the caller still works alone: while a core is busy, its helper would be waited for."""

    def grow(self, number: int) -> None:
        """See that there are at least `number` helpers."""
        while len(self._members) < number:
            name = f"minicnn_{len(self._members)}"
            self._members.append(Thread(target=self._serve, name=name, daemon=True))
            self._members[-1].start()

    def call(self, function: Callable[[], None]) -> None:
        """Have one of them call the function."""
        self._calls.put(function)
        if self._board is not None:
            self._board[BELL] += 1

    def run(
        self, meetings: Sequence[Sequence[Program]], first: int, last: int, seats: int
    ) -> tuple[int, list[int]]:
        """Hold meetings `first` to `last` − 1, counted as `kernels._crew.conduct` does, with up to `seats` helpers.

        Ends sooner if something has failed or come late in one. Returns the number of the one that would be next, and
        the outcomes of the last one's programs.
        """
        from minicnn.kernels._crew import conduct, new_board, outcomes, wait

        if self._board is None:
            self._board = new_board()
        if self._sleeping:
            self._wake(min(seats, len(self._sleeping)))
        board, error, start = self._board, None, perf_counter()
        places = np.array([program.place for programs in meetings for program in programs])
        ends = np.array([*accumulate(map(len, meetings))])
        held, has_ended, own = conduct(board, places, ends, first, last, seats, LAST_LOOKS)
        done, programs = perf_counter(), len(meetings[(held - 1) % len(meetings)])
        # A helper's core may be busy with something else. Nobody may go on while a program still runs.
        while not has_ended:
            try:
                sleep(NAP_S)
                has_ended = wait(board, programs, 1)
            except BaseException as raised:
                error = raised
        # A helper that has begun late ends one program later at most, and takes part in what takes long, unless
        # something else has its core; then it is better left asleep than in the caller's way.
        work_s = done - start
        round_s = work_s / max(1.0, (held - first) / len(meetings))
        program_s = round_s * (seats + 1) / programs  # at most
        is_late = perf_counter() - done > max(1.5 * program_s, LATE_S)
        was_alone = own == sum(len(meetings[k % len(meetings)]) for k in range(first, held))
        if is_late or (was_alone and work_s > LONG_S):
            self._last_rest = min(max(1, 2 * self._last_rest), LONGEST_REST)
            self.rest_s = self._last_rest * max(round_s, LONG_S)
        elif work_s > LONG_S:
            self._last_rest = 0
        if error is not None:
            raise error
        return held, outcomes(board, programs)

    def _wake(self, number: int) -> None:
        """Call so many sleepers to the board, each to another core than this one.

        The system would wake some where they went to sleep, behind the caller, for whose end they wait: on virtual
        machines whose cores share no cache it looks no further.
        """
        others = _cores() - {_core()}
        if others:
            for sleeper in list(self._sleeping):
                _bind(sleeper, others)
        for _ in range(number):
            self._calls.put(_wake_up)

    def dismiss(self) -> None:
        """Have all helpers leave machine code, which doesn't outlive the interpreter."""
        end = perf_counter() + 1
        while len(self._sleeping) < len(self._members) and perf_counter() < end:
            if self._board is not None:
                self._board[BELL] += 1
            sleep(NAP_S)

    def _serve(self) -> None:
        meeting = 0
        while True:
            if self._board is not None:
                from minicnn.kernels._crew import meeting_on, stand_by

                meeting = stand_by(self._board, meeting, LOOKS)
                if meeting_on(self._board) != meeting and self._calls.empty():
                    continue
            self._sleeping.add(get_native_id())
            call = self._calls.get()
            self._sleeping.discard(get_native_id())
            _bind(0, _cores())  # `_wake` has kept it from one
            call()
            del call  # it may hold a batch, and the next one may come late


def _wake_up() -> None:
    """What a sleeping helper is called for when programs are on the board."""


def _cores() -> set[int]:
    """Those that the process may run on; none where the system doesn't say."""
    return os.sched_getaffinity(os.getpid()) if hasattr(os, "sched_getaffinity") else set()


def _core() -> int:
    """The one that this thread runs on."""
    return LIBC.sched_getcpu() if LIBC is not None else -1


def _bind(thread: int, cores: set[int]) -> None:
    """Have a thread run on these cores only; 0 is the one that calls."""
    if cores:
        with suppress(OSError):  # some of them have gone
            os.sched_setaffinity(thread, cores)


_crews: dict[int, _Crew] = {}


@atexit.register
def _dismiss() -> None:
    if os.getpid() in _crews:
        _crews[os.getpid()].dismiss()


def _crew(number: int) -> _Crew:
    """The process's helpers, at least `number`. A forked child makes its own."""
    crew = _crews.get(os.getpid()) or _crews.setdefault(os.getpid(), _Crew())
    crew.grow(number)
    return crew
