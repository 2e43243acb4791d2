"""Losses: Keras's arguments, values, reductions, gradients and warnings."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from minicnn import losses
from minicnn.engine import ops
from minicnn.engine.parallel import Executor
from minicnn.engine.plan import INPUT, make_plan
from minicnn.testing import tolerances
from tests.keras.agreement import ARITHMETICS, assert_agree, assert_same_signature

CLASSES = {
    "categorical": "CategoricalCrossentropy",
    "sparse": "SparseCategoricalCrossentropy",
    "binary": "BinaryCrossentropy",
    "squared": "MeanSquaredError",
    "absolute": "MeanAbsoluteError",
}
FUNCTIONS = {
    "categorical": "categorical_crossentropy",
    "sparse": "sparse_categorical_crossentropy",
    "binary": "binary_crossentropy",
    "squared": "mean_squared_error",
    "absolute": "mean_absolute_error",
}
CROSSENTROPIES = ("categorical", "sparse", "binary")
SEEDS = st.integers(0, 2**32 - 1)
DTYPES = st.sampled_from(["float32", "float64"])
SHAPES = st.sampled_from([(1, 2), (5, 4), (3, 10), (2, 3, 4), (7, 1)])


def example(kind, shape, seed, dtype, form="logits"):
    """(targets, predictions): logits, probabilities inside the clip, or values that reach and leave it."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=shape) * 3
    p = logits
    if kind in CROSSENTROPIES and form != "logits":
        e = np.exp(logits - logits.max(-1, keepdims=True))
        p = 1 / (1 + np.exp(-logits)) if kind == "binary" else e / e.sum(-1, keepdims=True)
        if form == "clipped":
            p = np.where(rng.random(shape) < 0.3, rng.choice([0.0, 1.0, 1e-9, 1 - 1e-9], shape), p)
            if kind != "binary":
                p[..., 0] += 1e-3  # a sum that isn't 0
    if kind == "sparse":
        return rng.integers(0, shape[-1], shape[:-1]), p.astype(dtype)
    if kind == "categorical":
        return np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])].astype(dtype), p.astype(dtype)
    return (rng.random(shape) if kind == "binary" else rng.normal(size=shape)).astype(dtype), p.astype(dtype)


def bound_of(kind, t, p, dtype, from_logits):
    """Bound on each sample's loss."""
    arithmetic = ARITHMETICS[dtype]
    if kind not in CROSSENTROPIES:
        error = np.abs(p.astype(np.float64) - t)
        value = (error**2 if kind == "squared" else error).mean(-1)
        return arithmetic.sum_bound(p.shape[-1] + 4, value)
    shape = p.shape[:-1]
    t, p = t.reshape(-1, *t.shape[len(shape) :]), p.reshape(-1, p.shape[-1])
    options = {"kind": kind, "from_logits": from_logits, "reduction": "none"}
    return tolerances.crossentropy_bound(t, p, **options, arithmetic=arithmetic).reshape(shape)


@pytest.mark.parametrize("kind", CLASSES)
def test_arguments_and_configurations(kind):
    for name in (CLASSES[kind], FUNCTIONS[kind]):
        assert_same_signature(getattr(losses, name), getattr(keras.losses, name))
    ours, theirs = getattr(losses, CLASSES[kind]), getattr(keras.losses, CLASSES[kind])
    assert losses.serialize(ours()) == keras.losses.serialize(theirs())
    config = keras.losses.serialize(theirs(reduction="sum"))
    assert losses.serialize(losses.deserialize(config)) == config
    assert keras.losses.serialize(keras.losses.deserialize(losses.serialize(ours(reduction="sum")))) == config


def test_string_identifiers():
    for name in losses.registry._names:
        if name == "RegisteredLoss":
            continue
        ours, theirs = losses.get(name), keras.losses.get(name)
        assert getattr(ours, "__name__", type(ours).__name__) == getattr(
            theirs, "__name__", type(theirs).__name__
        )
    for module in (losses, keras.losses):
        for wrong in ("nope", "Mse", 3):
            with pytest.raises(ValueError, match="loss"):
                module.get(wrong)


@pytest.mark.parametrize("form", ["logits", "probabilities"])
@pytest.mark.parametrize("kind", CLASSES)
@given(SEEDS, SHAPES, DTYPES)
def test_functions(kind, form, seed, shape, dtype):
    if kind not in CROSSENTROPIES and form == "logits":
        return
    t, p = example(kind, shape, seed, dtype, form)
    options = {"from_logits": form == "logits"} if kind in CROSSENTROPIES else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # one class
        theirs = np.array(getattr(keras.losses, FUNCTIONS[kind])(t, p, **options))
    ours = getattr(losses, FUNCTIONS[kind])(t, p, **options)
    assert ours.dtype == theirs.dtype
    assert_agree(ours, theirs, bound_of(kind, t, p, dtype, form == "logits"))


