"""Explanations: the terms are all there, in the reference's order, and sum to what the model computes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn import Input, config, layers, models, study, utils
from minicnn.engine import ops
from minicnn.study.explaining.recording import record
from minicnn.study.explaining.steps import Choice, Copy, Curve, Difference, Share, Sum
from tests.study import fused
from tests.study.geometries import (
    PAIRS,
    Case,
    convolution_and_relu,
    convolution_relu_and_pool,
    convolutions,
    dense_and_relu,
    in_order,
    others,
    winograd,
)


@pytest.fixture(autouse=True)
def in_float64():
    config.set_floatx("float64")
    yield
    config.set_floatx("float32")


def arithmetic(model: models.Sequential, x, dy):
    """The recording, and (position, y, dx, dw) of its op of PAIRS by the reference, or None."""
    run = record(model, x, dy=dy)
    for k, op in enumerate(run.ops):
        if type(op) in PAIRS:
            return run, (k, *in_order(op, run.values[k], list(run.w(k)), run.gradients[k + 1]))
    return run, None


def some_index(rng, shape) -> tuple[int, ...]:
    return tuple(int(rng.integers(size)) for size in shape)


def check_sum(step: Sum, reference, stored: float) -> None:
    """Bit for bit in the reference's order, and within the bound of the run."""
    assert step.value == reference
    assert step.stored == stored
    assert abs(step.value - stored) <= step.bound("float64")


def check(case: Case, seed: int) -> None:
    """One element of everything that the case's layer has."""
    rng = np.random.default_rng(seed)
    model = case.model(rng)
    x = rng.normal(size=(2, *model.input_shape[1:]))
    dy = rng.normal(size=(2, *model.output_shape[1:]))
    run, found = arithmetic(model, x, dy)
    (layer,) = model.layers
    y_plan, residuals = layer.forward(x)
    plan = layer.backward(dy, residuals)
    results = {"output": (y_plan, None), "input": (plan.dx, dy)}
    if layer.weights:
        results["weight"] = (plan.weights[0], dy)
    if len(layer.weights) > 1:
        results["bias"] = (plan.weights[1], dy)
    for kind, (default, gradient) in results.items():
        index = some_index(rng, default.shape)
        e = study.explain(model, x, dy=gradient, layer="layer", **{kind: index})
        assert e.shape == default.shape and e.index == index
        np.testing.assert_allclose(
            e.stored, default[index], rtol=1e-9, atol=1e-12
        )  # of one element of O(1) terms
        sums = [step for step in e.steps if isinstance(step, Sum)]
        if found is None or not sums:
            assert e.steps
            continue
        k, y, dx, dw = found
        whole = {"output": y, "input": dx, "weight": dw[0] if dw else None, "bias": dw[-1] if dw else None}[
            kind
        ]
        (step,) = sums
        if kind in ("weight", "bias"):
            assert step.value == whole[step.index]
        else:
            recorded = run.values[k + 1] if kind == "output" else run.gradients[k]
            check_sum(step, whole[step.index], recorded[step.index])
        if len(e.steps) == 1 and case.arguments.get("activation") != "tanh":  # whose dy is rounded before
            assert abs(step.value - default[index]) <= step.bound("float64")


@given(convolutions(), st.integers(0, 2**32))
def test_the_terms_of_a_convolution_sum_to_the_reference(case, seed):
    check(case, seed)


@given(others(), st.integers(0, 2**32))
def test_the_terms_of_other_layers_sum_to_the_reference(case, seed):
    check(case, seed)


CHAINS = {
    "dense": dense_and_relu(),
    "convolution": convolution_and_relu(),
    "with pool": convolution_relu_and_pool(),
    "winograd": winograd(),
}


