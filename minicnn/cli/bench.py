"""The benchmark on the command line."""

from pathlib import Path
from typing import Annotated

import typer

from minicnn.cli.app import app
from minicnn.cli.options import ThreadsOption


@app.command()
def bench(
    quick: Annotated[bool, typer.Option(help="The main figures, in less than two minutes.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only this measurement: train_step/book, inference, profiles, …; may be repeated.",
        ),
    ] = None,
    peers: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only against keras, torch, jax, onnxruntime, …; may be repeated."),
    ] = None,
    threads: ThreadsOption = None,
    json: Annotated[
        Path | None, typer.Option(help="A file for raw samples and the machine's record.")
    ] = None,
    update: Annotated[
        bool, typer.Option(help="Keep what the file of --json has beside what is measured now.")
    ] = False,
    pictures: Annotated[Path | None, typer.Option(metavar="DIR", help="A folder for pictures.")] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="A.json B.json", help="Measure nothing; show what B has more or less of than A."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:function", help="Profile this model, layer by layer, and nothing else."
        ),
    ] = None,
) -> int:
    """Measure training, inference and convolutions beside Keras, PyTorch, JAX and ONNX Runtime, as far as installed."""
    from minicnn.bench import command

    if model is not None:
        command.profile_model(model)
        return 0
    if compare is not None:
        command.compare(*compare)
        return 0
    if update and json is None:
        raise ValueError("--update must come with --json, the file to update.")
    return command.bench(
        quick=quick,
        only=only or (),
        peer_names=peers or (),
        threads=threads,
        json=json,
        pictures=pictures,
        update=update,
    )
