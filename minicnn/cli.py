"""The `minicnn` command. Bad input is one line on stderr and exit status 2."""

import os
import sys
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

app = typer.Typer(
    help="Train and look at small convnets in NumPy and Numba.", add_completion=False, no_args_is_help=True
)

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


@app.command()
def train(
    context: typer.Context,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 5,
    batch_size: Annotated[int, typer.Option(min=1, help="Images for each step.")] = 64,
    optimizer: Annotated[str, typer.Option(help="rmsprop, sgd, adam, …")] = "rmsprop",
    learning_rate: Annotated[float | None, typer.Option(help="The optimizer's own without it.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the initial weights and the order of images.")] = 0,
    threads: ThreadsOption = None,
    data: DataOption = None,
    out: Annotated[Path, typer.Option(help="The folder for weights, numbers and pictures.")] = Path(
        "runs/mnist"
    ),
    model: ModelOption = None,
    race: Annotated[
        bool,
        typer.Option("--race", help="A speedrun to a test accuracy of 0.99; numbers only, in race.json."),
    ] = False,
) -> None:
    """Train, evaluate on the test images, and leave weights, numbers and pictures."""
    if race:
        only_options(context, "--race", "race", "seed", "threads", "out")
        make_folder(out)
        set_threads(threads)
        from minicnn.bench.race import run_race

        run_race(seed, out)
        return
    from minicnn import optimizers, runs, utils

    chosen = optimizers.get(optimizer)
    if learning_rate is not None:
        if not 0 < learning_rate < float("inf"):
            raise typer.BadParameter(f"--learning-rate must be a positive number. Received {learning_rate}.")
        chosen.learning_rate = learning_rate
    set_threads(threads)
    utils.set_random_seed(seed)
    net = runs.net_from_file(model) if model else None
    training, test = runs.load_examples(data)
    net = net or runs.book_net(training.images.shape[1:], int(training.labels.max()) + 1)
    runs.check_fits(net, training)
    runs.check_fits(net, test)
    options = {
        "epochs": epochs,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
    }
    source = {"seed": seed, "data": str(data.resolve()) if data else None, "model": model}
    config = runs.describe(net, options | source)
    make_folder(out)

    # Integers as labels: the same loss as with one-hot rows, which would have to be made first.
    net.compile(optimizer=chosen, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    net.summary()
    start = perf_counter()
    history = net.fit(training.images, training.labels, epochs=epochs, batch_size=batch_size).history
    seconds = perf_counter() - start
    loss, accuracy = net.evaluate(test.images, test.labels, verbose=0)
    metrics = {"test_loss": loss, "test_accuracy": accuracy, "seconds": seconds}
    runs.save_run(out, config, net, history, metrics)
    runs.save_pictures(out, history, test, net.predict(test.images, batch_size=256, verbose=0))
    typer.echo(f"test_accuracy: {accuracy:.4f} - test_loss: {loss:.4f} - trained in {seconds:.1f} s")
    typer.echo(f"{out}: {', '.join(sorted(path.name for path in out.iterdir()))}")


def only_options(context: typer.Context, option: str, *names: str) -> None:
    """Refuse options that `option` leaves no room for."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if name not in names and source is not None and source.name == "COMMANDLINE":
            raise ValueError(f"{option} can't be combined with --{name.replace('_', '-')}.")


@app.command()
def summary(model: ModelOption = None) -> None:
    """Show the layers of the net, their output shapes and parameters."""
    from minicnn import runs

    (runs.net_from_file(model) if model else runs.book_net()).summary()


@app.command()
def evaluate(run: RunArgument, data: DataOption = None, threads: ThreadsOption = None) -> None:
    """Loss and accuracy of a trained net on the test images it was trained for, or on others."""
    from minicnn import runs

    set_threads(threads)
    net, training = runs.load_run(run)
    _, test = runs.load_examples(data or (Path(training["data"]) if training.get("data") else None))
    runs.check_fits(net, test)
    net.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    loss, accuracy = net.evaluate(test.images, test.labels)
    typer.echo(f"test_accuracy: {accuracy:.4f} - test_loss: {loss:.4f}")


@app.command()
def predict(
    run: RunArgument,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE.png…", help="Pictures of one digit each.")],
) -> None:
    """Recognise digits in pictures: any size, dark on light or light on dark."""
    import numpy as np

    from minicnn import runs
    from minicnn.digits import read_digit

    net, _ = runs.load_run(run)
    digits = np.stack([read_digit(path) for path in images])
    for path, probabilities in zip(
        images, net.predict(np.divide(digits[..., np.newaxis], 255, dtype=np.float32), verbose=0), strict=True
    ):
        show_probabilities(path.name, probabilities.tolist())


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


@app.command()
def bench(
    quick: Annotated[bool, typer.Option(help="The main figures, in less than two minutes.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Only this measurement: train_step/book, inference, …; may be repeated."
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
    return command.bench(
        quick=quick, only=only or (), peer_names=peers or (), threads=threads, json=json, pictures=pictures
    )


def check_outputs(*paths: Path | None) -> None:
    """Refuse files that can't be written before anything is computed."""
    from minicnn.testing.verify import check_writable

    files = [path for path in paths if path is not None]
    for path in files:
        check_writable(path)
    if len({path.resolve() for path in files}) < len(files):
        raise ValueError(f"--report and --json must be two files. Received {files[0]} twice.")


def show_probabilities(name: str, probabilities: list[float]) -> None:
    """One bar for each class, the likeliest in bold."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    best = max(range(len(probabilities)), key=probabilities.__getitem__)
    console.print(f"[bold]{escape(name)}: {best}[/]")
    width = max(10, min(50, console.width - 16))
    for k, p in enumerate(probabilities):
        eighths = round(8 * width * p)
        bar = "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8]
        line = f"{k:>3} {bar:<{width + 1}} {p:7.2%}"
        console.print(f"[bold]{line}[/]" if k == best else line)


def make_folder(path: Path) -> None:
    """Make sure that files can be written to `path` before anything is computed."""
    path.mkdir(parents=True, exist_ok=True)
    if not os.access(path, os.W_OK):
        raise PermissionError(f"The folder {path} can't be written.")


def set_threads(threads: int | None) -> None:
    if threads is not None:
        from minicnn import config

        config.set_num_threads(threads)


def run(arguments: list[str]) -> int:
    """Carry out a command line and return the exit status."""
    try:
        return app(arguments or ["--help"], prog_name="minicnn", standalone_mode=False) or 0
    except (KeyboardInterrupt, typer.Abort):
        print("minicnn: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        # Typer's own errors are Click's, vendored in some versions: they have a message for the user.
        expected = hasattr(error, "format_message") or isinstance(error, ValueError | TypeError | OSError)
        if not expected or os.environ.get("MINICNN_TRACEBACK"):
            raise
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        print(f"minicnn: {' '.join(message.split())}", file=sys.stderr)
        return 2


def main() -> None:
    sys.exit(run(sys.argv[1:]))
