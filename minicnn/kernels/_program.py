"""Kernel calls that were taken down once, repeated in one piece: no Python between them, no lock of the interpreter.

A training step of the book's net calls some eighty kernels of 2 to 200 µs. Called one by one they cost 4 µs of Python
each, and each takes the interpreter's lock again, for which the other threads wait.

A call is taken down as the address of the kernel's machine code and the machine words of its arguments, in the order
in which Numba's own calling convention passes them (numba/core/callconv.py, CPUCallConv; numba/core/datamodel): an
array is seven or more words, a tuple its items one after the other. Integers and pointers are passed alike, and words
that a kernel doesn't take are never read, so that one function type, of WORDS words, fits all of them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import callconv, cgutils, types
from numba.extending import intrinsic

from minicnn.kernels._jit import inner, kernel
from minicnn.recording import Call

WORDS = 128
"""No kernel takes more words of arguments."""

FAILED, DONE, ERROR = range(3)
ALL_DONE = -1


class Program:
    """Calls, in their order. The arrays among their arguments must stay where they are."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self._calls = list(calls)
        self._table = np.zeros((len(calls), 2 + WORDS), np.int64)
        for row, call in zip(self._table, calls, strict=True):
            words = words_of(call.args)
            row[:2], row[2 : 2 + len(words)] = (call.address, call.returns_bool), words

        self.place = (self._table.ctypes.data, len(calls))
        """Address and length of the table."""

    def run(self) -> None:
        """Make all calls. What a kernel raises (MemoryError) is raised."""
        self.go_on(self.run_once())

    def run_once(self) -> int:
        """Make the calls as far as they succeed; what `go_on` takes."""
        return _ENTER(*self.place, 0)

    def go_on(self, outcome: int) -> None:
        """After `run_calls` has returned `outcome`: repair what failed, and make the calls that are left."""
        while outcome != ALL_DONE:
            k = outcome if outcome >= 0 else -2 - outcome
            call = self._calls[k]
            if outcome < 0:
                call.function(*call.args)  # raises again, for Python
                raise RuntimeError(f"A kernel failed when it was repeated, but not alone: {call.function}.")
            if call.repair is not None:
                call.repair()
            outcome = _ENTER(*self.place, k + 1)


def words_of(args: Sequence[Any]) -> list[int]:
    """The machine words of arguments: C-contiguous arrays, integers, and tuples of them.

    Raises:
        TypeError: anything else; a bool or a float travels otherwise on some machines.
    """
    words: list[int] = []
    for arg in args:
        if isinstance(arg, np.ndarray):
            words += [0, 0, arg.size, arg.itemsize, arg.ctypes.data, *arg.shape, *arg.strides]
        elif isinstance(arg, tuple):
            words += words_of(arg)
        elif type(arg) is int or isinstance(arg, np.int64):
            words.append(int(arg))
        else:
            raise TypeError(
                f"A kernel that is replayed takes arrays, integers and tuples. Received {type(arg).__name__}."
            )
    return words


@intrinsic
def _call(typing_context, row):  # type: ignore[no-untyped-def]
    """Make the call in the row at an address: FAILED if the kernel returned False, ERROR if it raised, else DONE."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        word, pointer = ir.IntType(64), ir.IntType(8).as_pointer()
        start = builder.inttoptr(args[0], word.as_pointer())
        address, returns_bool, *words = [
            builder.load(builder.gep(start, [word(k)])) for k in range(2 + WORDS)
        ]
        kind = ir.FunctionType(ir.IntType(32), [word.as_pointer(), pointer.as_pointer(), *[word] * WORDS])
        returned, exception = cgutils.alloca_once(builder, word), cgutils.alloca_once(builder, pointer)
        builder.store(word(1), returned)
        status = builder.call(builder.inttoptr(address, kind.as_pointer()), [returned, exception, *words])
        is_false = builder.icmp_signed("==", builder.and_(builder.load(returned), word(0xFF)), word(0))
        is_test = builder.icmp_signed("!=", returns_bool, word(0))
        outcome = builder.select(builder.and_(is_test, is_false), word(FAILED), word(DONE))
        is_error = builder.icmp_signed("==", status, callconv.RETCODE_EXC)
        is_error = builder.or_(is_error, builder.icmp_signed(">", status, ir.IntType(32)(0)))
        return builder.select(is_error, word(ERROR), outcome)

    return types.int64(types.int64), generate


@inner
def run_calls_at(table, rows, first):  # type: ignore[no-untyped-def]
    """`run_calls` of a table of so many rows at an address."""
    for row in range(first, rows):
        outcome = _call(table + row * (2 + WORDS) * 8)
        if outcome != DONE:
            return row if outcome == FAILED else -2 - row
    return ALL_DONE


@kernel
def run_calls(table: int, rows: int, first: int) -> int:
    """Make the calls of a table from row `first` on.

    Returns the number k of the first that returned False, −2 − k if it raised an exception, or ALL_DONE.
    """
    return run_calls_at(table, rows, first)


_ENTER = getattr(run_calls, "dispatcher", run_calls)
"""Programs aren't taken down again, and integers' types are found at once: nothing but Numba's dispatcher is needed."""
