"""What several commands take, and what they check before anything is computed."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

ModelOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.py:function", help="A function that returns a model; the book's net without it."
    ),
]
ThreadsOption = Annotated[
    int | None, typer.Option(min=1, help="Threads; as many as there are cores without it.")
]
DataOption = Annotated[
    Path | None,
    typer.Option(help="An .npz file or a folder of IDX files; MNIST, which is embedded, without it."),
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The folder that `minicnn train` left.")]


def only_options(context: typer.Context, option: str, *names: str) -> None:
    """Refuse options that `option` leaves no room for."""
    for name in given_options(context, context.params):
        if name not in names:
            raise ValueError(f"{option} can't be combined with --{name.replace('_', '-')}.")


def given_options(context: typer.Context, names: Iterable[str]) -> list[str]:
    """Those of the options that are on the command line, and not left at their defaults."""
    sources = ((name, context.get_parameter_source(name)) for name in names)
    return [name for name, source in sources if source is not None and source.name == "COMMANDLINE"]


def make_folder(path: Path) -> None:
    """Make sure that files can be written to `path` before anything is computed."""
    path.mkdir(parents=True, exist_ok=True)
    if not os.access(path, os.W_OK):
        raise PermissionError(f"The folder {path} can't be written.")


def set_threads(threads: int | None) -> None:
    if threads is not None:
        from minicnn import config

        config.set_num_threads(threads)
