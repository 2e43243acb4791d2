"""What all layers share: weights made by `add_weight`, and rebuilding from a configuration."""

import numpy as np
import pytest

from minicnn import Input, layers, models, ops

ops.register("scaled", lambda x, w: (x * w, (x, w)), lambda dy, r: (dy * r[1], (dy * r[0]).sum(0)))


class Scaled(layers.Layer):
    """One factor for each element of the last axis: a layer as a user writes it."""

    def build(self, input_shape):
        self.factor = self.add_weight((input_shape[-1],), "ones", name="factor")
        self.built = True

    def lower(self, shape):
        return (ops.op("scaled", self.name, shape, (self.factor.path,)),)


def test_a_layer_of_ones_own_computes_and_differentiates():
    layer, x = Scaled(dtype="float64"), np.arange(6.0).reshape(2, 3)
    layer.build((None, 3))
    layer.set_weights([np.array([1.0, 2.0, -1.0])])
    np.testing.assert_array_equal(layer(x), x * [1, 2, -1])
    y, residuals = layer.forward(x)
    dx, (dw,) = layer.backward(np.ones_like(y), residuals)
    np.testing.assert_array_equal(dx, [[1, 2, -1]] * 2)
    np.testing.assert_array_equal(dw, x.sum(0))


@pytest.mark.parametrize("kind", [models.Sequential, models.Model])
def test_models_are_rebuilt_with_custom_objects(kind):
    model = models.Sequential([Input((3,)), Scaled(name="own"), layers.Dense(2)])
    if kind is models.Model:
        model = models.Model(model.input, model.output)
    config = model.get_config()
    with pytest.raises(ValueError, match="Unknown class 'Scaled'"):
        kind.from_config(config)
    rebuilt = kind.from_config(config, custom_objects={"Scaled": Scaled})
    assert [layer.name for layer in rebuilt.layers] == [layer.name for layer in model.layers]
    assert rebuilt.get_config() == config


def test_add_weight_takes_what_keras_s_takes():
    layer = layers.Layer()
    first, second = layer.add_weight((2, 3)), layer.add_weight(initializer="ones", dtype="float32")
    assert [v.name for v in layer.weights] == ["variable", "variable_1"]
    assert first.shape == (2, 3)
    assert np.abs(first.numpy()).max() <= np.sqrt(6 / 5)  # glorot_uniform's limit
    assert second.numpy() == 1
    assert layer.add_weight((1,), trainable=False, name="count") in layer.non_trainable_variables


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"constraint": "non_neg"}, "does not implement `constraint`"),
        ({"aggregation": "sum"}, "does not implement `aggregation`"),
        ({"dtype": "float64"}, "must have its dtype float32"),
        ({"name": "taken"}, "unique names"),
    ],
)
def test_add_weight_refuses_what_it_can_not_do(arguments, message):
    layer = layers.Layer()
    layer.add_weight((1,), name="taken")
    with pytest.raises(ValueError, match=message):
        layer.add_weight((1,), **arguments)
    assert len(layer.weights) == 1


@pytest.mark.parametrize("name", ["input_tensors", "clone_function", "call_function", "recursive"])
def test_clone_model_refuses_what_only_keras_does(name):
    model = models.Sequential([Input((3,)), layers.Dense(2)])
    with pytest.raises(ValueError, match=f"`{name}`"):
        models.clone_model(model, **{name: True})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trainable": 1}, "`trainable` must be a boolean. Received trainable=1."),
        ({"name": "a/b"}, "`name` must be a non-empty string without '/'"),
        ({"name": "\x1b[2J"}, "and control characters. Received name="),
        ({"name": ""}, "`name` must be a non-empty string"),
        ({"name": 3}, "`name` must be a non-empty string"),
        ({"colour": "red"}, "Layer has no such arguments. Received colour."),
        ({"activity_regularizer": "l2"}, "does not implement `activity_regularizer`"),
    ],
)
def test_refused_arguments(arguments, message):
    with pytest.raises(ValueError) as caught:
        layers.Layer(**arguments)
    assert message in str(caught.value)


def test_before_it_is_built_and_called():
    layer = layers.Dense(2, name="d")
    with pytest.raises(
        ValueError, match="count_params needs a built layer: layer 'd' has no input shape yet"
    ):
        layer.count_params()
    for what in ("input", "output"):
        with pytest.raises(AttributeError, match=f"'d' has never been called and thus has no defined {what}"):
            getattr(layer, what)
    assert repr(layer) == "<Dense name=d, built=False>"
    with pytest.raises(NotImplementedError, match="Layer does not define `lower`"):
        layers.Layer()(np.zeros((1, 2), np.float32))


def test_set_weights_overwrites_all_or_none():
    layer = layers.Dense(2, name="d")
    layer.build((None, 3))
    before = layer.get_weights()
    with pytest.raises(
        ValueError, match=r"Layer 'd' has 2 weights; set_weights needs as many arrays\. Received 1\."
    ):
        layer.set_weights(before[:1])
    with pytest.raises(
        ValueError, match=r"weight 'd/bias' has shape \(2,\)\. Received an array of shape \(3,\)"
    ):
        layer.set_weights([np.ones((3, 2)), np.ones(3)])
    for now, then in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_what_is_trainable():
    layer = layers.Layer()
    a, b = layer.add_weight((1,), name="a"), layer.add_weight((1,), name="b", trainable=False)
    assert (layer.trainable_variables, layer.non_trainable_variables) == ([a], [b])
    layer.trainable = False
    assert (layer.trainable_variables, layer.non_trainable_variables) == ([], [a, b])


def test_only_real_numbers_are_taken():
    with pytest.raises(
        TypeError, match=r"Layer 'f' takes real numbers\. Received an array of dtype complex128"
    ):
        layers.Flatten(name="f")(np.zeros((2, 3), complex))


def test_sizes_that_are_not_known_stay_so():
    layer = layers.Conv2D(4, 3, padding="same", strides=2)
    assert layer.compute_output_shape((None, None, 28, 1)) == (None, None, 14, 4)


def test_clone_model_takes_models_alone():
    with pytest.raises(ValueError, match=r"`model` must be a Model\. Received a Dense\."):
        models.clone_model(layers.Dense(2))


@pytest.mark.parametrize("kind", [models.Sequential, models.Model])
def test_clone_model_knows_layers_of_ones_own(kind):
    model = models.Sequential([Input((3,)), Scaled(name="own"), layers.Dense(2)])
    if kind is models.Model:
        model = models.Model(model.input, model.output)
    clone = models.clone_model(model)
    assert clone.get_config() == model.get_config()
    assert clone.layers[-2] is not model.layers[-2]


def test_models_among_the_layers_know_them_too():
    inner = models.Sequential([Input((3,)), Scaled(name="own")], name="inner")
    model = models.Sequential([Input((3,)), inner, layers.Dense(2)])
    rebuilt = models.Sequential.from_config(model.get_config(), custom_objects={"Scaled": Scaled})
    for copy in (models.clone_model(model), rebuilt):
        assert copy.get_config() == model.get_config()
        copy.set_weights(model.get_weights())
        np.testing.assert_array_equal(copy(np.ones((1, 3))), model(np.ones((1, 3))))
