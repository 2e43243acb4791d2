"""The base of all callbacks, and the simplest ones. Hooks and their moments are Keras's (keras/src/callbacks/).

`logs` are the values so far, name → float, in alphabetical order. Those of `on_epoch_end` also hold the validation's,
under 'val_…'; what a callback adds to them, the callbacks after it see.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from minicnn.progbar import print_message
from minicnn.saving.checkpoint import is_plain

Logs = dict[str, Any]

_OF_THE_FIT = ("params", "model", "is_resumed")
"""Attributes that belong to the running training, not to the callback."""


class Callback:
    """Subclasses define the hooks they need. `model` is the model, `params` has 'verbose', 'epochs' and 'steps'."""

    comes_last = False
    """Whether a CallbackList calls it after the others, wherever it stands in the list."""
    is_resumed = False
    """Whether the training that begins goes on where another one was interrupted; known in `on_train_begin`."""

    def __init__(self) -> None:
        self.params: Mapping[str, Any] | None = None
        self.model: Any = None

    def get_state(self) -> dict[str, Any] | None:
        """What a checkpoint keeps of this callback: by default every attribute that is plain data (numbers, strings,
        None, lists and dicts of them, arrays). None: nothing; such a callback sees the interrupted epoch begin again.
        """
        return {
            name: value for name, value in vars(self).items() if name not in _OF_THE_FIT and is_plain(value)
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `get_state` gave; called after `on_train_begin`."""
        # A file must not take a method's place.
        vars(self).update({k: v for k, v in state.items() if not callable(getattr(self, k, None))})

    def set_params(self, params: Mapping[str, Any]) -> None:
        self.params = params

    def set_model(self, model: Any) -> None:
        self.model = model

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch, with its logs."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before each epoch, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After each epoch and its validation."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before each batch of an epoch, counted from 0."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After each batch, with the running means of the epoch."""
        self.on_batch_end(batch, logs=logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """An older name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """An older name of `on_train_batch_end`."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Before an evaluation, or a validation inside `fit`."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """After it, with its results."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before each of its batches."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After each of its batches, with the running means."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Before a prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """After it."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before each of its batches."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After each of its batches; logs['outputs'] are the batch's."""


class LambdaCallback(Callback):
    """Hooks given as functions, called with what the hook is called with."""

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        hooks = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
        }
        for name, function in (hooks | kwargs).items():
            if function is not None:
                setattr(self, name, function)


class History(Callback):
    """What `fit` returns: `history` maps each name to its values, one an epoch; `epoch` lists the epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class TerminateOnNaN(Callback):
    """Stops training after a batch that leaves the loss NaN or infinite.

    Args:
        raise_error: raise a RuntimeError instead.
    """

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        self.raise_error = raise_error

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(
                f"NaN or Inf loss encountered at batch {batch}. Loss value: {loss}. Terminating training immediately."
                f"{self._cause()}"
            )
        print_message(f"Batch {batch}: Invalid loss, terminating training")
        self.model.stop_training = True

    def _cause(self) -> str:
        """Where it began, if the model knows."""
        divergence = getattr(self.model, "divergence", None)
        return f" {divergence}" if divergence is not None else ""
