"""The semantics lab on the command line."""

from typing import Annotated

import typer

from minicnn.cli.app import app


@app.command()
def semantics(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="One of them; a list of all without it.")
    ] = None,
    training: Annotated[bool, typer.Option(help="Train, too: some seconds.")] = True,
) -> None:
    """Conventions that libraries disagree on: a worked difference, a training run, and where people asked."""
    from rich.console import Console

    from minicnn.study.semantics import NAMES, get, show

    console = Console(highlight=False)
    if name is None:
        show.listing([get(each) for each in NAMES], console)
        console.print("minicnn semantics NAME shows one.")
        return
    one = get(name)
    show.head(one, console)
    show.example(one.example(), console)
    if training:
        with console.status("training"):
            result = one.train()
        show.training(result, console)
    show.sources(one, console)