@pytest.mark.parametrize(
    ("name", "share"),
    # A net that Winograd's kernels take has thousands of numbers; in plain Python that is seconds for each draw.
    [
        ("dense", 2),
        ("convolution", 2),
        ("with pool", 2),
        pytest.param("winograd", 10, marks=pytest.mark.jitted),
    ],
)
def test_the_terms_sum_to_what_the_default_plan_computes(name, share):
    """Fused, forward and backward, as `fit` runs it; in every geometry that fuses."""

    @settings(max_examples=settings().max_examples // share)
    @given(CHAINS[name], st.sampled_from(["float32", "float64"]), st.integers(0, 2**32))
    def check_chain(chain, dtype, seed):
        config.set_floatx(dtype)
        rng = np.random.default_rng(seed)
        model = chain.model(rng)
        x, dy = (
            rng.normal(size=(2, *shape)).astype(dtype)
            for shape in (model.input_shape[1:], model.output_shape[1:])
        )
        plain = record(model, x, dy=dy)
        bounds = fused.bounds(chain, model, plain, dtype)
        is_undecided = fused.is_undecided(chain, plain.values[1], bounds["output"])
        dy[is_undecided] = 0
        y, gradients = fused.run(chain, model, x, dy)
        for kind, computed in gradients.items():
            index = some_index(rng, computed.shape)
            step = study.explain(model, x, dy=dy, layer="layer", **{kind: index}).sum
            bound = bounds[kind][index] if kind in bounds else step.bound(dtype)
            assert abs(step.value - computed[index]) <= bound, (kind, index)
        index = at = some_index(rng, y.shape)
        if is_undecided[index]:
            return
        if chain.pool:
            (choice,) = study.explain(model, x, layer="pool", output=index).steps
            at = (index[0], *map(int, choice.pixels[choice.winner]), index[3])
        step = study.explain(model, x, layer="layer", output=at).sum
        assert abs(max(step.value, 0) - y[index]) <= bounds["output"][at], index

    check_chain()


def small_net() -> models.Sequential:
    utils.set_random_seed(3)
    return models.Sequential(
        [
            Input((9, 9, 1)),
            layers.Conv2D(3, 3, activation="relu", name="conv"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Dropout(0.5, name="dropout"),
            layers.Flatten(name="flatten"),
            layers.Dense(5, activation="tanh", name="dense"),
            layers.Dense(4, activation="softmax", name="last"),
        ]
    )


X = np.random.default_rng(5).random((3, 9, 9, 1))
Y = np.array([1, 0, 3])


def kinds(e) -> list[str]:
    return [type(step).__name__ for step in e.steps]


def test_a_convolution_with_its_activation_and_the_pool_behind_it():
    model = small_net()
    e = study.explain(model, X, layer="conv", output=(1, 3, 4, 2))
    assert kinds(e) == ["Sum", "Curve"] and e.title == "conv: y[1, 3, 4, 2]"
    total, curve = e.steps
    assert total.name == "conv/linear" and len(total.terms) == 9
    assert curve.input == total.stored and curve.output == max(total.stored, 0) == e.stored
    (choice,) = e.after
    assert choice.index == (1, 1, 2, 2) and choice.name == "pool"
    assert [3, 4] in choice.pixels.reshape(-1, 2).tolist() and choice.values.max() == choice.stored
    assert study.explain(model, X, layer="conv", output=(1, 6, 6, 2)).after == ()  # the pool leaves it out


@pytest.mark.parametrize(
    "activation", ["relu", "sigmoid", "tanh", "elu", "gelu", "silu", "softplus", "leaky_relu"]
)
def test_elementwise_ops_show_input_derivative_and_product(activation):
    model = models.Sequential([Input((6,)), layers.Activation(activation, name="layer")])
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, 6)), rng.normal(size=(2, 6))
    for index in np.ndindex(2, 6):
        (step,) = study.explain(model, x, layer="layer", output=index).steps
        assert isinstance(step, Curve) and step.input == x[index]
        assert step.output == pytest.approx(step.stored, rel=1e-14)
        nudged = (model(x + 1e-6) - model(x - 1e-6))[index] / 2e-6
        (step,) = study.explain(model, x, dy=dy, layer="layer", input=index).steps
        assert (
            step.derivative == pytest.approx(nudged, abs=1e-8) and step.dy == dy[index]
        )  # finite differences
        assert step.dy * step.derivative == pytest.approx(step.stored, rel=1e-14)


