"""An interrupted training goes on as if nothing had happened; a checkpoint of another one is refused."""

import re

import numpy as np
import pytest

from minicnn import Input, callbacks, layers, losses, models, optimizers, random, utils
from minicnn.callbacks.backup_and_restore import FILE, PREVIOUS
from minicnn.errors import CheckpointError, DataError
from minicnn.saving.checkpoint import read_checkpoint, write_checkpoint

RNG = np.random.default_rng(0)
X = RNG.random((24, 6, 6, 1), dtype=np.float32)
Y = RNG.integers(0, 3, 24)
BATCHES, EPOCHS = 6, 3


class Interrupted(Exception):
    """Stands for whatever ends a process."""


class Interrupt(callbacks.Callback):
    """Raises after so many calls of a hook."""

    comes_last = True

    def __init__(self, at, hook="on_train_batch_end"):
        super().__init__()
        self.at = at
        setattr(self, hook, self.count)

    def get_state(self):
        return None

    def count(self, *_, **__):
        self.at -= 1
        if self.at == 0:
            raise Interrupted


class Random(callbacks.Callback):
    """Draws from the library's stream, and keeps plain data and something else."""

    def __init__(self):
        super().__init__()
        self.drawn, self.best = [], {"epoch": None, "weights": None}
        self.lock = object()

    def on_train_batch_end(self, batch, logs=None):
        self.drawn.append(random.next_seed())

    def on_epoch_end(self, epoch, logs=None):
        self.best = {"epoch": epoch, "weights": self.model.get_weights()}


class Pictures(utils.PyDataset):
    def __len__(self):
        return BATCHES

    def __getitem__(self, k):
        return X[4 * k : 4 * k + 4], Y[4 * k : 4 * k + 4]


def net(rate=0.3, units=3, filters=2):
    return models.Sequential(
        [
            Input((6, 6, 1)),
            layers.Conv2D(filters, 3, activation="relu"),
            layers.Dropout(rate),
            layers.Flatten(),
            layers.Dense(units, activation="softmax"),
        ]
    )


def compiled(model=None, optimizer="adam", **options):
    model = model or net()
    options = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]} | options
    model.compile(optimizer, backend="reference", **options)
    return model


def schedule():
    return optimizers.SGD(optimizers.schedules.ExponentialDecay(0.1, 5, 0.5), momentum=0.9)


def batches():
    while True:
        for k in range(BATCHES):
            yield X[4 * k : 4 * k + 4], Y[4 * k : 4 * k + 4]


def others(folder):
    return [
        callbacks.EarlyStopping("loss", patience=5, restore_best_weights=True),
        callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=10, factor=0.5),
        callbacks.CSVLogger(folder / "log.csv"),
        Random(),
    ]


SITUATIONS = {
    "arrays": {},
    "one order": {"shuffle": False},
    "a part of a pass": {"steps_per_epoch": 4},
    "steps at once": {"compile": {"steps_per_execution": 2}},
    "no validation": {"validation_data": None},
    "a dataset": {"x": Pictures(), "y": None, "batch_size": None},
    "a generator": {"x": batches, "y": None, "batch_size": None, "steps_per_epoch": 5},
    "a schedule": {"compile": {"optimizer": schedule}, "callbacks": lambda folder: []},
    "weights of classes": {"class_weight": {0: 2.0}, "compile": {"weighted_metrics": ["accuracy"]}},
}


