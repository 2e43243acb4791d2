"""The verification kit on the command line."""

import os
from pathlib import Path
from typing import Annotated

import typer

from minicnn.cli.app import app


@app.command()
def verify(
    target: Annotated[
        str,
        typer.Option(
            metavar="TARGET",
            help="keras, torch, jax, onnxruntime, scipy, minicnn:reference, minicnn:numba, or FILE.py:function.",
        ),
    ],
    op: Annotated[
        str | None,
        typer.Option(help="conv2d, dense, activation:relu, …; all that a framework has, conv2d of a file."),
    ] = None,
    examples: Annotated[int, typer.Option(min=1, help="Examples a property.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same examples.")] = 0,
    property: Annotated[list[str] | None, typer.Option(help="Only this property; may be repeated.")] = None,
    report: Annotated[Path | None, typer.Option(help="An HTML page with the failures drawn.")] = None,
    json: Annotated[Path | None, typer.Option(help="The results as JSON.")] = None,
) -> int:
    """Check somebody's convolution, pooling, loss, … by properties: 0 if all hold, 1 if something fails."""
    try:
        from minicnn.testing import verify as kit
        from minicnn.testing.watch import Watch
    except ImportError as error:
        raise ValueError(
            f"`minicnn verify` needs {error.name}, which isn't installed: pip install 'minicnn-numpy[testing]'"
        ) from error
    check_outputs(report, json)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's greetings
    try:
        planned = kit.plan(target, op, property or None)
    except ImportError as error:
        raise ValueError(str(error)) from error
    done = kit.Verification(target)
    with Watch([len(names) for _, names in planned]) as watch:
        for one, names in planned:
            watch.begin(one.name, one.op, names)
            result = kit.check(target, one, names, examples=examples, seed=seed, progress=watch.advance)
            done.reports.append(result)
            watch.show(result)
    kit.write(done, html=report, json_path=json)
    for path in filter(None, (report, json)):
        typer.echo(f"{path} written")
    return 0 if done.ok else 1


def check_outputs(*paths: Path | None) -> None:
    """Refuse files that can't be written before anything is computed."""
    from minicnn.testing.verify import check_writable

    files = [path for path in paths if path is not None]
    for path in files:
        check_writable(path)
    if len({path.resolve() for path in files}) < len(files):
        raise ValueError(f"--report and --json must be two files. Received {files[0]} twice.")
