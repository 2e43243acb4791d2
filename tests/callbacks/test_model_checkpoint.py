"""ModelCheckpoint on real models: which files there are, and what is in them."""

import numpy as np
import pytest

from minicnn import Input, callbacks, layers, models, saving

X, Y = np.ones((8, 2), np.float32), np.zeros((8, 1), np.float32)


def net():
    model = models.Sequential([Input((2,)), layers.Dense(1, kernel_initializer="ones")])
    model.compile("sgd", "mse", backend="reference")
    return model


def fit(folder, name="{epoch}.weights.h5", epochs=3, extra=(), **options):
    """Files in the order of their names, and the model; the loss gets smaller with each epoch."""
    model = net()
    saver = callbacks.ModelCheckpoint(
        folder / name, **{"save_weights_only": True, "monitor": "loss"} | options
    )
    model.fit(X, Y, batch_size=2, epochs=epochs, verbose=0, callbacks=[saver, *extra])
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()), model


def test_weights_of_every_epoch(tmp_path):
    files, model = fit(tmp_path)
    assert files == ["1.weights.h5", "2.weights.h5", "3.weights.h5"]
    other = net()
    saving.load_weights(other, tmp_path / "3.weights.h5")
    assert [w.tobytes() for w in other.get_weights()] == [w.tobytes() for w in model.get_weights()]
    saving.load_weights(other, tmp_path / "1.weights.h5")
    assert [w.tobytes() for w in other.get_weights()] != [w.tobytes() for w in model.get_weights()]


def test_whole_models(tmp_path):
    files, model = fit(tmp_path, "new/folder/m.keras", save_weights_only=False)
    assert files == ["new/folder/m.keras"]
    again = models.load_model(tmp_path / files[0])
    assert [w.tobytes() for w in again.get_weights()] == [w.tobytes() for w in model.get_weights()]


@pytest.mark.parametrize(
    ("options", "files"),
    [
        ({"save_freq": 3, "name": "{epoch}-{batch}.weights.h5"}, ["1-3", "2-2", "3-1", "3-4"]),
        ({"save_freq": 5, "name": "{epoch}-{batch}.weights.h5"}, ["2-1", "3-2"]),
        ({"save_best_only": True}, ["1", "2", "3"]),
        ({"save_best_only": True, "mode": "max"}, ["1"]),
        ({"save_best_only": True, "initial_value_threshold": 0.0}, []),
        ({"save_best_only": True, "mode": "max", "initial_value_threshold": 1e9}, []),
    ],
)
def test_when(options, files, tmp_path):
    assert fit(tmp_path, **options)[0] == [f"{name}.weights.h5" for name in files]


def test_resumed_it_remembers_the_best_value_and_counts_on(tmp_path):
    """As if the training hadn't been interrupted."""

    class Interrupted(Exception):
        pass

    class Interrupt(callbacks.Callback):
        comes_last = True

        def get_state(self):
            return None

        def on_train_batch_end(self, batch, logs=None):
            if self.model.progress.taken == 6:
                raise Interrupted

    def train(folder, extra=()):
        saver = callbacks.ModelCheckpoint(
            folder / "{epoch}-{batch}.weights.h5", "loss", save_weights_only=True, save_freq=3
        )
        best = callbacks.ModelCheckpoint(
            folder / "{epoch}.weights.h5", "loss", save_weights_only=True, save_best_only=True, mode="max"
        )
        return fit(folder, "all.weights.h5", extra=[saver, best, *extra])[0]

    whole = train(tmp_path / "whole")
    backup = callbacks.BackupAndRestore(tmp_path / "backup", save_freq=1)
    with pytest.raises(Interrupted):
        train(tmp_path / "own", [backup, Interrupt()])
    assert train(tmp_path / "own", [callbacks.BackupAndRestore(tmp_path / "backup", save_freq=1)]) == whole
    assert "1.weights.h5" in whole and "2.weights.h5" not in whole


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"filepath": "m.h5"}, "`filepath` must end in .keras"),
        ({"filepath": "m.keras", "save_weights_only": True}, "`filepath` must end in .weights.h5"),
        ({"filepath": "m.keras", "save_freq": 0}, "`save_freq` must be 'epoch'"),
        ({"filepath": "m.keras", "save_freq": False}, "`save_freq` must be 'epoch'"),
    ],
)
def test_wrong_arguments(options, words):
    with pytest.raises(ValueError, match=words):
        callbacks.ModelCheckpoint(**options)


def test_wrong_names(tmp_path):
    with pytest.raises(KeyError, match="names in the logs: loss"):
        fit(tmp_path, "{val_loss}.weights.h5")
    (tmp_path / "1.weights.h5").mkdir()
    with pytest.raises(IsADirectoryError, match="which is a folder"):
        fit(tmp_path)
    with pytest.warns(UserWarning, match="only with val_loss available"):
        fit(tmp_path, "a.weights.h5", save_best_only=True, monitor="val_loss")
