"""Any batch size, ragged last batches and memory-mapped data: one plan, and no copy of the data set."""

import json
import subprocess
import sys

import numpy as np
import pytest

from minicnn import Input, config, layers, models, utils
from minicnn.models.chain import Chain

SIZES = (1, 2, 63, 64, 65, 1000, 4096)


@pytest.fixture
def float64():
    config.set_floatx("float64")
    yield
    config.set_floatx("float32")


def make_model():
    utils.set_random_seed(0)
    model = models.Sequential(
        [
            Input(shape=(6, 6, 1)),
            layers.Conv2D(3, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def examples(n):
    rng = np.random.default_rng(n)
    return rng.standard_normal((n, 6, 6, 1)), rng.integers(0, 4, n)


@pytest.mark.parametrize("size", SIZES)
def test_the_gradient_of_a_batch_is_the_mean_of_its_examples(size, float64):
    """The reference computes the whole batch in one piece."""
    x, y = examples(size)
    model, reference = make_model(), make_model()
    reference.compile("sgd", "sparse_categorical_crossentropy", backend="reference", fuse=False)
    ours, theirs = model.gradients(x, y), reference.gradients(x, y)
    assert ours.loss == pytest.approx(theirs.loss, rel=1e-13)  # float64: 4,096 terms of one sign
    for (_, a), (_, b) in zip(sorted(ours.weights.items()), sorted(theirs.weights.items()), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-14)  # means of numbers below 1


@pytest.mark.parametrize("batch_size", [1, 7, 64, 4096])
def test_a_ragged_last_batch_needs_no_plan_of_its_own(batch_size, monkeypatch):
    x, y = examples(batch_size + batch_size // 2 + 1)
    made = []
    make = Chain.make_executor
    monkeypatch.setattr(Chain, "make_executor", lambda self, wants: made.append(wants) or make(self, wants))
    model = make_model()
    model.fit(x, y, batch_size=batch_size, verbose=0)
    assert len(made) == 1
    assert int(model.optimizer.iterations.numpy()) == 2


SCRIPT = """
import json, resource, sys
import numpy as np
from minicnn import Input, layers, models

model = models.Sequential([Input(shape=(64, 64, 4)), layers.MaxPooling2D(32), layers.Flatten(), layers.Dense(2)])
model.compile("sgd", "mse")
model.train_on_batch(np.zeros((32, 64, 64, 4)), np.zeros((32, 2)))
x = np.load(sys.argv[1], mmap_mode="r")
y = np.zeros((len(x), 2), np.float32)
def anonymous():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1])
before = peak = anonymous()
if len(sys.argv) > 2:
    x = np.array(x)
from minicnn.callbacks import LambdaCallback
def look(batch, logs):
    global peak
    peak = max(peak, anonymous())
model.fit(x, y, batch_size=32, verbose=0, callbacks=[LambdaCallback(on_train_batch_end=look)])
print(json.dumps({"nbytes": x.nbytes, "grown": (peak - before) * 1024}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells private memory from mapped files")
def test_mapped_data_is_not_copied(tmp_path):
    """128 MB of mapped images; what is private to the process grows by a few batches of 2 MB."""
    path = tmp_path / "x.npy"
    np.lib.format.open_memmap(path, "w+", np.float32, (2048, 64, 64, 4)).flush()
    grown = {}
    for kind in ("mapped", "copied"):
        arguments = [str(path), *(["copy"] if kind == "copied" else [])]
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True
        )
        result = json.loads(done.stdout.splitlines()[-1])
        assert result["nbytes"] == 2**27
        grown[kind] = result["grown"]
    assert grown["mapped"] < 2**24
    assert grown["copied"] >= 2**27  # a copy would be seen
