"""`summary` prints what Keras prints, character for character, colours included."""

import contextlib
import io

import pytest

from tests.keras.nets import MODELS, book, both, frozen, names, unbuilt

OPTIONS = [
    {},
    {"show_trainable": True},
    {"expand_nested": True},
    {"expand_nested": True, "show_trainable": True},
    {"line_length": 60},
    {"line_length": 130, "positions": [0.2, 0.5, 1.0]},
    {"print_fn": print},
]


def printed(model, **options):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        model.summary(**options)
    return out.getvalue()


@pytest.mark.parametrize("build", MODELS, ids=lambda build: build.__name__)
def test_same_as_keras(build, monkeypatch):
    expected, own = both(build)
    for columns in ("80", "200", "47"):
        monkeypatch.setenv("COLUMNS", columns)
        for options in OPTIONS:
            assert printed(own, **options) == printed(expected, **options), (columns, options)


@pytest.mark.parametrize("build", [book, unbuilt, frozen, names], ids=lambda build: build.__name__)
def test_same_colours(build, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    expected, own = both(build)
    for options in OPTIONS:
        assert printed(own, **options) == printed(expected, **options)
    assert "\x1b[" in printed(own)


@pytest.mark.parametrize(
    "layer_range", [("conv2d_1", "flatten"), ("dense", "conv2d"), (".*pool.*", "conv2d_2")]
)
def test_same_range_of_layers(layer_range):
    expected, own = both(book)
    assert printed(own, layer_range=layer_range) == printed(expected, layer_range=layer_range)


@pytest.mark.parametrize(
    "options", [{"line_length": 12}, {"layer_range": ("a", "b")}, {"layer_range": ("conv2d",)}]
)
def test_refused_where_keras_refuses(options):
    for model in both(book):
        with pytest.raises(ValueError):
            printed(model, **options)
