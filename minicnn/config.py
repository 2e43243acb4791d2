"""Settings of the whole process: float type, ε, image data format, threads. Imports nothing heavy.

Names and defaults are those of `keras.config`, plus the thread count and `check_finite`. Settings are read when an
object is made or a step begins; what exists already keeps what it was made with.
"""

import os
from typing import Any

from minicnn.checks import integer, is_number, one_of

FLOAT_TYPES = ("float32", "float64")
DATA_FORMATS = ("channels_last", "channels_first")

check_finite = True
"""Whether images and targets are scanned for NaN and infinity before they are trained on."""

_floatx = "float32"
_epsilon = 1e-7
_image_data_format = "channels_last"
_num_threads: int | None = None


def floatx() -> str:
    """The float type of whatever isn't given one: 'float32' or 'float64'."""
    return _floatx


def set_floatx(value: str) -> None:
    """Set the default float type.

    Raises:
        ValueError: anything but 'float32' and 'float64'.
    """
    global _floatx
    _floatx = one_of("floatx", value, FLOAT_TYPES)


def standardize_dtype(dtype: Any = None) -> str:
    """The name of a float type given as a string, a NumPy dtype or a NumPy scalar type; `floatx()` for None.

    Raises:
        ValueError: anything but float32 and float64.
    """
    if dtype is None:
        return _floatx
    name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or dtype
    if not isinstance(name, str) or name not in FLOAT_TYPES:
        raise ValueError(
            f"`dtype` must be one of {', '.join(FLOAT_TYPES)}, or None. Received dtype={dtype!r}."
        )
    return name


def epsilon() -> float:
    """The small number that keeps logarithms finite: probabilities are clipped to [ε, 1 − ε]."""
    return _epsilon


def set_epsilon(value: float) -> None:
    """Set ε.

    Raises:
        ValueError: not a number strictly between 0 and 0.5.
    """
    global _epsilon
    if not is_number(value) or not 0 < value < 0.5:
        raise ValueError(f"`epsilon` must be a number between 0 and 0.5. Received {value!r}.")
    _epsilon = float(value)


def image_data_format() -> str:
    """Where images have their channels unless a layer says otherwise: 'channels_last' or 'channels_first'."""
    return _image_data_format


def set_image_data_format(data_format: str) -> None:
    """Set the default data format.

    Raises:
        ValueError: anything but 'channels_last' and 'channels_first', in whatever case.
    """
    global _image_data_format
    _image_data_format = one_of("data_format", str(data_format).lower(), DATA_FORMATS)


def num_threads() -> int:
    """How many threads work on a batch: by default as many as this process may use CPUs. Results don't depend on it."""
    return _num_threads if _num_threads is not None else _usable_cpus()


def set_num_threads(count: int | None) -> None:
    """Set the number of threads; None restores the default.

    Raises:
        ValueError: not a positive integer.
    """
    global _num_threads
    _num_threads = None if count is None else integer("num_threads", count, 1)


def _usable_cpus() -> int:
    """CPUs in this process's affinity mask, where the system has one; containers and `taskset` shrink it."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
