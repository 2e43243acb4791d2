"""Training runs: the book's net or a user's, its data, and the folder that a run leaves.

A folder holds config.json (the architecture and how it was trained), model.weights.h5, history.json, metrics.json and
pictures. Every file is written whole or not at all.
"""

import importlib.util
import json
import sys
import traceback
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicnn.errors import MALFORMED, DataError, shortened

if TYPE_CHECKING:
    from minicnn.models import Sequential
    from minicnn.saving.inspection import Inspection

CONFIG, WEIGHTS, HISTORY, METRICS = "config.json", "model.weights.h5", "history.json", "metrics.json"


class Examples(NamedTuple):
    """Images of a data set, as a model takes them once they are `scaled`."""

    images: np.ndarray
    """(N, H, W, 1) float32 from 0 to 1; before, numbers from 0 to 255 as the file has them: MNIST's are bytes."""
    labels: np.ndarray
    """(N,) int64 from 0."""


def load_unscaled(path: Path | None) -> tuple[Examples, Examples]:
    """Training and test examples of MNIST, or of the data set at `path` (see `datasets.mnist.load_data`)."""
    from minicnn.datasets import mnist

    training, test = (
        Examples(images[..., np.newaxis], labels.astype(np.int64)) for images, labels in mnist.load_data(path)
    )
    return training, test


def scaled(examples: Examples) -> Examples:
    """The images as floats from 0 to 1."""
    return examples._replace(images=np.divide(examples.images, 255, dtype=np.float32))


def load_examples(path: Path | None) -> tuple[Examples, Examples]:
    """`load_unscaled`, scaled."""
    training, test = load_unscaled(path)
    return scaled(training), scaled(test)


