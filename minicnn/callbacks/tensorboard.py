"""Scalars for TensorBoard, through the event-file writer of tensorboardX."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from minicnn.callbacks.callback import Callback, Logs
from minicnn.checks import is_integer, only_default


class TensorBoard(Callback):
    """Writes the logs as scalars to `log_dir`/train and `log_dir`/validation, tags and steps as Keras's.

    Source: keras/src/callbacks/tensorboard.py. By epoch: 'epoch_loss', …, and 'epoch_learning_rate'; by optimizer step,
    after each validation: 'evaluation_loss_vs_iterations', …; by batch, if `update_freq` asks for it: 'batch_loss', …

    Args:
        log_dir: the folder that TensorBoard is pointed at.
        histogram_freq, write_images, profile_batch, embeddings_freq, embeddings_metadata: only their defaults are
            implemented.
        write_graph: accepted; there is no graph to write.
        write_steps_per_second: also write how fast it goes.
        update_freq: 'epoch', 'batch', or every how many batches.

    Raises:
        ValueError: another `update_freq`, or an argument that isn't implemented.
        ImportError: from `fit`, when tensorboardX isn't installed.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: str | int = "epoch",
        profile_batch: int = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: Any = None,
    ) -> None:
        super().__init__()
        only_default(
            "TensorBoard",
            histogram_freq=(histogram_freq, 0),
            write_images=(write_images, False),
            profile_batch=(profile_batch, 0),
            embeddings_freq=(embeddings_freq, 0),
            embeddings_metadata=(embeddings_metadata, None),
        )
        is_count = not isinstance(update_freq, str) and is_integer(update_freq) and update_freq >= 1
        if update_freq not in ("epoch", "batch") and not is_count:
            raise ValueError(
                "`update_freq` must be 'epoch', 'batch' or a positive number of batches. "
                f"Received update_freq={update_freq!r}."
            )
        self.log_dir = Path(log_dir)
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self._batches = 0
        self._writers: dict[str, Any] = {}
        self._is_fitting = False

    def get_state(self) -> dict[str, Any]:
        """How many batches it has seen."""
        return {"batches": self._batches}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self._batches = state["batches"]

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._batches = 0
        self._is_fitting = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._is_fitting = False
        self._close()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch_start = self._step(), perf_counter()

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._batches += 1
        self._batch_start = perf_counter()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self.update_freq == "epoch" or self._batches % int(self.update_freq):
            return
        values = {f"batch_{name}": value for name, value in (logs or {}).items()}
        if self.write_steps_per_second:
            values["batch_steps_per_second"] = 1 / (perf_counter() - self._batch_start)
        self._write("train", values, self._batches)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        train = {name: value for name, value in logs.items() if not name.startswith("val_")}
        train["learning_rate"] = float(self.model.optimizer.learning_rate)
        if self.write_steps_per_second:
            step, start = self._epoch_start
            train["steps_per_second"] = (self._step() - step) / (perf_counter() - start)
        validation = {name.removeprefix("val_"): value for name, value in logs.items() if name not in train}
        for folder, values in (("train", train), ("validation", validation)):
            self._write(folder, {f"epoch_{name}": value for name, value in values.items()}, epoch)

    def on_test_end(self, logs: Logs | None = None) -> None:
        values = {f"evaluation_{name}_vs_iterations": value for name, value in (logs or {}).items()}
        self._write("validation", values, self._step())
        if not self._is_fitting:
            self._close()

    def _step(self) -> int:
        return int(self.model.optimizer.iterations.array)

    def _write(self, folder: str, values: Mapping[str, float], step: int) -> None:
        if not values:
            return
        if folder not in self._writers:
            self._writers[folder] = _writer(self.log_dir / folder)
        for tag, value in values.items():
            self._writers[folder].add_scalar(tag, value, step)
        self._writers[folder].flush()

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}


def _writer(folder: Path) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ImportError(
            "The TensorBoard callback needs tensorboardX: pip install 'minicnn-numpy[tensorboard]'"
        ) from error
    return SummaryWriter(os.fspath(folder))
