"""The command line: a run and what it leaves; bad input is one line on stderr and exit status 2."""

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from minicnn import cli, runs
from minicnn.datasets import mnist
from minicnn.digits import read_digit

NET = """
from minicnn import Input, layers, models

def small():
    return models.Sequential([
        Input((28, 28, 1)), layers.Conv2D(4, 5, strides=3, activation="relu"), layers.Dropout(0.1),
        layers.Flatten(), layers.Dense(10, activation="softmax"),
    ])

def unbuilt():
    return models.Sequential([layers.Flatten(), layers.Dense(10, activation="softmax")])

def fails():
    return 1 // 0

def complains():
    raise RuntimeError('''two lines
and more''')

def no_model():
    return "a net"

def two_classes():
    return models.Sequential([layers.Flatten(), layers.Dense(2, activation="softmax")])

def no_classes():
    return models.Sequential([Input((28, 28, 1)), layers.Conv2D(4, 3)])

def colours():
    return models.Sequential([Input((28, 28, 3)), layers.Flatten(), layers.Dense(10)])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small data set, a file of nets, pictures, and things that are none of these."""
    folder = tmp_path_factory.mktemp("cli")
    (x, y), (test_x, test_y) = mnist.load_data()
    np.savez(
        folder / "digits.npz", x_train=x[:500], y_train=y[:500], x_test=test_x[:100], y_test=test_y[:100]
    )
    for split, labels in {"train": (y[:500] + 1, test_y[:100]), "test": (y[:500], test_y[:100] + 1)}.items():
        arrays = {"x_train": x[:500], "y_train": labels[0], "x_test": test_x[:100], "y_test": labels[1]}
        np.savez(folder / f"eleven_{split}.npz", **arrays)
    (folder / "net.py").write_text(NET)
    (folder / "broken.py").write_text("def f(:\n")
    (folder / "text.txt").write_text("text")
    for k in range(2):
        Image.fromarray(255 - test_x[k]).resize((84, 84)).save(folder / f"{test_y[k]}.png")
    return folder


@pytest.fixture(scope="module")
def trained(folder):
    """The folder that a short training run left."""
    out = folder / "run"
    options = [
        "--epochs",
        "2",
        "--batch-size",
        "50",
        "--optimizer",
        "adam",
        "--learning-rate",
        "0.01",
        "--seed",
        "3",
    ]
    status = cli.run(
        [
            "train",
            *options,
            "--data",
            f"{folder}/digits.npz",
            "--model",
            f"{folder}/net.py:small",
            "--out",
            str(out),
        ]
    )
    assert status == 0
    return out