def train(folder, situation="arrays", save_freq=2, extra=(), **options):
    """A seeded training from the beginning of a program; returns what it leaves."""
    utils.set_random_seed(1)
    folder.mkdir(exist_ok=True)
    given = {
        "x": X,
        "y": Y,
        "batch_size": 4,
        "epochs": EPOCHS,
        "validation_data": (X[:9], Y[:9]),
        "verbose": 0,
    }
    given |= SITUATIONS[situation] | options
    chosen = given.pop("compile", {})
    if "optimizer" in chosen:
        chosen = chosen | {"optimizer": chosen["optimizer"]()}
    given["x"] = given["x"]() if callable(given["x"]) else given["x"]
    own = given.pop("callbacks", others)(folder)
    backup = callbacks.BackupAndRestore(folder / "backup", save_freq=save_freq)
    model = compiled(**chosen)
    history = model.fit(**given, callbacks=[backup, *own, *extra])
    log = folder / "log.csv"
    kept = [vars(c).get("drawn") or vars(c).get("wait") for c in own]
    return {
        "weights": [w.tobytes() for w in model.get_weights()],
        "optimizer": [v.numpy().tobytes() for v in model.optimizer.variables],
        "history": history.history,
        "epochs": history.epoch,
        "log": log.read_bytes() if log.exists() else None,
        "callbacks": kept,
        "next seed": random.next_seed(),
    }


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("save_freq", ["epoch", 2])
def test_whenever_it_is_interrupted_it_ends_the_same(situation, save_freq, tmp_path):
    whole = train(tmp_path / "whole", situation, save_freq)
    assert not (tmp_path / "whole" / "backup").exists()
    for at in (2, 8):
        folder = tmp_path / str(at)
        with pytest.raises(Interrupted):
            train(folder, situation, save_freq, [Interrupt(at)])
        assert (folder / "backup" / FILE).exists()
        assert train(folder, situation, save_freq) == whole
        assert not (folder / "backup").exists()


@pytest.mark.parametrize(
    ("hook", "at"),
    [
        ("on_train_begin", 1),
        ("on_epoch_begin", 2),
        ("on_train_batch_begin", 9),
        ("on_test_begin", 1),
        ("on_test_batch_end", 2),
        ("on_test_end", 2),
        ("on_epoch_end", 1),
        ("on_epoch_end", EPOCHS),
        ("on_train_end", 1),
    ],
)
def test_interrupted_in_any_hook(hook, at, tmp_path):
    """Twice at the same place, too; a training that has come to its end counts as begun anew."""
    whole = train(tmp_path / "whole", save_freq=1)
    for _ in range(2):
        with pytest.raises(Interrupted):
            train(tmp_path / "own", save_freq=1, extra=[Interrupt(at if _ == 0 else 1, hook)])
    if hook != "on_train_end":
        assert train(tmp_path / "own", save_freq=1) == whole


def test_a_training_that_was_stopping_stops(tmp_path):
    """EarlyStopping has decided, the checkpoint is written, and then the process ends."""

    def stopper(folder):
        return [callbacks.EarlyStopping("loss", patience=0, min_delta=10)]

    whole = train(tmp_path / "whole", callbacks=stopper, epochs=9, save_freq="epoch")
    assert whole["epochs"] == [0, 1]
    with pytest.raises(Interrupted):
        train(
            tmp_path / "own",
            callbacks=stopper,
            epochs=9,
            save_freq="epoch",
            extra=[Interrupt(2, "on_epoch_end")],
        )
    assert train(tmp_path / "own", callbacks=stopper, epochs=9, save_freq="epoch") == whole


def test_stopped_inside_an_epoch(tmp_path):
    """Its validation and its line in the log come after the restart."""

    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.progress.taken == 8:
                self.model.stop_training = True

    def stopper(folder):
        return [Stop()]

    whole = train(tmp_path / "whole", callbacks=stopper, save_freq=1)
    assert whole["epochs"] == [0, 1]
    with pytest.raises(Interrupted):
        train(tmp_path / "own", callbacks=stopper, save_freq=1, extra=[Interrupt(8)])
    assert train(tmp_path / "own", callbacks=stopper, save_freq=1) == whole


