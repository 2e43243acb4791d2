"""Regularizers: what is refused, and where a penalty goes. The numbers are compared with Keras's."""

import numpy as np
import pytest

from minicnn import Input, config, layers, models, regularizers
from minicnn.testing.tolerances import Arithmetic

X = np.random.default_rng(0).random((40, 5))
Y = np.random.default_rng(1).random((40, 2))


def net(kernel=None, bias=None, **more):
    model = models.Sequential(
        [Input((5,)), layers.Dense(2, kernel_regularizer=kernel, bias_regularizer=bias, **more)]
    )
    model.set_weights([np.linspace(-1, 1, 10).reshape(5, 2), np.array([0.5, 0.0])])
    return model


class Cubic(regularizers.Regularizer):
    """Σ|x|³, of one's own."""

    def __call__(self, x):
        return np.sum(np.abs(x) ** 3)

    def gradient(self, x):
        return 3 * x * np.abs(x)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: regularizers.L1(-1), "`l1` must be a finite number of at least 0"),
        (lambda: regularizers.L2("much"), "`l2` must be a finite number"),
        (lambda: regularizers.L1L2(l2=float("inf")), "`l2` must be a finite number"),
        (lambda: layers.Dense(2, kernel_regularizer="l3"), "Unknown regularizer: 'l3'"),
        (
            lambda: layers.Conv2D(2, 3, bias_regularizer=lambda x: 0.0),
            "must be a Regularizer, which has a `gradient`",
        ),
        (lambda: layers.Dense(2, activity_regularizer="l2"), "does not implement `activity_regularizer`"),
        (lambda: regularizers.get(3), "Could not interpret regularizer identifier"),
    ],
)
def test_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_what_a_subclass_must_define():
    base = regularizers.Regularizer()
    for call in (lambda: base(X), lambda: base.gradient(X), base.get_config):
        with pytest.raises(NotImplementedError):
            call()


@pytest.mark.parametrize(
    ("kernel", "bias", "penalty"),
    [
        (None, None, 0.0),
        ("l2", None, 0.01 * 4.0740741),
        (None, regularizers.L1(0.1), 0.05),
        (Cubic(), "l1", None),
    ],
)
def test_the_penalty_is_in_loss_and_gradient_once(kernel, bias, penalty):
    """Whatever the number of samples, chunks and weights of samples; by `gradients`, `evaluate` and `fit`."""
    plain, model = net(), net(kernel, bias)
    total = sum(float(loss) for loss in model.losses)
    if penalty is not None:
        assert total == pytest.approx(penalty, rel=1e-6)  # the literal above has 8 digits
    for each in (plain, model):
        each.compile("sgd", "mse", backend="reference")
    without, with_it = plain.gradients(X, Y), model.gradients(X, Y)
    assert with_it.loss == pytest.approx(without.loss + total, rel=1e-6)  # a sum of float32 losses
    for a, b, v in zip(without.weights.values(), with_it.weights.values(), model.weights, strict=True):
        expected = a + (v.regularizer.gradient(v.array) if v.regularizer else 0)
        np.testing.assert_array_equal(b, expected)
    evaluated = model.evaluate(X, Y, verbose=0)
    assert evaluated == pytest.approx(plain.evaluate(X, Y, verbose=0) + total, rel=1e-6)
    first = model.fit(X, Y, batch_size=40, verbose=0).history["loss"][0]
    assert first == pytest.approx(evaluated, rel=1e-6)


def test_frozen_weights_have_no_penalty():
    model = net("l2")
    assert len(model.losses) == 1
    model.layers[-1].trainable = False
    assert model.losses == []


@pytest.mark.jitted
def test_the_same_bits_for_any_number_of_threads():
    found = []
    before = config.num_threads()
    for threads in (1, 2, 3):
        config.set_num_threads(threads)
        model = net("l1", "l2", dtype="float32")
        model.compile("adam", "mse")
        model.fit(X, Y, batch_size=16, epochs=3, shuffle=False, verbose=0)
        found.append([w.tobytes() for w in model.get_weights()])
    config.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def test_float64_is_summed_in_float64():
    x = np.full(10**5, 0.1, np.float32)
    bound = Arithmetic(np.dtype("float32")).u * float(np.float32(0.1) ** 2) * 10**5
    assert abs(float(regularizers.L2(1.0)(x)) - float(np.float32(0.1)) ** 2 * 10**5) <= bound
