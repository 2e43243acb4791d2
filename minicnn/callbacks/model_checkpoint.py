"""The model, or its weights, on disk: after every epoch, every so many batches, or when it is the best so far."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.callbacks.callback import Logs
from minicnn.callbacks.frequency import BatchCounter
from minicnn.callbacks.monitor import MonitorCallback
from minicnn.progbar import print_message

WEIGHTS, MODELS = ".weights.h5", (".keras",)


class ModelCheckpoint(MonitorCallback):
    """Saves the model while it trains. Source: keras/src/callbacks/model_checkpoint.py.

    Args:
        filepath: ends in .keras, or with `save_weights_only` in .weights.h5. '{epoch:02d}', '{batch}', '{val_loss:.2f}'
            and other names in the logs are filled in; epochs and batches count from 1.
        monitor, mode: see MonitorCallback.
        verbose: 1 to say so.
        save_best_only: save when `monitor` is better than ever before.
        save_weights_only: the weights alone.
        save_freq: 'epoch', or after how many batches.
        initial_value_threshold: what the first value has to be better than.

    Raises:
        ValueError: another suffix or `save_freq`.
        KeyError: while training, a name in `filepath` that the logs don't have.
        OSError: while training, the file can't be written; an old one is as it was.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode)
        self.filepath = os.fspath(filepath)
        suffixes = (WEIGHTS,) if save_weights_only else MODELS
        if not self.filepath.endswith(suffixes):
            raise ValueError(
                f"`filepath` must end in {suffixes[0]} when save_weights_only={save_weights_only}. "
                f"Received filepath={self.filepath!r}."
            )
        self.verbose = verbose
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self.save_freq = save_freq
        self.best = initial_value_threshold
        self._counter = BatchCounter(save_freq)
        self._epoch = 0

    def get_state(self) -> dict[str, Any]:
        """The best value, and how far the counting is."""
        return {
            "best": self.best,
            "since": self._counter.since,
            "seen": self._counter.seen,
            "epoch": self._epoch,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        self.best, self._epoch = state["best"], state["epoch"]
        self._counter.since, self._counter.seen = state["since"], state["seen"]

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch
        self._counter.begin_epoch()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self._counter.is_due(batch):
            self._save_if_due(self._epoch, {"batch": batch + 1} | (logs or {}), logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save_if_due(epoch, logs or {}, logs or {})

    def _save_if_due(self, epoch: int, names: Logs, logs: Logs) -> None:
        try:
            path = self.filepath.format(epoch=epoch + 1, **names)
        except KeyError as error:
            raise KeyError(
                f"`filepath` must use names in the logs: {', '.join(logs)}. Received {self.filepath!r}; there is "
                f"no {error}."
            ) from None
        if not self._is_due(epoch, logs, path):
            return
        if Path(path).is_dir():
            raise IsADirectoryError(f"`filepath` must be a file. Received {path!r}, which is a folder.")
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)
        self._say(epoch, f"finished saving model to {path}")

    def _is_due(self, epoch: int, logs: Logs, path: str) -> bool:
        if not self.save_best_only:
            self._say(epoch, f"saving model to {path}")
            return True
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(f"Can save best model only with {self.monitor} available.", stacklevel=3)
            return True
        if np.ndim(current) > 0:
            warnings.warn(
                f"Can save best model only when `monitor` is a scalar value. Received: {current}. "
                "Falling back to `save_best_only=False`.",
                stacklevel=3,
            )
            return True
        best = "None" if self.best is None else f"{self.best:.5f}"
        if not self.is_improvement(current, self.best):
            self._say(epoch, f"{self.monitor} did not improve from {best}")
            return False
        self._say(epoch, f"{self.monitor} improved from {best} to {current:.5f}, saving model to {path}")
        self.best = current
        return True

    def _say(self, epoch: int, what: str) -> None:
        if self.verbose > 0:
            print_message(f"\nEpoch {epoch + 1}: {what}")
