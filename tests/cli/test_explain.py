"""`minicnn explain` and `minicnn explain-shape`."""

import pytest

from minicnn import cli

NET = """
from minicnn import Input, layers, models


def net():
    return models.Sequential([Input((28, 28, 1)), layers.Conv2D(4, 5, strides=3, activation="relu", name="conv"),
        layers.Flatten(name="flat"), layers.Dense(10, activation="softmax", name="last")])
"""


@pytest.fixture
def net(tmp_path) -> str:
    (tmp_path / "net.py").write_text(NET)
    return f"{tmp_path}/net.py:net"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--layer conv", ["conv: y[0, 4, 4, 2] = ", "the 12 largest of 25 terms", "ReLU: y = f(x)"]),
        ("--layer conv --output 3,4,1 --all", ["conv: y[0, 3, 4, 1] = "]),
        ("--layer conv --weight 1,1,0,3 --image 7", ["conv: dw[1, 1, 0, 3] = ", "Σ x·dy"]),
        ("--layer last --bias 3", ["last: db[3] = "]),
        ("--layer last --input 3", ["last: dx[0, 3] = ", "Σ dy·w"]),
    ],
)
def test_explain(net, options, words, capsys):
    assert cli.run(["explain", "--model", net, *options.split()]) == 0
    out = capsys.readouterr().out
    for word in words:
        assert word in out
    if "--all" in options:
        assert "largest" not in out and sum(line.split()[:1] == ["4"] for line in out.splitlines()) == 5


def test_the_picture(net, tmp_path, capsys):
    target = tmp_path / "out.png"
    assert cli.run(["explain", "--model", net, "--layer", "conv", "--figure", str(target)]) == 0
    assert target.read_bytes().startswith(b"\x89PNG") and f"{target} written" in " ".join(
        capsys.readouterr().out.split()
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("explain --layer conv9", "`layer` must be one of"),
        ("explain --layer conv2d --output 1,x", "--output must be numbers with commas between"),
        ("explain --model {net} --layer conv --output 1,1", "`output` must be an index of an array of shape"),
        ("explain --model {net} --layer conv --output 1,1,1 --bias 0", "exactly one of"),
        ("explain --image 10000", "--image must be less than 10000"),
        ("explain nowhere", "A run is a folder"),
        ("explain nowhere --model a.py:f", "Received both"),
        ("explain-shape --image 0", "`image` must be positive"),
        ("explain-shape --kernel 3*3", "--kernel must be a number, or two as in 28x20"),
        ("explain-shape --at 3", "--at must be two numbers"),
    ],
)
def test_bad_arguments(arguments, words, net, capsys):
    assert cli.run(arguments.format(net=net).split()) == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


def test_explain_shape(tmp_path, capsys):
    files = ["--picture", f"{tmp_path}/a.png", "--animate", f"{tmp_path}/a.gif"]
    options = "--image 5x4 --kernel 3 --stride 2 --padding same --at 1,0"
    assert cli.run(["explain-shape", *options.split(), *files]) == 0
    assert "output 3 × 2; the window of output[1, 0]" in capsys.readouterr().out
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.gif").read_bytes().startswith(b"GIF89a")
