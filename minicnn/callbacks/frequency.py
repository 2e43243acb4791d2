"""How often a callback saves: after every epoch, or after so many batches."""

from __future__ import annotations

from typing import Any

from minicnn.checks import is_integer


class BatchCounter:
    """Counts batches over epochs, several at a time when a step runs several.

    Args:
        frequency: 'epoch', for never in the middle of one, or a number of batches.
        allows_never: whether False is a frequency too.

    Raises:
        ValueError: another frequency.
    """

    def __init__(self, frequency: Any, *, allows_never: bool = False) -> None:
        never = frequency == "epoch" or (allows_never and frequency is False)
        if not never and (not is_integer(frequency) or frequency < 1):
            raise ValueError(
                f"`save_freq` must be 'epoch' or a positive number of batches. Received save_freq={frequency!r}."
            )
        self.every = None if never else int(frequency)
        self.since = 0
        self.seen = 0

    def begin_epoch(self, done: int = 0) -> None:
        """An epoch begins, or goes on behind `done` batches."""
        self.seen = done

    def is_due(self, batch: int) -> bool:
        """Count up to this batch, counted from 0 in its epoch; whether it is time."""
        self.since += batch + 1 - self.seen
        self.seen = batch + 1
        if self.every is None or self.since < self.every:
            return False
        self.since = 0
        return True
