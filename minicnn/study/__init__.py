"""Studying how convolutions work, on one's own model: explanations of single numbers, receptive fields, experiments.

    from minicnn import study

    print(study.explain(model, x, layer="conv2d_1", output=(0, 3, 4, 7)))

Names are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minicnn.study.explaining.explain import explain
    from minicnn.study.fields import layer_report, receptive_field

_OBJECTS = {"explain": "explaining.explain", "layer_report": "fields", "receptive_field": "fields"}

__all__ = ["explain", "layer_report", "receptive_field"]


def __getattr__(name: str) -> Any:
    if name in _OBJECTS:
        return getattr(import_module(f"minicnn.study.{_OBJECTS[name]}"), name)
    raise AttributeError(f"module 'minicnn.study' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