@pytest.mark.parametrize("kind", CROSSENTROPIES)
@given(SEEDS, st.sampled_from([(5, 4), (2, 3, 4)]), DTYPES)
def test_where_the_clip_acts(kind, seed, shape, dtype):
    t, p = example(kind, shape, seed, dtype, "clipped")
    ours = getattr(losses, FUNCTIONS[kind])(t, p)
    theirs = np.array(getattr(keras.losses, FUNCTIONS[kind])(t, p))
    # Near the clip the logarithm turns u into u/1e-7: 1 − 1e-7 is itself rounded, in float32 to 1 − 1.19e-7, which
    # moves log(1 − q) by 0.18. Elsewhere |log| is at most 16.2, with a handful of roundings.
    near_one = 0.2 if dtype == "float32" else 2.0**-53 / 1e-7 * 4
    saturated = near_one * (p > 0.999).mean(-1) if kind == "binary" else 0.0
    assert_agree(ours, theirs, saturated + ARITHMETICS[dtype].gamma(tolerances.FUNCTION + 8) * 17 * shape[-1])


@pytest.mark.parametrize("kind", CLASSES)
@given(
    seed=SEEDS,
    shape=st.sampled_from([(5, 4), (2, 3, 4), (6, 1)]),
    dtype=DTYPES,
    reduction=st.sampled_from(
        ["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None]
    ),
    weights=st.sampled_from([None, "samples", "column", "zeros"]),
    smoothing=st.sampled_from([0.0, 0.1]),
)
def test_objects(kind, seed, shape, dtype, reduction, weights, smoothing):
    t, p = example(kind, shape, seed, dtype)
    options = {"reduction": reduction, "dtype": dtype}
    if kind in CROSSENTROPIES:
        options["from_logits"] = True
    if kind in ("categorical", "binary"):
        options["label_smoothing"] = smoothing
    sample_weight = None
    if weights is not None:
        rows = shape[:-1] if weights != "column" else (*shape[:-1], 1)
        sample_weight = np.random.default_rng(seed).random(rows).astype(dtype) * (weights != "zeros")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        theirs = np.array(getattr(keras.losses, CLASSES[kind])(**options)(t, p, sample_weight))
    ours = np.asarray(getattr(losses, CLASSES[kind])(**options)(t, p, sample_weight))
    assert ours.dtype == theirs.dtype
    smoothed = t * (1 - smoothing) + smoothing if kind in ("categorical", "binary") else t
    each = bound_of(kind, smoothed, p, dtype, True)
    # Each sample's bound as it is weighted, and the roundings of the weighted sum of at most 6.
    values = np.abs(np.array(getattr(losses, CLASSES[kind])(**options | {"reduction": "none"})(t, p)))
    factor = 1.0 if sample_weight is None else sample_weight.reshape(shape[:-1])
    each = (each + ARITHMETICS[dtype].gamma(10) * values) * factor
    if reduction in ("none", None):
        assert_agree(ours.reshape(each.shape), theirs.reshape(each.shape), each + ARITHMETICS[dtype].eta)
        return
    divisor = {"sum": 1.0, "mean_with_sample_weight": np.sum(factor) or 1.0}.get(reduction, each.size)
    if sample_weight is None and reduction == "mean_with_sample_weight":
        divisor = each.size
    assert_agree(ours, theirs, each.sum() / divisor + ARITHMETICS[dtype].eta)


ACTIVATIONS = {"categorical": "softmax", "sparse": "softmax", "binary": "sigmoid"}
LAST = {"softmax": ops.Softmax(name="s"), "sigmoid": ops.Sigmoid(name="s")}


@pytest.mark.parametrize("form", ["activation", "logits", "probabilities"])
@pytest.mark.parametrize("kind", CLASSES)
@given(
    seed=SEEDS,
    shape=st.sampled_from([(5, 4), (3, 10), (2, 3, 4)]),
    dtype=DTYPES,
    reduction=st.sampled_from(["sum_over_batch_size", "sum", "mean_with_sample_weight"]),
    weighted=st.booleans(),
)
def test_gradients(kind, form, seed, shape, dtype, reduction, weighted):
    """What training computes: the op the loss lowers to, its targets and its seed, against GradientTape."""
    if (kind, form) == ("sparse", "probabilities") or (kind not in CROSSENTROPIES and form != "logits"):
        return
    t, y = example(kind, shape, seed, dtype, "probabilities" if form == "probabilities" else "logits")
    weight = np.random.default_rng(seed).random(shape[:-1]).astype(dtype) if weighted else None
    options = {"from_logits": form == "logits"} if kind in CROSSENTROPIES else {}
    ours = getattr(losses, CLASSES[kind])(reduction=reduction, **options)
    theirs = getattr(keras.losses, CLASSES[kind])(reduction=reduction, dtype=dtype, **options)

    last = LAST[ACTIVATIONS[kind]] if form == "activation" else None
    plan = make_plan(
        (ours.lower("loss", last),), shape[1:], backend="reference", dtype=dtype, value_gradients=[INPUT]
    )
    loss_seed = ours.seed(shape[:-1], weight, dtype)
    result = Executor(plan).run({}, y, target=ours.targets(t, shape, dtype), seed=loss_seed)

    variable = tf.Variable(y)
    with tf.GradientTape() as tape:
        predictions = tf.identity(variable)
        if form == "activation":
            predictions = getattr(keras.activations, ACTIVATIONS[kind])(predictions)
        value = theirs(t, predictions, weight)
    expected = np.array(tape.gradient(value, variable))

    # Each sample's bound times its seed, and the roundings of the seed.
    rows, scale = t.reshape(-1, *t.shape[len(shape) - 1 :]), loss_seed.astype(np.float64)
    arithmetic = ARITHMETICS[dtype]
    if kind in CROSSENTROPIES:
        each = tolerances.crossentropy_backward_bound(
            rows,
            y.reshape(-1, shape[-1]),
            kind=kind,
            from_logits=form != "probabilities",
            reduction="sum",
            arithmetic=arithmetic,
        ).reshape(shape)
    else:
        slope = 2 * np.abs(y.astype(np.float64) - t) if kind == "squared" else np.ones(shape)
        each = arithmetic.sum_bound(6, slope / shape[-1])
    bound = each * scale[..., None] + arithmetic.gamma(6) * np.abs(expected)
    assert_agree(result.value_gradients[INPUT], expected, bound + arithmetic.eta)
    losses_bound = bound_of(kind, t, y, dtype, form != "probabilities")
    total_bound = ((losses_bound + arithmetic.gamma(12) * np.abs(result.losses)) * scale).sum()
    assert_agree((result.losses.astype(np.float64) * scale).sum(), value, total_bound)


@pytest.mark.parametrize("kind", CROSSENTROPIES)
def test_the_warning_has_keras_words(kind):
    t, y = example(kind, (2, 3), 0, "float32")
    with warnings.catch_warnings(record=True) as theirs:
        warnings.simplefilter("always")
        predictions = getattr(keras.activations, ACTIVATIONS[kind])(tf.constant(y))
        getattr(keras.losses, CLASSES[kind])(from_logits=True)(t, predictions)
    with warnings.catch_warnings(record=True) as ours:
        warnings.simplefilter("always")
        getattr(losses, CLASSES[kind])(from_logits=True).lower("loss", LAST[ACTIVATIONS[kind]])
    assert [str(w.message) for w in ours] == [str(w.message) for w in theirs]
    assert len(ours) == 1


@pytest.mark.parametrize("kind", ["binary", "squared", "absolute"])
@pytest.mark.parametrize(
    ("t_shape", "p_shape"),
    [((4,), (4, 1)), ((4, 1), (4,)), ((4,), (4,)), ((4, 1), (4, 1)), ((2, 3), (2, 3, 1))],
)
def test_ranks_that_differ_by_one(kind, t_shape, p_shape):
    rng = np.random.default_rng(0)
    t, p = rng.random(t_shape), rng.random(p_shape) * 0.9 + 0.05
    # From predictions of several axes Keras drops the last one, and takes the mean over the one before: another shape
    # of the losses, the same mean. We give the targets the axis that they lack.
    for reduction in ("sum", "none") if len(p_shape) < 3 else ("mean",):
        ours = getattr(losses, CLASSES[kind])(reduction=reduction, dtype="float64")(t, p)
        theirs = np.array(getattr(keras.losses, CLASSES[kind])(reduction=reduction, dtype="float64")(t, p))
        assert np.shape(ours) == theirs.shape
        np.testing.assert_allclose(
            ours, theirs, rtol=1e-13
        )  # at most 6 terms, logarithms of moderate numbers


def test_labels_in_a_column():
    p = np.full((3, 4), 0.25)
    for shape in ((3,), (3, 1)):
        t = np.arange(3).reshape(shape)
        ours = losses.sparse_categorical_crossentropy(t, p)
        np.testing.assert_allclose(
            ours, keras.losses.sparse_categorical_crossentropy(t, p), rtol=1e-14
        )  # log 4


@pytest.mark.parametrize(
    ("kind", "t_shape", "p_shape"),
    [
        ("categorical", (4,), (4, 3)),
        ("categorical", (4, 1), (4, 3)),
        ("categorical", (4, 2), (4, 3)),
        ("categorical", (3, 3), (4, 3)),
        ("sparse", (4, 3), (4, 3)),
        ("sparse", (3,), (4, 3)),
        ("binary", (4,), (4, 3)),
        ("binary", (4, 2), (4, 3)),
        ("squared", (3, 2), (4, 3)),
        ("absolute", (4, 2), (4, 3)),
    ],
)
def test_both_refuse(kind, t_shape, p_shape):
    for module in (losses, keras.losses):
        with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
            getattr(module, CLASSES[kind])()(np.zeros(t_shape), np.full(p_shape, 0.25))


def test_configurations_keep_their_arguments():
    for cls, arguments in (
        ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.25}),
        ("BinaryCrossentropy", {"label_smoothing": 0.5, "reduction": None}),
        ("SparseCategoricalCrossentropy", {"from_logits": True, "name": "x"}),
    ):
        ours, theirs = getattr(losses, cls)(**arguments), getattr(keras.losses, cls)(**arguments)
        assert ours.get_config() == theirs.get_config()
