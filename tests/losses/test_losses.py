"""Losses: values against the oracles, reductions, the gradient that training uses, targets that don't fit."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import config, losses
from minicnn.engine import ops
from minicnn.engine.parallel import Executor
from minicnn.engine.plan import INPUT, make_plan
from minicnn.testing import oracles, tolerances

ARITHMETICS = {"float32": tolerances.FLOAT32, "float64": tolerances.FLOAT64}
CROSSENTROPIES = {
    "categorical": losses.CategoricalCrossentropy,
    "sparse": losses.SparseCategoricalCrossentropy,
    "binary": losses.BinaryCrossentropy,
}
ALL = [*CROSSENTROPIES.values(), losses.MeanAbsoluteError, losses.MeanSquaredError]


def example(kind, seed, dtype, from_logits, n=5, k=4):
    """(targets, predictions) with predictions well inside the clip."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k)) * 3
    p = logits if from_logits else np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    if kind == "binary" and not from_logits:
        p = 1 / (1 + np.exp(-logits))
    if kind == "sparse":
        return rng.integers(0, k, n), p.astype(dtype)
    t = rng.random((n, k)) if kind == "binary" else np.eye(k)[rng.integers(0, k, n)]
    return t.astype(dtype), p.astype(dtype)


@pytest.mark.parametrize("kind", CROSSENTROPIES)
@given(
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(["float32", "float64"]),
    from_logits=st.booleans(),
    reduction=st.sampled_from(["sum_over_batch_size", "sum", "none"]),
    weighted=st.booleans(),
)
def test_crossentropies(kind, seed, dtype, from_logits, reduction, weighted):
    t, p = example(kind, seed, dtype, from_logits)
    weight = np.random.default_rng(seed).random(len(p)).astype(dtype) if weighted else None
    loss = CROSSENTROPIES[kind](from_logits=from_logits, reduction=reduction, dtype=dtype)
    value = loss(t, p, sample_weight=weight)
    assert np.asarray(value).dtype == dtype
    options = {"kind": kind, "from_logits": from_logits, "sample_weight": weight, "reduction": reduction}
    expected = oracles.crossentropy_forward(t, p, **options)
    bound = tolerances.crossentropy_bound(t, p, **options, arithmetic=ARITHMETICS[dtype])
    assert (np.abs(value - expected) <= bound).all()


@given(seed=st.integers(0, 2**32 - 1), dtype=st.sampled_from(["float32", "float64"]))
def test_errors_of_regression(seed, dtype):
    rng = np.random.default_rng(seed)
    t, y = rng.normal(size=(2, 6, 3)).astype(dtype)
    # A difference, a square or an absolute value, three additions, a division: 6 roundings of positive terms.
    tolerance = {"rtol": float(ARITHMETICS[dtype].gamma(6))}
    exact = y.astype(np.float64) - t
    np.testing.assert_allclose(losses.mean_squared_error(t, y), (exact**2).mean(-1), **tolerance)
    np.testing.assert_allclose(losses.mean_absolute_error(t, y), np.abs(exact).mean(-1), **tolerance)


VALUES, WEIGHTS = np.array([1.0, 2.0, 4.0]), np.array([1.0, 0.0, 3.0])
SUM = float(VALUES @ WEIGHTS)


@pytest.mark.parametrize(
    ("reduction", "weights", "expected"),
    [
        ("sum_over_batch_size", None, 7 / 3),
        ("mean", None, 7 / 3),
        ("mean_with_sample_weight", None, 7 / 3),
        ("sum", None, 7),
        ("sum_over_batch_size", WEIGHTS, SUM / 3),
        ("mean", WEIGHTS, SUM / 3),
        ("mean_with_sample_weight", WEIGHTS, SUM / 4),
        ("mean_with_sample_weight", 0 * WEIGHTS, 0),
        ("sum", WEIGHTS, SUM),
        ("none", WEIGHTS, VALUES * WEIGHTS),
        (None, None, VALUES),
        ("sum", WEIGHTS[:, None], SUM),
        ("sum", 2.0, 14),
        ("sum", [2.0], 14),
    ],
)
def test_reductions(reduction, weights, expected):
    loss = losses.MeanAbsoluteError(reduction=reduction, dtype="float64")
    value = loss(np.zeros((3, 1)), VALUES[:, None], sample_weight=weights)
    np.testing.assert_allclose(value, expected, rtol=1e-15)  # small integers, one division
    if reduction in ("none", None):
        with pytest.raises(ValueError, match="reduced to a number"):
            loss.seed((3,), weights, "float64")
    else:
        seed = loss.seed((3,), weights, "float64")
        assert seed.shape == (3,)
        np.testing.assert_allclose(seed @ VALUES, expected, rtol=1e-15)


