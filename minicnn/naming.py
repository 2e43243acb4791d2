"""Automatic names: conv2d, conv2d_1, conv2d_2, … as Keras numbers them, until the session is cleared."""

import re
from collections import Counter

_used: Counter[str] = Counter()


def unique_name(class_name: str) -> str:
    """The next free name of a class: its snake case, numbered from the second on."""
    stem = snake_case(class_name)
    number = _used[stem]
    _used[stem] += 1
    return f"{stem}_{number}" if number else stem


def reset_names() -> None:
    """Start numbering anew."""
    _used.clear()


def snake_case(class_name: str) -> str:
    """MaxPooling2D → max_pooling2d (keras/src/utils/naming.py, `to_snake_case`)."""
    name = re.sub(r"\W+", "", class_name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
