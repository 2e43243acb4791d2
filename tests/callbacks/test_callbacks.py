"""Callbacks on a model that only pretends: which hooks are called with what, and what each callback does."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from minicnn import callbacks, metrics, optimizers

HOOKS = [name for name in vars(callbacks.Callback) if name.startswith("on_")]


def pretender(rate=0.5):
    model = SimpleNamespace(
        optimizer=optimizers.SGD(rate), stop_training=False, weights=[np.zeros(2)], history=None
    )
    model.metrics = [metrics.Mean(name="loss"), metrics.CategoricalAccuracy(name="accuracy")]
    model.get_weights = lambda: [w.copy() for w in model.weights]

    def set_weights(weights):
        model.weights = [w.copy() for w in weights]

    model.set_weights = set_weights
    return model


def fit(callback, epochs, model=None):
    """Call the hooks of epochs whose logs are given; the weights are the epoch's number. Returns the model."""
    model = model or pretender()
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, logs in enumerate(epochs):
        callback.on_epoch_begin(epoch)
        model.weights = [np.full(2, float(epoch))]
        callback.on_epoch_end(epoch, dict(logs))
        if model.stop_training:
            break
    callback.on_train_end()
    return model


def losses(*values, name="val_loss"):
    return [{name: value} for value in values]


class Recorder(callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.calls = []


for hook in HOOKS:

    def record(self, *arguments, hook=hook, **named):
        self.calls.append((hook, *arguments, named))
        getattr(callbacks.Callback, hook)(self, *arguments, **named)

    setattr(Recorder, hook, record)


# The list


def test_every_hook_is_passed_on():
    recorder = Recorder()
    group = callbacks.CallbackList([recorder])
    for hook in HOOKS:
        position = () if hook.endswith(("train_begin", "train_end", "test_begin", "test_end")) else (3,)
        position = () if hook in ("on_predict_begin", "on_predict_end") else position
        recorder.calls.clear()
        getattr(group, hook)(*position, logs={"b": np.float32(2), "a": 1, "c": "text"})
        assert recorder.calls[0] == (hook, *position, {"logs": {"a": 1.0, "b": 2.0, "c": "text"}})
        assert list(recorder.calls[0][-1]["logs"]) == ["a", "b", "c"]
        assert type(recorder.calls[0][-1]["logs"]["b"]) is float
    assert len(HOOKS) == 16


def test_older_batch_hooks_are_called():
    calls = []

    class Old(callbacks.Callback):
        def on_batch_begin(self, batch, logs=None):
            calls.append(("begin", batch))

        def on_batch_end(self, batch, logs=None):
            calls.append(("end", batch, logs))

    group = callbacks.CallbackList(Old())
    group.on_train_batch_begin(4)
    group.on_train_batch_end(4, {"loss": 1})
    group.on_test_batch_end(5, {"loss": 1})
    assert calls == [("begin", 4), ("end", 4, {"loss": 1.0})]


BATCH_HOOKS = ["on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end"]


@pytest.mark.parametrize("hook", HOOKS)
def test_whether_anybody_hears_of_batches(hook):
    """In a class, in a callback alone, or in the list itself; nobody does who only hears of epochs."""

    def called(self, *args, logs=None):
        pass

    is_heard = hook in BATCH_HOOKS
    of_class = type("OfClass", (callbacks.Callback,), {hook: called})()
    list_class = type("OfList", (callbacks.CallbackList,), {hook: called})
    assert not callbacks.CallbackList([], add_history=True).hears_batches
    assert callbacks.CallbackList([callbacks.History(), of_class]).hears_batches == is_heard
    assert callbacks.CallbackList([callbacks.LambdaCallback(**{hook: called})]).hears_batches == is_heard
    assert list_class().hears_batches == is_heard


@pytest.mark.parametrize("hook", HOOKS)
def test_whether_anybody_but_the_progress_bar_hears_of_batches(hook):
    """A bar of one's own may want every batch."""

    def called(self, *args, logs=None):
        pass

    is_heard = hook in BATCH_HOOKS
    with_bar = callbacks.CallbackList([], add_progbar=True)
    assert with_bar.hears_batches
    assert not with_bar.hears_every_batch
    with_bar.append(type("OfClass", (callbacks.Callback,), {hook: called})())
    assert with_bar.hears_every_batch == is_heard
    own_bar = type("OwnBar", (callbacks.ProgbarLogger,), {hook: called})()
    assert callbacks.CallbackList([own_bar]).hears_every_batch
    assert type("OfList", (callbacks.CallbackList,), {hook: called})().hears_every_batch == is_heard


def test_what_one_adds_to_the_logs_the_next_sees_but_not_the_caller():
    seen = []
    add = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(extra=7.0))
    look = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(dict(logs)))
    given = {"loss": 1.0}
    callbacks.CallbackList([add, [look]]).on_epoch_end(0, given)
    assert seen == [{"loss": 1.0, "extra": 7.0}]
    assert given == {"loss": 1.0}