def test_weights_of_pixels():
    loss = losses.MeanSquaredError(reduction="sum_over_batch_size", dtype="float64")
    t, y = np.zeros((2, 3, 4)), np.ones((2, 3, 4))
    weights = np.arange(6.0).reshape(2, 3)
    assert loss(t, y, weights) == 15 / 6
    np.testing.assert_array_equal(loss.seed((2, 3), weights, "float64"), weights / 6)


@pytest.mark.parametrize("shape", [(2,), (4,), (3, 2), (3, 1, 1), (1, 3)])
def test_weights_that_do_not_fit(shape):
    loss = losses.MeanSquaredError()
    for call in (
        lambda: loss(np.zeros((3, 2)), np.zeros((3, 2)), np.ones(shape)),
        lambda: loss.seed((3,), np.ones(shape), "float32"),
    ):
        with pytest.raises(ValueError, match=r"sample_weight.*\(3,\)\. Received shape"):
            call()


@pytest.mark.parametrize("reduction", ["average", "SUM", 1, "", ["sum"]])
def test_unknown_reductions(reduction):
    for cls in ALL:
        with pytest.raises(ValueError, match="`reduction` must be one of"):
            cls(reduction=reduction)


# Training: lower, targets, seed

AFTER = {
    "categorical": ops.Softmax(name="s"),
    "sparse": ops.Softmax(name="s"),
    "binary": ops.Sigmoid(name="s"),
}


def gradient(loss, last_op, t, y, weight=None):
    """Gradient of the reduced loss by the predictions, or by the logits, as training computes it."""
    y = np.ascontiguousarray(y)
    op = loss.lower("loss", last_op)
    plan = make_plan((op,), y.shape[1:], backend="reference", dtype=y.dtype.name, value_gradients=[INPUT])
    seed = loss.seed(y.shape[:-1], weight, y.dtype.name)
    target = loss.targets(t, y.shape, y.dtype.name)
    result = Executor(plan).run({}, y, target=target, seed=seed)
    return float((result.losses * seed).sum()), result.value_gradients[INPUT]


@pytest.mark.parametrize("kind", CROSSENTROPIES)
@pytest.mark.parametrize("form", ["after activation", "logits", "probabilities"])
@given(seed=st.integers(0, 2**32 - 1), dtype=st.sampled_from(["float32", "float64"]), weighted=st.booleans())
def test_gradients_of_crossentropies(kind, form, seed, dtype, weighted):
    if (kind, form) == ("sparse", "probabilities"):
        return  # refused: test_sparse_probabilities_are_refused
    from_logits = form != "probabilities"
    t, y = example(kind, seed, dtype, from_logits)
    weight = np.random.default_rng(seed).random(len(y)).astype(dtype) if weighted else None
    loss = CROSSENTROPIES[kind](from_logits=form == "logits")
    last = AFTER[kind] if form == "after activation" else ops.Dense(name="d", units=4)
    value, dy = gradient(loss, last, t, y, weight)
    options = {"kind": kind, "from_logits": from_logits, "sample_weight": weight}
    arithmetic = ARITHMETICS[dtype]
    bound = tolerances.crossentropy_bound(t, y, **options, arithmetic=arithmetic)
    assert abs(value - oracles.crossentropy_forward(t, y, **options)) <= bound
    bound = tolerances.crossentropy_backward_bound(t, y, **options, arithmetic=arithmetic)
    assert (np.abs(dy - oracles.crossentropy_backward(t, y, **options)) <= bound).all()