def interrupted(folder, **options):
    with pytest.raises(Interrupted):
        train(folder, extra=[Interrupt(9)], **options)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": lambda: net(filters=4)}, "model.layer 1.filters: 2 in the checkpoint, 4 here"),
        ({"model": lambda: net(rate=0.5)}, "model.layer 2.rate: 0.3 in the checkpoint, 0.5 here"),
        ({"model": lambda: net(units=4)}, "model.layer 4.units: 3 in the checkpoint, 4 here"),
        ({"optimizer": "rmsprop"}, "optimizer.class: 'Adam' in the checkpoint, 'RMSprop' here"),
        ({"optimizer": optimizers.Adam(beta_1=0.5)}, "optimizer.beta_1: 0.9 in the checkpoint, 0.5 here"),
        ({"optimizer": schedule()}, "optimizer.learning_rate: nothing in the checkpoint"),
        ({"loss": losses.SparseCategoricalCrossentropy()}, "loss: 'sparse_categorical_crossentropy' in the"),
        ({"metrics": []}, r"metrics: \['loss', 'accuracy'\] in the checkpoint, \['loss'\] here"),
        ({"x": X + 1}, r"data.x: 'float32 \(24, 6, 6, 1\) sha256 \w+' in the checkpoint, 'float32 \(24"),
        ({"x": X[:20], "y": Y[:20]}, r"data.x: .* \(20, 6, 6, 1\)"),
        ({"y": Y[::-1]}, "data.y"),
        ({"batch_size": 8}, "data.batch_size: 4 in the checkpoint, 8 here"),
        ({"shuffle": False}, "data.shuffle: True in the checkpoint, False here"),
        ({"validation_data": (X[:8], Y[:8])}, "validation_data.x"),
        ({"validation_data": None}, "validation_data: .* in the checkpoint, nothing here"),
        (
            {"x": Pictures(), "y": None, "batch_size": None},
            "data.kind: 'ArrayData' in the checkpoint, 'DatasetData'",
        ),
        ({"callbacks": [callbacks.CSVLogger("never.csv")]}, r"callbacks: \['EarlyStopping'"),
    ],
)
def test_another_training_is_refused_and_nothing_changes(change, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    interrupted(tmp_path / "own")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    change = dict(change)
    own = change.pop("callbacks", others(tmp_path / "own"))
    chosen = {name: change.pop(name) for name in ("optimizer", "loss", "metrics") if name in change}
    model = compiled(change.pop("model", net)(), **chosen)
    weights = [w.tobytes() for w in model.get_weights()]
    given = {
        "x": X,
        "y": Y,
        "batch_size": 4,
        "epochs": EPOCHS,
        "validation_data": (X[:9], Y[:9]),
        "verbose": 0,
    }
    with pytest.raises(CheckpointError, match=words) as caught:
        model.fit(**given | change, callbacks=[callbacks.BackupAndRestore(tmp_path / "own" / "backup"), *own])
    assert str(tmp_path / "own" / "backup" / FILE) in str(caught.value)
    assert [w.tobytes() for w in model.get_weights()] == weights
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_names_may_differ(tmp_path):
    """Layers are numbered anew in every program: 'conv2d_7' there may be 'conv2d' here."""
    interrupted(tmp_path / "own")
    model = compiled()
    model.fit(
        X, Y, batch_size=4, epochs=EPOCHS, validation_data=(X[:9], Y[:9]), verbose=0,
        callbacks=[callbacks.BackupAndRestore(tmp_path / "own" / "backup"), *others(tmp_path / "own")],
    )  # fmt: skip
    assert [w.tobytes() for w in model.get_weights()] == train(tmp_path / "whole")["weights"]


def test_a_damaged_checkpoint(tmp_path):
    """It is refused; with `double_checkpoint` the one before it is taken up."""
    whole = train(tmp_path / "whole")
    folder = tmp_path / "own"

    def fit(extra=()):
        utils.set_random_seed(1)
        model = compiled()
        backup = callbacks.BackupAndRestore(folder / "backup", save_freq=2, double_checkpoint=True)
        history = model.fit(
            X, Y, batch_size=4, epochs=EPOCHS, validation_data=(X[:9], Y[:9]), verbose=0,
            callbacks=[backup, *others(folder), *extra],
        )  # fmt: skip
        return history.history

    folder.mkdir()
    with pytest.raises(Interrupted):
        fit([Interrupt(9)])
    assert sorted(path.name for path in (folder / "backup").iterdir()) == [FILE, PREVIOUS]
    path = folder / "backup" / FILE
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=re.escape(str(path))):
        train(folder)
    with pytest.warns(UserWarning, match="The one before it is taken up"):
        history = fit()
    assert history == whole["history"]
    assert not (folder / "backup").exists()


