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
        ({"regularizer": "l2"}, "does not implement `regularizer`"),
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