@pytest.mark.parametrize("cls", [losses.MeanSquaredError, losses.MeanAbsoluteError])
def test_gradients_of_regression(cls):
    rng = np.random.default_rng(0)
    t, y = rng.normal(size=(2, 5, 3))
    for reduction in ("sum", "mean"):
        loss = cls(reduction=reduction, dtype="float64")
        value, dy = gradient(loss, None, t, y)
        np.testing.assert_allclose(value, loss(t, y), rtol=1e-14)  # 15 terms summed in another order
        slope = 2 * (y - t) if cls is losses.MeanSquaredError else np.sign(y - t)
        np.testing.assert_allclose(dy, slope / 3 / (5 if reduction == "mean" else 1), rtol=1e-15)


def test_sparse_probabilities_are_refused():
    with pytest.raises(ValueError, match=r"must end in a softmax.*The model ends in ReLU"):
        losses.SparseCategoricalCrossentropy().lower("loss", ops.ReLU(name="r"))


def test_softmax_for_binary_and_sigmoid_for_categorical_stay_probabilities():
    assert isinstance(losses.BinaryCrossentropy().lower("l", AFTER["sparse"]), ops.BinaryCrossEntropy)
    assert isinstance(
        losses.CategoricalCrossentropy().lower("l", AFTER["binary"]), ops.CategoricalCrossEntropy
    )


@pytest.mark.parametrize("kind", CROSSENTROPIES)
def test_from_logits_after_an_activation_warns(kind):
    loss = CROSSENTROPIES[kind](from_logits=True)
    with pytest.warns(
        UserWarning, match="received `from_logits=True`, but the `output` argument was produced by a"
    ):
        lowered = loss.lower("loss", AFTER[kind])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lowered == CROSSENTROPIES[kind]().lower("loss", AFTER[kind])
        assert lowered != loss.lower("loss", None)


def test_a_loss_of_ones_own_does_not_train():
    class Own(losses.Loss):
        def call(self, y_true, y_pred):
            return np.abs(y_true - y_pred).sum(-1)

    own = losses.resolve(Own())
    assert own(np.zeros((2, 3)), np.ones((2, 3))) == 3
    for call in (lambda: own.lower("l", None), lambda: own.targets(np.zeros(2), (2, 3), "float32")):
        with pytest.raises(ValueError, match="needs a derivative, which Own does not define"):
            call()


# Targets

PREDICTIONS = np.full((4, 3), 1 / 3, np.float32)


@pytest.mark.parametrize(
    "labels", [[0, 2, 1, 1], [[0], [2], [1], [1]], [0.0, 2.0, 1.0, 1.0], np.uint8([0, 2, 1, 1])]
)
def test_labels(labels):
    t = losses.SparseCategoricalCrossentropy().targets(labels, (4, 3), "float32")
    np.testing.assert_array_equal(t, np.eye(3, dtype=np.float32)[[0, 2, 1, 1]])
    assert t.dtype == np.float32


def test_labels_of_pixels():
    labels = np.random.default_rng(0).integers(0, 5, (2, 3, 4))
    for given_labels in (labels, labels[..., None]):
        t = losses.SparseCategoricalCrossentropy().targets(given_labels, (2, 3, 4, 5), "float64")
        np.testing.assert_array_equal(t.argmax(-1), labels)
        assert (t.sum(-1) == 1).all()


