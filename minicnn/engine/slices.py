"""One function for all elements of flat vectors, slice by slice over the threads. No bit depends on the slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from minicnn import config
from minicnn.engine.binding import calls_kernels_only
from minicnn.engine.tape import Phase, Tape, run_phases
from minicnn.engine.threads import MOST

LEAST, LEAST_IN_PYTHON = 1 << 13, 1 << 17
"""Elements that are worth a program, or a task of Python's: 50 µs, about what it takes a sleeping thread to wake up."""

SLICES = 4
"""Programs for each thread, which even out a core that is busy with something else; at most MOST in all.

One task a thread: threads that want the interpreter every few microseconds wait for each other.
"""


class Sliced:
    """Calls `function` on consecutive slices that cover range(size), as often as it is called itself.

    The first call finds out what the function does; if that is calling kernels alone, and it is marked so
    (`binding.kernels_only`), the threads repeat the kernels from then on.
    """

    def __init__(self, size: int, function: Callable[[slice], None]) -> None:
        self.size, self._function = size, function
        is_machine_code = calls_kernels_only(function)
        self.least = LEAST if is_machine_code else LEAST_IN_PYTHON
        self._for_each_thread = SLICES if is_machine_code else 1
        self._tapes: dict[int, list[Tape]] = {}

    def __call__(self) -> None:
        if self.tapes:
            run_phases([Phase(self.tapes)])
        else:
            threads = config.num_threads()
            self._tapes[threads] = [self._take_down(part) for part in self._slices(threads)]

    @property
    def tapes(self) -> Sequence[Tape]:
        """What the next call will repeat, all at the same time; none if it will be the first one."""
        return self._tapes.get(config.num_threads(), ())

    def _slices(self, threads: int) -> list[slice]:
        number = min(self._for_each_thread * threads, MOST)
        step = max(self.least, -(-self.size // (64 * number)) * 64)
        return [slice(start, min(start + step, self.size)) for start in range(0, self.size, step)]

    def _take_down(self, part: slice) -> Tape:
        tape = Tape()
        tape.do(self._function, part)
        return tape.finish()
