"""Metrics: Keras's arguments, values over batches with weights, and its choice of an accuracy."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras.src.trainers.compile_utils import get_metric

from minicnn import metrics
from tests.keras.agreement import ARITHMETICS, assert_agree, assert_same_signature

CLASSES = [
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "Mean",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "Sum",
    "TopKCategoricalAccuracy",
]
FUNCTIONS = [
    "binary_accuracy",
    "categorical_accuracy",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]
SEEDS = st.integers(0, 2**32 - 1)
DTYPES = st.sampled_from(["float32", "float64"])
SPARSE = ("SparseCategoricalAccuracy", "SparseCategoricalCrossentropy", "SparseTopKCategoricalAccuracy")
CATEGORICAL = ("CategoricalAccuracy", "CategoricalCrossentropy", "TopKCategoricalAccuracy")
OPTIONS = {
    "TopKCategoricalAccuracy": {"k": 2},
    "SparseTopKCategoricalAccuracy": {"k": 3},
    "BinaryAccuracy": {"threshold": 0.25},
    "BinaryCrossentropy": {"from_logits": True, "label_smoothing": 0.1},
    "CategoricalCrossentropy": {"label_smoothing": 0.1},
}


def batch(name, rng, shape, dtype):
    """(targets, predictions); predictions are multiples of 1/16, so that there are ties."""
    p = rng.integers(1, 17, shape) / 16
    if name in SPARSE:
        return rng.integers(0, shape[-1], shape[:-1]), p.astype(dtype)
    if name in CATEGORICAL:
        return np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])].astype(dtype), p.astype(dtype)
    return (rng.integers(0, 2, shape)).astype(dtype), (np.round(p) if name == "Accuracy" else p).astype(dtype)


@pytest.mark.parametrize("name", [name for name in CLASSES if name not in ("Mean", "Sum")])
@given(
    SEEDS, st.sampled_from([(5, 4), (2, 3, 4)]), DTYPES, st.sampled_from([None, "samples", "column", "all"])
)
def test_over_batches(name, seed, shape, dtype, weights):
    options = OPTIONS.get(name, {})
    ours = getattr(metrics, name)(dtype=dtype, **options)
    theirs = getattr(keras.metrics, name)(dtype=dtype, **options)
    rng = np.random.default_rng(seed)
    for _ in range(3):
        t, p = batch(name, rng, shape, dtype)
        p = p.astype(np.float32) if "TopK" in name else p  # TensorFlow's takes no other
        rows = {"samples": shape[:1], "column": (*shape[:1], 1), "all": shape[:-1]}.get(weights)
        weight = None if rows is None else rng.random(rows).astype(dtype)
        ours.update_state(t, p, sample_weight=weight)
        theirs.update_state(t, p, sample_weight=weight)
        # 15 samples of at most 4 values up to log(16·4), two sums and a quotient, summed in any order.
        bound = ARITHMETICS[dtype].gamma(80) * 5
        assert_agree(ours.result(), theirs.result(), bound)
    for a, b in zip(ours.variables, theirs.variables, strict=True):
        assert (a.name, a.shape) == (b.name, tuple(b.shape))
        assert_agree(a.array, b.numpy(), ARITHMETICS[dtype].gamma(80) * 5 * 15)
    ours.reset_state()
    theirs.reset_state()
    assert ours.result() == float(theirs.result()) == 0


@pytest.mark.parametrize("name", ["Mean", "Sum"])
@pytest.mark.parametrize(
    ("shape", "weight_shape"),
    [
        ((), None),
        ((), ()),
        ((4,), None),
        ((4,), (4,)),
        ((4,), (4, 1)),
        ((4, 3), None),
        ((4, 3), (4,)),
        ((4, 1), (4,)),
        ((4, 3), (4, 3)),
        ((4, 3), (4, 1)),
        ((4, 3, 2), (4,)),
        ((4, 3, 2), (4, 3)),
        ((4, 3, 2), (4, 3, 2)),
    ],
)
def test_reductions(name, shape, weight_shape):
    rng = np.random.default_rng(0)
    ours, theirs = getattr(metrics, name)(dtype="float64"), getattr(keras.metrics, name)(dtype="float64")
    for _ in range(2):
        values = rng.normal(size=shape)
        weight = None if weight_shape is None else rng.random(weight_shape)
        ours.update_state(values, sample_weight=weight)
        theirs.update_state(values, sample_weight=weight)
        np.testing.assert_allclose(
            ours.result(), np.array(theirs.result()), rtol=1e-13
        )  # at most 48 terms near 1


@pytest.mark.parametrize("name", FUNCTIONS)
@given(SEEDS, st.sampled_from([(5, 4), (2, 3, 4), (6, 1)]), DTYPES)
def test_functions(name, seed, shape, dtype):
    rng = np.random.default_rng(seed)
    kind = {"sparse_categorical_accuracy": SPARSE[0], "sparse_top_k_categorical_accuracy": SPARSE[2]}.get(
        name
    )
    kind = kind or ("TopKCategoricalAccuracy" if "categorical" in name else "BinaryAccuracy")
    t, p = batch(kind, rng, shape, "float32" if "top_k" in name else dtype)  # TensorFlow's takes no other
    options = {"k": int(rng.integers(1, 5))} if "top_k" in name else {}
    ours, theirs = (
        getattr(metrics, name)(t, p, **options),
        np.array(getattr(keras.metrics, name)(t, p, **options)),
    )
    assert ours.dtype == theirs.dtype
    if shape[-1] == 1 and ours.shape != theirs.shape:
        theirs = theirs.reshape(ours.shape)
    np.testing.assert_array_equal(ours, theirs)


@given(SEEDS)
def test_top_k_of_scores_that_are_no_numbers(seed):
    rng = np.random.default_rng(seed)
    p = rng.choice(
        [0.0, 0.5, 1.0, np.nan, np.inf, -np.inf], (6, 4), p=[0.2, 0.3, 0.3, 0.05, 0.1, 0.05]
    ).astype("f")
    t = rng.integers(0, 4, 6)
    for k in (1, 2, 3, 4):
        np.testing.assert_array_equal(
            metrics.sparse_top_k_categorical_accuracy(t, p, k),
            np.array(keras.metrics.sparse_top_k_categorical_accuracy(t, p, k)),
        )


@pytest.mark.parametrize("name", CLASSES + FUNCTIONS)
def test_arguments(name):
    assert_same_signature(getattr(metrics, name), getattr(keras.metrics, name))


@pytest.mark.parametrize("name", CLASSES)
def test_configurations(name):
    ours, theirs = getattr(metrics, name)(), getattr(keras.metrics, name)()
    assert metrics.serialize(ours) == keras.metrics.serialize(theirs)
    assert repr(ours) == repr(theirs)
    assert [v.path for v in ours.variables] == [v.path for v in theirs.variables]
    config = keras.metrics.serialize(theirs)
    assert metrics.serialize(metrics.deserialize(config)) == config
    direction = getattr(theirs, "_direction", None)
    assert ours.direction == direction


def test_string_identifiers():
    for name in metrics.registry._names:
        if "ean_metric_wrapper" in name or name == "MeanMetricWrapper":
            continue
        assert type(metrics.get(name)).__name__ == type(keras.metrics.get(name)).__name__
    for module in (metrics, keras.metrics):
        for wrong in ("nope", "acc", 3):
            with pytest.raises(ValueError, match="metric"):
                module.get(wrong)


@given(
    st.sampled_from(
        ["accuracy", "acc", "Accuracy", "mse", "categorical_accuracy", "TopKCategoricalAccuracy", "bce"]
    ),
    st.sampled_from([((8,), (8, 1)), ((8, 1), (8, 1)), ((8,), (8, 5)), ((8, 1), (8, 5)), ((8, 5), (8, 5))]),
)
def test_what_a_name_in_compile_means(name, shapes):
    t, p = (np.zeros(shape) for shape in shapes)
    ours, theirs = metrics.resolve(name, *shapes), get_metric(name, t, p)
    assert (type(ours).__name__, ours.name) == (type(theirs).__name__, theirs.name)


def test_a_function_in_compile():
    def own(y_true, y_pred):
        return abs(y_true - y_pred)

    t, p = np.zeros((3, 2)), np.arange(6.0).reshape(3, 2)
    ours, theirs = metrics.resolve(own, t.shape, p.shape), get_metric(own, t, p)
    assert ours.name == theirs.name == "own"
    for weight in (None, np.array([1.0, 0.0, 2.0])):
        ours.update_state(t, p, sample_weight=weight)
        theirs.update_state(t, p, sample_weight=weight)
    np.testing.assert_allclose(
        ours.result(), np.array(theirs.result()), rtol=2.0**-22
    )  # six small halves, one quotient


@given(SEEDS, DTYPES, st.booleans())
def test_means_of_a_function(seed, dtype, weighted):
    """MeanMetricWrapper of a function with arguments of its own."""

    def own(y_true, y_pred, power):
        return abs(y_true - y_pred) ** power

    # a name, because names by default count the metrics that other tests have made
    options = {"name": "squares", "dtype": dtype, "power": 2}
    ours, theirs = (m.MeanMetricWrapper(own, **options) for m in (metrics, keras.metrics))
    assert ours.name == theirs.name == "squares"
    rng = np.random.default_rng(seed)
    for _ in range(2):
        t, p = (rng.random((5, 4)).astype(dtype) for _ in range(2))
        weight = rng.random(5).astype(dtype) if weighted else None
        for metric in (ours, theirs):
            metric.update_state(t, p, sample_weight=weight)
        # 40 terms below 1, each a difference, a square and a product; two sums and a quotient near 1.
        assert_agree(ours.result(), theirs.result(), ARITHMETICS[dtype].gamma(50) * 2)
