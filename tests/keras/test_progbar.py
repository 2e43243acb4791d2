"""The progress bar on a terminal: Keras's bytes, one by one, for the same calls at the same times."""

import contextlib
import io
import os
import pty
import sys
import threading
import time

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras.src.callbacks.callback_list import CallbackList as KerasCallbackList

from minicnn import utils
from minicnn.callbacks import CallbackList, ProgbarLogger
from tests.keras.agreement import assert_same_signature

BOTH = {"ours": utils.Progbar, "keras": keras.utils.Progbar}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@contextlib.contextmanager
def terminal_and_clock(start=1_700_000_000.0):
    """Standard output is a terminal, and the time is what one sets it to. Yields (output, clock)."""

    class Clock:
        now = start

    output, real = Terminal(), time.time
    stdout, sys.stdout, time.time = sys.stdout, output, lambda: Clock.now
    try:
        yield output, Clock
    finally:
        sys.stdout, time.time = stdout, real


def drawn(make, calls):
    """What a bar writes for calls (seconds since the last one, arguments of update)."""
    with terminal_and_clock() as (output, clock):
        bar = make()
        for seconds, arguments in calls:
            clock.now += seconds
            bar.update(*arguments)
    return output.getvalue()


VALUES = (
    st.floats(-1e4, 1e4) | st.floats(-2e-3, 2e-3) | st.sampled_from([0.0, float("nan"), float("inf"), 1e-3])
)
NAMES = ["loss", "accuracy", "val_loss", "learning_rate"]


@st.composite
def call_lists(draw, target):
    steps = sorted(draw(st.sets(st.integers(1, target or 30), min_size=1, max_size=8)))
    calls = []
    for step in steps:
        values = draw(
            st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=3, unique_by=lambda v: v[0])
        )
        seconds = draw(
            st.sampled_from([0.0, 0.004, 0.049, 0.051, 0.5, 3.0, 70.0, 5000.0]) | st.floats(0, 100)
        )
        finalize = (
            draw(st.sampled_from([None, False])) if step != steps[-1] else draw(st.sampled_from([None, True]))
        )
        calls.append((seconds, (step, values, finalize)))
    return calls


@given(
    st.data(),
    st.none() | st.integers(1, 1200),
    st.sampled_from([0, 1, 2]),
    st.sampled_from(
        [{}, {"stateful_metrics": ["loss"]}, {"stateless_metrics": ["loss"]}, {"stateless_metrics": []}]
    ),
    st.sampled_from([{}, {"width": 30}, {"interval": 1}, {"unit_name": "sample"}]),
)
def test_same_bytes(data, target, verbose, averages, options):
    calls = data.draw(call_lists(target))
    ours, theirs = (
        drawn(lambda make=make: make(target, verbose=verbose, **averages, **options), calls)
        for make in BOTH.values()
    )
    assert ours == theirs


@pytest.mark.parametrize("seconds", [0, 59, 60, 61, 3599, 3600, 3601, 90061])
def test_time_left(seconds):
    """One step of two is done: as long as it took is left."""
    ours, theirs = (drawn(lambda make=make: make(2), [(seconds, (1,))]) for make in BOTH.values())
    assert ours == theirs


def test_add():
    texts = []
    for make in BOTH.values():
        with terminal_and_clock() as (output, clock):
            bar = make(10)
            for _ in range(5):
                clock.now += 1
                bar.add(2, [("loss", 0.5)])
        texts.append(output.getvalue())
    assert texts[0] == texts[1]
    assert texts[0].endswith(" - loss: 0.5000\n")


def test_arguments():
    assert_same_signature(utils.Progbar, keras.utils.Progbar)
    for make in BOTH.values():
        with pytest.raises(ValueError, match="Only one of"):
            make(3, stateful_metrics=[], stateless_metrics=[])


@pytest.mark.parametrize("verbose", ["auto", 1, 2])
@pytest.mark.parametrize("steps", [938, 3, None])
@pytest.mark.parametrize("epochs", [1, 5])
def test_a_whole_fit(verbose, steps, epochs):
    """The hooks of `fit` with validation, then those of `evaluate` and `predict`."""
    texts = []
    for group, logger in ((CallbackList, ProgbarLogger), (KerasCallbackList, keras.callbacks.ProgbarLogger)):
        with terminal_and_clock() as (output, clock):
            hooks = group([logger()], verbose=verbose, epochs=epochs, steps=steps)
            hooks.on_train_begin()
            for epoch in range(epochs):
                hooks.on_epoch_begin(epoch)
                for step in range(0, steps or 40, 7):
                    clock.now += 0.03
                    hooks.on_train_batch_end(step, {"loss": 1 / (step + 1), "accuracy": 0.5})
                hooks.on_test_begin()
                hooks.on_test_batch_end(0, {"loss": 9.0})
                hooks.on_test_end({"loss": 9.0})
                hooks.on_epoch_end(
                    epoch, {"loss": 0.25, "accuracy": 0.5, "val_loss": 1e-5, "val_accuracy": 1}
                )
            hooks.on_train_end()
            hooks = group([logger()], verbose=verbose, epochs=1, steps=steps)
            hooks.on_test_begin()
            hooks.on_test_batch_end((steps or 3) - 1, {"loss": 9.0, "accuracy": 1})
            hooks.on_test_end({"loss": 9.0, "accuracy": 1})
            hooks.on_predict_begin()
            hooks.on_predict_batch_end((steps or 3) - 1, {"outputs": [1]})
            hooks.on_predict_end()
        texts.append(output.getvalue())
    assert texts[0] == texts[1]
    assert ("Epoch 1/5\n" in texts[0]) is (epochs == 5)


def on_a_terminal(script):
    """What `script` leaves on a real pseudo-terminal."""
    parent, child = pty.openpty()
    written = bytearray()

    def read():
        with contextlib.suppress(OSError):  # Linux's way to say that the other side is closed
            while part := os.read(parent, 65536):
                written.extend(part)

    # A terminal that nobody reads blocks whoever writes to it.
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    with open(child, "w", encoding="utf-8") as terminal, contextlib.redirect_stdout(terminal):
        script()
    reader.join(timeout=30)
    os.close(parent)
    return written.decode()


def test_on_a_pseudo_terminal(monkeypatch):
    """The line that the book shows."""
    clock = type("Clock", (), {"now": 0.0})
    monkeypatch.setattr(time, "time", lambda: clock.now)

    def script(make):
        clock.now = 1000.0
        bar = make(938, stateless_metrics=[])
        for step in range(1, 939):
            clock.now += 1.5 if step == 1 else 10.7 / 937
            bar.update(step, [("accuracy", 0.86914), ("loss", 0.40907)], finalize=False)
        clock.now += 1
        bar.update(938, [("accuracy", 0.86914), ("loss", 0.40907)], finalize=True)

    ours, theirs = (on_a_terminal(lambda make=make: script(make)) for make in BOTH.values())
    assert ours == theirs
    shown = ours.rsplit("\r", 2)[-2]
    assert shown.replace("\x1b[1m", "").replace("\x1b[32m", "").replace("\x1b[37m", "").replace(
        "\x1b[0m", ""
    ) == ("938/938 ━━━━━━━━━━━━━━━━━━━━ 13s 12ms/step - accuracy: 0.8691 - loss: 0.4091")
    assert f"\x1b[32m{'━' * 20}\x1b[0m" in shown
    # 12 s in steps of 11 ms, at most one redraw in 50 ms.
    assert 100 < ours.count("\r") < 12.2 / 0.05 + 3
