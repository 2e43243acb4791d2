"""Checks of arguments that layers share: what must hold, then what came."""

from collections.abc import Mapping
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


def dtype_of(value: Any) -> str:
    """'float32' or 'float64', `config.floatx()` for None; also from the configuration of Keras's DTypePolicy."""
    if isinstance(value, Mapping) and value.get("class_name") == "DTypePolicy":
        settings = value.get("config")
        value = settings.get("name") if isinstance(settings, Mapping) else settings
    return config.standardize_dtype(value)
