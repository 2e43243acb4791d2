"""Algorithms side by side on the command line."""

from pathlib import Path
from typing import Annotated

import typer

from minicnn.cli.app import app
from minicnn.cli.options import make_folder


@app.command()
def algorithms(
    quick: Annotated[
        bool, typer.Option("--quick", help="The same in small, in less than two minutes.")
    ] = False,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder for results.json, report.md and pictures.")
    ] = Path("runs/algorithms"),
) -> None:
    """Measure seven algorithms of a convolution: who wins where, how near the machine's peak, how far off."""
    make_folder(out)
    from rich.console import Console
    from rich.markdown import Markdown

    from minicnn.study.algorithms import command

    console = Console()
    with console.status("measuring the machine's peak") as status:
        results = command.measure("quick" if quick else "full", status.update)
        status.update("drawing")
        command.write(results, out)
    console.print(Markdown((out / "report.md").read_text("utf-8")))
    typer.echo(f"{out}: {', '.join(sorted(path.name for path in out.iterdir()))}")
