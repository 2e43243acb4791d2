"""The parts of the summary; tests/keras/test_summary.py compares all of it with Keras's."""

from types import SimpleNamespace

import numpy as np
import pytest

from minicnn import Input, layers, models
from minicnn.models.summary import layers_in_range, readable, sizes, summary


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0.00 B"),
        (1023, "1023.00 B"),
        (1024, "1.00 KB"),
        (373288, "364.54 KB"),
        (2**50, "1.00 PB"),
        (2**63, "8192.00 PB"),
    ],
)
def test_readable(nbytes, text):
    assert readable(nbytes) == text


def test_shared_variables_take_their_bytes_once():
    a, b = np.zeros((3, 4), np.float32), np.zeros(5)
    assert sizes([a, b, a]) == (29, 48 + 40)


LAYERS = [SimpleNamespace(name=name) for name in ("conv2d", "conv2d_1", "flatten", "dense")]


@pytest.mark.parametrize(
    ("layer_range", "expected"),
    [
        (None, ["conv2d", "conv2d_1", "flatten", "dense"]),
        (("flatten", "flatten"), ["flatten"]),
        (("conv.*", "conv.*"), ["conv2d", "conv2d_1"]),
        (["dense", "conv2d_1"], ["conv2d_1", "flatten", "dense"]),
    ],
)
def test_layers_in_range(layer_range, expected):
    assert [layer.name for layer in layers_in_range(LAYERS, layer_range)] == expected


@pytest.mark.parametrize("layer_range", [("a", "flatten"), ("flatten",), (0, 1), ("flatten", None)])
def test_ranges_that_name_nothing(layer_range):
    with pytest.raises(ValueError, match="Received layer_range="):
        layers_in_range(LAYERS, layer_range)


def test_columns_too_narrow():
    model = SimpleNamespace(name="m", layers=[])
    with pytest.raises(ValueError, match=r"at least 4 characters wide\. Received line_length=10"):
        summary(model, line_length=10)


def small():
    inner = models.Sequential([Input((4,)), layers.Dense(3, name="a")], name="inner")
    model = models.Sequential(
        [Input((2, 2, 1)), layers.Flatten(name="flat"), inner, layers.Dense(2, name="b", trainable=False)],
        name="net",
    )
    model.compile("adam", "mse")
    return model


def test_the_table(capsys):
    small().summary(line_length=60)
    assert capsys.readouterr().out == (
        'Model: "net"\n'
        "┏━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━┓\n"
        "┃ Layer (type)             ┃ Output Shape      ┃   Param # ┃\n"
        "┡━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━┩\n"
        "│ flat (Flatten)           │ (None, 4)         │         0 │\n"
        "├──────────────────────────┼───────────────────┼───────────┤\n"
        "│ inner (Sequential)       │ (None, 3)         │        15 │\n"
        "├──────────────────────────┼───────────────────┼───────────┤\n"
        "│ b (Dense)                │ (None, 2)         │         8 │\n"
        "└──────────────────────────┴───────────────────┴───────────┘\n"
        " Total params: 23 (92.00 B)\n"
        " Trainable params: 15 (60.00 B)\n"
        " Non-trainable params: 8 (32.00 B)\n"
    )


def test_inner_layers_and_the_optimizer():
    """Two numbers of the optimizer, the step (int64) and the learning rate, and two slots for each of 15 weights."""
    model, printed = small(), []
    model.fit(np.zeros((2, 2, 2, 1)), np.zeros((2, 2)), verbose=0)
    model.summary(
        line_length=70,
        expand_nested=True,
        show_trainable=True,
        layer_range=("inner", "b"),
        print_fn=printed.append,
    )
    (text,) = printed
    rows = [line.strip("│").split("│") for line in text.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["inner (Sequential)", "(None, 3)", "15", "Y"],
        ["└ a (Dense)", "(None, 3)", "15", "Y"],
        ["b (Dense)", "(None, 2)", "8", "N"],
    ]
    assert text.splitlines()[-4:] == [
        " Total params: 55 (224.00 B)",
        " Trainable params: 15 (60.00 B)",
        " Non-trainable params: 8 (32.00 B)",
        " Optimizer params: 32 (132.00 B)",
    ]
    assert "\x1b" not in text


def test_what_is_not_built_yet(capsys):
    models.Sequential([layers.Dense(2, name="u")]).summary(line_length=80, show_trainable=True)
    row = next(line for line in capsys.readouterr().out.splitlines() if "u (Dense)" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["u (Dense)", "?", "0 (unbuilt)", "-"]


def test_details_of_every_layer():
    inner = models.Sequential([Input((6, 6, 2)), layers.Conv2D(3, 3, name="inside")], name="inner")
    model = models.Sequential(
        [Input((8, 8, 1)), layers.Conv2D(2, 3, name="conv"), inner, layers.Flatten(name="flat")]
    )
    lines: list[str] = []
    model.summary(line_length=130, details=True, expand_nested=True, print_fn=lines.append)
    cells = {
        words[0].replace("└", "").split()[0]: words[3:6]
        for line in lines[0].splitlines()
        if len(words := [word.strip() for word in line.split("│")[1:-1]]) == 6
    }
    assert cells == {
        "conv": ["648", "288.00 B", "3×3"],  # 36 positions · 9 taps · 2 filters
        "inner": ["864", "192.00 B", "5×5"],  # 16 · 9 · 2 · 3
        "inside": ["864", "192.00 B", "5×5"],
        "flat": ["0", "192.00 B", "5×5"],
    }
    bare = models.Sequential([layers.Dense(2)])
    bare.summary(details=True, print_fn=lines.append)
    assert lines[1].count(" ? ") == 4  # nothing is known before it is built


def test_dead_units_of_given_samples():
    """Dead: 0 for all of them at every position."""
    inner = models.Sequential(
        [Input((8,)), layers.Dense(3, name="linear"), layers.ReLU(name="relu")], name="inner"
    )
    conv = layers.Conv2D(2, 3, activation="relu", name="conv")
    model = models.Sequential([Input((4, 4, 1)), conv, layers.Flatten(name="flat"), inner, layers.Dense(2)])
    conv.set_weights([np.stack([np.ones((3, 3, 1)), -np.ones((3, 3, 1))], -1), np.zeros(2)])
    inner.layers[0].set_weights([np.zeros((8, 3)), np.array([-1.0, 1.0, -1.0])])
    samples = np.ones((5, 4, 4, 1))
    shown: list[str] = []
    for each in (samples, np.concatenate([samples, -samples])):
        model.summary(line_length=150, details=each, expand_nested=True, print_fn=shown.append)
    found = [
        {
            words[0].replace("└", "").split()[0]: words[6]
            for line in text.splitlines()
            if len(words := [word.strip() for word in line.split("│")[1:-1]]) == 7
        }
        for text in shown
    ]
    rest = {"flat": "-", "inner": "-", "linear": "-", "relu": "2 of 3", model.layers[-1].name: "-"}
    assert found == [{"conv": "1 of 2", **rest}, {"conv": "0 of 2", **rest}]
    with pytest.raises(ValueError, match="shape"):
        model.summary(details=np.ones((5, 3, 3, 1)))
