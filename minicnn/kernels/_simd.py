"""Small tiles of SIMD vectors, for the few inner loops that LLVM's own vectoriser doesn't keep in registers.

A *vector* holds `lanes(x)` numbers of the dtype of x, as wide as the processor's registers. A *tile* is a tuple of
vectors. Arrays are addressed by a flat offset into their (C-contiguous) memory, without wraparound or checks.

Each function is written twice: the Python body here is the meaning, and what runs under NUMBA_DISABLE_JIT=1; what
compiled kernels get is in `_simd_lowering`. A tile of m rows of v vectors is row-major.

`count` is how many numbers of a row of vectors are wanted; lanes past them are read as 0 and not written. It lies
in the last vector of the row: (v − 1)·lanes < count ≤ v·lanes. None means all: it saves the masks, and a load from
where a masked store has just been must wait for it to reach the cache.
"""

import llvmlite.binding as llvm  # type: ignore[import-untyped]
import numba
import numpy as np


def _register_nbytes() -> int:
    # Numba's own setting of a processor other than the host wins.
    flags = getattr(numba.config, "CPU_FEATURES", None)
    features = (
        set(flags.split(",")) if flags else {f"+{k}" for k, on in llvm.get_host_cpu_features().items() if on}
    )
    return 64 if "+avx512f" in features else 32 if "+avx" in features else 16


VECTOR_NBYTES = _register_nbytes()


def lanes(x: np.ndarray) -> int:
    """How many numbers of x's dtype fit into one vector."""
    return VECTOR_NBYTES // x.itemsize


def read(x: np.ndarray, at: int) -> float:
    """x[at] in flat memory, without Numba's check for a negative index."""
    return x.reshape(-1)[at]


def write(x: np.ndarray, at: int, value: float) -> None:
    """x[at] = value in flat memory, without Numba's check for a negative index."""
    x.reshape(-1)[at] = value


def fetch_to_write(x: np.ndarray, at: int) -> None:
    """Have the cache line of x[at] in flat memory come, to be written soon; `at` may lie past the end."""


def shifted(offsets: tuple[int, ...], by: int) -> tuple[int, ...]:
    """Every offset + by."""
    return tuple(offset + by for offset in offsets)