def test_softmax_shows_shares_and_a_row_of_the_jacobian():
    model = models.Sequential([Input((5,)), layers.Softmax(name="layer")])
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, 5)), rng.normal(size=(2, 5))
    y = model(x)
    (share,) = study.explain(model, x, layer="layer", output=(1, 2)).steps
    assert isinstance(share, Share)
    assert share.exponentials[2] / share.exponentials.sum() == pytest.approx(y[1, 2], rel=1e-14)
    e = study.explain(model, x, dy=dy, layer="layer", input=(1, 2))
    np.testing.assert_allclose(e.sum.first, y[1, 2] * ((np.arange(5) == 2) - y[1]), rtol=1e-13)
    assert (e.sum.second == dy[1]).all()
    assert abs(e.sum.value - e.stored) <= e.sum.bound("float64")


def test_a_softmax_output_shows_where_its_own_logit_comes_from():
    e = study.explain(small_net(), X, layer="last", output=(0, 2))
    assert kinds(e) == ["Sum", "Share"]
    assert e.sum.stored == e.steps[1].logits[2]


@pytest.mark.parametrize(
    ("last", "loss", "y"),
    [
        ("softmax", "sparse_categorical_crossentropy", Y),
        ("sigmoid", "binary_crossentropy", np.eye(4)[Y]),
    ],
)
def test_a_loss_with_its_activation_gives_a_difference(last, loss, y):
    model = models.Sequential([Input((4,)), layers.Activation(last, name="layer")])
    model.compile(loss=loss)
    x = np.random.default_rng(2).normal(size=(3, 4))
    truth = model.gradients(x, y, wants="input").input
    for index in np.ndindex(3, 4):
        (step,) = study.explain(model, x, y, layer="layer", input=index).steps
        assert isinstance(step, Difference) and step.target == np.eye(4)[Y][index]
        assert (step.probability - step.target) * step.seed == pytest.approx(truth[index], rel=1e-12)
        assert step.stored == pytest.approx(truth[index], rel=1e-12)


def test_gradients_of_the_loss_are_those_of_the_model():
    """Explained op by op, they agree with what the fused plan that trains computes."""
    model = small_net()
    model.compile(loss="sparse_categorical_crossentropy")
    truth = model.gradients(X, Y, wants=("weights", "input"))
    for layer in ("conv", "dense", "last"):
        kernel, bias = (truth.weights[f"{layer}/{name}"] for name in ("kernel", "bias"))
        index = tuple(size - 1 for size in kernel.shape)
        for e, expected in (
            (study.explain(model, X, Y, layer=layer, weight=index), kernel[index]),
            (study.explain(model, X, Y, layer=layer, bias=(-1,)), bias[-1]),
        ):
            # The dy that both start from differ by a rounding of each layer between.
            assert e.sum.value == pytest.approx(expected, rel=1e-9, abs=1e-14)
    e = study.explain(model, X, Y, layer="conv", input=(2, 4, 4, 0))
    assert e.sum.value == pytest.approx(truth.input[2, 4, 4, 0], rel=1e-9, abs=1e-14)


def test_in_float32_the_terms_are_exact_and_the_default_plan_is_within_the_bound():
    config.set_floatx("float32")
    model = small_net()
    y = model(X.astype(np.float32))
    e = study.explain(model, X, layer="last", output=(0, 2))
    assert e.dtype == "float32" and e.shape == y.shape
    conv = models.Model(model.layers[0].input, model.layers[0].output)(X)
    for index in [(0, 0, 0, 0), (2, 6, 6, 2), (1, 3, 2, 1)]:
        step = study.explain(model, X, layer="conv", output=index).sum
        assert abs(max(step.value, 0) - conv[index]) <= step.bound("float32") < 1e-5
        assert (
            step.terms == [float(a) * float(b) for a, b in zip(step.first, step.second, strict=True)]
        ).all()


