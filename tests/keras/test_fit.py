"""What `fit`, `evaluate` and single batches report is what Keras reports, from the same weights on the same digits."""

import keras
import numpy as np
import pytest

import minicnn
from minicnn.datasets import mnist
from tests.keras import nets
from tests.keras.floats import FLOATX

N, BATCH = 330, 64  # the last batch of an epoch has 10 examples
# The numbers of two epochs differ by rounding, which grows with every step: by 2e-7 in float32 (u = 6e-8) and 4e-16 in
# float64 (u = 1e-16) where measured. A wrong weight, batch or division changes them by a thousandth and more.
RTOL = {"float32": 2e-5, "float64": 1e-12}[FLOATX]


@pytest.fixture(scope="module")
def digits():
    (images, labels), _ = mnist.load_data()
    return (images[:N, 4:24, 4:24, None] / 255).astype(FLOATX), labels[:N].astype("int64")


def small(input_, layers, models):
    """A net without kinks, so that rounding stays rounding."""
    return models.Sequential(
        [
            input_(shape=(20, 20, 1)),
            layers.Conv2D(4, 3, strides=2, activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )


def pair(build, loss="sparse_categorical_crossentropy", optimizer="rmsprop", **options):
    keras.utils.set_random_seed(3)
    theirs, ours = nets.both(build)
    ours.set_weights([np.array(w) for w in theirs.get_weights()])
    for model in (theirs, ours):
        model.compile(optimizer, loss, **options)
    return theirs, ours


def assert_same_numbers(ours, theirs):
    assert list(ours) == list(theirs)
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=RTOL, err_msg=name)


WEIGHTS = np.random.default_rng(0).integers(0, 4, N) / 2
CLASS_WEIGHT = {0: 2.0, 3: 0.5, 7: 3.0}
OPTIONS = {
    "plain": {},
    "validation_split": {"validation_split": 0.3},
    "class_weight": {"class_weight": CLASS_WEIGHT, "validation_split": 0.1},
    "sample_weight": {"sample_weight": WEIGHTS, "validation_split": 0.2},
    "other validation batches": {"validation_split": 0.4, "validation_batch_size": 50, "validation_freq": 2},
    "steps_per_epoch": {"steps_per_epoch": 4},
}


@pytest.mark.filterwarnings("ignore:.*ran out of data")
@pytest.mark.parametrize("name", OPTIONS)
def test_history(name, digits):
    histories = []
    for model in pair(small, metrics=["accuracy"], weighted_metrics=["sparse_categorical_crossentropy"]):
        told = model.fit(*digits, epochs=2, batch_size=BATCH, shuffle=False, verbose=0, **OPTIONS[name])
        histories.append(told.history)
    theirs, ours = histories
    assert len(theirs["loss"]) == 2
    assert_same_numbers(ours, theirs)


def test_history_of_one_hot_labels_and_validation_data(digits):
    x, labels = digits
    y = np.eye(10, dtype=FLOATX)[labels]
    histories = []
    for model in pair(small, "categorical_crossentropy", "adam", metrics=["accuracy", "mse"]):
        validation = (x[200:], y[200:], WEIGHTS[200:].astype(FLOATX))
        told = model.fit(
            x[:200],
            y[:200],
            epochs=2,
            shuffle=False,
            verbose=0,
            validation_data=validation,
            class_weight=CLASS_WEIGHT,
        )
        histories.append(told.history)
    assert_same_numbers(histories[1], histories[0])


@pytest.mark.parametrize("sample_weight", [None, WEIGHTS], ids=["plain", "weighted"])
def test_evaluate(sample_weight, digits):
    theirs, ours = (
        model.evaluate(*digits, batch_size=100, verbose=0, sample_weight=sample_weight, return_dict=True)
        for model in pair(small, metrics=["accuracy"], weighted_metrics=["accuracy"])
    )
    assert_same_numbers(ours, theirs)


def test_predict(digits):
    theirs, ours = (model.predict(digits[0], batch_size=100, verbose=0) for model in pair(small))
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=RTOL)


def test_metrics_of_one_name(digits):
    """They are told apart in the logs as Keras does it; its list from `evaluate` is in differences.py."""
    given = {"metrics": ["accuracy", "mse", "mse"], "weighted_metrics": ["accuracy", "accuracy", "mae"]}
    x, y = digits[0], np.eye(10, dtype=FLOATX)[digits[1]]
    logs = []
    for model in pair(small, "categorical_crossentropy", **given):
        told = model.fit(x, y, batch_size=100, shuffle=False, verbose=0, sample_weight=WEIGHTS)
        evaluated = model.evaluate(x, y, batch_size=100, verbose=0, sample_weight=WEIGHTS, return_dict=True)
        logs.append(evaluated | {f"fit_{name}": value for name, (value,) in told.history.items()})
    assert_same_numbers(logs[1], logs[0])
    assert {"accuracy", "mse_1", "weighted_accuracy", "weighted_accuracy_1"} <= logs[0].keys()


@pytest.mark.parametrize("method", ["train_on_batch", "test_on_batch"])
def test_single_batches(method, digits):
    """Each is reported by itself, whatever came before; with weights of samples and of classes."""
    x, y = digits
    theirs, ours = pair(small, metrics=["accuracy"])
    for k in range(0, N, BATCH):
        part = slice(k, k + BATCH)
        for options in ({}, {"sample_weight": WEIGHTS[part]}, {"class_weight": CLASS_WEIGHT}):
            if "class_weight" in options and method == "test_on_batch":
                continue
            results = [
                getattr(m, method)(x[part], y[part], **options, return_dict=True) for m in (theirs, ours)
            ]
            assert_same_numbers(results[1], results[0])


@pytest.mark.parametrize("optimizer", ["rmsprop", "adam"])
def test_the_book_net_without_pooling(optimizer, digits):
    """The listing's other net: 576 times as many weights behind its Flatten."""
    images, labels = digits
    x, y = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0))), np.eye(10, dtype=FLOATX)[labels]
    theirs, ours = pair(nets.without_pooling, "categorical_crossentropy", optimizer)
    for k in range(0, 96, 32):
        batch = x[k : k + 32], y[k : k + 32]
        losses = [float(model.train_on_batch(*batch)) for model in (theirs, ours)]
        np.testing.assert_allclose(losses[1], losses[0], rtol=RTOL)
    assert minicnn.config.floatx() == FLOATX
