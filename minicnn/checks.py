"""Checks of single arguments: each returns the value, or says what must hold and what came."""

from collections.abc import Collection
from math import inf
from numbers import Integral, Real
from typing import Any


def is_integer(value: Any) -> bool:
    """Python's and NumPy's integers, not booleans."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Python's and NumPy's real numbers, NaN included, not booleans."""
    return isinstance(value, Real) and not isinstance(value, bool)


def integer(name: str, value: Any, low: int) -> int:
    """An integer of at least `low`."""
    if not is_integer(value) or value < low:
        raise ValueError(f"`{name}` must be an integer of at least {low}. Received {name}={value!r}.")
    return int(value)


def number(name: str, value: Any, low: float = -inf, high: float = inf) -> float:
    """A real number in [low, high]; never NaN, and ±∞ only if it is a bound."""
    if not is_number(value) or not low <= value <= high:
        span = f" in [{low}, {high}]" if high < inf else f" of at least {low}" if low > -inf else ""
        raise ValueError(f"`{name}` must be a real number{span}. Received {name}={value!r}.")
    return float(value)


def optional_number(name: str, value: Any, low: float = -inf) -> float | None:
    """None, or a real number of at least `low`."""
    return None if value is None else number(name, value, low)


def one_of(name: str, value: Any, choices: Collection[Any]) -> Any:
    """One of `choices`."""
    # A value that can't be hashed or compared is none of them.
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, choices))}. Received {name}={value!r}."
        )
    return value


def only_default(owner: str, **arguments: tuple[Any, Any]) -> None:
    """Refuse arguments of Keras that are accepted by name but not implemented: name=(value, default)."""
    for name, (value, default) in arguments.items():
        if value is not default and value != default:
            raise ValueError(
                f"{owner} does not implement `{name}`; it must be {default!r}. Received {name}={value!r}."
            )
