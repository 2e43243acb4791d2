"""The progress bar as a callback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minicnn.callbacks.callback import Callback, Logs
from minicnn.progbar import Progbar, print_message


class ProgbarLogger(Callback):
    """Shows a Progbar for each epoch, evaluation and prediction; a validation inside `fit` has none of its own.

    `params['verbose']` is 0, 1, 2 or 'auto', which means 1. Source: keras/src/callbacks/progbar_logger.py.
    """

    def __init__(self) -> None:
        super().__init__()
        self.verbose = 1
        self.epochs = 1
        self.target: int | None = None
        self.progbar: Progbar | None = None
        self.seen = 0
        self._is_fitting = False

    def set_params(self, params: Mapping[str, Any]) -> None:
        super().set_params(params)
        self.verbose = 1 if params["verbose"] == "auto" else params["verbose"]
        self.epochs = params["epochs"]
        self.target = params["steps"]

    def get_state(self) -> None:
        """Nothing: what it shows begins anew."""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._is_fitting = True

    def on_test_begin(self, logs: Logs | None = None) -> None:
        if not self._is_fitting:
            self._start()

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._start()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._start()
        if self.verbose and self.epochs > 1:
            print_message(f"Epoch {epoch + 1}/{self.epochs}")

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._update(batch, logs)

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if not self._is_fitting:
            self._update(batch, logs)

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        # Not the outputs.
        self._update(batch, None)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._finish(logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        if not self._is_fitting:
            self._finish(logs)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._finish(logs)

    def _start(self) -> Progbar:
        # No averages: what comes are running means already.
        self.seen = 0
        self.progbar = Progbar(self.target, verbose=self.verbose, stateless_metrics=())
        return self.progbar

    def _update(self, batch: int, logs: Logs | None) -> None:
        progbar = self.progbar or self._start()
        self.seen = batch + 1
        if self.verbose == 1:
            progbar.update(self.seen, (logs or {}).items(), finalize=False)

    def _finish(self, logs: Logs | None) -> None:
        progbar = self.progbar or self._start()
        if self.target is None:
            self.target = progbar.target = self.seen
        progbar.update(self.target, (logs or {}).items(), finalize=True)
