"""Callbacks: Keras's arguments and decisions for the same logs."""

import io
import warnings
from contextlib import redirect_stdout
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras.src.trainers.compile_utils import MetricsList

from minicnn import callbacks, metrics, optimizers
from tests.keras.agreement import assert_same_signature

CLASSES = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "TensorBoard",
    "TerminateOnNaN",
]
SIDES = ((callbacks, optimizers, metrics), (keras.callbacks, keras.optimizers, keras.metrics))


def pretender(optimizers, metrics):
    """What a callback sees of a model. Its weights are the number of epochs trained."""
    model = SimpleNamespace(optimizer=optimizers.SGD(0.5), stop_training=False, weights=[np.zeros(1)])
    accuracy = metrics.CategoricalAccuracy(name="accuracy")
    model.metrics = [
        metrics.Mean(name="loss"),
        MetricsList([accuracy]) if metrics is keras.metrics else accuracy,
    ]
    model.get_weights = lambda: [w.copy() for w in model.weights]
    model.set_weights = lambda weights: model.weights.__setitem__(slice(None), [w.copy() for w in weights])
    return model


def fit(make, epochs, rates=None):
    """(history, epochs trained, final weight, learning rate, printed warnings) of both libraries, hook by hook."""
    outcomes = []
    for callbacks_module, optimizers_module, metrics_module in SIDES:
        model, history = pretender(optimizers_module, metrics_module), callbacks_module.History()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            group = callbacks_module.CallbackList([make(callbacks_module), history], model=model)
            group.on_train_begin()
            for epoch, logs in enumerate(epochs):
                group.on_epoch_begin(epoch)
                model.weights[0] += 1
                group.on_epoch_end(epoch, logs)
                if model.stop_training:
                    break
            group.on_train_end()
        rate = float(model.optimizer.learning_rate.numpy())
        messages = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
        outcomes.append((repr(history.history), history.epoch, float(model.weights[0][0]), rate, messages))
    return outcomes


@pytest.mark.parametrize("name", CLASSES)
def test_arguments(name):
    # ReduceLROnPlateau's further keyword arguments are ignored by Keras; here they are a TypeError.
    assert_same_signature(getattr(callbacks, name), getattr(keras.callbacks, name))


def test_hooks():
    theirs = {name for name in dir(keras.callbacks.Callback) if name.startswith("on_")}
    assert {name for name in dir(callbacks.Callback) if name.startswith("on_")} == theirs


NUMBERS = st.sampled_from([0.1, 0.2, 0.25, 0.3, 0.3 + 1e-5, 0.5, float("nan"), float("inf")])
EPOCHS = st.lists(
    st.fixed_dictionaries({"loss": NUMBERS, "accuracy": NUMBERS}, optional={"val_loss": NUMBERS}), max_size=9
)
MONITORS = st.sampled_from(["loss", "val_loss", "accuracy"])
MODES = st.sampled_from(["auto", "min", "max", "nonsense"])
DELTAS = st.sampled_from([0, 0.01, 1e-4, -0.1])


@given(
    EPOCHS,
    st.fixed_dictionaries(
        {},
        optional={
            "monitor": MONITORS,
            "mode": MODES,
            "min_delta": DELTAS,
            "patience": st.integers(0, 4),
            "baseline": st.sampled_from([None, 0.15, 0.4]),
            "restore_best_weights": st.booleans(),
            "start_from_epoch": st.integers(0, 3),
        },
    ),
)
def test_early_stopping(epochs, options):
    ours, theirs = fit(lambda module: module.EarlyStopping(**options), epochs)
    assert ours == theirs


@given(
    EPOCHS,
    st.fixed_dictionaries(
        {"patience": st.integers(0, 3)},
        optional={
            "monitor": MONITORS,
            "mode": MODES,
            "min_delta": DELTAS,
            "factor": st.sampled_from([0.1, 0.5, 0.9]),
            "cooldown": st.integers(0, 3),
            "min_lr": st.sampled_from([0.0, 0.1, 0.3]),
        },
    ),
)
def test_reduce_on_plateau(epochs, options):
    ours, theirs = fit(lambda module: module.ReduceLROnPlateau(**options), epochs)
    assert ours == theirs


