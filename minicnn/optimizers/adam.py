"""Adam, and AdamW: Adam with weight decay."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.checks import number
from minicnn.engine.binding import kernels_only
from minicnn.engine.parameters import Variable
from minicnn.optimizers.optimizer import Optimizer, Scalars, kernels
from minicnn.optimizers.schedules import LearningRateSchedule
from minicnn.recording import spoil
from minicnn.reference import optimizers as reference


class Adam(Optimizer):
    """m ← m + (g − m)·(1 − β₁);  v ← v + (g² − v)·(1 − β₂);  w ← w − m·α / (√v + ε),  α = η·√(1 − β₂ᵗ) / (1 − β₁ᵗ).

    Kingma & Ba, 2015, arXiv:1412.6980, end of section 2. Arguments are Keras's (keras/src/optimizers/adam.py); those
    not explained here are explained in `Optimizer`.

    Args:
        beta_1: β₁, in [0, 1).
        beta_2: β₂, in [0, 1).
        epsilon: ε, outside the root.
        amsgrad: the largest v so far takes the place of v.

    Raises:
        ValueError: a β outside [0, 1), a negative epsilon, or what `Optimizer` raises.
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
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
        self.beta_1, self.beta_2 = _beta("beta_1", beta_1), _beta("beta_2", beta_2)
        self.epsilon = number("epsilon", epsilon, 0)
        self.amsgrad = bool(amsgrad)

    @property
    def slot_names(self) -> tuple[str, ...]:
        return ("momentum", "velocity", "velocity_hat") if self.amsgrad else ("momentum", "velocity")

    def _slots_in_order(self) -> list[Variable]:
        """Momentum and velocity of each variable side by side, then the maxima: Keras's order."""
        by_slot = list(self._slot_variables.values())
        pairs = [slot for pair in zip(*by_slot[:2], strict=True) for slot in pair]
        return pairs + [slot for slots in by_slot[2:] for slot in slots]

    @kernels_only
    def step_slice(
        self, w: np.ndarray, g: np.ndarray, slots: Sequence[np.ndarray], scalars: Scalars, backend: str
    ) -> None:
        if backend == "numba" and not self.amsgrad:
            kernels().adam_step(w, g, tuple(slots), scalars.numbers)
            return
        spoil()
        numbers = scalars.step, scalars.learning_rate, (self.beta_1, self.beta_2), self.epsilon
        m, v = slots[:2]
        if self.amsgrad:  # which is rare: NumPy serves both backends
            reference.amsgrad_step(w, g, (m, v, slots[2]), *numbers)
        else:
            reference.adam_step(w, g, (m, v), *numbers)

    def numbers(self, scalars: Scalars, dtype: np.dtype) -> Sequence[float]:
        # The power in NumPy: Numba's may round differently.
        alpha = reference.adam_rate(dtype, scalars.step, scalars.learning_rate, (self.beta_1, self.beta_2))
        return float(alpha), 1 - self.beta_1, 1 - self.beta_2, self.epsilon

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
        }


class AdamW(Adam):
    """Adam after w ← w − w·λ·η: Loshchilov & Hutter, ICLR 2019, algorithm 2. λ is `weight_decay`.

    Raises:
        ValueError: no weight decay, or what `Adam` raises.
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
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
            beta_1,
            beta_2,
            epsilon,
            amsgrad,
            number("weight_decay", weight_decay, 0),
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


def _beta(name: str, value: Any) -> float:
    if number(name, value, 0, 1) == 1:
        raise ValueError(f"`{name}` must be less than 1. Received {name}={value!r}.")
    return float(value)