class TestRun:
    def test_what_it_leaves(self, trained):
        assert sorted(path.name for path in trained.iterdir()) == [
            *("config.json", "confusion_matrix.png", "history.json", "history.png", "metrics.json"),
            *("misclassified.png", "model.weights.h5"),
        ]
        history = json.loads((trained / "history.json").read_text())
        assert sorted(history) == ["accuracy", "loss"]
        assert [len(values) for values in history.values()] == [2, 2]
        metrics = json.loads((trained / "metrics.json").read_text())
        assert sorted(metrics) == ["seconds", "test_accuracy", "test_loss"]
        assert metrics["test_accuracy"] > 0.3 and metrics["seconds"] > 0
        config = json.loads((trained / "config.json").read_text())["training"]
        assert (config["epochs"], config["optimizer"], config["learning_rate"], config["seed"]) == (
            2,
            "adam",
            0.01,
            3,
        )
        for name in ("history.png", "confusion_matrix.png", "misclassified.png"):
            with Image.open(trained / name) as picture:
                assert min(picture.size) > 100

    def test_the_same_seed_gives_the_same_weights(self, trained, folder, tmp_path):
        def again(seed, threads):
            options = [
                "--epochs",
                "2",
                "--batch-size",
                "50",
                "--optimizer",
                "adam",
                "--learning-rate",
                "0.01",
            ]
            data = [
                "--data",
                f"{folder}/digits.npz",
                "--model",
                f"{folder}/net.py:small",
                "--out",
                str(tmp_path),
            ]
            assert cli.run(["train", *options, *data, "--seed", seed, "--threads", threads]) == 0
            return weights(tmp_path)

        def weights(run):
            return [w.tobytes() for w in runs.load_run(run)[0].get_weights()]

        assert again("3", "3") == weights(trained)
        assert again("4", "1") != weights(trained)

    def test_evaluate_finds_the_numbers_of_the_run(self, trained, capsys):
        capsys.readouterr()
        assert cli.run(["evaluate", str(trained)]) == 0
        metrics = json.loads((trained / "metrics.json").read_text())
        line = f"test_accuracy: {metrics['test_accuracy']:.4f} - test_loss: {metrics['test_loss']:.4f}"
        assert line in capsys.readouterr().out

    def test_evaluate_on_other_data(self, trained, capsys):
        assert cli.run(["evaluate", str(trained), "--data", "", "--threads", "1"]) == 2
        capsys.readouterr()

    def test_predict_draws_ten_bars_for_each_picture(self, trained, folder, capsys):
        assert cli.run(["predict", str(trained), f"{folder}/7.png", f"{folder}/2.png"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 22
        net, _ = runs.load_run(trained)
        images = np.stack([read_digit(folder / name)[..., np.newaxis] / 255 for name in ("7.png", "2.png")])
        for first, probabilities in zip((0, 11), net.predict(images, verbose=0), strict=True):
            assert lines[first].endswith(f": {probabilities.argmax()}")
            shown = [float(line.split()[-1].rstrip("%")) / 100 for line in lines[first + 1 : first + 11]]
            np.testing.assert_allclose(shown, probabilities, atol=5.1e-5)  # two decimals of a percentage
            bars = [line.count("█") for line in lines[first + 1 : first + 11]]
            assert bars.index(max(bars)) == probabilities.argmax()

    def test_summary_with_details(self, capsys):
        assert cli.run(["summary", "--details"]) == 0
        shown = capsys.readouterr().out
        assert "18×18" in shown or "18 × 18" in shown  # what a unit of the third convolution sees
        assert cli.run(["summary"]) == 0
        assert len(capsys.readouterr().out) < len(shown)

    def test_summary(self, folder, capsys):
        assert cli.run(["summary"]) == 0
        assert "93,322" in capsys.readouterr().out
        assert cli.run(["summary", "--model", f"{folder}/net.py:small"]) == 0
        assert "dropout" in capsys.readouterr().out

    def test_a_net_without_an_input_is_built_for_the_data(self, folder, tmp_path):
        options = [
            "--epochs",
            "1",
            "--model",
            f"{folder}/net.py:unbuilt",
            "--out",
            str(tmp_path / "deep" / "er"),
        ]
        assert cli.run(["train", "--data", f"{folder}/digits.npz", *options]) == 0
        assert runs.load_run(tmp_path / "deep" / "er")[0].layers[-1].kernel.shape == (784, 10)

    def test_the_book_net_fits_itself_to_the_data(self, folder, tmp_path):
        x = np.zeros((6, 22, 24), np.uint8)
        x[:, ::2] = 255
        np.savez(tmp_path / "d.npz", x_train=x, y_train=np.arange(6) * 2, x_test=x, y_test=np.arange(6))
        assert (
            cli.run(["train", "--data", f"{tmp_path}/d.npz", "--epochs", "1", "--out", f"{tmp_path}/out"])
            == 0
        )
        net, _ = runs.load_run(tmp_path / "out")
        assert net.input_shape == (None, 22, 24, 1) and net.output_shape == (None, 11)


USES_FOLDER = "{folder}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("train --epochs 0", "--epochs"),
        ("train --epochs many", "--epochs"),
        ("train --batch-size -1", "--batch-size"),
        ("train --seed -1", "--seed"),
        ("train --threads 0", "--threads"),
        ("train --learning-rate 0", "--learning-rate must be a positive number"),
        ("train --learning-rate nan", "--learning-rate must be a positive number"),
        ("train --optimizer adamant", "adamant"),
        ("train --data {folder}/missing.npz", "missing.npz"),
        ("train --data {folder}/text.txt", "text.txt must be an .npz archive"),
        ("train --out {folder}/text.txt", "text.txt"),
        ("train --model net", "FILE.py:function"),
        ("train --model {folder}/missing.py:small", "There is no file"),
        ("train --model {folder}/broken.py:small", "failed at line 1: SyntaxError"),
        ("train --model {folder}/net.py:large", "must define a function large"),
        ("train --model {folder}/net.py:fails", "failed at line 14: ZeroDivisionError"),
        ("train --race --epochs 3", "--race can't be combined with --epochs"),
        ("train --race --out {folder}/text.txt", "text.txt"),
        ("train --model {folder}/net.py:complains", "and more"),
        ("train --data {folder}/eleven_train.npz --model {folder}/net.py:small", "each of 11 classes"),
        ("train --data {folder}/eleven_test.npz --model {folder}/net.py:small", "each of 11 classes"),
        ("train --model {folder}/net.py:no_model", "must return a model. Received a str"),
        ("train --model {folder}/net.py:two_classes", "one output for each of 10 classes"),
        ("train --model {folder}/net.py:no_classes", "one output for each of 10 classes"),
        ("train --model {folder}/net.py:colours", "(None, 28, 28, 3)"),
        ("summary --model {folder}/net.py:fails", "ZeroDivisionError"),
        ("evaluate {folder}", "A run is a folder with config.json"),
        ("evaluate {folder}/nowhere", "A run is a folder with config.json"),
        ("predict {folder}/nowhere {folder}/7.png", "A run is a folder with config.json"),
        ("predict {run} {folder}/missing.png", "missing.png"),
        ("predict {run} {folder}/text.txt", "must be a picture that can be read"),
        ("predict {run} {folder}/7.png {folder}/text.txt", "must be a picture that can be read"),
        ("predict {run}", "IMAGE.png"),
        ("evaluate", "RUN"),
        ("fly", "fly"),
        ("train --speed 3", "--speed"),
        ("train now", "now"),
    ],
)
def test_bad_input(arguments, words, folder, trained, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert cli.run(arguments.format(folder=folder, run=trained).split()) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1 and output.err.startswith("minicnn: ")
    assert words in output.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", b"{", "must be the configuration of a run"),
        ("config.json", b"[]", "must be the configuration of a run"),
        ("config.json", b"[" * 100_000, "must be the configuration of a run"),
        ("config.json", b'{"model": {}, "training": {}}', "must describe a model"),
        ("config.json", b'{"model": {"layers": [3]}, "training": {}}', "must describe a model"),
        ("model.weights.h5", b"text", "must hold the weights"),
    ],
)
def test_damaged_runs(name, content, words, trained, tmp_path, capsys):
    for path in trained.glob("*.[jh]*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).write_bytes(content)
    assert cli.run(["evaluate", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert words in err and name in err and err.count("\n") == 1


def test_an_error_of_our_own_is_not_hidden(monkeypatch):
    def fail(*arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(runs, "book_net", fail)
    with pytest.raises(ZeroDivisionError):
        cli.run(["summary"])


def test_interrupted(monkeypatch, capsys):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "book_net", interrupt)
    assert cli.run(["summary"]) == 130


@pytest.mark.parametrize("arguments", [[], ["--help"], ["train", "--help"]])
def test_help(arguments, capsys):
    assert cli.run(arguments) == 0
    assert "minicnn" in capsys.readouterr().out


def test_as_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "minicnn", "fly"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1


FLAT = """
import numpy as np

def right(x):
    return x.reshape(len(x), -1)

def wrong(x):
    return x.reshape(len(x), -1)[:, ::-1]

def backward(dy, x):
    return dy.reshape(x.shape)
"""
ONLY_FLAT = ["--op", "flatten", "--examples", "20", "--target"]


class TestVerify:
    @pytest.fixture
    def flat(self, tmp_path, monkeypatch):
        """A file with a right and a wrong flatten, in the current folder."""
        (tmp_path / "flat.py").write_text(FLAT)
        monkeypatch.chdir(tmp_path)
        return tmp_path

    def test_what_holds_is_status_0(self, flat, capsys):
        assert cli.run(["verify", *ONLY_FLAT, "flat.py:right"]) == 0
        out, err = capsys.readouterr()
        assert "flatten of flat.py:right: 4 properties hold, 0 fail" in out and err == ""

    def test_what_fails_is_status_1_shown_in_full_and_in_both_files(self, flat, capsys):
        options = ["--report", "out.html", "--json", "out.json", "--seed", "3"]
        assert cli.run(["verify", *ONLY_FLAT, "flat.py:wrong", *options]) == 1
        out = capsys.readouterr().out
        assert "“equals the oracle” fails" in out and "out.html written" in out and "seed 3" in out
        data = json.loads((flat / "out.json").read_text())
        assert data["ok"] is False and data["reports"][0]["seed"] == 3
        assert "equals the oracle" in (flat / "out.html").read_text()

    def test_the_line_to_reproduce_is_a_command_that_does(self, flat, capsys):
        cli.run(["verify", *ONLY_FLAT, "flat.py:wrong"])
        line = next(x for x in capsys.readouterr().out.splitlines() if "reproduce: " in x)
        command = shlex.split(line.partition("reproduce: ")[2])
        assert command[0] == "minicnn" and "--property" in command
        assert cli.run(command[1:]) == 1
        out = capsys.readouterr().out
        assert line in out and "0 properties hold, 1 fails" in out

    def test_properties_may_be_chosen(self, flat, capsys):
        names = ["equals the oracle", "the gradient equals the oracle's"]
        options = [word for name in names for word in ("--property", name)]
        assert cli.run(["verify", *ONLY_FLAT, "flat.py:right", *options]) == 0
        assert "2 properties hold" in capsys.readouterr().out

    def test_nothing_run_is_not_success(self, flat, capsys):
        (flat / "bare.py").write_text("def f(x):\n    return x.reshape(len(x), -1)\n")
        arguments = [*ONLY_FLAT, "bare.py:f", "--property", "the gradient equals the oracle's"]
        assert cli.run(["verify", *arguments]) == 1
        assert "needs backward" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ([], "Missing option"),
            (["--target", "tensorflow"], "must be one of keras"),
            (["--target", "nowhere.py:f"], "must exist"),
            (["--target", "flat.py:f"], "must have a function 'f'"),
            (["--target", "flat.py:right", "--op", "conv7d"], "must be one of conv2d"),
            ([*ONLY_FLAT, "flat.py:right", "--property", "is nice"], "Properties must be among"),
            ([*ONLY_FLAT, "flat.py:right", "--examples", "0"], "--examples"),
            ([*ONLY_FLAT, "flat.py:right", "--seed", "-1"], "--seed"),
            ([*ONLY_FLAT, "flat.py:right", "--report", "no/where.html"], "There is no no"),
            ([*ONLY_FLAT, "flat.py:right", "--json", "."], "It is a folder"),
            ([*ONLY_FLAT, "flat.py:right", "--json", "a", "--report", "./a"], "must be two files"),
            (["--target", "minicnn:reference", "--op", "lion"], "has targets for conv2d"),
        ],
    )
    def test_bad_input_is_status_2_and_one_line(self, arguments, words, flat, capsys):
        assert cli.run(["verify", *arguments]) == 2
        out, err = capsys.readouterr()
        assert words in err and err.count("\n") == 1 and out == ""
        assert [path.name for path in flat.iterdir() if path.is_file()] == ["flat.py"]

    def test_a_folder_that_cannot_be_written_is_refused_before_the_work(self, flat, monkeypatch, capsys):
        monkeypatch.setattr(os, "access", lambda path, mode: False)
        assert cli.run(["verify", *ONLY_FLAT, "flat.py:wrong", "--json", "out.json"]) == 2
        assert capsys.readouterr().out == ""

    @pytest.mark.parametrize(
        ("missing", "target", "words"),
        [
            ("hypothesis", "flat.py:right", "pip install 'minicnn-numpy[testing]'"),
            ("scipy", "scipy", "pip install scipy"),
            ("torch", "torch", "pip install torch"),
            ("keras", "keras", "pip install keras tensorflow"),
            ("numba", "minicnn:numba", "pip install numba"),
            ("numba", "flat.py:right", None),
        ],
    )
    def test_without_a_package(self, missing, target, words, flat):
        """In a process where it can't be imported."""
        code = f"import sys; sys.modules[{missing!r}] = None; from minicnn import cli; "
        code += f"sys.exit(cli.run({['verify', '--op', 'flatten', '--examples', '3', '--target', target]}))"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=flat, check=False
        )
        if words is None:
            assert done.returncode == 0, done.stderr
        else:
            assert done.returncode == 2 and done.stdout == ""
            assert words in done.stderr and f"needs {missing}, which isn't installed" in done.stderr
            assert done.stderr.count("\n") == 1


