"""What the TensorBoard callback writes, read back; the tags and steps are compared with Keras's in tests/keras."""

import struct
import sys

import numpy as np
import pytest

from minicnn import Input, callbacks, layers, models

X, Y = np.ones((8, 2), np.float32), np.zeros((8, 1), np.float32)


def scalars(folder):
    """{(folder, tag, step): value}; a record is a length, its checksum, an event, its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for path in folder.rglob("events.out.tfevents.*"):
        content = path.read_bytes()
        while content:
            (nbytes,) = struct.unpack("<Q", content[:8])
            event = Event.FromString(content[12 : 12 + nbytes])
            content = content[16 + nbytes :]
            for value in event.summary.value:
                found[path.parent.name, value.tag, event.step] = value.simple_value
    return found


def fit(folder, *more, **options):
    model = models.Sequential([Input((2,)), layers.Dense(1)])
    model.compile("sgd", "mse", backend="reference")
    board = callbacks.TensorBoard(folder, **options)
    history = model.fit(
        X, Y, batch_size=2, epochs=2, verbose=0, validation_data=(X[:2], Y[:2]), callbacks=[board, *more]
    )
    return history.history, scalars(folder)


def test_by_epoch(tmp_path):
    history, found = fit(tmp_path)
    assert found.pop(("train", "epoch_learning_rate", 1)) == np.float32(0.01)
    assert found.pop(("train", "epoch_learning_rate", 0)) == np.float32(0.01)
    expected = {}
    for epoch, (loss, val_loss) in enumerate(zip(history["loss"], history["val_loss"], strict=True)):
        expected["train", "epoch_loss", epoch] = loss
        expected["validation", "epoch_loss", epoch] = val_loss
        expected["validation", "evaluation_loss_vs_iterations", 4 * (epoch + 1)] = val_loss
    assert found == {key: np.float32(value) for key, value in expected.items()}


@pytest.mark.parametrize(("update_freq", "steps"), [("batch", range(1, 9)), (3, (3, 6)), ("epoch", ())])
def test_by_batch(update_freq, steps, tmp_path):
    _, found = fit(tmp_path, update_freq=update_freq, write_steps_per_second=True)
    assert [step for _, tag, step in found if tag == "batch_loss"] == list(steps)
    assert [step for _, tag, step in found if tag == "batch_steps_per_second"] == list(steps)
    assert [step for _, tag, step in found if tag == "epoch_steps_per_second"] == [0, 1]
    assert all(value > 0 for (_, tag, _), value in found.items() if "per_second" in tag)


def test_an_evaluation(tmp_path):
    model = models.Sequential([Input((2,)), layers.Dense(1)])
    model.compile("sgd", "mse", backend="reference")
    board = callbacks.TensorBoard(tmp_path)
    loss = model.evaluate(X, Y, verbose=0, callbacks=[board])
    assert scalars(tmp_path) == {("validation", "evaluation_loss_vs_iterations", 0): np.float32(loss)}


@pytest.mark.parametrize(
    "options", [{"update_freq": 0}, {"update_freq": "hour"}, {"histogram_freq": 1}, {"profile_batch": 2}]
)
def test_wrong_arguments(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        callbacks.TensorBoard(**options)


def test_without_tensorboardx(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"minicnn-numpy\[tensorboard\]"):
        fit(tmp_path)