BAD_TARGETS = [
    (losses.SparseCategoricalCrossentropy, np.eye(3)[[0, 1, 2, 0]], ValueError, r"\(4, 3\).*one-hot"),
    (losses.SparseCategoricalCrossentropy, [0, 1, 2], ValueError, r"\(4,\).*\(4, 3\).*\(3,\)"),
    (
        losses.SparseCategoricalCrossentropy,
        [0, 1, 2, 3],
        ValueError,
        r"0 … 2 for 3 classes\. Received a label 3",
    ),
    (losses.SparseCategoricalCrossentropy, [0, 1, 2, -1], ValueError, "Received a label -1"),
    (losses.SparseCategoricalCrossentropy, [0, 1, 2, np.nan], ValueError, "Received a label nan"),
    (losses.SparseCategoricalCrossentropy, [0, 1, 2, 0.5], ValueError, r"integers\. Received a label 0\.5"),
    (losses.SparseCategoricalCrossentropy, ["0", "1", "2", "0"], TypeError, "real numbers"),
    (losses.SparseCategoricalCrossentropy, [0, 1, 2, 1j], TypeError, "real numbers"),
    (
        losses.CategoricalCrossentropy,
        [0, 1, 2, 0],
        ValueError,
        r"\(4,\).*\(4, 3\).*sparse_categorical_crossentropy",
    ),
    (losses.CategoricalCrossentropy, [[0], [1], [2], [0]], ValueError, r"\(4, 1\).*\(4, 3\)"),
    (losses.CategoricalCrossentropy, np.zeros((4, 4)), ValueError, r"\(4, 4\).*\(4, 3\)"),
    (losses.CategoricalCrossentropy, np.zeros((3, 3)), ValueError, r"\(3, 3\).*\(4, 3\)"),
    (losses.CategoricalCrossentropy, np.full((4, 3), None), TypeError, "dtype object"),
    (losses.BinaryCrossentropy, np.zeros(4), ValueError, r"\(4,\).*\(4, 3\)"),
    (losses.BinaryCrossentropy, np.full((4, 3), 2), ValueError, r"between 0 and 1\. Received a target 2"),
    (losses.BinaryCrossentropy, np.full((4, 3), -0.5), ValueError, r"Received a target -0\.5"),
    (losses.MeanSquaredError, np.zeros(4), ValueError, r"\(4,\).*\(4, 3\)"),
    (losses.MeanSquaredError, np.zeros(3), ValueError, r"\(3,\).*\(4, 3\)"),
    (losses.MeanAbsoluteError, np.zeros((1, 3)), ValueError, r"\(1, 3\).*\(4, 3\)"),
    (losses.MeanAbsoluteError, np.zeros((4, 2)), ValueError, r"\(4, 2\).*\(4, 3\)"),
]


@pytest.mark.parametrize(("cls", "y_true", "error", "message"), BAD_TARGETS)
def test_targets_that_do_not_fit(cls, y_true, error, message):
    loss = cls()
    for call in (
        lambda: loss.check_targets(y_true, (4, 3)),
        lambda: loss.targets(y_true, (4, 3), "float32"),
        lambda: loss(y_true, PREDICTIONS),
    ):
        with pytest.raises(error, match=message):
            call()


@pytest.mark.parametrize(
    "cls", [losses.BinaryCrossentropy, losses.MeanSquaredError, losses.MeanAbsoluteError]
)
def test_a_missing_last_axis_of_one(cls):
    y, loss = np.array([[0.25], [0.5]]), cls(dtype="float64")
    expected = loss([[1], [0]], y)
    assert loss([1, 0], y) == loss([[1], [0]], y[:, 0]) == expected
    np.testing.assert_array_equal(loss.targets([1, 0], (2, 1), "float64"), [[1], [0]])
    loss.check_targets([1, 0], (2, 1))


def test_one_target_for_all_outputs():
    y = np.array([[1.0, 2.0], [3.0, 5.0]])
    assert losses.MeanSquaredError(dtype="float64")([[1], [3]], y) == 5 / 4
    np.testing.assert_array_equal(
        losses.MeanSquaredError().targets([[1], [3]], (2, 2), "float64"), [[1, 1], [3, 3]]
    )


def test_targets_are_never_the_users_array_when_smoothed_and_never_changed():
    t = np.eye(3)[[0, 1]]
    smoothed = losses.CategoricalCrossentropy(label_smoothing=0.3).targets(t, (2, 3), "float64")
    np.testing.assert_allclose(smoothed, [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]], rtol=1e-15)
    np.testing.assert_array_equal(t, np.eye(3)[[0, 1]])
    smoothed = losses.BinaryCrossentropy(label_smoothing=0.5).targets([[1, 0]], (1, 2), "float64")
    np.testing.assert_array_equal(smoothed, [[0.75, 0.25]])


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, float("nan"), None, "0"])
def test_smoothing_that_makes_no_sense(smoothing):
    for cls in (losses.CategoricalCrossentropy, losses.BinaryCrossentropy):
        with pytest.raises(ValueError, match="label_smoothing"):
            cls(label_smoothing=smoothing)


