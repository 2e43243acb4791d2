"""Programs shared out among threads by machine code: nobody sleeps, and nobody asks for the interpreter's lock.

A thread that the system has put to sleep, be it for the lock alone, takes 50 to 80 µs to wake up on some machines; a
training step would wait for that several times. So the threads meet at a board: whoever has programs to be run writes
them on it (`conduct`) and takes one after the other; helpers that stand by (`stand_by`) take others. Helpers look for
the next ones for a while before they return to Python, to sleep.
"""

import platform

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.kernels._jit import inner, kernel
from minicnn.kernels._program import ALL_DONE, run_calls_at

IS_X86 = platform.machine().lower() in ("x86_64", "amd64")

TICKET, DONE, SEATS, BELL, PROGRAMS = 0, 8, 16, 24, 32
"""Places on the board, far enough apart for no two to share a cache line.

TICKET: number of the meeting · 2²⁴ + programs · 2¹⁶ + programs taken by helpers · 2⁸ + programs taken by the caller.
DONE: programs that have ended. SEATS: how many more helpers may take part. BELL: changes when a helper is wanted in
Python. PROGRAMS: three numbers for each program: address and length of its table of calls, and the outcome as
`run_calls` gives it.
"""

MOST_PROGRAMS = 64


def new_board() -> np.ndarray:
    """An empty board."""
    return np.zeros(PROGRAMS + 3 * MOST_PROGRAMS, np.int64)


def meeting_on(board: np.ndarray) -> int:
    """Number of the last meeting."""
    return int(board[TICKET]) >> 24


def outcomes(board: np.ndarray, programs: int) -> list[int]:
    """What `run_calls` gave for each program of the last meeting."""
    return board[PROGRAMS + 2 : PROGRAMS + 2 + 3 * programs : 3].tolist()


def _pointer(context, builder, array_type, array, index):  # type: ignore[no-untyped-def]
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])


@intrinsic
def _look(typing_context, board, place):  # type: ignore[no-untyped-def]
    """What is on the board now, whoever wrote it, after a pause that leaves the core to its other thread."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        if IS_X86:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        return builder.load_atomic(_pointer(context, builder, board, *args), ordering="acquire", align=8)

    return types.int64(board, types.int64), generate


@intrinsic
def _add(typing_context, board, place, number):  # type: ignore[no-untyped-def]
    """Add to what is on the board, and return what was there."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        pointer = _pointer(context, builder, board, *args[:2])
        return builder.atomic_rmw("add", pointer, args[2], ordering="seq_cst")

    return types.int64(board, types.int64, types.int64), generate


@intrinsic
def _swap(typing_context, board, place, old, new):  # type: ignore[no-untyped-def]
    """Write `new` on the board if `old` is still there; return whether it was."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        pointer = _pointer(context, builder, board, *args[:2])
        outcome = builder.cmpxchg(pointer, args[2], args[3], ordering="seq_cst")
        return builder.zext(builder.extract_value(outcome, 1), ir.IntType(64))

    return types.int64(board, types.int64, types.int64, types.int64), generate


@inner
def _take_programs(board, is_helper):  # type: ignore[no-untyped-def]
    """Run one program after the other until all are taken; how many this thread has run.

    The caller begins with the first and helpers with the last, so that a thread mostly gets what it had in the last
    meeting, and finds its data in its own core's cache.
    """
    own, ticket = 0, _look(board, TICKET)
    while (ticket & 255) + (ticket >> 8 & 255) < ticket >> 16 & 255:
        if _swap(board, TICKET, ticket, ticket + (256 if is_helper else 1)) != 0:
            k = (ticket >> 16 & 255) - 1 - (ticket >> 8 & 255) if is_helper else ticket & 255
            place = PROGRAMS + 3 * k
            board[place + 2] = run_calls_at(board[place], board[place + 1], 0)
            _add(board, DONE, 1)
            own += 1
        ticket = _look(board, TICKET)
    return own


@kernel
def conduct(
    board: np.ndarray, programs: np.ndarray, ends: np.ndarray, first: int, last: int, seats: int, looks: int
) -> tuple[int, bool, int]:
    """Run programs (K, 2), addresses and lengths of tables, with up to `seats` of those who stand by.

    The first ends[0] of them are one meeting; when all have ended, those up to ends[1] are the next one, and so on;
    behind the last one all begin anew. Counted like that, meetings `first` to `last` − 1 are held, but none after one
    in which something failed, or when a helper still runs a program after so many looks; then `wait` will say when it
    has ended. Returns the number of the meeting that would be next, whether all programs of the last one have ended,
    and how many this thread has run in all.
    """
    own = 0
    for meeting in range(first, last):
        k = meeting % len(ends)
        begin = ends[k - 1] if k > 0 else 0
        number = ends[k] - begin
        _write_programs(board, programs[begin : ends[k]])
        board[DONE], board[SEATS] = 0, seats
        _swap(board, TICKET, board[TICKET], (((board[TICKET] >> 24) + 1) << 24) + (number << 16))
        own += _take_programs(board, False)
        if not has_ended(board, number, looks):
            return meeting + 1, False, own
        if not _have_succeeded(board, number):
            return meeting + 1, True, own
    return last, True, own


@inner
def _write_programs(board, programs):  # type: ignore[no-untyped-def]
    for k in range(len(programs)):
        board[PROGRAMS + 3 * k] = programs[k, 0]
        board[PROGRAMS + 3 * k + 1] = programs[k, 1]


@inner
def _have_succeeded(board, programs):  # type: ignore[no-untyped-def]
    done = 0
    for k in range(programs):
        done += board[PROGRAMS + 3 * k + 2] == ALL_DONE
    return done == programs


@inner
def has_ended(board: np.ndarray, programs: int, looks: int) -> bool:
    k = 0
    while k < looks and _look(board, DONE) != programs:
        k += 1
    return k < looks


@kernel
def wait(board: np.ndarray, programs: int, looks: int) -> bool:
    """Whether all have ended, now or before so many looks are over."""
    return has_ended(board, programs, looks)


@kernel
def stand_by(board: np.ndarray, last: int, looks: int) -> int:
    """Take part in every meeting after number `last`, until none has begun for so many looks, or the bell rings.

    Returns the number of the last meeting that was noticed.
    """
    bell, k = board[BELL], 0
    while k < looks:
        meeting = _look(board, TICKET) >> 24
        if meeting != last:
            last, k = meeting, 0
            if _add(board, SEATS, -1) > 0:
                _take_programs(board, True)
        if board[BELL] != bell:
            break
        k += 1
    return last
