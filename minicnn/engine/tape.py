"""A walk over a chunk, taken down the first time, and repeated from then on.

What a pass of a step does depends on its op and on the shapes and places of its arrays alone: which kernels it calls,
with which arguments. They are found once; then all kernels between two steps that need Python are one program, run
without the interpreter's lock. One tape belongs to one workspace and one number of samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from minicnn.engine.binding import Frame, calls_kernels_only
from minicnn.engine.threads import run_programs, run_tasks
from minicnn.recording import Call, recording

if TYPE_CHECKING:
    from minicnn.kernels._program import Program


class Tape:
    """Take down with `do`, then `finish`, then `repeat`."""

    program: Program | None = None
    """All of it, if Python has nothing to do."""

    def __init__(self) -> None:
        self._items: list[Callable[[], object]] = []
        self._calls: list[Call] = []
        self._frames: list[Frame] = []
        """Of passes that Python makes: they may be random."""

    def do(self, function: Callable[..., None], *args: Any) -> None:
        """Call the function now and whenever the tape is repeated."""
        with recording() as recorded:
            function(*args)
        if recorded.is_complete and calls_kernels_only(function):
            self._calls += recorded.calls
            return
        self._close_program()
        self._items.append(partial(function, *args))
        self._frames += [arg for arg in args if isinstance(arg, Frame)]

    def _close_program(self) -> None:
        if self._calls:
            from minicnn.kernels._program import Program  # Numba is there already: its kernels were called

            self._items.append(Program(self._calls).run)
        self._calls = []

    def finish(self) -> Tape:
        """Nothing more is taken down. Returns the tape."""
        self._close_program()
        if len(self._items) == 1 and not self._frames:
            self.program = getattr(self._items[0], "__self__", None)
        return self

    def repeat(self, draw: tuple[int, int] = (0, 0)) -> None:
        """Do it all again, on what the arrays hold now; `draw` as in `run.forward`."""
        for frame in self._frames:
            frame.draw = draw
        for item in self._items:
            item()


class Phase(NamedTuple):
    """Tapes that have nothing to do with each other, and what each draws with, as in `Tape.repeat`."""

    tapes: Sequence[Tape]
    draws: Sequence[tuple[int, int]] | None = None

    @property
    def programs(self) -> list[Program]:
        """What to run in machine code instead; none if any tape needs Python."""
        programs = [tape.program for tape in self.tapes if tape.program is not None]
        return programs if len(programs) == len(self.tapes) else []

    def repeat(self, k: int) -> None:
        """Repeat tape k."""
        self.tapes[k].repeat(*([] if self.draws is None else [self.draws[k]]))


def run_phases(phases: Iterable[Phase]) -> None:
    """Repeat all tapes over the threads, phase by phase; in one piece as far as Python has nothing to do."""
    programs: list[list[Program]] = []
    for phase in phases:
        if phase.programs:
            programs.append(phase.programs)
        else:
            run_programs(*programs)
            programs = []
            run_tasks(len(phase.tapes), phase.repeat)
    run_programs(*programs)