def test_a_max_pool_shows_winner_and_ties_and_who_sends_the_gradient():
    model = models.Sequential([Input((3, 3, 1)), layers.MaxPooling2D(2, 1, name="layer")])
    x = np.array([[1.0, 5, 5], [0, 5, 2], [3, 1, 5]]).reshape(1, 3, 3, 1)
    (choice,) = study.explain(model, x, layer="layer", output=(0, 0, 1, 0)).steps
    assert isinstance(choice, Choice) and choice.winner == (0, 0) and choice.ties == 3
    dy = np.array([[1.0, 10], [100, 1000]]).reshape(1, 2, 2, 1)
    e = study.explain(model, x, dy=dy, layer="layer", input=(0, 1, 1, 0))
    assert list(zip(e.sum.first, e.sum.second, strict=True)) == [(1000, 1), (100, 1), (10, 0), (1, 0)]
    assert e.stored == e.sum.value == 1100


def test_moving_layers_say_where_an_element_comes_from():
    model = small_net()
    (copy,) = study.explain(model, X, layer="flatten", output=(1, 13)).steps
    assert isinstance(copy, Copy) and copy.source == (1, 1, 1, 1)  # 13 = (1·3 + 1)·3 + 1
    (copy,) = study.explain(model, X, layer="dropout", output=(1, 1, 0, 1)).steps
    assert copy.source == (1, 1, 0, 1)
    padded = models.Sequential([Input((2, 2, 1)), layers.ZeroPadding2D(1, name="layer")])
    (copy,) = study.explain(padded, np.ones((1, 2, 2, 1)), layer="layer", output=(0, 0, 1, 0)).steps
    assert copy.source is None and copy.stored == 0


def test_a_layer_of_a_model_inside_is_found():
    inner = models.Sequential([Input((4, 4, 1)), layers.Conv2D(2, 2, name="inner_conv")])
    model = models.Sequential([Input((4, 4, 1)), inner, layers.Flatten()])
    e = study.explain(model, np.ones((1, 4, 4, 1)), layer="inner_conv", output=(0, 2, 2, 1))
    assert e.stored == model(np.ones((1, 4, 4, 1)))[0, -1]


class Squares(layers.Layer):
    def lower(self, shape):
        return (ops.Custom(name=self.name, function="explained_square", shape=shape),)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output": (0, 0, 0, 0), "weight": (0, 0, 0, 0)}, r"exactly one .* Received \['output', 'weight'\]"),
        ({}, r"exactly one .* Received \[\]"),
        (
            {"layer": "conv9", "output": (0, 0, 0, 0)},
            r"`layer` must be one of \['conv', 'pool'.*\. Received layer='conv9'",
        ),
        (
            {"output": (0, 7, 0, 0)},
            r"index of an array of shape \(3, 7, 7, 3\)\. Received output=\(0, 7, 0, 0\)",
        ),
        ({"output": (0, 0, 0)}, r"`output` must be an index"),
        ({"output": "0000"}, r"`output` must be an index"),
        ({"output": (0, 0, 0, 0.5)}, r"`output` must be an index"),
        ({"weight": (0, 0, 0, 0)}, r"either targets `y` or .* Received neither"),
        ({"weight": (0, 0, 0, 0), "y": Y, "dy": np.ones((3, 4))}, r"Received both"),
        ({"weight": (0, 0, 0, 0), "y": Y}, r"a model compiled with one"),
        (
            {"weight": (0, 0, 0, 0), "dy": np.ones((3, 5))},
            r"outputs' shape \(3, 4\)\. Received shape \(3, 5\)",
        ),
        (
            {"layer": "pool", "weight": (0,), "dy": np.ones((3, 4))},
            r"`weight` needs a convolution .* MaxPooling2D",
        ),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        study.explain(small_net(), X, **{"layer": "conv"} | arguments)


def test_an_op_of_the_users_own_is_not_explained():
    from minicnn.ops import register

    register("explained_square", lambda x: (x * x, x), lambda dy, x: (2 * x * dy,))
    model = models.Sequential([Input((3,)), Squares(name="layer")])
    with pytest.raises(ValueError, match=r"minicnn's own ops\. Received a Custom"):
        study.explain(model, np.ones((1, 3)), layer="layer", output=(0, 0))
