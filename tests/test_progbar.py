"""The progress bar off a terminal, its pace, and what the logger shows when. On a terminal: see tests/keras."""

import io
import sys

import pytest

from minicnn import progbar
from minicnn.callbacks import CallbackList, ProgbarLogger
from minicnn.progbar import BLOCK, Progbar

BAR = BLOCK * 20


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(progbar.time, "time", lambda: Clock.now)
    return Clock


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_one_plain_line_elsewhere(clock, capsys):
    bar = Progbar(938)
    for step in range(1, 939):
        clock.now += 13 / 938 if step > 1 else 0
        bar.update(step, [("accuracy", 0.5), ("loss", 0.1)], finalize=False)
    assert capsys.readouterr().out == ""
    bar.update(938, [("accuracy", 0.86914), ("loss", 0.40907)], finalize=True)
    assert capsys.readouterr().out == f"938/938 {BAR} 13s 14ms/step - accuracy: 0.8691 - loss: 0.4091\n"


def test_verbose_2(clock, capsys):
    bar = Progbar(938, verbose=2)
    clock.now += 13
    bar.update(937, [("loss", 0.1)])
    assert capsys.readouterr().out == ""
    bar.update(938, [("loss", 0.40907)])
    assert capsys.readouterr().out == "938/938 - 13s - 14ms/step - loss: 0.4091\n"


def test_verbose_0(capsys):
    Progbar(3, verbose=0).update(3, [("loss", 1)])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("step_s", "text"),
    [
        (0, "0s/step"),
        (3e-7, "0us/step"),
        (2.5e-5, "25us/step"),
        (0.0042, "4ms/step"),
        (0.9996, "1000ms/step"),
        (12, "12s/step"),
    ],
)
def test_time_of_a_step(clock, capsys, step_s, text):
    bar = Progbar(2)
    clock.now += 5
    bar.update(1)
    clock.now += step_s
    bar.update(2)
    assert f" {text}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.23456, "1.2346"),
        (0.001, "1.0000e-03"),
        (0.00101, "0.0010"),
        (-0.5, "-0.5000"),
        (0, "0.0000e+00"),
        (float("nan"), "nan"),
    ],
)
def test_values(capsys, value, text):
    Progbar(1).update(1, [("loss", value)])
    assert capsys.readouterr().out.endswith(f" - loss: {text}\n")


def test_redrawn_at_most_twenty_times_a_second(clock, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    bar = Progbar(1000)
    for step in range(1, 1000):
        clock.now += 0.004
        bar.update(step, [("loss", 1.0)])
    # 3.996 s in steps of 4 ms: a redraw every 13th step, the first at once.
    assert sys.stdout.getvalue().count("\r") == 1 + 998 // 13


def test_a_shorter_line_is_blanked(clock, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    bar = Progbar(2, interval=0)
    bar.update(1, [("loss", 123456.0)])
    length = bar._drawn_width
    bar.update(2, [("loss", 1.0)], finalize=True)
    assert sys.stdout.getvalue().endswith("loss: 1.0000" + " " * (length - bar._drawn_width) + "\n")
    assert length > bar._drawn_width


def test_averages():
    bar = Progbar(10, stateful_metrics=["shown"])
    bar.update(1, [("shown", 1.0), ("averaged", 1.0)])
    bar.update(4, [("shown", 2.0), ("averaged", 5.0)])
    assert bar._values == {"shown": (2.0, 1), "averaged": (1.0 + 3 * 5.0, 4)}
    bar = Progbar(10, stateless_metrics=["averaged"])
    bar.add(1, [("shown", 1.0), ("averaged", 1.0)])
    bar.add(3, [("shown", 2.0), ("averaged", 5.0)])
    assert bar._values == {"shown": (2.0, 1), "averaged": (16.0, 4)}
    with pytest.raises(ValueError, match="Only one of"):
        Progbar(10, stateful_metrics=[], stateless_metrics=[])
    with pytest.raises(ValueError, match="verbose"):
        Progbar(10, verbose=3)


def test_an_encoding_without_blocks(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    Progbar(1).update(1)
    assert raw.getvalue().startswith(b"1/1 ==================== 0s")


# The logger


def run_fit(logger_params, epochs, steps, validate=True):
    group = CallbackList([ProgbarLogger()], **logger_params)
    group.on_train_begin()
    for epoch in range(epochs):
        group.on_epoch_begin(epoch)
        for step in range(steps):
            group.on_train_batch_end(step, {"loss": 0.25, "accuracy": 0.5})
        if validate:
            group.on_test_begin()
            group.on_test_batch_end(0, {"loss": 9})
            group.on_test_end({"loss": 9})
        group.on_epoch_end(epoch, {"loss": 0.125, "accuracy": 0.5, "val_loss": 2})
    group.on_train_end()


LINE = f"3/3 {BAR} 0s 0s/step - accuracy: 0.5000 - loss: 0.1250 - val_loss: 2.0000\n"


@pytest.mark.parametrize("verbose", [1, "auto", True])
def test_fit(clock, capsys, verbose):
    run_fit({"verbose": verbose, "epochs": 2, "steps": 3}, 2, 3)
    assert capsys.readouterr().out == f"Epoch 1/2\n{LINE}Epoch 2/2\n{LINE}"


def test_fit_of_one_epoch(clock, capsys):
    run_fit({"verbose": 1, "epochs": 1, "steps": 3}, 1, 3)
    assert capsys.readouterr().out == LINE


def test_fit_at_verbosity_2(clock, capsys):
    run_fit({"verbose": 2, "epochs": 2, "steps": 3}, 2, 3)
    line = "3/3 - 0s - 0s/step - accuracy: 0.5000 - loss: 0.1250 - val_loss: 2.0000\n"
    assert capsys.readouterr().out == f"Epoch 1/2\n{line}Epoch 2/2\n{line}"


def test_steps_that_are_not_known_before_the_first_epoch(clock, capsys):
    run_fit({"verbose": 1, "epochs": 2, "steps": None}, 2, 3)
    assert capsys.readouterr().out == f"Epoch 1/2\n{LINE}Epoch 2/2\n{LINE}"


def test_evaluate_and_predict(clock, capsys):
    group = CallbackList([ProgbarLogger()], verbose=1, epochs=1, steps=2)
    group.on_test_begin()
    for step in range(2):
        group.on_test_batch_end(step, {"loss": 0.5})
    group.on_test_end({"loss": 0.5})
    assert capsys.readouterr().out == f"2/2 {BAR} 0s 0s/step - loss: 0.5000\n"
    group.on_predict_begin()
    for step in range(2):
        group.on_predict_batch_end(step, {"outputs": [[1]]})
    group.on_predict_end()
    assert capsys.readouterr().out == f"2/2 {BAR} 0s 0s/step\n"


@pytest.mark.parametrize(
    ("step_s", "remaining"), [(0.5, "49s"), (1, "1:39"), (40, "1:06:00"), (37, "1:01:03"), (0, "0s")]
)
def test_the_time_that_is_left(clock, monkeypatch, step_s, remaining):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    bar = Progbar(100)
    clock.now += step_s
    bar.update(1)
    assert f"{remaining}{progbar.END} " in terminal.getvalue()


def test_nothing_done_yet(clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    Progbar(3).update(0)
    assert " 0s/step" in terminal.getvalue()
    bar = Progbar(None)
    bar.update(2, [("loss", 0.5)])
    assert "      2/Unknown" in terminal.getvalue()
