"""A training that survives the process: a checkpoint every so often, and a start from where it was taken."""

from __future__ import annotations

import os
import signal
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from minicnn.callbacks.callback import Callback, Logs
from minicnn.callbacks.frequency import BatchCounter
from minicnn.errors import CheckpointError, DataError, TrainingInterrupted
from minicnn.saving.checkpoint import differences, read_checkpoint, write_checkpoint
from minicnn.saving.files import remove_leftovers

FILE, PREVIOUS = "checkpoint.minicnn", "checkpoint.previous.minicnn"


class BackupAndRestore(Callback):
    """Writes a checkpoint while a model trains; a `fit` that finds one goes on from it.

    Arguments are Keras's (keras/src/callbacks/backup_and_restore.py). Kept are the weights, the optimizer's state, all
    random state, the position inside the epoch, the sums of loss and metrics, and the state of every other callback, so
    that a training that was killed and started again ends with the same weights, to the bit, and the same history as
    one that wasn't. The callback comes last in its list, wherever it is put: what it writes, all others have seen.

    Args:
        backup_dir: a folder for this training alone; it is made when it is needed.
        save_freq: 'epoch', or after how many batches; False for only when it is told to stop.
        double_checkpoint: keep the last checkpoint but one too, and fall back to it when the last one is damaged.
        delete_checkpoint: whether a training that has come to its end removes its checkpoints.

    Raises:
        ValueError: an empty `backup_dir`, another `save_freq`. From `fit`: CheckpointError, a checkpoint of another
            model, optimizer, loss, data set or list of callbacks; DataError, a damaged one. Nothing has changed then.
        OSError: the folder can't be written, or the disk is full; the last checkpoint is as it was.
    """

    comes_last = True

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: str | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        if not backup_dir:
            raise ValueError(f"`backup_dir` must be a folder. Received backup_dir={backup_dir!r}.")
        self.backup_dir = Path(backup_dir)
        self.save_freq = save_freq
        self.double_checkpoint, self.delete_checkpoint = double_checkpoint, delete_checkpoint
        self.notes: dict[str, Any] = {}
        """Plain data of the user's that the checkpoint carries."""
        self._counter = BatchCounter(save_freq, allows_never=True)
        self._others: list[Callback] = []
        self._identity: dict[str, Any] | None = None
        self._found: dict[str, Any] | None = None
        self._stopped_by: int | None = None

    @property
    def path(self) -> Path:
        """The checkpoint."""
        return self.backup_dir / FILE

    def get_state(self) -> None:
        """Nothing: a checkpoint doesn't contain itself."""

    def find(self, others: list[Callback]) -> bool:
        """Read the checkpoint, if there is one, and compare it with this training; whether it is to be taken up.

        Raises:
            CheckpointError, DataError: as the class says.
        """
        self._others, self._identity = others, None
        remove_leftovers(self.path)
        self._found = self._read()
        if self._found is None:
            return False
        self._check_form(self._found)
        own = self.identity | {"callbacks": [key for key, _, _ in _states(others)]}
        saved = self._found["identity"] | {"callbacks": list(self._found["callbacks"])}
        if different := list(differences(saved, own)):
            raise CheckpointError(
                f"'{self.path}' must be a checkpoint of this training. It differs in {'; '.join(different)}."
            )
        try:
            self.model.progress.check(self._found["progress"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"'{self.path}' must hold the state of a training: {error!r}.") from error
        return True

    @property
    def identity(self) -> dict[str, Any]:
        """What the training is; found out once, because it digests the data."""
        if self._identity is None:
            self._identity = self.model.progress.identity()
        return self._identity

    def restore(self) -> None:
        """Take up what `find` has found."""
        found, self._found = self._found, None
        if found is None:
            self.save()  # the initial weights: they may have been drawn without a seed
            return
        self.model.progress.restore(found["progress"])
        states = _states(self._others)
        for key, callback, _ in states:
            try:
                callback.set_state(found["callbacks"][key])
            except (KeyError, TypeError, AttributeError) as error:
                raise DataError(f"'{self.path}' must hold a state of {key}: {error!r}.") from error
        if self.model.progress.batch:
            kept = [callback for _, callback, _ in states]
            for callback in (*(other for other in self._others if other not in kept), self):
                callback.on_epoch_begin(self.model.progress.epoch)

    def save(self) -> None:
        """Write the checkpoint now."""
        self.backup_dir.mkdir(parents=True, exist_ok=True)
        if self.double_checkpoint and self.path.exists():
            with suppress(FileNotFoundError):
                (self.backup_dir / PREVIOUS).unlink()
            os.link(self.path, self.backup_dir / PREVIOUS)  # the next one takes the name, not the content
        tree = {
            "identity": self.identity,
            "notes": self.notes,
            "progress": self.model.progress.state(),
            "callbacks": {key: state for key, _, state in _states(self._others)},
        }
        write_checkpoint(self.path, tree)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._counter.begin_epoch(self.model.progress.batch)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._save_if(self._counter.is_due(batch))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._save_if(self.save_freq == "epoch")

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.delete_checkpoint:
            self.delete()

    def delete(self) -> None:
        """Remove the checkpoints, and the folder if nothing else is in it."""
        for name in (FILE, PREVIOUS):
            (self.backup_dir / name).unlink(missing_ok=True)
        with suppress(OSError):
            self.backup_dir.rmdir()

    @contextmanager
    def stops_on(self, *signals: signal.Signals) -> Iterator[None]:
        """Until the end of the block these signals end a `fit` after the step that is running and a checkpoint.

        Raises:
            TrainingInterrupted: from `fit`, when that has happened. A second signal doesn't wait for the step.
        """

        def ask(number: int, frame: Any) -> None:
            if self._stopped_by is not None:
                raise KeyboardInterrupt
            self._stopped_by = number

        before = {number: signal.signal(number, ask) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _save_if(self, is_due: bool) -> None:
        stopped_by = self._stopped_by
        if is_due or stopped_by is not None:
            self.save()
        if stopped_by is not None:
            raise TrainingInterrupted(stopped_by, self.path)

    def _check_form(self, found: dict[str, Any]) -> None:
        """Refuse what isn't a checkpoint of a training at all."""
        parts = [found.get(name) for name in ("identity", "callbacks", "progress")]
        if not all(isinstance(part, dict) for part in parts) or not all(
            isinstance(state, dict) for state in found["callbacks"].values()
        ):
            raise DataError(f"'{self.path}' must be the checkpoint of a training. Received other data.")

    def _read(self) -> dict[str, Any] | None:
        """The last checkpoint that is whole, None if there is none."""
        if not self.path.exists():
            return None
        try:
            return read_checkpoint(self.path)
        except DataError as error:
            previous = self.backup_dir / PREVIOUS
            if not self.double_checkpoint or not previous.exists():
                raise
            warnings.warn(f"{error} The one before it is taken up.", stacklevel=2)
            return read_checkpoint(previous)


def _states(callbacks: list[Callback]) -> list[tuple[str, Callback, dict[str, Any]]]:
    """(key, callback, state) of those that have one; keys are classes: 'CSVLogger', the second one 'CSVLogger_1'."""
    found: list[tuple[str, Callback, dict[str, Any]]] = []
    seen: Counter[str] = Counter()
    for callback in callbacks:
        name, state = type(callback).__name__, callback.get_state()
        if state is not None:
            found.append((f"{name}_{seen[name]}" if seen[name] else name, callback, state))
            seen[name] += 1
    return found
