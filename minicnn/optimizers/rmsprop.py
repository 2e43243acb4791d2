"""RMSprop."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.checks import number
from minicnn.engine.binding import kernels_only
from minicnn.optimizers.optimizer import Optimizer, Scalars, kernels
from minicnn.optimizers.schedules import LearningRateSchedule
from minicnn.reference import optimizers as reference


class RMSprop(Optimizer):
    """v ← ρ·v + (1 − ρ)·g²;  w ← w − η·g / √(v + ε), and optionally a momentum, and the variance of g in place of v.

    Hinton, "Neural networks for machine learning", lecture 6e. Arguments are Keras's (keras/src/optimizers/rmsprop.py);
    those not explained here are explained in `Optimizer`.

    Args:
        rho: ρ, how much of the moving averages is kept.
        momentum: μ in m ← μ·m + increment, w ← w − m; 0 for none.
        epsilon: ε, inside the root.
        centered: subtract the square of the moving average of g inside the root.

    Raises:
        ValueError: rho or momentum outside [0, 1], a negative epsilon, or what `Optimizer` raises.
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            learning_rate,
            weight_decay,
            clipnorm,
            clipvalue,
            global_clipnorm,
            use_ema,
            ema_momentum,
            ema_overwrite_frequency,
            loss_scale_factor,
            gradient_accumulation_steps,
            name,
        )
        self.rho = number("rho", rho, 0, 1)
        self.momentum = number("momentum", momentum, 0, 1)
        self.epsilon = number("epsilon", epsilon, 0)
        self.centered = bool(centered)

    @property
    def slot_names(self) -> tuple[str, ...]:
        optional = {"momentum": self.momentum > 0, "average_gradient": self.centered}
        return ("velocity", *(name for name, is_used in optional.items() if is_used))

    @kernels_only
    def step_slice(
        self, w: np.ndarray, g: np.ndarray, slots: Sequence[np.ndarray], scalars: Scalars, backend: str
    ) -> None:
        named = dict(zip(self.slot_names, slots, strict=True))
        v, m, a = named["velocity"], named.get("momentum"), named.get("average_gradient")
        if backend == "reference":
            numbers = scalars.learning_rate, self.rho, self.momentum, self.epsilon
            reference.rmsprop_full_step(w, g, (v, m, a), *numbers)
        elif len(slots) == 1:
            kernels().rmsprop_step(w, g, v, scalars.numbers)
        else:
            full = tuple(w[:0] if slot is None else slot for slot in (v, m, a))
            kernels().rmsprop_full_step(w, g, full, scalars.numbers)

    def numbers(self, scalars: Scalars, dtype: np.dtype) -> Sequence[float]:
        return scalars.learning_rate, self.rho, 1 - self.rho, self.epsilon, self.momentum

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "rho": self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "centered": self.centered,
        }
