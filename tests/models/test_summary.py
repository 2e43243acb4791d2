"""The parts of the summary; tests/keras/test_summary.py compares all of it with Keras's."""

from types import SimpleNamespace

import numpy as np
import pytest

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
