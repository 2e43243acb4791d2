"""minicnn: the small Keras convnet that learns MNIST, from scratch in NumPy and Numba, proven equal to Keras.

    from minicnn import Input, layers, models

Submodules are imported when they are first used: `import minicnn` alone loads nothing but this page.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minicnn import (
        activations,
        backend,
        callbacks,
        config,
        datasets,
        initializers,
        layers,
        losses,
        metrics,
        models,
        ops,
        optimizers,
        regularizers,
        saving,
        utils,
    )
    from minicnn.layers import Input, Layer
    from minicnn.models import Model, Sequential
    from minicnn.saving.keras_bridge import from_keras, to_keras

__version__ = "0.1.0"

_MODULES = (
    "activations", "backend", "callbacks", "config", "datasets", "initializers", "layers", "losses", "metrics",
    "models", "ops", "optimizers", "regularizers", "saving", "utils",
)  # fmt: skip
_OBJECTS = {
    "Input": "layers", "Layer": "layers", "Model": "models", "Sequential": "models",
    "from_keras": "saving.keras_bridge", "to_keras": "saving.keras_bridge",
}  # fmt: skip

__all__ = [
    "Input",
    "Layer",
    "Model",
    "Sequential",
    "activations",
    "backend",
    "callbacks",
    "config",
    "datasets",
    "from_keras",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "regularizers",
    "saving",
    "to_keras",
    "utils",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"minicnn.{name}")
    if name in _OBJECTS:
        return getattr(import_module(f"minicnn.{_OBJECTS[name]}"), name)
    raise AttributeError(f"module 'minicnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
