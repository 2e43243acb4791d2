"""The logs of each epoch as lines of a CSV file."""

from __future__ import annotations

import csv
import os
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
        self._writes_header = not (self.append and self.filename.exists() and self.filename.stat().st_size)
        self._file = self.filename.open("a" if self.append else "w", newline="")
        self._writer = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        if self._file is None:
            raise ValueError("CSVLogger writes between `on_train_begin` and `on_train_end` only.")
        if self._writer is None:
            self._keys = sorted(logs)
            if not any(name.startswith("val_") for name in self._keys):
                self._keys += [f"val_{name}" for name in self._keys]
            self._writer = csv.DictWriter(self._file, ["epoch", *self._keys], delimiter=self.separator)
            if self._writes_header:
                self._writer.writeheader()
        self._writer.writerow({"epoch": epoch} | {name: _cell(logs.get(name, "NA")) for name in self._keys})
        self._file.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._writer = None


def _cell(value: Any) -> Any:
    is_list = isinstance(value, list | tuple | np.ndarray) and np.ndim(value) > 0
    return f'"[{", ".join(map(str, value))}]"' if is_list else value
