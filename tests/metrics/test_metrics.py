"""Metrics: values by hand, weights, running means over batches, the choice of an accuracy, bad arguments."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import config, losses, metrics

ONE_HOT = np.eye(3)[[0, 1, 2, 2]]
LABELS = np.array([0, 1, 2, 2])
SCORES = np.array([[0.5, 0.3, 0.2], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.4, 0.4, 0.2]], np.float32)
"""Right, wrong, right, wrong; the labels rank 1, 2, 1, 3."""


def test_accuracies():
    np.testing.assert_array_equal(metrics.categorical_accuracy(ONE_HOT, SCORES), [1, 0, 1, 0])
    np.testing.assert_array_equal(metrics.sparse_categorical_accuracy(LABELS, SCORES), [1, 0, 1, 0])
    np.testing.assert_array_equal(metrics.sparse_categorical_accuracy(LABELS[:, None], SCORES), [1, 0, 1, 0])
    np.testing.assert_array_equal(metrics.binary_accuracy([1, 0, 1], [0.6, 0.5, 0.5]), [1, 1, 0])
    np.testing.assert_array_equal(metrics.binary_accuracy([1, 0], [[0.6], [0.7]]), [[1], [0]])
    np.testing.assert_array_equal(metrics.binary_accuracy([[1], [0]], [0.6, 0.2], threshold=0.1), [[1], [0]])


@pytest.mark.parametrize(("k", "expected"), [(1, [1, 0, 1, 0]), (2, [1, 1, 1, 0]), (3, [1, 1, 1, 1])])
def test_top_k(k, expected):
    np.testing.assert_array_equal(metrics.top_k_categorical_accuracy(ONE_HOT, SCORES, k), expected)
    np.testing.assert_array_equal(metrics.sparse_top_k_categorical_accuracy(LABELS, SCORES, k), expected)
    np.testing.assert_array_equal(
        metrics.sparse_top_k_categorical_accuracy(LABELS[:, None], SCORES, k), expected
    )


def test_top_k_counts_ties_and_no_nonsense():
    ties = np.array([[0.4, 0.4, 0.2]] * 3)
    np.testing.assert_array_equal(metrics.sparse_top_k_categorical_accuracy([0, 1, 2], ties, 1), [1, 1, 0])
    nonsense = np.array([[np.nan, 1, 0], [np.inf, 1, 0], [3, 2, 1], [3, 2, 1]])
    np.testing.assert_array_equal(
        metrics.sparse_top_k_categorical_accuracy([1, 0, -1, 3], nonsense, 3), [0, 0, 0, 0]
    )
    ids = np.array([[2, 1, 0], [0, 2, 1]])
    np.testing.assert_array_equal(
        metrics.sparse_top_k_categorical_accuracy([1, 1], ids, 2, from_sorted_ids=True), [1, 0]
    )


@pytest.mark.parametrize(
    ("function", "t", "y"),
    [
        (metrics.categorical_accuracy, LABELS, SCORES),
        (metrics.categorical_accuracy, ONE_HOT[:, :2], SCORES),
        (metrics.sparse_categorical_accuracy, ONE_HOT, SCORES),
        (metrics.sparse_categorical_accuracy, LABELS[:3], SCORES),
        (metrics.binary_accuracy, np.ones(3), np.ones((4, 1))),
        (metrics.binary_accuracy, np.ones((4, 1)), np.ones((4, 3))),
        (metrics.top_k_categorical_accuracy, LABELS, SCORES),
        (metrics.sparse_top_k_categorical_accuracy, ONE_HOT, SCORES),
    ],
)
def test_shapes_that_do_not_fit(function, t, y):
    with pytest.raises(ValueError, match=r"must have shape .* Received shape"):
        function(t, y)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.booleans(), st.integers(0, 2**32 - 1))
def test_a_mean_over_batches_is_the_mean_over_all(sizes, weighted, seed):
    rng = np.random.default_rng(seed)
    values = [rng.normal(size=n) for n in sizes]
    weights = [rng.random(n) for n in sizes]
    mean, total = metrics.Mean(dtype="float64"), metrics.Sum(dtype="float64")
    for v, w in zip(values, weights, strict=True):
        mean.update_state(v, sample_weight=w if weighted else None)
        total.update_state(v, sample_weight=w if weighted else None)
    v, w = np.concatenate(values), np.concatenate(weights) if weighted else np.ones(sum(sizes))
    # At most 20 terms of size around 1, in another order: 20 roundings of the sum of magnitudes.
    tolerance = 20 * 2**-53 * np.abs(v * w).sum()
    assert abs(total.result() - (v * w).sum()) <= tolerance
    assert abs(mean.result() - (v * w).sum() / w.sum()) <= 2 * tolerance / w.sum()


@pytest.mark.parametrize(
    ("values", "weights", "mean", "total"),
    [
        (3.0, None, 3, 3),
        (3.0, 4, 3, 12),
        ([1, 3], None, 2, 4),
        ([1, 3], [1, 0], 1, 1),
        ([1, 3], [[1], [0]], 1, 1),
        ([[1, 3], [5, 7]], None, 4, 16),
        ([[1, 3], [5, 7]], [1, 0], 2, 4),
        ([[1, 3], [5, 7]], [[1, 0], [0, 0]], 1, 1),
        ([[1], [5]], [1, 3], 4, 16),
        ([1, 3], 0, 0, 0),
        ([], None, 0, 0),
    ],
)
def test_shapes_and_weights(values, weights, mean, total):
    one, other = metrics.Mean(), metrics.Sum()
    one.update_state(values, sample_weight=weights)
    other.update_state(values, sample_weight=weights)
    assert (one.result(), other.result()) == (mean, total)


def test_weights_that_do_not_fit():
    for metric in (metrics.Mean(), metrics.Sum()):
        with pytest.raises(ValueError, match=r"must fit the values' shape \(3,\)\. Received shape \(2,\)"):
            metric.update_state([1, 2, 3], sample_weight=[1, 2])
        assert metric.result() == 0


def test_float32_does_not_limit_the_count():
    mean = metrics.Mean()
    mean.update_state(1.0, sample_weight=2**24)
    mean.update_state(0.0, sample_weight=1)
    assert mean.count.array == 2**24 + 1


def test_state():
    metric = metrics.CategoricalAccuracy(name="mine")
    assert metric.result() == 0
    assert metric(ONE_HOT, SCORES) == 0.5
    metric.update_state(ONE_HOT[:1], SCORES[:1])
    assert metric.result() == np.float32(0.6)
    assert [v.path for v in metric.variables] == ["mine/total", "mine/count"]
    assert [float(v.array) for v in metric.variables] == [3, 5]
    metric.reset_state()
    assert metric.result() == 0
    assert metric.result().dtype == np.float32
    assert repr(metric) == "<CategoricalAccuracy name=mine>"


def test_the_result_follows_floatx():
    config.set_floatx("float64")
    try:
        assert metrics.Mean().result().dtype == np.float64
        assert metrics.categorical_accuracy(ONE_HOT, SCORES).dtype == np.float64
    finally:
        config.set_floatx("float32")


def test_losses_as_metrics():
    p = np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]])
    t = np.eye(3)[[0, 1]]
    for cls, function, targets, arguments in (
        (metrics.CategoricalCrossentropy, losses.categorical_crossentropy, t, {"label_smoothing": 0.1}),
        (metrics.SparseCategoricalCrossentropy, losses.sparse_categorical_crossentropy, [0, 1], {}),
        (metrics.BinaryCrossentropy, losses.binary_crossentropy, t, {"from_logits": True}),
        (metrics.MeanSquaredError, losses.mean_squared_error, t, {}),
        (metrics.MeanAbsoluteError, losses.mean_absolute_error, t, {}),
    ):
        metric = cls(dtype="float64", **arguments)
        metric.update_state(targets, p)
        assert metric.result() == np.mean(function(targets, p, **arguments))
        assert metric.direction == "down"
        assert cls.from_config(metric.get_config()).get_config() == metric.get_config()


def test_a_metric_of_ones_own():
    class Largest(metrics.Metric):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.largest = self.add_variable((2,), name="largest")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.largest.assign(np.maximum(self.largest.numpy(), y_pred.max(0)))

        def result(self):
            return self.largest.numpy().max()

    metric = metrics.resolve(Largest(name="largest"), (4, 2), (4, 2))
    metric.update_state(None, np.array([[1, 2], [3, 0]]))
    assert metric.result() == 3
    metric.reset_state()
    assert metric.result() == 0


def test_a_function_as_a_metric():
    def worst(y_true, y_pred):
        return np.abs(y_true - y_pred).max(-1)

    metric = metrics.resolve(worst, (2, 2), (2, 2))
    assert metric.name == "worst"
    assert metric.direction is None
    metric.update_state(np.zeros((2, 2)), np.array([[1, 3], [0, 2]]))
    assert metric.result() == 2.5
    metric.update_state(np.zeros((2, 2)), np.array([[1, 3], [0, 2]]), sample_weight=[2, 0])
    assert metric.result() == (3 + 2 + 6) / 4


def test_a_loss_as_a_metric():
    for loss in (losses.mean_squared_error, losses.MeanSquaredError()):
        metric = metrics.resolve(loss, (2, 2), (2, 2))
        assert metric.name == "mean_squared_error"
        assert metric.direction == "down"
        metric.update_state(np.zeros((2, 2)), np.ones((2, 2)))
        assert metric.result() == 1


# Which accuracy


@pytest.mark.parametrize(
    ("targets", "outputs", "cls"),
    [
        ((8, 10), (8, 10), metrics.CategoricalAccuracy),
        ((8,), (8, 10), metrics.SparseCategoricalAccuracy),
        ((8, 1), (8, 10), metrics.SparseCategoricalAccuracy),
        ((8,), (8, 1), metrics.BinaryAccuracy),
        ((8, 1), (8, 1), metrics.BinaryAccuracy),
        ((8, 5), (8, 5, 10), metrics.SparseCategoricalAccuracy),
        ((8, 5, 10), (8, 5, 10), metrics.CategoricalAccuracy),
        ((8, 2), (8, 2), metrics.CategoricalAccuracy),
    ],
)
@pytest.mark.parametrize("name", ["accuracy", "acc", "Accuracy"])
def test_accuracy_is_chosen_by_the_shapes(targets, outputs, cls, name):
    metric = metrics.resolve(name, targets, outputs)
    assert type(metric) is cls
    assert metric.name == name


def test_a_metric_is_called_what_it_was_asked_for_as():
    assert metrics.resolve("mse", (8, 1), (8, 1)).name == "mse"
    assert metrics.resolve("CategoricalAccuracy", (8, 1), (8, 1)).name == "CategoricalAccuracy"
    assert metrics.resolve(metrics.MeanSquaredError(name="mine"), (8, 1), (8, 1)).name == "mine"
    assert metrics.resolve(metrics.MeanSquaredError, (8, 1), (8, 1)).name == "mean_squared_error"


@pytest.mark.parametrize("identifier", [None, 3, "nope", []])
def test_what_is_no_metric(identifier):
    with pytest.raises(ValueError, match=r"Unknown metric|Expected a metric|Could not interpret metric"):
        metrics.resolve(identifier, (8, 1), (8, 1))


@pytest.mark.parametrize(
    "make",
    [
        lambda: metrics.TopKCategoricalAccuracy(k=0),
        lambda: metrics.SparseTopKCategoricalAccuracy(k=1.5),
        lambda: metrics.BinaryAccuracy(threshold="0.5"),
        lambda: metrics.CategoricalCrossentropy(label_smoothing=2),
        lambda: metrics.SparseCategoricalCrossentropy(ignore_class=1),
        lambda: metrics.Mean(dtype="int8"),
    ],
)
def test_arguments_that_make_no_sense(make):
    with pytest.raises(ValueError, match="Received"):
        make()


def test_a_wrapped_function_comes_back_by_its_name():
    metric = metrics.MeanMetricWrapper(metrics.binary_accuracy, name="x", threshold=0.25)
    assert metric.get_config() == {
        "name": "x",
        "dtype": "float32",
        "fn": "binary_accuracy",
        "threshold": 0.25,
    }
    again = metrics.deserialize(metrics.serialize(metric))
    assert again([1], [0.3]) == 1
    for fn in ("Mean", "nope", "resolve_", None):
        with pytest.raises(ValueError, match="`fn` must be a function"):
            metrics.MeanMetricWrapper.from_config({"fn": fn})


@pytest.mark.parametrize(
    ("metric", "t", "y", "expected"),
    [
        (metrics.Accuracy(name="a"), [1, 2, 3, 4], [1, 2, 0, 4], 0.75),
        (metrics.BinaryAccuracy(threshold=0.1), [1, 0], [0.2, 0.2], 0.5),
        (metrics.CategoricalAccuracy(), ONE_HOT, SCORES, 0.5),
        (metrics.SparseCategoricalAccuracy(), LABELS, SCORES, 0.5),
        (metrics.TopKCategoricalAccuracy(k=2), ONE_HOT, SCORES, 0.75),
        (metrics.SparseTopKCategoricalAccuracy(k=2), LABELS, SCORES, 0.75),
        (
            metrics.SparseTopKCategoricalAccuracy(k=2, from_sorted_ids=True),
            [1, 1],
            [[2, 1, 0], [0, 2, 1]],
            0.5,
        ),
    ],
)
def test_accuracies_as_objects_survive_their_configuration(metric, t, y, expected):
    again = metrics.deserialize(metrics.serialize(metric))
    assert again.get_config() == metric.get_config()
    for one in (metric, again):
        assert one(t, y) == expected
        assert one(t, y) == expected  # the mean of both batches
    assert repr(again) == f"<{type(metric).__name__} name={metric.name}>"


def test_a_metric_without_its_methods():
    metric = metrics.Metric(name="bare")
    for method in ("update_state", "result"):
        with pytest.raises(NotImplementedError, match=f"Metric does not define `{method}`"):
            getattr(metric, method)()
