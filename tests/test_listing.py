"""The listing of the README, word for word but for the number of images and epochs, on real digits."""

import re
from pathlib import Path

import pytest

from minicnn import utils
from minicnn.datasets import mnist

README = Path(__file__).parents[1] / "README.md"
TRAIN, TEST = 6_400, 1_000


@pytest.fixture
def listing():
    (code,) = re.findall(r"```python\n(from minicnn import layers.*?)```", README.read_text(), re.DOTALL)
    for full, subset in (("60000", str(TRAIN)), ("10000", str(TEST)), ("epochs=5", "epochs=2")):
        assert full in code
        code = code.replace(full, subset)
    return code


@pytest.mark.jitted  # two epochs over 6,400 digits
def test_listing_runs_and_prints_what_keras_prints(listing, monkeypatch, capsys):
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    subset = (x_train[:TRAIN], y_train[:TRAIN]), (x_test[:TEST], y_test[:TEST])
    monkeypatch.setattr(mnist, "load_data", lambda: subset)
    utils.set_random_seed(0)
    names = {}
    exec(listing, names)  # the README's own code
    printed = capsys.readouterr().out
    assert printed.count('Model: "') == 2
    for line in (
        r"│ conv2d\w* \(Conv2D\) +│ \(None, 26, 26, 32\) +│ +320 │",
        r"│ flatten\w* \(Flatten\) +│ \(None, 576\) +│ +0 │",
        r" Total params: 55,744 \(217.75 KB\)",
        r" Total params: 93,322 \(364.54 KB\)",
        r"Epoch 2/2",
        r"100/100 ━{20} \d+s \d+[mu]?s/step - accuracy: 0\.\d{4} - loss: \d\.\d{4}",
        r"32/32 ━{20} \d+s \d+[mu]?s/step - accuracy: 0\.\d{4} - loss: \d\.\d{4}",
    ):
        assert re.search(line, printed), f"{line}\n{printed}"
    # Two epochs over 6,400 digits give between 0.87 and 0.96, by the seed; a net that learns nothing stays at 0.1.
    assert names["test_acc"] > 0.8
    assert names["test_loss"] < 0.6
