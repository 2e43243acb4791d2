"""Penalties on weights, added to the loss. Names, arguments and numbers are Keras's.

    layers.Dense(10, kernel_regularizer=regularizers.L2(1e-4))

A penalty depends on the weights alone: training adds it to the loss, and its gradient to the weight's, once for each
step, after the sum over the samples. Source: keras/src/regularizers/regularizers.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np

from minicnn.checks import is_number
from minicnn.registry import Registry

__all__ = ["L1", "L1L2", "L2", "Regularizer", "deserialize", "get", "l1", "l1_l2", "l2", "serialize"]


class Regularizer:
    """Base: subclasses define `__call__`, `gradient` and `get_config`."""

    def __call__(self, x: Any) -> Any:
        """The penalty on x, a number."""
        raise NotImplementedError(f"{type(self).__name__} does not define `__call__`.")

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """The gradient of the penalty by x, of the shape and dtype of x."""
        raise NotImplementedError(f"{type(self).__name__} does not define `gradient`.")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; `from_config` takes them back."""
        raise NotImplementedError(f"{type(self).__name__} does not define `get_config`.")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Regularizer:
        return cls(**config)


class L1L2(Regularizer):
    """l1·Σ|x| + l2·Σx², summed in float64; gradient l1·sign(x) + 2·l2·x, 0 where x is 0.

    Raises:
        ValueError: a factor that isn't a finite number of at least 0.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1, self.l2 = _factor("l1", l1, 0.0), _factor("l2", l2, 0.0)

    def __call__(self, x: Any) -> Any:
        x = np.asarray(x)
        wide = x.astype(np.float64, copy=False)
        penalty = self.l1 * np.abs(wide).sum() if self.l1 else 0.0
        penalty += self.l2 * np.square(wide).sum() if self.l2 else 0.0
        return x.dtype.type(penalty) if x.dtype.kind == "f" else penalty

    def gradient(self, x: np.ndarray) -> np.ndarray:
        kind = x.dtype.type
        gradient = kind(self.l1) * np.sign(x) if self.l1 else np.zeros_like(x)
        if self.l2:
            gradient += kind(2 * self.l2) * x
        return gradient

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}


class L1(L1L2):
    """l1·Σ|x|; see L1L2."""

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1=_factor("l1", l1, 0.01))

    def get_config(self) -> dict[str, Any]:
        # Keras keeps this factor in float32, and says so.
        return {"l1": float(np.float32(self.l1))}


class L2(L1L2):
    """l2·Σx²; see L1L2."""

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(l2=_factor("l2", l2, 0.01))

    def get_config(self) -> dict[str, Any]:
        return {"l2": self.l2}


l1, l2, l1_l2 = L1, L2, L1L2


def _factor(name: str, value: Any, default: float) -> float:
    if value is None:
        return default
    if not is_number(value) or not isfinite(value) or value < 0:
        raise ValueError(f"`{name}` must be a finite number of at least 0. Received {name}={value!r}.")
    return float(value)


registry = Registry(
    "regularizer", "regularizers", (L1, L2, L1L2), {"l1": L1, "l2": L2, "l1l2": L1L2, "l1_l2": L1L2}
)

serialize = registry.serialize
deserialize = registry.deserialize


def get(identifier: Any) -> Any:
    """A regularizer by name, configuration, class or itself; None for None.

    Raises:
        ValueError: an unknown name, or something that isn't a Regularizer. A function has no gradient.
    """
    regularizer = None if identifier is None else registry.get(identifier)
    if regularizer is not None and not isinstance(regularizer, Regularizer):
        raise ValueError(
            f"Could not interpret regularizer identifier: {identifier!r}. It must be a Regularizer, which has a "
            "`gradient`."
        )
    return regularizer
