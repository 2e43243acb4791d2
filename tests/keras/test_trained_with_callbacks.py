"""Real trainings with callbacks that write files, in both libraries: which files, and what is in them."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import minicnn

RNG = np.random.default_rng(0)
X, Y = RNG.random((24, 4), dtype=np.float32), RNG.random((24, 2), dtype=np.float32)
BOTH = [minicnn, keras]


def train(module, folder, make, monkeypatch, **options):
    """The same net, weights, order and files' names: paths are relative."""
    folder = folder / module.__name__
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    net = module.models.Sequential(
        [module.Input((4,)), module.layers.Dense(3, activation="relu"), module.layers.Dense(2)]
    )
    net.set_weights([np.linspace(-1, 1, w.size).reshape(w.shape) for w in net.get_weights()])
    net.compile(module.optimizers.SGD(0.1), "mse")
    given = {"batch_size": 8, "epochs": 4, "shuffle": False, "verbose": 0, "validation_data": (X[:6], Y[:6])}
    history = net.fit(X, Y, **given | options, callbacks=make(module.callbacks))
    return net, history.history, folder


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "options",
    [
        {"filepath": "new/{epoch:02d}-{val_loss:.3f}.weights.h5"},
        {"filepath": "best.weights.h5", "save_best_only": True},
        {"filepath": "{epoch}.weights.h5", "save_best_only": True, "initial_value_threshold": 100.0},
        {"filepath": "{epoch}-{batch}.weights.h5", "save_freq": 2},
    ],
)
def test_model_checkpoint(options, tmp_path, monkeypatch, capsys):
    """The names, the lines that are printed, and the weights in the files."""
    results = []
    for module in BOTH:
        options = options | {"save_weights_only": True, "verbose": 1}
        net, _, folder = train(module, tmp_path, lambda c, o=options: [c.ModelCheckpoint(**o)], monkeypatch)
        printed = [line for line in capsys.readouterr().out.splitlines() if "Epoch" in line]
        weights = {}
        for name in names(folder):
            net.load_weights(folder / name)
            weights[name] = net.get_weights()
        results.append((printed, weights))
    assert results[0][0] == results[1][0] != []
    assert results[0][1].keys() == results[1][1].keys() != set()
    for name, ours in results[0][1].items():
        for a, b in zip(ours, results[1][1][name], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)  # a dozen float32 steps of both


def test_whole_models(tmp_path, monkeypatch):
    for module in BOTH:
        _, _, folder = train(module, tmp_path, lambda c: [c.ModelCheckpoint("m{epoch}.keras")], monkeypatch)
        assert names(folder) == [f"m{k}.keras" for k in (1, 2, 3, 4)]
        assert module.models.load_model(folder / "m4.keras").count_params() == 23


def scalars(folder):
    """{(folder, tag, step): value} of all event files, ours and Keras's."""
    found = {}
    for path in folder.rglob("events.out.tfevents.*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    number = value.simple_value
                elif value.metadata.plugin_data.plugin_name == "scalars":
                    number = float(tf.make_ndarray(value.tensor))
                else:
                    continue
                found[path.parent.name, value.tag, event.step] = number
    return found


@pytest.mark.parametrize("options", [{}, {"update_freq": "batch"}])
def test_tensorboard(options, tmp_path, monkeypatch):
    """Folders, tags, steps, and values: to 1e-5 the losses of both trainings."""
    ours, theirs = (
        scalars(train(m, tmp_path, lambda c: [c.TensorBoard("logs", **options)], monkeypatch)[2])
        for m in BOTH
    )
    assert ours.keys() == theirs.keys()
    assert ("validation", "epoch_loss", 3) in ours
    for key in ours:
        assert ours[key] == pytest.approx(theirs[key], rel=1e-5), key


def test_csv_logger_and_rates(tmp_path, monkeypatch):
    """Columns and rows of a log, with rates that are reduced; a second training appends."""

    def make(module):
        plateau = module.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=1)
        return [plateau, module.CSVLogger("log.csv", append=True)]

    tables = []
    for module in BOTH:
        for _ in range(2):
            _, _, folder = train(module, tmp_path, make, monkeypatch)
        lines = [line.split(",") for line in Path(folder, "log.csv").read_text().splitlines()]
        tables.append((lines[0], np.array(lines[1:], np.float64)))
    assert tables[0][0] == tables[1][0]
    np.testing.assert_allclose(tables[0][1], tables[1][1], rtol=1e-5)
    assert tables[0][1].shape == (8, 4)


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("save_freq", ["epoch", 2])
def test_backup_and_restore(save_freq, tmp_path, monkeypatch):
    """Interrupted in its third epoch and started again: the weights of an uninterrupted one, in both libraries.

    Keras's checkpoint of the middle of an epoch goes on with the whole epoch; only ours is compared there.
    """

    def interrupt(epoch, logs=None):
        if epoch == 2:
            raise Interrupted

    final = []
    for module in BOTH if save_freq == "epoch" else [minicnn]:
        whole = train(module, tmp_path, lambda c: [], monkeypatch)[0].get_weights()

        def make(c):
            return [c.BackupAndRestore("backup", save_freq=save_freq)]

        with pytest.raises(Interrupted):
            train(
                module, tmp_path,
                lambda c: [*make(c), type("I", (c.Callback,), {
                    "on_epoch_begin": lambda self, epoch, logs=None: interrupt(epoch), "get_state": lambda self: None,
                })()],
                monkeypatch,
            )  # fmt: skip
        net, history, folder = train(module, tmp_path, make, monkeypatch)
        assert len(history["loss"]) == (4 if module is minicnn else 2)
        assert names(folder) == []
        for a, b in zip(net.get_weights(), whole, strict=True):
            np.testing.assert_array_equal(a, b)
        final.append(whole)
    for a, b in zip(final[0], final[-1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
