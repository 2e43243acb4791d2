"""Several callbacks behind the face of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minicnn.callbacks.backup_and_restore import BackupAndRestore
from minicnn.callbacks.callback import Callback, History, Logs
from minicnn.callbacks.progbar_logger import ProgbarLogger

BATCH_HOOKS = "on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end"


class CallbackList(Callback):
    """Passes each hook on to its callbacks, in order, with one copy of the logs for all of them.

    A BackupAndRestore among them is asked first whether a training is to be taken up, before any other sees its begin.

    Args:
        callbacks: a callback, or lists of them.
        add_history: append a History unless there is one; it becomes `model.history`.
        add_progbar: append a ProgbarLogger unless there is one.
        model: the model they are about.
        params: 'verbose', 'epochs' and 'steps'.

    Raises:
        ValueError: something that isn't a Callback.
    """

    def __init__(
        self,
        callbacks: Any = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        super().__init__()
        self.callbacks = list(_flatten(callbacks))
        self._history = next((c for c in self.callbacks if isinstance(c, History)), None)
        if self._history is None and add_history:
            self._history = History()
            self.callbacks.append(self._history)
        if add_progbar and not any(isinstance(c, ProgbarLogger) for c in self.callbacks):
            self.callbacks.append(ProgbarLogger())
        self._sort()
        if model is not None:
            self.set_model(model)
        if params:
            self.set_params(params)

    def append(self, callback: Callback) -> None:
        self.callbacks.append(callback)
        self._sort()

    def _sort(self) -> None:
        self.callbacks.sort(key=lambda callback: callback.comes_last)

    def set_params(self, params: Any) -> None:
        super().set_params(params)
        for callback in self.callbacks:
            callback.set_params(params)

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        if self._history is not None:
            model.history = self._history
        for callback in self.callbacks:
            callback.set_model(model)

    @property
    def hears_batches(self) -> bool:
        """Whether any hook of a training batch does anything: logs that nobody hears need not be made."""
        return _defines(self, CallbackList) or any(_defines(one, Callback) for one in self.callbacks)

    @property
    def hears_every_batch(self) -> bool:
        """`hears_batches`, of others than the progress bar, which is content with one of several."""
        others = (one for one in self.callbacks if type(one) is not ProgbarLogger)
        return _defines(self, CallbackList) or any(_defines(one, Callback) for one in others)

    def _pass_on(self, hook: str, *position: int, logs: Logs | None) -> None:
        shared = _as_floats(logs)
        for callback in self.callbacks:
            getattr(callback, hook)(*position, logs=shared)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        backups = [callback for callback in self.callbacks if isinstance(callback, BackupAndRestore)]
        others = [callback for callback in self.callbacks if callback not in backups]
        is_resumed = any([backup.find(others) for backup in backups])
        for callback in self.callbacks:
            callback.is_resumed = is_resumed
        self._pass_on("on_train_begin", logs=logs)
        for backup in backups:
            backup.restore()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._pass_on("on_train_end", logs=logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._pass_on("on_epoch_begin", epoch, logs=logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._pass_on("on_epoch_end", epoch, logs=logs)

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._pass_on("on_train_batch_begin", batch, logs=logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._pass_on("on_train_batch_end", batch, logs=logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._pass_on("on_batch_begin", batch, logs=logs)

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._pass_on("on_batch_end", batch, logs=logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._pass_on("on_test_begin", logs=logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        self._pass_on("on_test_end", logs=logs)

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._pass_on("on_test_batch_begin", batch, logs=logs)

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._pass_on("on_test_batch_end", batch, logs=logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._pass_on("on_predict_begin", logs=logs)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._pass_on("on_predict_end", logs=logs)

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._pass_on("on_predict_batch_begin", batch, logs=logs)

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._pass_on("on_predict_batch_end", batch, logs=logs)


def _defines(callback: Callback, base: type[Callback]) -> bool:
    """Whether a hook of a training batch is another one than the base's."""
    return any(
        getattr(getattr(callback, hook), "__func__", None) is not getattr(base, hook) for hook in BATCH_HOOKS
    )


def _flatten(callbacks: Any) -> Iterator[Callback]:
    if callbacks is None:
        return
    if isinstance(callbacks, list | tuple):
        for item in callbacks:
            yield from _flatten(item)
    elif isinstance(callbacks, Callback):
        yield callbacks
    else:
        raise ValueError(f"`callbacks` must be a Callback or a list of them. Received {callbacks!r}.")


def _as_floats(logs: Logs | None) -> Logs:
    """A new dict in alphabetical order, whatever is a number a float."""
    return {name: _as_float(value) for name, value in sorted((logs or {}).items())}


def _as_float(value: Any) -> Any:
    try:
        return float(value)
    except (TypeError, ValueError):
        return value
