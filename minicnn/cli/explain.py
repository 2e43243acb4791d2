"""Explanations on the command line: one number of a net, and the arithmetic of shapes."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from minicnn.cli.app import app
from minicnn.cli.options import DataOption, ModelOption, ThreadsOption, set_threads


@app.command()
def explain(
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="The folder that `minicnn train` left.")
    ] = None,
    layer: Annotated[str, typer.Option(help="The layer's name; `minicnn summary` shows them.")] = "conv2d",
    image: Annotated[int, typer.Option(min=0, help="Which test image.")] = 0,
    output: Annotated[
        str | None, typer.Option(metavar="I,J,C", help="An element of the layer's output.")
    ] = None,
    input: Annotated[
        str | None, typer.Option(metavar="I,J,C", help="An element of its input's gradient.")
    ] = None,
    weight: Annotated[str | None, typer.Option(metavar="P,Q,C,F", help="A weight's gradient.")] = None,
    bias: Annotated[str | None, typer.Option(metavar="F", help="A bias's gradient.")] = None,
    all_terms: Annotated[bool, typer.Option("--all", help="Every term, in the order of the sum.")] = False,
    figure: Annotated[Path | None, typer.Option(help="A PNG file for the picture.")] = None,
    model: ModelOption = None,
    data: DataOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Take one number of a net apart: the terms it is the sum of, the activation, the pool's choice.

    Without a run, of an untrained net. Gradients are those of the image's loss. Leave out all four for the middle of
    the output.
    """
    from rich.console import Console

    from minicnn import runs, study, utils, viz
    from minicnn.study.explaining.render import TERMS, rich_group

    if run is not None and model is not None:
        raise ValueError("A net is either of a run or of --model. Received both.")
    set_threads(threads)
    utils.set_random_seed(0)
    net, training = (
        runs.load_run(run) if run else (runs.net_from_file(model) if model else runs.book_net(), {})
    )
    _, test = runs.load_examples(data or (Path(training["data"]) if training.get("data") else None))
    if image >= len(test.images):
        raise ValueError(f"--image must be less than {len(test.images)}. Received {image}.")
    x, y = test.images[image : image + 1], test.labels[image : image + 1]
    net.compile(loss="sparse_categorical_crossentropy")
    given: dict[str, Any] = {
        "output": output and (0, *_numbers("--output", output)),
        "input": input and (0, *_numbers("--input", input)),
        "weight": weight and _numbers("--weight", weight),
        "bias": bias and _numbers("--bias", bias),
    }
    if not any(given.values()):
        given["output"] = (0, *study.receptive_field(net, layer).unit)
    explanation = study.explain(net, x, y, layer=layer, **given)
    Console(highlight=False).print(rich_group(explanation, None if all_terms else TERMS))
    if figure is not None:
        viz.save(explanation.plot(), figure)
        typer.echo(f"{figure} written")


@app.command()
def explain_shape(
    image: Annotated[str, typer.Option(metavar="N[xM]", help="Size of the image.")] = "28",
    kernel: Annotated[str, typer.Option(metavar="N[xM]", help="Size of the kernel or pool.")] = "3",
    stride: Annotated[str, typer.Option(metavar="N[xM]")] = "1",
    padding: Annotated[str, typer.Option(help="valid or same.")] = "valid",
    dilation: Annotated[str, typer.Option(metavar="N[xM]")] = "1",
    groups: Annotated[int, typer.Option(min=1)] = 1,
    at: Annotated[
        str, typer.Option(metavar="I,J", help="The output position whose window is drawn.")
    ] = "0,0",
    picture: Annotated[Path | None, typer.Option(help="A PNG file.")] = None,
    animate: Annotated[Path | None, typer.Option(help="A GIF file that steps through the positions.")] = None,
) -> None:
    """Draw a window on its image, and show the formulas of the output's size and the padding with the numbers in."""
    from rich.console import Console

    from minicnn import viz
    from minicnn.study.shapes import explain_shape as explained

    position = _numbers("--at", at)
    if len(position) != 2:
        raise ValueError(f"--at must be two numbers. Received {at!r}.")
    shape = explained(
        _pair("--image", image),
        _pair("--kernel", kernel),
        _pair("--stride", stride),
        padding,
        _pair("--dilation", dilation),
        groups=groups,
        at=(position[0], position[1]),
    )
    Console(highlight=False).print(shape)
    if picture is not None:
        viz.save(shape.plot(), picture)
        typer.echo(f"{picture} written")
    if animate is not None:
        viz.save_animation(shape.frames(), animate)
        typer.echo(f"{animate} written")


def _numbers(option: str, text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"-?\d+(,-?\d+)*", text):
        raise ValueError(f"{option} must be numbers with commas between. Received {text!r}.")
    return tuple(map(int, text.split(",")))


def _pair(option: str, text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)(?:[x×](\d+))?", text)
    if not match:
        raise ValueError(f"{option} must be a number, or two as in 28x20. Received {text!r}.")
    return int(match[1]), int(match[2] or match[1])