@given(EPOCHS, st.booleans())
def test_scheduler(epochs, takes_rate):
    def with_rate(epoch, rate):
        return rate * 0.9

    def without_rate(epoch):
        return 0.5 / (epoch + 1)

    schedule = with_rate if takes_rate else without_rate
    ours, theirs = fit(lambda module: module.LearningRateScheduler(schedule), epochs)
    assert ours == theirs


@given(st.lists(EPOCHS, min_size=1, max_size=3), st.booleans(), st.sampled_from([",", ";", "\t"]))
def test_csv(runs, append, separator):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        for epochs in runs:
            fit(
                lambda module: module.CSVLogger(
                    str(Path(folder) / module.__name__), separator=separator, append=append
                ),
                [
                    dict.fromkeys(epochs[0], 0.5) | logs if set(logs) <= set(epochs[0]) else epochs[0]
                    for logs in epochs
                ],
            )
        assert (
            Path(folder, "minicnn.callbacks").read_bytes()
            == Path(folder, keras.callbacks.__name__).read_bytes()
        )


@given(
    EPOCHS,
    st.fixed_dictionaries(
        {"filepath": st.sampled_from(["m.keras", "{epoch:02d}.keras", "{epoch}-{loss:.2f}.keras"])},
        optional={
            "monitor": MONITORS,
            "mode": MODES,
            "save_best_only": st.booleans(),
            "save_freq": st.just("epoch") | st.integers(1, 7),
            "initial_value_threshold": st.sampled_from([None, 0.2, 0.4]),
            "verbose": st.integers(0, 1),
        },
    ),
    st.integers(1, 4),
)
def test_model_checkpoint(epochs, options, batches):
    """What is saved when and under which name, what is printed, and the warnings."""
    outcomes = []
    for callbacks_module, optimizers_module, metrics_module in SIDES:
        model, events = pretender(optimizers_module, metrics_module), []
        model.save = lambda path, overwrite, events=events: events.append(path)
        printed = io.StringIO()
        with warnings.catch_warnings(record=True) as caught, redirect_stdout(printed):
            warnings.simplefilter("always")
            callback = callbacks_module.ModelCheckpoint(**options)
            callback.set_model(model)
            for epoch, logs in enumerate(epochs):
                callback.on_epoch_begin(epoch)
                # Before its first epoch has ended, Keras's can't tell what is best: it raises a TypeError.
                for batch in range(batches if epoch or not options.get("save_best_only") else 0):
                    events.append(batch)
                    callback.on_train_batch_end(batch, dict(logs))
                callback.on_epoch_end(epoch, dict(logs))
            messages = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
        outcomes.append((events, callback.best, messages, printed.getvalue()))
    assert repr(outcomes[0]) == repr(outcomes[1])


def test_messages(capsys):
    """What they print with verbose=1."""
    epochs = [{"loss": 1.0, "val_loss": value} for value in (1.0, 2.0, 2.0, 2.0)]
    printed = []
    for make in (
        lambda module: module.EarlyStopping(verbose=1, patience=2, restore_best_weights=True),
        lambda module: module.ReduceLROnPlateau(verbose=1, patience=1, factor=0.5),
        lambda module: module.LearningRateScheduler(lambda epoch, rate: rate / 2, verbose=1),
    ):
        for side in (0, 1):
            model, group = pretender(*SIDES[side][1:]), SIDES[side][0]
            hooks = group.CallbackList([make(group)], model=model)
            hooks.on_train_begin()
            for epoch, logs in enumerate(epochs):
                hooks.on_epoch_begin(epoch)
                hooks.on_epoch_end(epoch, logs)
            hooks.on_train_end()
            printed.append(capsys.readouterr().out)
        assert printed[-1] == printed[-2] != ""
    for side in (0, 1):
        callback = SIDES[side][0].TerminateOnNaN()
        callback.set_model(pretender(*SIDES[side][1:]))
        callback.on_batch_end(3, {"loss": float("nan")})
        assert callback.model.stop_training
        printed.append(capsys.readouterr().out)
    assert printed[-1] == printed[-2] != ""


@pytest.mark.parametrize(
    "make",
    [
        lambda module: module.ReduceLROnPlateau(factor=1.0),
        lambda module: fit(lambda m: m.EarlyStopping("nothing"), [{"nothing": 1.0}]),
        lambda module: fit(lambda m: m.LearningRateScheduler(lambda epoch, rate: "fast"), [{"loss": 1.0}]),
    ],
)
def test_both_refuse(make):
    for module, *_ in SIDES:
        with pytest.raises(ValueError):
            make(module)
