"""`minicnn train` interrupted by real signals, killed, and resumed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from minicnn import backend, cli
from minicnn.datasets import mnist
from minicnn.saving.checkpoint import read_checkpoint, write_checkpoint

NET = """
from minicnn import Input, layers, models

def small():
    return models.Sequential([
        Input((28, 28, 1)), layers.Conv2D(4, 5, strides=4, activation="relu"), layers.Dropout(0.1),
        layers.Flatten(), layers.Dense(10, activation="softmax"),
    ])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small data set and a file with a net."""
    folder = tmp_path_factory.mktemp("interrupt")
    (x, y), (test_x, test_y) = mnist.load_data()
    np.savez(folder / "digits.npz", x_train=x[:160], y_train=y[:160], x_test=test_x[:50], y_test=test_y[:50])
    (folder / "net.py").write_text(NET)
    return folder


def options(folder, name, *more):
    return [
        *(
            "--out",
            str(folder / name),
            "--data",
            str(folder / "digits.npz"),
            "--model",
            f"{folder}/net.py:small",
        ),
        *("--epochs", "4", "--batch-size", "8", "--optimizer", "adam", *more),
    ]


def started(arguments, folder, name):
    """A process that trains and has written a checkpoint or two."""
    process = subprocess.Popen(
        [sys.executable, "-m", "minicnn", "train", *arguments, "--save-every", "3"],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    path = folder / name / "checkpoint.minicnn"
    while process.poll() is None and not (
        path.exists() and read_checkpoint(path)["progress"]["position"]["taken"]
    ):
        time.sleep(0.005)
    assert process.poll() is None, process.communicate()
    return process


def left(folder):
    """The bytes of the weights, and the history, that a finished training left."""
    assert not (folder / "checkpoint.minicnn").exists()
    return (folder / "model.weights.h5").read_bytes(), json.loads((folder / "history.json").read_text())


def train(*arguments):
    """As a process of its own, in which layers are numbered from the beginning: files hold their names."""
    backend.clear_session()
    return cli.run(["train", *arguments])


@pytest.fixture(scope="module")
def whole(folder):
    assert train(*options(folder, "whole")) == 0
    return left(folder / "whole")


@pytest.mark.jitted
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_with_a_checkpoint_and_a_way_on(number, status, folder, whole):
    name = f"run {number.name}"
    process = started(options(folder, name), folder, name)
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == status, errors
    again = f"minicnn train --resume --out '{folder / name}' --model {folder}/net.py:small"
    assert (
        errors.splitlines()[-1]
        == f"minicnn: interrupted by {number.name}; nothing is lost. Go on with: {again}"
    )
    position = read_checkpoint(folder / name / "checkpoint.minicnn")["progress"]["position"]
    assert position["taken"] == 20 * position["epoch"] + position["batch"]
    assert train("--resume", "--out", str(folder / name), "--model", f"{folder}/net.py:small") == 0
    assert left(folder / name) == whole


@pytest.mark.jitted
def test_killed_and_resumed(folder, whole):
    process = started(options(folder, "killed"), folder, "killed")
    process.kill()
    process.communicate()
    assert train("--resume", *options(folder, "killed")) == 0
    assert left(folder / "killed") == whole


@pytest.fixture
def interrupted(folder, tmp_path, capsys):
    """A run whose checkpoint is there, as after a signal."""

    class Stop(BaseException):
        pass

    def stop(path, tree):
        write_checkpoint(path, tree)
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minicnn.callbacks.backup_and_restore.write_checkpoint", stop)
        with pytest.raises(Stop):
            cli.run(["train", *options(folder, "x"), "--out", str(tmp_path / "run")])
    capsys.readouterr()
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "holds a training that was interrupted. Add --resume"),
        (["--resume"], "had --model"),
        (["--resume", "--model", "NET", "--batch-size", "16"], "had --batch-size 8. Received 16."),
        (["--resume", "--model", "NET", "--optimizer", "sgd"], "had --optimizer adam. Received sgd."),
        (["--resume", "--model", "NET", "--seed", "3"], "had --seed 0. Received 3."),
    ],
)
def test_what_cannot_be_resumed(arguments, words, folder, interrupted, capsys):
    before = {path: path.read_bytes() for path in interrupted.iterdir()}
    arguments = [f"{folder}/net.py:small" if a == "NET" else a for a in arguments]
    assert cli.run(["train", "--out", str(interrupted), *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert {path: path.read_bytes() for path in interrupted.iterdir()} == before


def test_another_net_in_the_file(folder, interrupted, tmp_path, capsys):
    (tmp_path / "net.py").write_text(NET.replace("Dropout(0.1)", "Dropout(0.2)"))
    checkpoint = read_checkpoint(interrupted / "checkpoint.minicnn")
    checkpoint["notes"]["options"]["model"] = f"{tmp_path}/net.py:small"
    write_checkpoint(interrupted / "checkpoint.minicnn", checkpoint)
    arguments = ["train", "--resume", "--out", str(interrupted), "--model", f"{tmp_path}/net.py:small"]
    assert cli.run(arguments) == 2
    assert "It differs in model.layer 2.rate: 0.1 in the checkpoint, 0.2 here." in capsys.readouterr().err


@pytest.mark.parametrize(
    "notes",
    [None, {}, {"options": []}, {"options": {"epochs": 3}}, {"options": dict.fromkeys(
        ["epochs", "batch_size", "optimizer", "learning_rate", "seed", "data", "model"])}],
)  # fmt: skip
def test_a_checkpoint_that_the_command_did_not_write(notes, tmp_path, capsys):
    write_checkpoint(tmp_path / "checkpoint.minicnn", {"notes": notes})
    assert cli.run(["train", "--resume", "--out", str(tmp_path)]) == 2
    assert "must be a checkpoint of `minicnn train`" in capsys.readouterr().err


@pytest.mark.jitted
def test_nothing_to_resume(folder, whole, capsys):
    """A loop that always says --resume begins at the beginning."""
    assert train("--resume", *options(folder, "fresh")) == 0
    assert "has no checkpoint; training from the beginning" in capsys.readouterr().out
    assert left(folder / "fresh") == whole
    capsys.readouterr()
    assert cli.run(["train", "--resume", "--out", str(folder / "fresh")]) == 0
    assert "this training is over" in capsys.readouterr().out
    assert left(folder / "fresh") == whole


def test_the_handlers_are_put_back():
    from minicnn.callbacks import BackupAndRestore

    before = signal.getsignal(signal.SIGTERM)
    backup = BackupAndRestore("never")
    with backup.stops_on(signal.SIGTERM):
        assert signal.getsignal(signal.SIGTERM) is not before
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
    assert signal.getsignal(signal.SIGTERM) is before
