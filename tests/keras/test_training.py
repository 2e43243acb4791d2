"""Training the book's net: the losses are Keras's, step after step, from the same weights on the same batches."""

import json
import subprocess
import sys

import pytest

from tests.keras.training_run import OPTIMIZERS


def run(*arguments):
    command = [sys.executable, "-m", "tests.keras.training_run", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def worst(losses):
    return max(abs(ours - theirs) / theirs for theirs, ours in losses)


@pytest.fixture(scope="module")
def steps(pytestconfig):
    return 300 if pytestconfig.getoption("--hypothesis-profile") == "nightly" else 100


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_float64_losses_are_keras_s(optimizer, steps):
    losses = run("float64", optimizer, steps)["losses"]
    assert len(losses) == steps
    assert losses[-1][0] < losses[0][0]
    # Rounding (1e-16) grows from step to step, by far less than a factor of 1e7 in 300 steps.
    assert worst(losses) <= 1e-9


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_float32_losses_are_keras_s_at_first(optimizer):
    # Later they part, as Keras's own do when the samples of a batch are permuted.
    assert worst(run("float32", optimizer, 10)["losses"]) <= 1e-5


def test_float32_steps_are_keras_s_from_keras_s_weights():
    result = run("float32", "rmsprop", 100, "--forced")
    # A loss near 1 from sums of some hundred rounded terms.
    assert worst(result["losses"]) <= 2e-6
    # Gradients agree to 1e-6, but RMSprop divides by √v: where v is small, a step may change by some percent of the
    # largest.
    assert max(result["steps_apart"]) <= 0.05
