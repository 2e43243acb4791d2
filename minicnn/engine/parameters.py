"""Variables, and the flat vectors they live in.

A variable starts with an array of its own. The first model that contains it moves it, with the others that have no
home yet, into one flat vector, and it keeps a view; no later model moves it again, so that layers shared by several
models (a feature extractor, a fine-tuned copy) share their weights too. Nothing ever rebinds a weight after that.

Inside `shapes_only` layers make variables that have a shape and no memory: a file is read by building its model that
way, comparing every shape with what the file holds, and only then giving the variables their values.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

CACHE_LINE = 64
"""Bytes."""

ALIGNMENT_ELEMENTS = 16
"""Every variable starts at a multiple of this many elements: one AVX-512 vector of float32."""

_have_values: ContextVar[bool] = ContextVar("_have_values", default=True)


@contextmanager
def shapes_only() -> Iterator[None]:
    """Layers that are built meanwhile draw no values and allocate nothing; `Variable.fill` makes up for it."""
    token = _have_values.set(False)
    try:
        yield
    finally:
        _have_values.reset(token)


def have_values() -> bool:
    """False inside `shapes_only`."""
    return _have_values.get()


def without_values(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Zeros of any shape in the memory of one.

    Raises:
        ValueError: a shape of more bytes than can be addressed.
    """
    try:
        return np.broadcast_to(np.zeros((), dtype), shape)
    except ValueError:  # NumPy's doesn't say of what
        raise ValueError(f"There is no memory for an array of shape {shape}.") from None


class Variable:
    """A named weight: Keras's `Variable` as far as users see it.

    `version` counts the changes, so that whatever was derived from the values knows when to be remade.
    """

    def __init__(
        self, value: np.ndarray, *, name: str, path: str | None = None, trainable: bool = True
    ) -> None:
        self.array = value
        self.name = name
        self.path = path or name
        self.trainable = trainable
        self.regularizer: Any = None
        self.version = 0
        self.has_home = False

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def dtype(self) -> str:
        return self.array.dtype.name

    @property
    def value(self) -> np.ndarray:
        """A copy of the values."""
        return self.numpy()

    def numpy(self) -> np.ndarray:
        """A copy of the values."""
        return self.array.copy()

    def assign(self, value: Any) -> "Variable":
        """Overwrite the values in place.

        Raises:
            ValueError: another shape than the variable's.
        """
        value = np.asarray(value)
        if value.shape != self.shape:
            raise ValueError(
                f"The value assigned to variable '{self.path}' must have shape {self.shape}. "
                f"Received value.shape={value.shape}."
            )
        self.array[...] = value
        self.version += 1
        return self

    def fill(self, array: np.ndarray) -> None:
        """Take `array`, of the variable's shape and dtype, for the values of a variable made in `shapes_only`."""
        self.array = array
        self.version += 1

    def assign_add(self, value: Any) -> "Variable":
        return self.assign(self.array + value)

    def assign_sub(self, value: Any) -> "Variable":
        return self.assign(self.array - value)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.array, dtype=dtype)

    def __float__(self) -> float:
        return float(self.array)

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}, value={self.array}>"


def give_home(variables: Sequence[Variable]) -> None:
    """Move every variable that has no home yet into one flat vector, in order; the values stay what they are."""
    homeless = [v for v in variables if not v.has_home]
    if not homeless:
        return
    offsets, size = aligned_offsets(homeless)
    flat = aligned_zeros(size, homeless[0].array.dtype)
    for variable, offset in zip(homeless, offsets, strict=True):
        view = flat[offset : offset + variable.array.size].reshape(variable.shape)
        view[...] = variable.array
        variable.array, variable.has_home = view, True


def aligned_zeros(size: int, dtype: np.dtype) -> np.ndarray:
    """`size` zeros that start at a cache line: a vector that spans two costs double. Pages are taken when written."""
    nbytes = size * dtype.itemsize
    raw = np.zeros(nbytes + CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + nbytes].view(dtype)


def aligned_offsets(variables: Sequence[Variable]) -> tuple[list[int], int]:
    """Element offsets of the variables in a flat vector of their own, and that vector's length."""
    offsets, size = [], 0
    for variable in variables:
        offsets.append(size)
        size += -(-variable.array.size // ALIGNMENT_ELEMENTS) * ALIGNMENT_ELEMENTS
    return offsets, size


def flat_views(variables: Sequence[Variable], dtype: np.dtype) -> tuple[np.ndarray, list[np.ndarray]]:
    """A zeroed flat vector with one view for each variable, laid out like their home."""
    flat = aligned_zeros(aligned_offsets(variables)[1], dtype)
    return flat, views_of(variables, flat)


def views_of(variables: Sequence[Variable], flat: np.ndarray) -> list[np.ndarray]:
    """One view of `flat` for each variable, laid out like their home."""
    return [
        flat[offset : offset + v.array.size].reshape(v.shape)
        for v, offset in zip(variables, aligned_offsets(variables)[0], strict=True)
    ]
