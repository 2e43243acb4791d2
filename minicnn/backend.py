"""`keras.backend` as far as it makes sense here: settings under their old address, and a fresh start."""

import gc

from minicnn.config import (
    epsilon,
    floatx,
    image_data_format,
    set_epsilon,
    set_floatx,
    set_image_data_format,
    standardize_dtype,
)
from minicnn.naming import reset_names

__all__ = [
    "clear_session",
    "epsilon",
    "floatx",
    "image_data_format",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "standardize_dtype",
]


def clear_session(free_memory: bool = True) -> None:
    """Number automatic names from the start again, and collect garbage unless `free_memory` is False.

    Models and layers that exist go on working; settings and random streams stay what they are.
    """
    reset_names()
    if free_memory:
        gc.collect()