def zeros(x: np.ndarray, rows: tuple[int, ...], width: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """A tile of len(rows) rows of len(width) zero vectors (tuples, because their lengths are constants)."""
    return tuple(np.zeros(lanes(x), x.dtype) for _ in range(len(rows) * len(width)))


def zeros_like(tile: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """A tile of zeros."""
    return tuple(np.zeros_like(vector) for vector in tile)


def add_tiles(a: tuple[np.ndarray, ...], b: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """a + b, element by element."""
    return tuple(x + y for x, y in zip(a, b, strict=True))


def subtract_tiles(a: tuple[np.ndarray, ...], b: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """a − b, element by element."""
    return tuple(x - y for x, y in zip(a, b, strict=True))


def add_scaled_tile(
    a: tuple[np.ndarray, ...], scalar: float, b: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, ...]:
    """a + scalar·b, element by element, rounded once."""
    return tuple(x + x.dtype.type(scalar) * y for x, y in zip(a, b, strict=True))


def divide_tile(tile: tuple[np.ndarray, ...], scalar: float) -> tuple[np.ndarray, ...]:
    """tile / scalar, correctly rounded: not times a rounded reciprocal."""
    return tuple(vector / vector.dtype.type(scalar) for vector in tile)


def is_finite(tile: tuple[np.ndarray, ...]) -> bool:
    """Whether every element is."""
    return all(bool(np.isfinite(vector).all()) for vector in tile)


def load_row(
    tile: tuple[np.ndarray, ...], x: np.ndarray, at: int, count: int | None
) -> tuple[np.ndarray, ...]:
    """As many vectors as `tile` has, from x[at:]."""
    values = np.zeros(len(tile) * lanes(x), x.dtype)
    count = values.size if count is None else count
    values[:count] = x.reshape(-1)[at : at + count]
    return tuple(np.split(values, len(tile)))


def repeat_rows(tile: tuple[np.ndarray, ...], row: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """A tile like `tile`, each row of which is `row`."""
    return row * (len(tile) // len(row))


def outer_fma(
    tile: tuple[np.ndarray, ...],
    x: np.ndarray,
    offsets: tuple[int, ...],
    step: int,
    row: tuple[np.ndarray, ...],
) -> tuple[np.ndarray, ...]:
    """tile[m, v] + x[offsets[m] + step]·row[v], rounded once."""
    flat = x.reshape(-1)
    scalars = [flat[offset + step] for offset in offsets]
    return tuple(
        tile[m * len(row) + v] + scalar * row[v] for m, scalar in enumerate(scalars) for v in range(len(row))
    )


def rows_fma(
    tile: tuple[np.ndarray, ...], x: np.ndarray, offsets: tuple[int, ...], at: int, scalar: float, count: int
) -> tuple[np.ndarray, ...]:
    """tile[m] + scalar · x[offsets[m] + at:][:count], rounded once."""
    flat, width, result = x.reshape(-1), len(tile) // len(offsets), []
    for m, offset in enumerate(offsets):
        row = tile[m * width : (m + 1) * width]
        loaded = load_row(row, flat, offset + at, count)
        result += [a + scalar * b for a, b in zip(row, loaded, strict=True)]
    return tuple(result)


def load_rows(
    tile: tuple[np.ndarray, ...], x: np.ndarray, offsets: tuple[int, ...], count: int
) -> tuple[np.ndarray, ...]:
    """A tile like `tile`, row m of which is x[offsets[m]:][:count]."""
    width = len(tile) // len(offsets)
    return tuple(vector for offset in offsets for vector in load_row(tile[:width], x, offset, count))


def add_scaled_rows(
    y: np.ndarray, offsets: tuple[int, ...], at: int, scalar: float, tile: tuple[np.ndarray, ...], count: int
) -> None:
    """y[offsets[m] + at:][:count] += scalar · row m of the tile, rounded once; the offsets must differ."""
    flat, width = y.reshape(-1), len(tile) // len(offsets)
    count = width * lanes(y) if count is None else count
    for m, offset in enumerate(offsets):
        row = np.concatenate(tile[m * width : (m + 1) * width])[:count]
        flat[offset + at : offset + at + count] += scalar * row


def row_fma(
    row: tuple[np.ndarray, ...], a: tuple[np.ndarray, ...], b: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, ...]:
    """row + a·b, element by element, rounded once."""
    return tuple(x + y * z for x, y, z in zip(row, a, b, strict=True))


def relu(tile: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """max(tile, 0); NaN stays NaN."""
    return tuple(np.maximum(vector, 0) for vector in tile)


def store_rows(y: np.ndarray, offsets: tuple[int, ...], tile: tuple[np.ndarray, ...], count: int) -> None:
    """y[offsets[m]:][:count] = row m of the tile."""
    flat, width = y.reshape(-1), len(tile) // len(offsets)
    count = width * lanes(y) if count is None else count
    for m, offset in enumerate(offsets):
        flat[offset : offset + count] = np.concatenate(tile[m * width : (m + 1) * width])[:count]


def add_rows(y: np.ndarray, offsets: tuple[int, ...], tile: tuple[np.ndarray, ...], count: int) -> None:
    """y[offsets[m]:][:count] += row m of the tile; rows with the same offset must be equal, and are added once."""
    flat, width = y.reshape(-1), len(tile) // len(offsets)
    count = width * lanes(y) if count is None else count
    for offset, m in {offset: m for m, offset in enumerate(offsets)}.items():
        flat[offset : offset + count] += np.concatenate(tile[m * width : (m + 1) * width])[:count]


def first_half(tile: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """The upper half of the tile's rows."""
    return tile[: len(tile) // 2]


def second_half(tile: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """The lower half of the tile's rows."""
    return tile[len(tile) // 2 :]


def max_state(row: tuple[np.ndarray, ...], index: int) -> tuple[np.ndarray, ...]:
    """The running maxima `row`, followed by as many vectors that say where they stood: all at `index`."""
    return row + tuple(np.full_like(vector, index) for vector in row)


def fold_max(
    state: tuple[np.ndarray, ...], tile: tuple[np.ndarray, ...], index: int
) -> tuple[np.ndarray, ...]:
    """Maxima of the state and of the tile's rows, which stand at index, index + 1, …; the first of equals wins.

    The first NaN wins over everything.
    """
    width = len(state) // 2
    best, where = list(state[:width]), list(state[width:])
    for k, values in enumerate(tile):
        v = k % width
        better = (values > best[v]) | (np.isnan(values) & ~np.isnan(best[v]))
        best[v] = np.where(better, values, best[v])
        where[v] = np.where(better, where[v].dtype.type(index + k // width), where[v])
    return (*best, *where)


def store_max(y: np.ndarray, argmax: np.ndarray, at: int, state: tuple[np.ndarray, ...], count: int) -> None:
    """y[at:][:count] = the maxima, argmax[at:][:count] = where they stood."""
    width = len(state) // 2
    count = width * lanes(y) if count is None else count
    y.reshape(-1)[at : at + count] = np.concatenate(state[:width])[:count]
    argmax.reshape(-1)[at : at + count] = np.concatenate(state[width:])[:count]


def passed_row(
    row: tuple[np.ndarray, ...], dy: np.ndarray, y: np.ndarray, at: int, count: int | None
) -> tuple[np.ndarray, ...]:
    """dy[at:][:count] where y > 0, else 0: what a ReLU lets through."""
    count = len(row) * lanes(dy) if count is None else count
    part = slice(at, at + count)
    passed = np.where(y.reshape(-1)[part] > 0, dy.reshape(-1)[part], dy.dtype.type(0))
    return load_row(row, passed, 0, count)


def index_row(row: tuple[np.ndarray, ...], argmax: np.ndarray, at: int, count: int) -> tuple[np.ndarray, ...]:
    """argmax[at:][:count] as numbers of the row's dtype."""
    return load_row(row, argmax.reshape(-1)[at : at + count].astype(row[0].dtype), 0, count)


def select_row(
    row: tuple[np.ndarray, ...], where: tuple[np.ndarray, ...], index: int
) -> tuple[np.ndarray, ...]:
    """The row where `where` equals index, else 0."""
    return tuple(np.where(b == index, a, a.dtype.type(0)) for a, b in zip(row, where, strict=True))


def copy_transposed(y: np.ndarray, to: int, step: int, x: np.ndarray, at: int, x_step: int) -> None:
    """y[to + k·step + l] = x[at + l·x_step + k] for all lanes k and l of a vector: a square block."""
    block = np.arange(lanes(x))
    y.reshape(-1)[to + block[:, None] * step + block] = x.reshape(-1)[at + block * x_step + block[:, None]]


def add_transposed(y: np.ndarray, to: int, step: int, x: np.ndarray, at: int, x_step: int) -> None:
    """The same with += for =."""
    block = np.arange(lanes(x))
    y.reshape(-1)[to + block[:, None] * step + block] += x.reshape(-1)[at + block * x_step + block[:, None]]


def append_passed(
    lists: tuple[np.ndarray, np.ndarray],
    at: int,
    maxima: tuple[np.ndarray, np.ndarray, np.ndarray],
    first: int,
    tap: int,
    places: tuple[int, int],
) -> int:
    """Append the gradients that reach one tap of the pool, and their places, to two lists; returns how many.

    With (dy, y, argmax) = maxima and (place, step) = places: of one vector of gradients dy[first + k], those with y > 0
    and argmax == tap go to lists[0][at:], and place + k·step (int32) to lists[1][at:]. As many numbers of the lists as
    a vector has are overwritten.
    """
    dy, y, argmax = (a.reshape(-1)[first : first + lanes(maxima[0])] for a in maxima)
    passed = np.flatnonzero((y > 0) & (argmax == tap))
    place, step = places
    lists[0][at : at + passed.size] = dy[passed]
    lists[1][at : at + passed.size] = place + passed * step
    return passed.size
