"""Models in files: from one format to another, and what is in one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minicnn.cli.app import app
from minicnn.cli.options import ModelOption

if TYPE_CHECKING:
    from minicnn.saving.inspection import Table

FORMATS = (".keras", ".weights.h5", ".onnx")


@app.command()
def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN", help="A .keras file, a folder that `minicnn train` left, or .weights.h5."
        ),
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A .keras, .weights.h5 or .onnx file.")],
    model: ModelOption = None,
) -> None:
    """Write a model in another format. Weights alone need their net: --model."""
    if not target.name.endswith(FORMATS):
        raise ValueError(f"OUT must end in one of {', '.join(FORMATS)}. Received {target}.")
    net = read(source, model, compile=not target.name.endswith(".onnx"))
    write = {".keras": net.save, ".weights.h5": net.save_weights, ".onnx": net.export}
    next(function for suffix, function in write.items() if target.name.endswith(suffix))(target)
    typer.echo(f"{target}: {target.stat().st_size:,} bytes")


def read(source: Path, model: str | None, compile: bool) -> Any:
    """The model in a file or folder.

    Raises:
        ValueError: another kind of file; weights without a net, or a net for what has its own.
    """
    from minicnn import models, runs

    if source.name.endswith(".weights.h5"):
        if model is None:
            raise ValueError(
                f"{source} has weights and no layers: --model FILE.py:function says which net's they are."
            )
        net = runs.net_from_file(model)
        net.load_weights(source)
        return net
    if model is not None:
        raise ValueError(f"--model is for .weights.h5 files; {source} has a net of its own.")
    if source.is_dir():
        return runs.load_run(source)[0]
    if not source.name.endswith(".keras"):
        raise ValueError(f"IN must be a folder or end in .keras or .weights.h5. Received {source}.")
    return models.load_model(source, compile=compile)


@app.command()
def inspect(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A .keras, .weights.h5 or .onnx file, or a folder that `minicnn train` left."
        ),
    ],
) -> None:
    """Show a file's layers or arrays, how it was trained, and its digest; no weights are read, no code is run."""
    from minicnn import runs
    from minicnn.saving.inspection import inspect_file

    found = runs.inspect_run(file) if file.is_dir() else inspect_file(file)
    if found.model is not None:
        found.model.summary()
    for table in found.tables:
        show(table)
    chosen = "Trained with" if file.is_dir() else "Compiled with"
    for title, settings in ((chosen, found.compiled), ("File", found.properties)):
        if settings:
            typer.echo(f"{title}:")
            for name, value in settings.items():
                typer.echo(f"  {name}: {value}")


def show(table: "Table") -> None:
    """Print a table; whatever a file says is plain text."""
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(*table.columns, title=table.title, title_justify="left")
    for row in table.rows:
        drawn.add_row(*(Text(readable_part(cell)) for cell in row))
    Console(highlight=False).print(drawn)


def readable_part(text: str) -> str:
    """At most 200 characters, and none that a terminal obeys."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:200])
