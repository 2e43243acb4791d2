"""Profiles of models in files, of the table's networks, and in JSON."""

import dataclasses
import json

import numpy as np
import pytest

from minicnn import Input, layers, models
from minicnn.bench.neutral import Network
from minicnn.bench.profile import (
    as_record,
    from_record,
    loss_for,
    profile_file,
    profile_network,
    random_batch,
)
from minicnn.models import profile as models_profile

FILE = """
from minicnn import Input, layers, models

def net():
    return models.Sequential([
        Input((6, 5, 2)), layers.Conv2D(3, 3, activation="relu", name="conv"), layers.Flatten(name="flat"),
        layers.Dense(4, activation="softmax", name="out"),
    ], name="mine")

def compiled():
    model = net()
    model.compile("sgd", "sparse_categorical_crossentropy", fuse=False)
    return model

def without_a_loss():
    model = net()
    model.compile("sgd")
    return model

def without_a_shape():
    return models.Sequential([layers.Flatten(), layers.Dense(4)])

def of_any_size():
    return models.Sequential([Input((None, None, 1)), layers.Conv2D(3, 3), layers.GlobalMaxPooling2D()])
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(FILE)
    return path


@pytest.fixture
def no_measured_peak(monkeypatch):
    monkeypatch.setattr(models_profile, "matmul_gflops", lambda dtype: 50.0)


@pytest.mark.usefixtures("no_measured_peak")
def test_a_model_that_is_not_compiled(file):
    profile = profile_file(f"{file}:net", batch_size=3, repeats=1)
    assert [row.op for row in profile.rows] == ["ConvReLU", "Reshape", "Dense", "SoftmaxCrossEntropy"]
    assert (profile.model, profile.batch_size, profile.repeats) == ("mine", 3, 1)
    assert profile.rows[0].forward.dense == 3 * 4 * 3 * 18 * 3


@pytest.mark.usefixtures("no_measured_peak")
def test_a_model_stays_compiled_as_it_was(file):
    profile = profile_file(f"{file}:compiled", batch_size=2, repeats=1)
    assert [row.op for row in profile.rows][:2] == ["Conv2D", "ReLU"] and not profile.fuses


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("nothing", "must define a function nothing"),
        ("without_a_loss", "`compile` was called without a loss"),
        ("without_a_shape", "must say how large its images are, with an Input first. Received shape none"),
        ("of_any_size", r"must say how large its images are, .* Received shape \(None, None, None, 1\)"),
    ],
)
def test_what_cannot_be_profiled(file, function, message):
    with pytest.raises(ValueError, match=message):
        profile_file(f"{file}:{function}")


def test_a_batch_of_none(file):
    with pytest.raises(ValueError, match="`batch_size` must be an integer of at least 1"):
        profile_file(f"{file}:net", batch_size=0)


def model_ending_in(activation, units=4, **arguments):
    return models.Sequential([Input((3, 2)), layers.Dense(units, activation=activation, **arguments)])


@pytest.mark.parametrize(
    ("activation", "loss"),
    [
        ("softmax", "categorical_crossentropy"),
        ("sigmoid", "binary_crossentropy"),
        (None, "mean_squared_error"),
        ("relu", "mean_squared_error"),
    ],
)
def test_the_loss_goes_with_the_last_activation(activation, loss):
    assert loss_for(model_ending_in(activation)) == loss


@pytest.mark.parametrize(
    ("loss", "units", "shape", "values"),
    [
        ("sparse_categorical_crossentropy", 4, (50, 3), {0, 1, 2, 3}),
        ("categorical_crossentropy", 4, (50, 3, 4), {0, 1}),
        ("binary_crossentropy", 1, (50, 3, 1), {0, 1}),
        ("mean_squared_error", 2, (50, 3, 2), {0, 1}),
    ],
)
def test_targets_that_the_loss_takes(loss, units, shape, values):
    model = model_ending_in("softmax" if "categorical" in loss else "sigmoid", units)
    model.compile("sgd", loss)
    x, y = random_batch(model, 50)
    assert x.shape == (50, 3, 2) and 0 <= x.min() < 0.1 and 0.9 < x.max() <= 1
    assert y.shape == shape and set(np.unique(y)) == values
    if loss == "categorical_crossentropy":
        assert (y.sum(-1) == 1).all()
    model.train_on_batch(x, y)


@pytest.mark.usefixtures("no_measured_peak")
def test_json_keeps_all_of_a_profile(file):
    profile = profile_file(f"{file}:net", batch_size=2, repeats=1)
    record = json.loads(json.dumps(as_record(profile)))
    again = from_record(record)
    # Not repr: that is the table.
    assert dataclasses.astuple(again) == dataclasses.astuple(profile) and again == profile
    assert again.rows[0].dx is None and again.rows[0].output_shape == (4, 3, 3)
    assert str(again) == str(profile)


@pytest.mark.parametrize("record", [{}, {"rows": []}, {"rows": 3}, {"rows": [{"forward": None}]}, None])
def test_what_is_no_profile(record):
    with pytest.raises(ValueError, match="A profile must have the fields of `Profile`"):
        from_record(record)


def test_a_network_of_the_table_in_a_process_of_its_own():
    network = Network(
        "tiny", (6, 6, 1), (("Flatten", {}), ("Dense", {"units": 3, "activation": "softmax"})),
        "categorical_crossentropy", 5,
    )  # fmt: skip
    profile = from_record(profile_network(network, repeats=1))
    assert (profile.model, profile.batch_size) == ("tiny", 5) and profile.peak_gflops > 0
    assert [row.op for row in profile.rows] == ["Reshape", "Dense", "SoftmaxCrossEntropy"]
    assert profile.rows[1].dw.dense == 5 * 36 * 3 and profile.rows[1].dx is None
    assert profile_network(network, 7, 1)["batch_size"] == 7


def test_a_process_that_fails_says_how(monkeypatch):
    from minicnn.bench.session import DeadWorker

    broken = Network("broken", (6, 6, 1), (("Flatten", {}), ("Dense", {"units": 3})), "no_such_loss", 5)
    with pytest.raises(DeadWorker, match=r"ended with status 1: .*no_such_loss"):
        profile_network(broken)
