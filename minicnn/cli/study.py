"""The chapter's experiments."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from minicnn.cli.app import app
from minicnn.cli.options import ThreadsOption, make_folder, set_threads


class Data(StrEnum):
    MNIST = "mnist"
    SHAPES = "shapes"


@app.command()
def study(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Which experiment; without it they are listed."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The same in small, within two minutes.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order and draws.")] = 0,
    data: Annotated[Data, typer.Option(help="Grey digits, or shapes in colour.")] = Data.MNIST,
    threads: ThreadsOption = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder for results.json, report.md and pictures.")
    ] = None,
) -> None:
    """Repeat an experiment of the chapter: a table, pictures, and what was seen."""
    from minicnn.study.experiments import EXPERIMENTS, carry_out

    if name is None:
        for experiment in EXPERIMENTS.values():
            typer.echo(f"{experiment.name:<20}{experiment.question}")
        return
    if name not in EXPERIMENTS:
        raise ValueError(f"NAME must be one of {', '.join(EXPERIMENTS)}. Received {name!r}.")
    folder = out or Path(f"runs/study-{name}" + ("" if data is Data.MNIST else f"-{data}"))
    make_folder(folder)
    set_threads(threads)
    typer.echo(carry_out(EXPERIMENTS[name], folder, data=data.value, seed=seed, quick=quick))
    typer.echo(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
