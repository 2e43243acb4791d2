"""A learning rate chosen before each epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minicnn.callbacks.callback import Callback, Logs
from minicnn.progbar import print_message


class LearningRateScheduler(Callback):
    """Sets the learning rate to schedule(epoch, learning rate) before each epoch, epochs counted from 0.

    Adds 'learning_rate' to the epoch's logs. Source: keras/src/callbacks/learning_rate_scheduler.py.

    Args:
        schedule: a function of the epoch and the current rate, or of the epoch alone, that gives a float.
        verbose: 1 to say so.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        self.schedule = schedule
        self.verbose = verbose

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = self.model.optimizer
        try:
            rate = self.schedule(epoch, float(optimizer.learning_rate))
        except TypeError:
            rate = self.schedule(epoch)
        if not isinstance(rate, float | np.floating):
            raise ValueError(f"The output of the `schedule` function should be a float. Received {rate!r}.")
        optimizer.learning_rate = rate
        if self.verbose > 0:
            print_message(f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}.")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)
