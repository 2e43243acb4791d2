"""The logs of each epoch as lines of a CSV file."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from minicnn.callbacks.callback import Callback, Logs


class CSVLogger(Callback):
    """Writes a header and one line an epoch, flushed as it is written. Source: keras/src/callbacks/csv_logger.py.

    Columns are 'epoch' and the names of the first epoch's logs; without validation in it, also 'val_…' of each, for
    later epochs that have one. What an epoch doesn't have is 'NA'.

    Args:
        filename: the file.
        separator: between columns.
        append: go on with an existing file, instead of beginning it anew.
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        super().__init__()
        self.filename, self.separator, self.append = Path(filename), separator, append
        self._file: TextIO | None = None
        self._writer: csv.DictWriter[str] | None = None
        self._keys: list[str] = []
        self._writes_header = True

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._close()
        appends = self.append or self.is_resumed
        self._writes_header = not (appends and self.filename.exists() and self.filename.stat().st_size)
        self._file = self.filename.open("a" if appends else "w", newline="")

    def get_state(self) -> dict[str, Any]:
        """The length of the file so far, and its columns if they are known."""
        return {
            "nbytes": self._nbytes_on_disk(),
            "keys": self._keys if self._writer is not None else None,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Cut off what was written after the state was taken.

        Raises:
            ValueError: the file is shorter than it was then.
        """
        if self._file is None or self._nbytes_on_disk() < state["nbytes"]:
            raise ValueError(
                f"The log {self.filename} must have at least {state['nbytes']} bytes, as it had when "
                "the training was interrupted. It is shorter."
            )
        self._file.truncate(state["nbytes"])
        self._writes_header = self._writes_header or not state["nbytes"]
        if state["keys"] is not None:
            self._keys = state["keys"]
            self._writer = self._new_writer(self._file)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        if self._file is None:
            raise ValueError("CSVLogger writes between `on_train_begin` and `on_train_end` only.")
        if self._writer is None:
            self._keys = sorted(logs)
            if not any(name.startswith("val_") for name in self._keys):
                self._keys += [f"val_{name}" for name in self._keys]
            self._writer = self._new_writer(self._file)
            if self._writes_header:
                self._writer.writeheader()
        self._writer.writerow({"epoch": epoch} | {name: _cell(logs.get(name, "NA")) for name in self._keys})
        self._file.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._close()

    def _nbytes_on_disk(self) -> int:
        if self._file is None:
            return 0
        os.fsync(self._file.fileno())
        return os.fstat(self._file.fileno()).st_size

    def _new_writer(self, file: TextIO) -> csv.DictWriter[str]:
        return csv.DictWriter(file, ["epoch", *self._keys], delimiter=self.separator)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._writer = None


def _cell(value: Any) -> Any:
    is_list = isinstance(value, list | tuple | np.ndarray) and np.ndim(value) > 0
    return f'"[{", ".join(map(str, value))}]"' if is_list else value
