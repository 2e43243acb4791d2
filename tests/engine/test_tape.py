"""Walks that were taken down: repeated they give the bits of walks that weren't, whatever has changed meanwhile."""

import weakref
from time import perf_counter, sleep

import numpy as np
import pytest

from minicnn import Model, Sequential, config, layers
from minicnn.engine.binding import Frame, kernels_only
from minicnn.engine.parallel import Executor
from minicnn.engine.plan import LANES, make_plan
from minicnn.engine.tape import Tape
from minicnn.recording import recording, spoil
from tests.engine.chains import batch_for, small_convnet

BOOK = (
    lambda: layers.Conv2D(32, 3, activation="relu"),
    lambda: layers.MaxPooling2D(2),
    lambda: layers.Conv2D(64, 3, activation="relu"),
    lambda: layers.MaxPooling2D(2),
    lambda: layers.Conv2D(64, 3, activation="relu"),
    lambda: layers.Flatten(),
    lambda: layers.Dense(10, activation="softmax"),
)
"""With kernels of all kinds: patches, both Winograds, lists of windows."""

MIXED = (
    lambda: layers.RandomTranslation(0.1, 0.1, seed=1),
    lambda: layers.Conv2D(8, 3, padding="same", activation="elu"),
    lambda: layers.Dropout(0.25, seed=2),
    lambda: layers.Conv2D(16, 3, activation="relu"),
    lambda: layers.AveragePooling2D(2),
    lambda: layers.Flatten(),
    lambda: layers.Dense(400, activation="relu"),  # its weight's gradient is deferred
    lambda: layers.Dense(10, activation="softmax"),
)
"""Steps in Python between kernels, before them and behind."""


def model_of(makers):
    config_seed = np.random.default_rng(0)
    model = Sequential([layers.Input((28, 28, 1)), *(make() for make in makers)])
    for variable in model.trainable_variables:
        variable.assign(config_seed.normal(0, 0.1, variable.shape))
    model.compile(optimizer="rmsprop", loss="categorical_crossentropy")
    return model


def batches(number, sizes=(40, 17, 40, 1)):
    rng = np.random.default_rng(1)
    for k in range(number):
        n = sizes[k % len(sizes)]
        yield rng.random((n, 28, 28, 1), np.float32), np.eye(10, dtype="float32")[rng.integers(0, 10, n)]


def forget(model):
    """As if nothing had been taken down."""
    for executors in model._executors.values():
        for executor in executors:
            for ws in executor._workspaces:
                ws.tapes.clear()