class TestStudy:
    def test_the_experiments_are_listed(self, capsys):
        assert cli.run(["study"]) == 0
        names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
        assert names == [
            "pooling",
            "dense-vs-conv",
            "augmentation",
            "feature-extraction",
            "fine-tuning",
            "visualise",
        ]

    def test_leaves_numbers_a_report_and_pictures(self, tmp_path, monkeypatch, capsys):
        from minicnn.study.experiments import dense_vs_conv

        tiny = {"train": 64, "test": 32, "epochs": 1, "seeds": 1}
        monkeypatch.setattr(type(dense_vs_conv.DENSE_VS_CONV), "size", lambda self, data, quick: tiny)
        out = tmp_path / "run"
        assert cli.run(["study", "dense-vs-conv", "--quick", "--seed", "3", "--out", str(out)]) == 0
        assert sorted(path.name for path in out.iterdir()) == ["errors.png", "report.md", "results.json"]
        record = json.loads((out / "results.json").read_text())
        assert (record["seed"], record["data"], record["size"]) == (3, "mnist", tiny)
        assert (out / "report.md").read_text() in capsys.readouterr().out

    @pytest.mark.parametrize(
        "arguments", [["poling"], ["pooling", "--data", "cats"], ["pooling", "--seed", "-1"]]
    )
    def test_refuses(self, arguments, capsys):
        assert cli.run(["study", *arguments]) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small compiled net as a .keras file and as weights, and a file of the function that makes it."""
    from minicnn import Input, layers, models

    folder = tmp_path_factory.mktemp("saved")
    code = NET + "\n\ndef tiny():\n    return models.Sequential([Input((3,)), layers.Dense(2, name='d')])\n"
    (folder / "nets.py").write_text(code)
    model = models.Sequential([Input((3,), name="start"), layers.Dense(2, name="d")], name="tiny")
    model.compile("adam", "mse", metrics=["accuracy"])
    model.save(folder / "m.keras")
    model.save_weights(folder / "m.weights.h5")
    return folder


@pytest.mark.parametrize(
    ("source", "target", "more"),
    [
        ("m.keras", "out.keras", []),
        ("m.keras", "out.weights.h5", []),
        ("m.keras", "out.onnx", []),
        ("m.weights.h5", "out.keras", ["--model", "nets.py:tiny"]),
    ],
)
def test_convert(source, target, more, saved, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(saved)
    assert cli.run(["convert", source, str(tmp_path / target), *more]) == 0
    assert f"{target}: " in capsys.readouterr().out
    x = np.eye(3, dtype=np.float32)
    expected = models_load(saved / "m.keras")(x)
    if target.endswith(".onnx"):
        import onnxruntime

        session = onnxruntime.InferenceSession(str(tmp_path / target), providers=["CPUExecutionProvider"])
        np.testing.assert_allclose(
            session.run(None, {"input": x})[0], expected, atol=1e-6
        )  # a dozen roundings
        return
    model = models_load(tmp_path / target) if target.endswith(".keras") else models_load(saved / "m.keras")
    if target.endswith(".weights.h5"):
        model.set_weights([np.zeros((3, 2)), np.zeros(2)])
        model.load_weights(tmp_path / target)
    np.testing.assert_array_equal(model(x), expected)


def models_load(path):
    from minicnn import models

    return models.load_model(path)


def test_inspect(saved, capsys):
    assert cli.run(["inspect", str(saved / "m.keras")]) == 0
    shown = capsys.readouterr().out
    for text in (
        *("Model:", "tiny", "d (Dense)", "(None, 2)", "optimizer: Adam(learning_rate=0.001", "loss: mse"),
        *("metrics: accuracy", "keras_version: 3.", "backend: numba", "sha256: "),
    ):
        assert text in shown


@pytest.mark.parametrize(
    ("file", "texts"),
    [
        (
            "m.weights.h5",
            ("layers/dense/vars/0", "(3, 2)", "float32", "arrays: ", "numbers: ", "optimizer/vars/0"),
        ),
        ("m.onnx", ("MatMul", "(N, 3)", "(3, 2)", "float", "producer: minicnn", "opset: ai.onnx 20")),
    ],
)
def test_inspecting_weights_and_onnx(file, texts, saved, tmp_path, capsys):
    path = tmp_path / file
    assert cli.run(["convert", str(saved / "m.keras"), str(path)]) == 0
    assert cli.run(["inspect", str(path)]) == 0
    shown = capsys.readouterr().out
    for text in (*texts, f"sha256: {hashlib.sha256(path.read_bytes()).hexdigest()}"):
        assert text in shown


def test_what_a_file_says_gives_the_terminal_no_orders(tmp_path, capsys):
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("\x1b[2Jx[red]", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["x"])], "g", [value], [value])
    (tmp_path / "m.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    assert cli.run(["inspect", str(tmp_path / "m.onnx")]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "[2Jx[red]" in shown


def test_the_folder_of_a_run_is_inspected_and_converted(trained, tmp_path, capsys):
    assert cli.run(["inspect", str(trained)]) == 0
    shown = capsys.readouterr().out
    digest = hashlib.sha256((trained / "model.weights.h5").read_bytes()).hexdigest()
    for text in ("Model:", "Trained with:", "epochs: 2", "optimizer: adam", "learning_rate: 0.01", digest):
        assert text in shown
    assert cli.run(["convert", str(trained), str(tmp_path / "out.keras")]) == 0
    model, _ = runs.load_run(trained)
    for ours, theirs in zip(
        model.get_weights(), models_load(tmp_path / "out.keras").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.any()


def test_inspecting_a_run_reads_no_weights(trained, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    (folder / "model.weights.h5").write_bytes(b"damaged")
    assert cli.run(["inspect", str(folder)]) == 0
    (folder / "model.weights.h5").unlink()
    assert cli.run(["inspect", str(folder)]) == 2
    assert "A run is a folder with" in capsys.readouterr().err


def test_a_training_that_diverges_says_where(folder, tmp_path):
    data, out = f"{folder}/digits.npz", tmp_path / "run"
    options = ["--optimizer", "sgd", "--learning-rate", "1e30", "--epochs", "1", "--batch-size", "50"]
    command = [sys.executable, "-m", "minicnn", "train", *options, "--data", data, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    # The first step leaves weights near 1e28, which the first convolution of the second survives and the next doesn't.
    assert "at step 2" in last and "layer 'conv2d_1'" in last
    assert "Traceback" not in done.stderr
    assert not (out / "metrics.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["convert", "m.keras", "out.txt"], "OUT must end in one of .keras, .weights.h5, .onnx"),
        (["convert", "nets.py", "out.keras"], "IN must be a folder or end in .keras or .weights.h5"),
        (["convert", "m.weights.h5", "out.keras"], "m.weights.h5 has weights and no layers: --model"),
        (["convert", "m.keras", "out.keras", "--model", "nets.py:tiny"], "--model is for .weights.h5 files"),
        (
            ["convert", "m.weights.h5", "out.keras", "--model", "nets.py:small"],
            "must hold the weights of model",
        ),
        (["inspect", "nets.py"], "`filepath` must end in .keras, .weights.h5, .onnx. Received"),
        (["inspect", "damaged.onnx"], "'damaged.onnx' can't be inspected: it must be an ONNX model"),
        (["inspect", "damaged.weights.h5"], "'damaged.weights.h5' can't be inspected: it"),
        (["inspect", "none.keras"], "none.keras"),
    ],
)
def test_wrong_files(arguments, message, saved, capsys, monkeypatch):
    monkeypatch.chdir(saved)
    for name in ("damaged.onnx", "damaged.weights.h5"):
        (saved / name).write_bytes(b"\x0a\xffdamaged")
    assert cli.run(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (saved / "out.keras").exists()