def test_a_log_that_was_cut_is_not_gone_on_with(tmp_path):
    interrupted(tmp_path / "own")
    (tmp_path / "own" / "log.csv").write_text("")
    with pytest.raises(ValueError, match="must have at least"):
        train(tmp_path / "own")


def test_what_is_kept_on_request(tmp_path):
    """The checkpoint of a finished training, whose fit then does nothing; notes of the user's."""
    backup = callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
    backup.notes = {"lesson": 3}
    model = compiled()
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[backup])
    weights = [w.tobytes() for w in model.get_weights()]
    again = model.fit(X, Y, epochs=2, verbose=0, callbacks=[callbacks.BackupAndRestore(tmp_path)])
    assert [w.tobytes() for w in model.get_weights()] == weights
    assert again.epoch == [0, 1]
    assert (tmp_path.exists() and not list(tmp_path.iterdir())) or not tmp_path.exists()


def test_the_folder_keeps_what_others_put_there(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    compiled().fit(X, Y, verbose=0, callbacks=[callbacks.BackupAndRestore(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_bar_begins_where_the_epoch_goes_on(tmp_path, capsys):
    interrupted(tmp_path / "own", callbacks=lambda folder: [])
    capsys.readouterr()
    train(tmp_path / "own", callbacks=lambda folder: [], verbose=2)
    printed = capsys.readouterr().out
    assert "Epoch 2/3" in printed and "Epoch 1/3" not in printed


@pytest.mark.parametrize(
    "options", [{"backup_dir": ""}, {"save_freq": 0}, {"save_freq": "hour"}, {"save_freq": True}]
)
def test_wrong_arguments(options):
    with pytest.raises(ValueError, match="must be"):
        callbacks.BackupAndRestore(**{"backup_dir": "x"} | options)


def test_never_but_at_the_beginning(tmp_path):
    """save_freq=False: only when the training is told to stop; and the initial weights."""
    with pytest.raises(Interrupted):
        train(tmp_path / "own", save_freq=False, extra=[Interrupt(9)])
    assert train(tmp_path / "own") == train(tmp_path / "whole")


def cut(*path):
    """Remove what lies at this path of a checkpoint."""

    def change(tree):
        for key in path[:-1]:
            tree = tree[key]
        del tree[path[-1]]

    return change


def put(value, *path):
    def change(tree):
        for key in path[:-1]:
            tree = tree[key]
        tree[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        *(cut(name) for name in ("identity", "callbacks", "progress")),
        cut("progress", "weights"),
        cut("progress", "weights", 0),
        cut("progress", "position", "batch"),
        cut("progress", "seeds", "layers", 0),
        cut("callbacks", "EarlyStopping"),
        cut("callbacks", "CSVLogger", "nbytes"),
        put([], "identity"),
        put({}, "progress"),
        put(3, "callbacks", "Random"),
        put("x", "progress", "weights", 0),
        put(np.zeros(3), "progress", "optimizer", 1),
        put(-1, "progress", "position", "epoch"),
        put(True, "progress", "position", "taken"),
        put(None, "progress", "position", "logs"),
        put("seed", "progress", "seeds", "order"),
        put([3, [1, 2], None], "progress", "seeds", "stream"),
        put(7, "progress", "seeds", "stream"),
    ],
)
def test_a_checkpoint_of_the_wrong_form(change, tmp_path):
    """Somebody's who meant it: a ValueError that names the file."""
    interrupted(tmp_path / "own")
    path = tmp_path / "own" / "backup" / FILE
    tree = read_checkpoint(path)
    change(tree)
    write_checkpoint(path, tree)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        train(tmp_path / "own")


def test_a_state_takes_no_method_s_place():
    callback = Random()
    callback.set_state({"on_epoch_end": "text", "drawn": [1]})
    assert callable(callback.on_epoch_end)
    assert callback.drawn == [1]
