"""What `minicnn train --resume` takes up: the options of the interrupted training, and how one is interrupted."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from minicnn.errors import DataError, TrainingInterrupted

if TYPE_CHECKING:
    from minicnn.callbacks import BackupAndRestore

MAY_CHANGE = ("epochs", "model")
"""Options that a resumed training may be given anew: it may last longer, and a file with code is named by its user."""


def options_to_train_with(
    backup: BackupAndRestore, options: Mapping[str, Any], given: Collection[str], *, resume: bool
) -> dict[str, Any]:
    """The options of the training that `backup` has a checkpoint of, or `options` if there is none.

    Args:
        options: those of this command line, defaults included.
        given: the names of those that were given.
        resume: whether the training is to be resumed.

    Raises:
        ValueError: a checkpoint without `resume`; an option that differs from the interrupted training's; a net from a
            file that isn't named again.
        DataError: a damaged checkpoint.
    """
    from minicnn.saving.checkpoint import read_checkpoint

    path = backup.path
    if not path.exists():
        if resume:
            typer.echo(f"{path.parent} has no checkpoint; training from the beginning.")
        return dict(options)
    if not resume:
        raise ValueError(
            f"{path.parent} holds a training that was interrupted. Add --resume to go on with it, or delete "
            f"{path.name} to train anew."
        )
    kept = checked(read_checkpoint(path).get("notes"), options, path)
    for name in given:
        if name not in MAY_CHANGE and options[name] != kept[name]:
            raise ValueError(
                f"The interrupted training had --{name.replace('_', '-')} {kept[name]}. Received {options[name]}."
            )
    if kept["model"] != options["model"]:
        # Code runs because somebody named its file on the command line, never because a file says so.
        named = "the book's net, without --model" if kept["model"] is None else f"--model {kept['model']}"
        raise ValueError(f"The interrupted training had {named}. Give the same one.")
    return {**kept, **{name: options[name] for name in MAY_CHANGE if name in given}}


def checked(notes: Any, options: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The options in a checkpoint's notes, if they are of the kinds that options are."""
    kinds = {"epochs": int, "batch_size": int, "optimizer": str, "learning_rate": float, "seed": int}
    texts = dict.fromkeys(("data", "model"), str)
    found = notes.get("options") if isinstance(notes, dict) else None
    optional = ("learning_rate", "data", "model")
    if (
        not isinstance(found, dict)
        or set(found) != set(options)
        or not all(
            type(found[name]) is kind or (name in optional and found[name] is None)
            for name, kind in (kinds | texts).items()
        )
    ):
        raise DataError(f"'{path}' must be a checkpoint of `minicnn train`. Received another one's.")
    return found


@contextmanager
def interruptible(backup: BackupAndRestore, options: Mapping[str, Any]) -> Iterator[None]:
    """Until the end of the block, SIGTERM and Ctrl-C end the training after its step, with a checkpoint.

    Raises:
        typer.Exit: that has happened; the status is the shell's for the signal, 143 or 130.
    """
    try:
        with backup.stops_on(signal.SIGINT, signal.SIGTERM):
            yield
    except TrainingInterrupted as stop:
        again = ["minicnn", "train", "--resume", "--out", str(backup.backup_dir)]
        if options["model"] is not None:
            again += ["--model", options["model"]]
        typer.echo(
            f"\nminicnn: interrupted by {signal.Signals(stop.signal).name}; nothing is lost. "
            f"Go on with: {shlex.join(again)}",
            err=True,
        )
        raise typer.Exit(128 + stop.signal) from None
