"""Optimizer steps in float64, as Keras 3 writes them (``keras/src/optimizers/{sgd,rmsprop,adam}.py``).

Each is ``(w, dw, state, *, ...) -> (w, state)``; ``state=None`` starts with zeros.  Nothing is written in
place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
State = dict[str, Any]


def _start(w: Array, dw: Array) -> tuple[Array, Array]:
    return np.asarray(w, dtype=np.float64), np.asarray(dw, dtype=np.float64)


def sgd(
    w: Array,
    dw: Array,
    state: State | None = None,
    *,
    learning_rate: float = 0.01,
    momentum: float = 0.0,
    nesterov: bool = False,
) -> tuple[Array, State]:
    """``v ← momentum v − lr dw``; ``w ← w + v``, or ``w + momentum v − lr dw`` with Nesterov."""
    w, dw = _start(w, dw)
    v = np.zeros_like(w) if state is None else state["momentum"]
    v = momentum * v - learning_rate * dw
    step = momentum * v - learning_rate * dw if nesterov else v
    return w + step, {"momentum": v}


def rmsprop(
    w: Array,
    dw: Array,
    state: State | None = None,
    *,
    learning_rate: float = 0.001,
    rho: float = 0.9,
    momentum: float = 0.0,
    epsilon: float = 1e-7,
    centered: bool = False,
) -> tuple[Array, State]:
    """``w ← w − m`` with ``m ← momentum m + lr dw / sqrt(v + ε)``: ε inside the root.

    ``v ← rho v + (1 − rho) dw²``; when centered ``a²`` is taken off, ``a ← rho a + (1 − rho) dw``.
    """
    w, dw = _start(w, dw)
    zeros = np.zeros_like(w)
    state = state or {"velocity": zeros, "momentum": zeros, "average_gradient": zeros}
    v = rho * state["velocity"] + (1 - rho) * dw**2
    a = rho * state["average_gradient"] + (1 - rho) * dw
    denominator = v - a**2 + epsilon if centered else v + epsilon
    m = momentum * state["momentum"] + learning_rate * dw / np.sqrt(denominator)
    return w - m, {"velocity": v, "momentum": m, "average_gradient": a}


def adam(
    w: Array,
    dw: Array,
    state: State | None = None,
    *,
    learning_rate: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
) -> tuple[Array, State]:
    """``w ← w − α m / (sqrt(v) + ε)``, ``α = lr sqrt(1 − β₂ᵗ) / (1 − β₁ᵗ)``, t counted from 1; ε outside."""
    w, dw = _start(w, dw)
    state = state or {"step": 0, "momentum": np.zeros_like(w), "velocity": np.zeros_like(w)}
    t = state["step"] + 1
    m = state["momentum"] + (1 - beta_1) * (dw - state["momentum"])
    v = state["velocity"] + (1 - beta_2) * (dw**2 - state["velocity"])
    alpha = learning_rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    return w - alpha * m / (np.sqrt(v) + epsilon), {"step": t, "momentum": m, "velocity": v}


OPTIMIZERS: dict[str, Callable[..., tuple[Array, State]]] = {"sgd": sgd, "rmsprop": rmsprop, "adam": adam}
"""Name → one step."""