@pytest.mark.parametrize("makers", [BOOK, MIXED], ids=["book", "mixed"])
def test_repeating_trains_to_the_same_bits(makers):
    repeating, recording_anew = model_of(makers), model_of(makers)
    for x, y in batches(12):
        losses = repeating.train_on_batch(x, y), recording_anew.train_on_batch(x, y)
        assert losses[0] == losses[1]
        outputs = repeating.predict_on_batch(x), recording_anew.predict_on_batch(x)
        assert np.array_equal(*outputs)
        forget(recording_anew)
    for ours, theirs in zip(repeating.get_weights(), recording_anew.get_weights(), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.jitted
def test_a_step_of_the_book_net_is_one_program():
    model = model_of(BOOK)
    x, y = next(batches(1))
    model.train_on_batch(x, y)
    tapes = [
        tape
        for executors in model._executors.values()
        for executor in executors
        for ws in executor._workspaces
        for tape in ws.tapes.values()
    ]
    assert tapes
    assert all(tape.program is not None for tape in tapes)


@pytest.mark.parametrize("value", [np.inf, np.nan, np.float32(3e38)])
@pytest.mark.parametrize("where", [0, 5])
def test_an_image_that_needs_repair_comes_after_one_that_did_not(value, where, monkeypatch):
    monkeypatch.setattr(config, "check_finite", False)
    usual, anew = model_of(BOOK), model_of(BOOK)
    (x, y), *_ = batches(1, (16,))
    with np.errstate(all="ignore"):
        for model in (usual, anew):
            model.train_on_batch(x, y)
        forget(anew)
        x[where, 3, 4] = value
        a, b = (model.gradients(x, y, wants=("weights", "input")) for model in (usual, anew))
        assert np.array_equal(a.loss, b.loss, equal_nan=True)
        assert np.array_equal(usual.predict_on_batch(x), anew.predict_on_batch(x), equal_nan=True)
        for model in (usual, anew):
            model.gradients(x * 0, y, wants=("weights", "input"))  # taken down, where nothing needs repair
        again = usual.gradients(x, y, wants=("weights", "input"))
    for first, second, third in zip(
        a.weights.values(), b.weights.values(), again.weights.values(), strict=True
    ):
        assert np.array_equal(first, second, equal_nan=True)
        assert np.array_equal(first, third, equal_nan=True)


def test_another_array_of_weights_is_read():
    chain = small_convnet()
    batch = batch_for(chain, 5)
    executor = Executor(make_plan(chain.ops, chain.input_shape, training=True, dtype="float64"))
    args = {"target": batch["target"]}
    first = executor.run(chain.params, batch["x"], **args).outputs
    doubled = {path: 2 * array for path, array in chain.params.items()}
    second = executor.run(doubled, batch["x"], **args).outputs
    fresh = Executor(executor.plan).run(doubled, batch["x"], **args).outputs
    assert not np.array_equal(first, second)
    assert np.array_equal(second, fresh)


def test_targets_of_another_dtype_are_taken_in_anew():
    chain = small_convnet()
    batch = batch_for(chain, LANES * 3)
    executor = Executor(make_plan(chain.ops, chain.input_shape, 3, training=True, dtype="float64"))
    whole = executor.run(chain.params, batch["x"], target=batch["target"]).losses
    rounded = batch["target"].astype("float32")
    assert np.array_equal(executor.run(chain.params, batch["x"], target=rounded).losses, whole)


@pytest.mark.parametrize("threads", [1, 2])
def test_one_image_a_call(threads, monkeypatch):
    monkeypatch.setattr(config, "_num_threads", threads)
    model, other = model_of(BOOK), model_of(BOOK)
    (x, y), *_ = batches(1)
    outputs = [model.predict_on_batch(x[k : k + 1]) for k in range(len(x))]
    assert np.array_equal(
        np.concatenate(outputs), other.predict_on_batch(x)
    )  # and none is a view of the arena
    for both in (model, other):
        both.train_on_batch(x, y)
    assert np.array_equal(model.predict_on_batch(x[:1]), other.predict_on_batch(x)[:1])
    assert not np.array_equal(model.predict_on_batch(x[:1]), outputs[0])


def test_one_image_a_call_with_its_values_on_the_way():
    whole = model_of(BOOK)
    model = Model(whole.inputs, [whole.layers[0].output, whole.layers[-1].output])
    (x, _), *_ = batches(1, (1,))
    for first, again in zip(model.predict_on_batch(x), model.predict_on_batch(x), strict=True):
        assert np.array_equal(first, again)


def test_a_batch_is_not_kept():
    model = model_of(BOOK)
    for _ in range(2):  # taken down, and repeated
        (x, y), *_ = batches(1)
        model.train_on_batch(x, y)
        outputs = model.predict_on_batch(x)
        kept = [weakref.ref(array) for array in (x, y, outputs)]
        del x, y, outputs
        end = perf_counter() + 5  # a helper thread may be about to forget it
        while any(reference() is not None for reference in kept) and perf_counter() < end:
            sleep(0.001)
        assert all(reference() is None for reference in kept)


def frame_with(values):
    frame = Frame(1, (2,))
    frame.y = np.array(values)
    return frame


def test_what_is_not_marked_is_called_every_time():
    frame, tape = frame_with([0.0, 0.0]), Tape()

    def add(op, frame):
        frame.y += frame.draw[0]

    frame.draw = (1, 0)
    tape.do(add, None, frame)
    tape.finish()
    tape.repeat((10, 0))
    assert frame.y.tolist() == [11, 11]


def test_what_spoils_a_recording_is_called_every_time():
    frame, tape = frame_with([0.0, 0.0]), Tape()

    @kernels_only
    def add(op, frame):
        spoil()
        frame.y += 1

    tape.do(add, None, frame)
    tape.finish()
    tape.repeat((0, 0))
    assert frame.y.tolist() == [2, 2]


def test_recordings_nest():
    with recording() as outer:
        with recording() as inner:
            spoil()
        assert not inner.is_complete
    assert outer.is_complete