def test_defaults_are_added_unless_they_are_there():
    group = callbacks.CallbackList(None, add_history=True, add_progbar=True)
    assert [type(c) for c in group.callbacks] == [callbacks.History, callbacks.ProgbarLogger]
    history, bar = callbacks.History(), callbacks.ProgbarLogger()
    model = pretender()
    group = callbacks.CallbackList([bar, history], add_history=True, add_progbar=True, model=model)
    assert group.callbacks == [bar, history]
    assert model.history is history
    assert history.model is model


def test_params_are_handed_on():
    recorder = Recorder()
    callbacks.CallbackList([recorder], verbose=2, epochs=3, steps=4)
    assert recorder.params == {"verbose": 2, "epochs": 3, "steps": 4}


@pytest.mark.parametrize("thing", [3, "History", callbacks.History, print, [callbacks.History(), None, 3]])
def test_what_is_no_callback(thing):
    with pytest.raises(ValueError, match="`callbacks` must be"):
        callbacks.CallbackList(thing)


# History, LambdaCallback, TerminateOnNaN


def test_history():
    history = callbacks.History()
    fit(history, [{"loss": 3, "accuracy": 0.1}, {"loss": 2, "accuracy": 0.2, "val_loss": 1}])
    assert history.history == {"loss": [3, 2], "accuracy": [0.1, 0.2], "val_loss": [1]}
    assert history.epoch == [0, 1]
    fit(history, [{"loss": 1, "accuracy": 0.3}])
    assert history.history["loss"] == [3, 2, 1]
    assert history.epoch == [0]


def test_lambda_callback():
    calls = []
    callback = callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs=None: calls.append(epoch),
        on_test_end=lambda logs=None: calls.append("test"),
    )
    fit(callback, losses(1, 2))
    callback.on_test_end()
    callback.on_train_batch_end(3)
    assert calls == [0, 1, "test"]


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), -float("inf")])
def test_terminate_on_nan(loss, capsys):
    model = pretender()
    callback = callbacks.TerminateOnNaN()
    callback.set_model(model)
    callback.on_train_batch_end(4, {"loss": 1.0})
    callback.on_train_batch_end(5, {})
    assert not model.stop_training
    callback.on_train_batch_end(6, {"loss": loss})
    assert model.stop_training
    assert capsys.readouterr().out == "Batch 6: Invalid loss, terminating training\n"
    with pytest.raises(RuntimeError, match="at batch 6"):
        callbacks.TerminateOnNaN(raise_error=True).on_train_batch_end(6, {"loss": loss})


# EarlyStopping


