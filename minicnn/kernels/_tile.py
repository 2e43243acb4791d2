"""The one inner loop of every convolution and dense kernel: a tile of sums that stays in registers.

A tile holds six rows (output pixels, or rows of a gradient) of up to WIDEST vectors (filters, or channels). For
every term of the sum, one row of `w` is loaded and multiplied by one number of `x` for each tile row. Every element
adds its terms in the same order with the same roundings wherever it lies in a tile: its bits can't depend on the
other rows, on the position in the chunk or on the width of the tile.

6 × 4 vectors of 64 bytes: 24 sums, 4 of w and a broadcast fit 32 registers; 6 × 2 of 32 bytes fit 16.
"""

import numpy as np

from minicnn.kernels._jit import inner
from minicnn.kernels._simd import (
    VECTOR_NBYTES,
    add_tiles,
    lanes,
    load_row,
    outer_fma,
    read,
    repeat_rows,
    zeros,
    zeros_like,
)

WIDEST = 4 if VECTOR_NBYTES == 64 else 2
ROW_1, ROW_2, ROW_WIDEST = (0,), (0,) * 2, (0,) * WIDEST
"""Tuples whose only use is their length, which Numba then knows while compiling."""

TERMS = 64
"""Every sum is cut into partial sums of so many terms. The rounding error of one long chain grows with its length: the
largest error of 20,000 sums of 576 products was 4.7 u·Σ|x||w| in one chain, 0.8 in parts of 64, 1.0 in parts of 16."""

BIAS_TERMS = 8
"""The same for the gradient of a bias, whose sums have no tile to stay in."""

ZERO = np.int64(0)
"""Where a counted variable enters a tuple: for a literal 0 Numba would compile everything twice."""


@inner
def accumulate(tile, row, x, offsets, step, w, start, stride, terms, count):  # type: ignore[no-untyped-def]
    """tile[m] + Σ_k x[offsets[m] + k·step] · w[start + k·stride:][:count], k = 0 … terms − 1, in this order.

    `row` is any row as wide as the tile's; only its type counts.
    """
    for first in range(0, terms, TERMS):
        part = zeros_like(tile)
        for k in range(first, min(first + TERMS, terms)):
            part = outer_fma(part, x, offsets, k * step, load_row(row, w, start + k * stride, count))
        tile = add_tiles(tile, part)
    return tile


@inner
def accumulate_taps(tile, row, x, offsets, taps, w, columns):  # type: ignore[no-untyped-def]
    """tile[m] + Σ_k x[offsets[m] + taps[k]] · w[k, f:][:count], in this order; (f, count) = columns.

    w is seen as rows of w.shape[-1] filters, one for each of `taps`.
    """
    f, count = columns
    for first in range(0, taps.size, TERMS):
        part = zeros_like(tile)
        for k in range(first, min(first + TERMS, taps.size)):
            part = outer_fma(part, x, offsets, read(taps, k), load_row(row, w, k * w.shape[3] + f, count))
        tile = add_tiles(tile, part)
    return tile


@inner
def start_tile(rows, width, b, at, count):  # type: ignore[no-untyped-def]
    """A tile each row of which is b[at:][:count], or 0 when b is empty."""
    tile = zeros(b, rows, width)
    if b.size > 0:
        tile = repeat_rows(tile, load_row(zeros(b, ROW_1, width), b, at, count))
    return tile


@inner
def six(offsets, first, last, shift):  # type: ignore[no-untyped-def]
    """offsets[first:first + 6] + shift as a tuple; past `last` that one is repeated."""
    return (
        offsets[min(first, last)] + shift,
        offsets[min(first + 1, last)] + shift,
        offsets[min(first + 2, last)] + shift,
        offsets[min(first + 3, last)] + shift,
        offsets[min(first + 4, last)] + shift,
        offsets[min(first + 5, last)] + shift,
    )


@inner
def six_steps(first, last, stride, shift):  # type: ignore[no-untyped-def]
    """The same for the offsets 0, stride, 2·stride, …"""
    return (
        min(first, last) * stride + shift,
        min(first + 1, last) * stride + shift,
        min(first + 2, last) * stride + shift,
        min(first + 3, last) * stride + shift,
        min(first + 4, last) * stride + shift,
        min(first + 5, last) * stride + shift,
    )


@inner
def width_for(x, left):  # type: ignore[no-untyped-def]
    """How many vectors the next column of tiles should take when `left` numbers of a row are left: WIDEST, 2 or 1."""
    if left > (WIDEST - 1) * lanes(x):
        return WIDEST
    return 2 if left > lanes(x) else 1


@inner
def add_bias_gradient(dy, db):  # type: ignore[no-untyped-def]
    """db (F,), or (0,) for none, += the sum of dy (…, F) over all but its last axis.

    A bias has the longest sums of all, 10,816 terms in a chunk of the book's first layer: one float32 chain of as many
    positive numbers was off by 43 u·Σ|dy|. Parts of BIAS_TERMS are added in float64, and the total is rounded once;
    all of it in float64 made the weight gradient of that layer 60 % slower.
    """
    if db.size > 0:
        flat, filters, sums = dy.reshape(-1), db.size, np.zeros(db.size, np.float64)
        whole = flat.size - flat.size % (BIAS_TERMS * filters)
        for first in range(0, whole, BIAS_TERMS * filters):
            # Written out, the part stays in registers.
            for f in range(filters):
                at = first + f
                part = read(flat, at) + read(flat, at + filters)
                part = part + read(flat, at + 2 * filters) + read(flat, at + 3 * filters)
                part = part + read(flat, at + 4 * filters) + read(flat, at + 5 * filters)
                sums[f] += part + read(flat, at + 6 * filters) + read(flat, at + 7 * filters)
        for f in range(filters):
            part = np.zeros_like(db[0])
            for at in range(whole + f, flat.size, filters):
                part += flat[at]
            db[f] += sums[f] + part


@inner
def flush(part, sums):  # type: ignore[no-untyped-def]
    """sums += part; part = 0."""
    for f in range(part.size):
        sums[f] += part[f]
        part[f] = 0