def test_one_class_is_suspicious():
    with pytest.warns(SyntaxWarning, match="binary_crossentropy"):
        losses.CategoricalCrossentropy().check_targets(np.ones((4, 1)), (4, 1))


def test_only_the_last_axis():
    for cls in CROSSENTROPIES.values():
        with pytest.raises(ValueError, match="axis"):
            cls(axis=1)
    p = np.full((2, 3), 1 / 3)
    losses.categorical_crossentropy(np.eye(3)[:2], p, axis=1)
    with pytest.raises(ValueError, match="axis"):
        losses.categorical_crossentropy(np.eye(3)[:2], p, axis=0)


def test_ignore_class_is_refused():
    with pytest.raises(ValueError, match="does not implement `ignore_class`"):
        losses.SparseCategoricalCrossentropy(ignore_class=255)


def test_another_epsilon_is_refused_where_it_would_count():
    config.set_epsilon(1e-5)
    try:
        for kind, loss in CROSSENTROPIES.items():
            loss(from_logits=True).lower("loss", None)
            if kind != "sparse":
                with pytest.raises(ValueError, match="epsilon=1e-07 only"):
                    loss().lower("loss", None)
    finally:
        config.set_epsilon(1e-7)


def test_floatx_is_what_a_call_computes_in():
    assert losses.MeanSquaredError()(np.zeros((2, 2)), np.ones((2, 2))).dtype == np.float32
    config.set_floatx("float64")
    try:
        assert losses.MeanSquaredError()(np.zeros((2, 2)), np.ones((2, 2))).dtype == np.float64
    finally:
        config.set_floatx("float32")


# Identifiers


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("mse", losses.mean_squared_error),
        ("MAE", losses.mean_absolute_error),
        ("bce", losses.binary_crossentropy),
        ("categorical_crossentropy", losses.categorical_crossentropy),
    ],
)
def test_lower_case_names_are_functions(name, function):
    assert losses.get(name) is function
    resolved = losses.resolve(name)
    assert isinstance(resolved, losses.CLASS_OF[function])
    assert resolved.name == name


def test_resolve():
    loss = losses.MeanSquaredError()
    assert losses.resolve(loss) is loss
    assert isinstance(losses.resolve("MeanSquaredError"), losses.MeanSquaredError)
    assert isinstance(losses.resolve(losses.mean_squared_error), losses.MeanSquaredError)
    assert losses.get(None) is None
    with pytest.raises(
        ValueError, match=r"needs a derivative: one of binary_crossentropy.*Received <built-in"
    ):
        losses.resolve(print)


@pytest.mark.parametrize("cls", ALL)
def test_configuration(cls):
    config = cls(reduction="sum", name="mine").get_config()
    again = cls.from_config(config)
    assert again.get_config() == config
    assert (again.reduction, again.name) == ("sum", "mine")


@pytest.mark.parametrize("loss", [losses.mean_squared_error, losses.binary_crossentropy])
def test_a_single_number_is_no_prediction(loss):
    with pytest.raises(
        ValueError, match=r"`y_pred` must have at least one axis\. Received a single number\."
    ):
        loss(1.0, 0.5)


def test_one_sample_has_one_loss():
    assert losses.mean_squared_error([0, 1], [1, 3]) == 2.5
    assert losses.categorical_crossentropy([0, 1], [0.5, 0.5]) == pytest.approx(np.log(2), rel=1e-6)
    assert losses.sparse_categorical_crossentropy(1, [0.5, 0.5]) == pytest.approx(np.log(2), rel=1e-6)


def test_an_axis_of_one_in_the_targets_is_dropped():
    t = losses.MeanSquaredError().targets(np.ones((4, 3, 1)), (4, 3), "float32")
    assert t.shape == (4, 3)


def test_no_samples_have_no_labels():
    loss = losses.SparseCategoricalCrossentropy()
    assert loss.targets(np.zeros((0,)), (0, 3), "float32").shape == (0, 3)


def test_a_loss_without_call():
    with pytest.raises(NotImplementedError, match="Loss does not define `call`"):
        losses.Loss()(np.zeros((1, 1)), np.zeros((1, 1)))
