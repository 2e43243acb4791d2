"""Training a net, and what can be done with a trained one."""

from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer

from minicnn.cli.app import app
from minicnn.cli.options import (
    DataOption,
    ModelOption,
    RunArgument,
    ThreadsOption,
    given_options,
    make_folder,
    only_options,
    set_threads,
)
from minicnn.cli.resume import interruptible, options_to_train_with


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
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the training in --out that was interrupted.")
    ] = False,
    save_every: Annotated[int, typer.Option(min=1, help="Steps from one checkpoint to the next.")] = 100,
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
    from minicnn import runs, utils
    from minicnn.callbacks import BackupAndRestore, TerminateOnNaN

    backup = BackupAndRestore(out, save_freq=save_every, delete_checkpoint=False)
    options: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "seed": seed,
        "data": str(data.resolve()) if data else None,
        "model": model,
    }
    if resume and not backup.path.exists() and (out / runs.METRICS).exists():
        typer.echo(f"{out}: this training is over; there is nothing to resume.")
        return
    options = options_to_train_with(backup, options, given_options(context, options), resume=resume)
    backup.notes = {"options": options}
    chosen = optimizer_of(options["optimizer"], options["learning_rate"])
    set_threads(threads)
    utils.set_random_seed(options["seed"])
    net = runs.net_from_file(model) if model else None
    training, test = runs.load_unscaled(Path(options["data"]) if options["data"] else None)
    training = runs.scaled(training)  # and its bytes are free again
    net = net or runs.book_net(training.images.shape[1:], int(training.labels.max()) + 1)
    runs.check_fits(net, training)
    runs.check_fits(net, test)
    config = runs.describe(net, options)
    make_folder(out)

    # Integers as labels: the same loss as with one-hot rows, which would have to be made first.
    net.compile(optimizer=chosen, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    net.summary()
    start = perf_counter()
    with interruptible(backup, options):
        history = net.fit(
            training.images,
            training.labels,
            epochs=options["epochs"],
            batch_size=options["batch_size"],
            callbacks=[backup, TerminateOnNaN()],
        ).history
    if net.divergence is not None:
        backup.delete()  # nobody can go on from there
        raise ValueError(f"{net.divergence}")
    seconds = perf_counter() - start
    del training  # 188 MB of MNIST; the pictures take half as much
    test = runs.scaled(test)
    loss, accuracy = net.evaluate(test.images, test.labels, verbose=0)
    metrics = {"test_loss": loss, "test_accuracy": accuracy, "seconds": seconds}
    runs.save_run(out, config, net, history, metrics)
    runs.save_pictures(out, history, test, net.predict(test.images, batch_size=256, verbose=0))
    backup.delete()
    typer.echo(f"test_accuracy: {accuracy:.4f} - test_loss: {loss:.4f} - trained in {seconds:.1f} s")
    typer.echo(f"{out}: {', '.join(sorted(path.name for path in out.iterdir()))}")


def optimizer_of(name: str, learning_rate: float | None) -> Any:
    """An optimizer by name, with its own learning rate or this one."""
    from minicnn import optimizers

    chosen = optimizers.get(name)
    if learning_rate is not None:
        if not 0 < learning_rate < float("inf"):
            raise typer.BadParameter(f"--learning-rate must be a positive number. Received {learning_rate}.")
        chosen.learning_rate = learning_rate
    return chosen


@app.command()
def summary(
    model: ModelOption = None,
    details: Annotated[
        bool,
        typer.Option(help="Also multiply-adds, memory and receptive field of each layer, for one image."),
    ] = False,
) -> None:
    """Show the layers of the net, their output shapes and parameters."""
    from minicnn import runs

    (runs.net_from_file(model) if model else runs.book_net()).summary(details=details)


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
