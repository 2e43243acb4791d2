"""Checks of arguments that describe images: what must hold, then what came."""

from typing import Any

from minicnn import config
from minicnn.checks import is_integer, one_of


def positive_pair(name: str, value: Any) -> tuple[int, int]:
    """One positive integer for both axes, or two: (height, width)."""
    values = (value, value) if is_integer(value) else value
    if (
        not isinstance(values, list | tuple)
        or len(values) != 2
        or not all(is_integer(n) and n > 0 for n in values)
    ):
        raise ValueError(f"`{name}` must be two positive integers. Received {name}={value!r}.")
    return int(values[0]), int(values[1])


def padding_of(value: Any) -> str:
    """'valid' or 'same', in whatever case."""
    return one_of("padding", value.lower() if isinstance(value, str) else value, ("valid", "same"))


def data_format_of(value: Any) -> str:
    """'channels_last' or 'channels_first', the configured one for None."""
    if value is None:
        return config.image_data_format()
    return one_of("data_format", value.lower() if isinstance(value, str) else value, config.DATA_FORMATS)