@pytest.mark.parametrize(
    ("options", "values", "stopped", "best"),
    [
        ({}, [3, 2, 2, 1], 2, 1),
        ({"patience": 1}, [3, 2, 2, 1], 2, 1),
        ({"patience": 2}, [3, 2, 2, 1], None, 3),
        ({"patience": 2}, [3, 4, 5, 1], 2, 0),
        ({"min_delta": 1.5}, [5, 4, 1], 1, 0),
        ({"min_delta": -1.5, "patience": 2}, [5, 4, 1], None, 2),
        ({"mode": "max"}, [1, 2, 2], 2, 1),
        ({"monitor": "val_accuracy"}, [0.1, 0.2, 0.2], 2, 1),
        ({"monitor": "accuracy"}, [0.1, 0.2, 0.2], 2, 1),
        ({"monitor": "loss"}, [3, 2, 2], 2, 1),
        ({"patience": 1, "baseline": 1}, [3, 2, 0.5, 0.6], 3, 2),
        ({"patience": 2, "baseline": 1}, [3, 2, 1.5], None, 2),
        ({"patience": 2, "baseline": 1}, [3, 4, 5], 1, 0),
        ({"start_from_epoch": 2}, [1, 2, 3, 4], 3, 2),
        ({}, [float("nan"), 1], 1, 0),
        ({}, [2, float("nan")], 1, 0),
    ],
)
def test_early_stopping(options, values, stopped, best, capsys):
    name = options.get("monitor", "val_loss")
    callback = callbacks.EarlyStopping(**options, restore_best_weights=True, verbose=1)
    model = fit(callback, losses(*values, name=name))
    printed = capsys.readouterr().out
    assert model.stop_training is (stopped is not None)
    assert callback.stopped_epoch == (stopped or 0)
    assert (model.weights[0] == best).all()
    expected = f"Epoch {stopped + 1}: early stopping\n" if stopped else ""
    assert printed == f"{expected}Restoring model weights from the end of the best epoch: {best + 1}.\n"


def test_early_stopping_keeps_the_last_weights_unless_told():
    model = fit(callbacks.EarlyStopping(patience=2), losses(3, 4, 5))
    assert (model.weights[0] == 2).all()


def test_early_stopping_starts_anew():
    callback = callbacks.EarlyStopping(patience=1)
    fit(callback, losses(1, 2))
    assert not fit(callback, losses(4, 3)).stop_training


def test_early_stopping_without_its_value():
    callback = callbacks.EarlyStopping()
    with pytest.warns(UserWarning, match=r"`val_loss` which is not available. Available metrics are: loss"):
        assert not fit(callback, losses(1, 2, name="loss")).stop_training


def test_a_direction_must_be_known():
    model = pretender()
    model.metrics.append(metrics.Mean(name="mine"))
    for name in ("mine", "nothing"):
        with pytest.raises(ValueError, match=f"monitor='{name}' should grow or shrink"):
            fit(callbacks.EarlyStopping(name), losses(1, name=name), model)
    fit(callbacks.EarlyStopping("mine", mode="max"), losses(1, name="mine"), model)
    with pytest.warns(UserWarning, match="mode 'best' is unknown"):
        callbacks.EarlyStopping(mode="best")


# Learning rates


@pytest.mark.parametrize(
    ("options", "values", "rates"),
    [
        ({"patience": 1, "factor": 0.5}, [3, 2, 2, 2, 1], [0.5, 0.5, 0.5, 0.25, 0.125]),
        ({"patience": 2, "factor": 0.5}, [3, 3, 3, 3, 3], [0.5, 0.5, 0.5, 0.25, 0.25]),
        ({"patience": 1, "factor": 0.5, "cooldown": 2}, [3] * 6, [0.5, 0.5, 0.25, 0.25, 0.125, 0.125]),
        ({"patience": 1, "factor": 0.5, "min_lr": 0.25}, [3] * 5, [0.5, 0.5, 0.25, 0.25, 0.25]),
        ({"patience": 1, "factor": 0.25, "min_lr": 0.25}, [3] * 3, [0.5, 0.5, 0.25]),
        ({"patience": 1, "factor": 0.5, "min_delta": 1}, [3, 2.5, 2.5], [0.5, 0.5, 0.25]),
        ({"patience": 1, "factor": 0.5, "mode": "max"}, [1, 2, 3], [0.5, 0.5, 0.5]),
    ],
)
def test_reduce_on_plateau(options, values, rates):
    """The rates in the logs are those the epoch was trained with."""
    callback, history, model = callbacks.ReduceLROnPlateau(**options), callbacks.History(), pretender()
    fit(callbacks.CallbackList([callback, history]), losses(*values), model)
    assert history.history["learning_rate"] == rates


