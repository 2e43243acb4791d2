"""JSON from files, read with limits: what a configuration never needs is refused before objects are built from it."""

import json
from math import isfinite
from typing import Any

import numpy as np

from minicnn.errors import DataError

MAX_NBYTES = 16 << 20
MAX_DEPTH = 64
MAX_LAYERS = 10_000
MAX_VALUES = 500_000
"""Values in all: an empty object takes 2 bytes of a file and 64 of memory."""


def parse_config(content: bytes, what: str) -> dict[str, Any]:
    """The JSON object in `content`; `what` names it in errors: "'m.keras': config.json".

    Raises:
        DataError: not a UTF-8 JSON object, more than 16 MiB, more than 64 levels deep, more than 500,000 values or
            10,000 layers, a name twice in one object, or a number that isn't finite.
    """
    if len(content) > MAX_NBYTES:
        raise DataError(f"{what} must be at most {MAX_NBYTES} bytes long. Received {len(content)} bytes.")
    layers = 0

    def checked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal layers
        names = unique_names(pairs)
        if isinstance(listed := names.get("layers"), list):
            layers += len(listed)
        return names

    try:
        check_size(content)
        text = content.decode("utf-8")
        config = json.loads(
            text, object_pairs_hook=checked, parse_constant=refuse_constant, parse_float=finite
        )
    except DataError as error:
        raise DataError(f"{what} {error}") from None
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, an integer of too many digits
        raise DataError(f"{what} must be JSON. {error}") from None
    if not isinstance(config, dict):
        raise DataError(f"{what} must be a JSON object. Received {type(config).__name__}.")
    if layers > MAX_LAYERS:
        raise DataError(f"{what} must have at most {MAX_LAYERS} layers. Received {layers}.")
    return config


def check_size(content: bytes) -> None:
    """Refuse depth and number of values by the brackets and commas outside strings.

    A backslash outside a string ends JSON, so what is counted behind one doesn't matter.
    """
    plain = np.frombuffer(content.replace(rb"\\", b"").replace(rb"\"", b""), np.uint8)
    outside = np.cumsum(plain == ord('"'), dtype=np.uint8) & 1 == 0
    opening = ((plain == ord("[")) | (plain == ord("{"))) & outside
    values = np.count_nonzero(opening) + np.count_nonzero((plain == ord(",")) & outside)
    if values > MAX_VALUES:
        raise DataError(f"must have at most {MAX_VALUES} values. Received {values}.")
    closing = ((plain == ord("]")) | (plain == ord("}"))) & outside
    steps = np.subtract(opening, closing, dtype=np.int8)
    if np.cumsum(steps[opening | closing]).max(initial=0) > MAX_DEPTH:
        raise DataError(f"must be at most {MAX_DEPTH} levels deep.")


def unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise DataError(f"must have every name once in an object. Received {twice[:80]!r} twice.")
    return names


def refuse_constant(name: str) -> float:
    raise DataError(f"must hold finite numbers. Received {name}.")


def finite(digits: str) -> float:
    value = float(digits)
    if not isfinite(value):
        raise DataError(f"must hold finite numbers. Received {digits[:80]}.")
    return value
