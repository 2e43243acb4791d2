"""Rows of a whole batch, to and from where a chunk's kernels find them, at the start and the end of a program.

The kernels of a program read and write the same memory every time; a batch lies somewhere else each time. So a program
begins and ends with copies whose other side is an address in a cell, which is written before each run. Each array has
two: where its rows begin, and where the numbers of the wanted rows are (int64), or 0 if they lie one after the other.
A chunk copies its own rows, in its own thread.
"""

import ctypes

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicnn.kernels._jit import config, kernel


@intrinsic
def _copy(typing_context, array, address, is_inwards):  # type: ignore[no-untyped-def]
    """Copy as many bytes as the array has from an address, or to it."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        own = context.make_array(array)(context, builder, args[0])
        other = builder.inttoptr(args[1], own.data.type)
        inwards = builder.icmp_signed("!=", args[2], ir.Constant(args[2].type, 0))
        target, source = builder.select(inwards, own.data, other), builder.select(inwards, other, own.data)
        cgutils.raw_memcpy(builder, target, source, own.nitems, own.itemsize)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), generate


@intrinsic
def _integer_at(typing_context, address):  # type: ignore[no-untyped-def]
    """The int64 at an address."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.load(builder.inttoptr(args[0], ir.IntType(64).as_pointer()))

    return types.int64(types.int64), generate


if config.DISABLE_JIT:

    def _copy(array: np.ndarray, address: int, is_inwards: int) -> None:
        own, other = array.ctypes.data, int(address)
        ctypes.memmove(*((own, other) if is_inwards else (other, own)), array.nbytes)

    def _integer_at(address: int) -> int:
        return ctypes.c_int64.from_address(int(address)).value


@kernel
def copy_in(place: np.ndarray, cells: np.ndarray, k: int) -> None:
    """place (n, bytes of a row), overwritten, from the rows that cells[k] tells."""
    rows, numbers = cells[k, 0], cells[k, 1]
    if numbers == 0:
        _copy(place.reshape(-1), rows, 1)
    else:
        for row in range(len(place)):
            _copy(place[row], rows + _integer_at(numbers + 8 * row) * place.shape[1], 1)


@kernel
def copy_out(place: np.ndarray, cells: np.ndarray, k: int) -> None:
    """The memory at the address in cells[k, 0], overwritten, from place (n, bytes of a row)."""
    _copy(place.reshape(-1), cells[k, 0], 0)


@kernel
def move_on(cells: np.ndarray, distances: np.ndarray) -> None:
    """Have every cell tell of rows so many bytes behind: both (arrays, 2)."""
    for k in range(len(cells)):
        cells[k, 0] += distances[k, 0]
        cells[k, 1] += distances[k, 1]