def test_reduce_on_plateau_leaves_the_lowest_rate_alone(capsys):
    fit(callbacks.ReduceLROnPlateau(patience=1, factor=0.5, min_lr=0.25, verbose=1), losses(*[1] * 6))
    assert capsys.readouterr().out.count("reducing") == 1


def test_reduce_on_plateau_says_so(capsys):
    fit(callbacks.ReduceLROnPlateau(patience=1, factor=0.5, verbose=1), losses(1, 1))
    assert capsys.readouterr().out == "\nEpoch 2: ReduceLROnPlateau reducing learning rate to 0.25.\n"
    with pytest.warns(UserWarning, match="`val_loss` which is not available"):
        fit(callbacks.ReduceLROnPlateau(), losses(1, name="loss"))
    with pytest.raises(ValueError, match="less than 1"):
        callbacks.ReduceLROnPlateau(factor=1.0)


def test_scheduler(capsys):
    for schedule in (lambda epoch, rate: rate / 2, lambda epoch: 0.5 / 2 ** (epoch + 1)):
        history, model = callbacks.History(), pretender()
        scheduler = callbacks.LearningRateScheduler(schedule, verbose=1)
        fit(callbacks.CallbackList([scheduler, history]), losses(3, 2), model)
        assert history.history["learning_rate"] == [0.25, 0.125]
    assert "\nEpoch 1: LearningRateScheduler setting learning rate to 0.25.\n" in capsys.readouterr().out
    for wrong in ("0.1", 1, None):
        with pytest.raises(ValueError, match="should be a float"):
            fit(callbacks.LearningRateScheduler(lambda epoch, rate, wrong=wrong: wrong), losses(1))


# CSVLogger


def test_csv(tmp_path):
    path = tmp_path / "log.csv"
    epochs = [{"loss": 3.0, "accuracy": 0.5}, {"loss": 2.5, "accuracy": 0.6, "val_loss": 1.0}]
    fit(callbacks.CSVLogger(path), epochs)
    lines = ["epoch,accuracy,loss,val_accuracy,val_loss", "0,0.5,3.0,NA,NA", "1,0.6,2.5,NA,1.0"]
    assert path.read_text().splitlines() == lines
    fit(callbacks.CSVLogger(str(path), append=True), epochs[:1])
    assert path.read_text().splitlines() == [*lines, lines[1]]
    fit(callbacks.CSVLogger(path, separator=";"), epochs[1:])
    assert path.read_text().splitlines() == ["epoch;accuracy;loss;val_loss", "0;0.6;2.5;1.0"]
    fit(callbacks.CSVLogger(tmp_path / "new.csv", append=True), epochs[:1])
    assert (tmp_path / "new.csv").read_text().splitlines() == lines[:2]


def test_csv_lines_are_there_when_the_epoch_ends(tmp_path):
    path = tmp_path / "log.csv"
    logger = callbacks.CSVLogger(path)
    logger.on_train_begin()
    logger.on_epoch_end(0, {"loss": 1.0})
    assert path.read_text().splitlines()[1] == "0,1.0,NA"
    logger.on_train_begin()
    assert path.read_text() == ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        logger.on_train_end()
    with pytest.raises(ValueError, match="between"):
        logger.on_epoch_end(0, {"loss": 1.0})


def test_a_callback_can_be_appended(capsys):
    group, recorder = callbacks.CallbackList([]), Recorder()
    group.append(recorder)
    group.on_epoch_begin(3)
    assert recorder.calls[0][:2] == ("on_epoch_begin", 3)


def test_quiet_callbacks_print_nothing(capsys):
    fit(callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2), losses(3, 2))
    model = fit(callbacks.EarlyStopping(restore_best_weights=True), losses(1, 2, 3))
    assert (model.weights[0] == 0).all()
    assert capsys.readouterr().out == ""
