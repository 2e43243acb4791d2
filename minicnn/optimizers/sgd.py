"""Stochastic gradient descent."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.checks import number
from minicnn.engine.binding import kernels_only
from minicnn.optimizers.optimizer import Optimizer, Scalars, kernels
from minicnn.optimizers.schedules import LearningRateSchedule
from minicnn.reference import optimizers as reference


class SGD(Optimizer):
    """w ← w − η·g, or with momentum m ← μ·m − η·g and w ← w + m (Nesterov: w ← w + μ·m − η·g).

    Arguments are Keras's (keras/src/optimizers/sgd.py); those not explained here are explained in `Optimizer`.

    Raises:
        ValueError: a momentum outside [0, 1], or what `Optimizer` raises.
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
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
        self.momentum = number("momentum", momentum, 0, 1)
        self.nesterov = bool(nesterov)

    @property
    def slot_names(self) -> tuple[str, ...]:
        return ("momentum",) if self.momentum else ()

    @kernels_only
    def step_slice(
        self, w: np.ndarray, g: np.ndarray, slots: Sequence[np.ndarray], scalars: Scalars, backend: str
    ) -> None:
        if backend == "numba":
            step = kernels().sgd_momentum_step if slots else kernels().sgd_step
            step(w, g, *slots, scalars.numbers)
        elif slots:
            rate = scalars.learning_rate
            reference.sgd_momentum_step(w, g, slots[0], rate, self.momentum, self.nesterov)
        else:
            reference.sgd_step(w, g, scalars.learning_rate)

    def numbers(self, scalars: Scalars, dtype: np.dtype) -> Sequence[float]:
        return scalars.learning_rate, float(reference.through_float32(dtype, self.momentum)), self.nesterov

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"momentum": self.momentum, "nesterov": self.nesterov}
