"""Checks of layer arguments: what must hold, then what came."""

from collections.abc import Collection
from numbers import Integral, Real
from typing import Any

from minicnn import config


def positive_integer(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received {name}={value!r}.")
    return int(value)


def positive_pair(name: str, value: Any) -> tuple[int, int]:
    """One positive integer for both axes, or two."""
    values = (value, value) if isinstance(value, Integral) else value
    try:
        pair = tuple(positive_integer(name, size) for size in values)
    except (TypeError, ValueError):
        pair = ()
    if len(pair) != 2:
        raise ValueError(f"`{name}` must be two positive integers. Received {name}={value!r}.")
    return pair[0], pair[1]


def one_of(name: str, value: Any, choices: Collection[str]) -> str:
    """A string among `choices`, in lower case."""
    text = value.lower() if isinstance(value, str) else value
    if text not in choices:
        expected = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"`{name}` must be one of {expected}. Received {name}={value!r}.")
    return text


def data_format_of(value: Any) -> str:
    """`value`, or the configured format for None."""
    if value is None:
        return config.image_data_format()
    return one_of("data_format", value, ("channels_last", "channels_first"))


def share(name: str, value: Any) -> float:
    """A number in [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 1:
        raise ValueError(f"`{name}` must be a number between 0 and 1. Received {name}={value!r}.")
    return float(value)


def only_default(layer: str, **arguments: Any) -> None:
    """Refuse Keras arguments that are accepted by name but not implemented: they must be None."""
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(f"{layer} does not implement `{name}`; it must be None. Received {name}={value!r}.")
