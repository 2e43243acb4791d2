"""Weights files go both ways between Keras and us."""

import keras
import numpy as np
import pytest

from minicnn.errors import DataError
from minicnn.saving import load_weights, save_weights
from tests.keras.nets import OWN, book, both, every_kind, nested


@pytest.mark.parametrize("build", [book, every_kind, nested], ids=lambda build: build.__name__)
def test_keras_reads_ours(build, tmp_path):
    theirs, ours = both(build)
    save_weights(ours, tmp_path / "a.weights.h5")
    theirs.load_weights(tmp_path / "a.weights.h5")
    assert len(theirs.get_weights()) == len(ours.get_weights()) > 0
    for a, b in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("build", [book, every_kind, nested], ids=lambda build: build.__name__)
@pytest.mark.parametrize("compiled", [False, True])
def test_we_read_keras(build, compiled, tmp_path):
    theirs, ours = both(build)
    if compiled:  # the optimizer's variables are in the file too
        theirs.compile("adam", "mse")
        theirs.optimizer.build(theirs.trainable_variables)
    theirs.save_weights(tmp_path / "a.weights.h5")
    load_weights(ours, tmp_path / "a.weights.h5")
    for a, b in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_net_is_refused_and_nothing_changes(tmp_path):
    keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]).save_weights(
        tmp_path / "a.weights.h5"
    )
    ours = book(*OWN)
    before = ours.get_weights()
    with pytest.raises(DataError, match=r"a\.weights\.h5"):
        load_weights(ours, tmp_path / "a.weights.h5")
    for a, b in zip(before, ours.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_same_layers_in_the_file(tmp_path):
    """The groups of both libraries have the same names and attributes."""
    import h5py

    theirs, ours = both(book)
    theirs.save_weights(tmp_path / "theirs.weights.h5")
    save_weights(ours, tmp_path / "ours.weights.h5")

    def content(path):
        found = {}
        with h5py.File(path) as file:
            file.visititems(lambda name, item: found.update({name: dict(item.attrs)}))
        return found

    assert content(tmp_path / "ours.weights.h5") == content(tmp_path / "theirs.weights.h5")