def book_net(input_shape: tuple[int, int, int] = (28, 28, 1), classes: int = 10) -> "Sequential":
    """The convnet of F. Chollet, "Deep Learning with Python", section 5.1."""
    from minicnn import Input, layers, models

    return models.Sequential(
        [
            Input(shape=input_shape),
            layers.Conv2D(32, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Conv2D(64, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Conv2D(64, (3, 3), activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(classes, activation="softmax"),
        ]
    )


def net_from_file(target: str) -> "Sequential":
    """What the function in `target`, 'FILE.py:function', returns when it is called without arguments.

    Raises:
        ValueError: there is no such file or function, it fails, or it returns no model.
    """
    from minicnn.models import Model

    file, _, name = target.rpartition(":")
    path = Path(file)
    if path.suffix != ".py" or not name.isidentifier():
        raise ValueError(f"A model must be given as FILE.py:function. Received {target!r}.")
    if not path.is_file():
        raise ValueError(f"There is no file {file}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    sys.path.insert(0, str(path.resolve().parent))  # as for `python FILE.py`
    try:
        spec.loader.exec_module(module)  # type: ignore[union-attr]
        function = getattr(module, name, None)
        if not callable(function):
            raise ValueError(f"{file} must define a function {name}. It doesn't.")
        model = function()
    except Exception as error:
        if isinstance(error, ValueError) and not in_file(error, path):
            raise
        raise ValueError(f"{target} failed{in_file(error, path)}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    if not isinstance(model, Model):
        raise ValueError(f"{target} must return a model. Received a {type(model).__name__}.")
    return model  # type: ignore[return-value]


def in_file(error: Exception, path: Path) -> str:
    """' at line N' for the innermost line of the file that the error passed, or nothing."""
    if isinstance(error, SyntaxError):
        return f" at line {error.lineno}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path]
    return f" at line {frames[-1].lineno}" if frames else ""


def check_fits(model: "Sequential", examples: Examples) -> None:
    """Refuse a model that can't classify these images, before anything is trained.

    Raises:
        ValueError: another input shape, or not one output for each class.
    """
    if not model.built:
        model.build((None, *examples.images.shape[1:]))
    model.check_input_shape(examples.images.shape)
    classes = int(examples.labels.max()) + 1
    output_shape = model.compute_output_shape(examples.images.shape)
    if len(output_shape) != 2 or output_shape[1] < classes:  # type: ignore[operator]
        raise ValueError(
            f"The model must end in one output for each of {classes} classes. Received output shape {output_shape}."
        )


def describe(model: "Sequential", training: Mapping[str, Any]) -> str:
    """The content of config.json.

    Raises:
        ValueError, TypeError: a layer whose configuration can't be written down.
    """
    from minicnn import __version__

    config = {"minicnn": __version__, "model": model.get_config(), "training": dict(training)}
    return json.dumps(config, indent=2) + "\n"


def save_pictures(
    folder: Path, history: Mapping[str, list], test: Examples, probabilities: np.ndarray
) -> list[Path]:
    """Draw the curves, the confusion matrix and the misclassified images; return where."""
    from minicnn import viz

    predicted = probabilities.argmax(1)
    pictures: dict[str, Any] = {
        "history.png": viz.history_curves(history)[0].figure,
        "confusion_matrix.png": viz.confusion_matrix(test.labels, predicted).figure,
        "misclassified.png": viz.misclassified(test.images, test.labels, predicted, probabilities)[0].figure,
    }
    for name, figure in pictures.items():
        viz.save(figure, folder / name)
    return [folder / name for name in pictures]


def load_run(folder: Path) -> tuple["Sequential", dict[str, Any]]:
    """The trained model of a run, and how it was trained.

    Raises:
        ValueError: no such folder, or a file in it that isn't what it must be.
    """
    from minicnn.engine.parameters import Variable
    from minicnn.saving.archive import read_file
    from minicnn.saving.hdf5 import Reader
    from minicnn.saving.weights import give, read_weights

    model, training = _read_config(folder)
    weights = folder / WEIGHTS
    try:
        give(read_weights(model, Reader(read_file(weights))), Variable.fill, weights)
    except DataError as error:
        raise DataError(f"{weights} must hold the weights of the model. {shortened(error)}") from error
    return model, training


def inspect_run(folder: Path) -> "Inspection":
    """What is in the folder of a run, without its weights.

    Raises:
        ValueError: as `load_run`, but for what is in the file of weights.
    """
    from minicnn.saving.archive import read_file
    from minicnn.saving.inspection import Inspection

    model, training = _read_config(folder)
    content = read_file(folder / WEIGHTS)
    properties = {"weights": WEIGHTS, "bytes": f"{len(content):,}", "sha256": sha256(content).hexdigest()}
    return Inspection(
        model, {name: str(value) for name, value in training.items() if value is not None}, properties
    )


def _read_config(folder: Path) -> tuple["Sequential", dict[str, Any]]:
    """The model of a run, its variables without values, and how it was trained."""
    from minicnn.engine.parameters import shapes_only
    from minicnn.models import Sequential
    from minicnn.saving.archive import read_file
    from minicnn.saving.json_config import parse_config

    path = folder / CONFIG
    if not path.is_file() or not (folder / WEIGHTS).is_file():
        raise ValueError(
            f"A run is a folder with {CONFIG} and {WEIGHTS}, as `minicnn train` leaves it. Received {folder}."
        )
    try:
        config = parse_config(read_file(path), "it")
        model_config, training = config["model"], dict(config["training"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} must be the configuration of a run. Received something else: {error}"
        ) from error
    try:
        with shapes_only():
            model = Sequential.from_config(model_config)
    except (ValueError, *MALFORMED) as error:
        raise DataError(f"{path} must describe a model. Building it failed: {shortened(error)}") from error
    return model, training


def save_run(
    folder: Path, config: str, model: "Sequential", history: Mapping[str, list], metrics: Mapping
) -> None:
    """Write everything but the pictures."""
    from minicnn.saving import save_weights, write_file

    save_weights(model, folder / WEIGHTS)
    write_file(folder / CONFIG, config.encode())
    for name, content in ((HISTORY, history), (METRICS, metrics)):
        write_file(folder / name, (json.dumps(content, indent=2) + "\n").encode())
