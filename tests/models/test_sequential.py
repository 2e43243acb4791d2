"""Sequential: how it grows, and what it refuses; and chains that a configuration can't describe."""

import numpy as np
import pytest

from minicnn import Input, layers, models


def test_it_may_start_in_four_ways():
    x = np.ones((2, 3), np.float32)
    starts = [
        [Input((3,)), layers.Dense(2)],
        [layers.InputLayer(shape=(3,)), layers.Dense(2)],
        [layers.Dense(2, input_shape=(3,))],
        [layers.Dense(2, input_dim=3)],
    ]
    for stack in starts:
        model = models.Sequential(stack)
        assert model.built
        assert model.input_shape == (None, 3)
        assert model(x).shape == (2, 2)
    late = models.Sequential([layers.Dense(2)])
    late.build((None, 3))
    assert late.built
    late.build((None, 5))  # it has its shape
    assert late.input_shape == (None, 3)
    assert models.Sequential([Input((3,)), layers.Dense(2)], trainable=False).trainable_variables == []


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda m: m.add("Dense"), "Only layers can be added to a Sequential model. Received 'Dense'."),
        (lambda m: m.add(Input((4,))), "has an Input already, of shape (None, 3)."),
        (
            lambda m: m.add(layers.Dense(2, dtype="float64")),
            "must have one dtype, here float32. Received layer",
        ),
        (lambda m: m.add(layers.Dense(2, name="d")), "unique names: ['d']. Received another 'd'."),
        (
            lambda m: m.add(models.Sequential([Input((2,)), layers.Dense(2, name="d")])),
            "unique names: ['d']. Received another 'd'.",
        ),
        (lambda m: models.Sequential().pop(), "There are no layers to pop."),
        (
            lambda m: models.Sequential([layers.Dense(2)]).build(),
            "needs `input_shape` to be built. Received None.",
        ),
        (
            lambda m: models.Sequential(name="e").build((None, 3)),
            "'e' has no layers; add some before building it.",
        ),
    ],
)
def test_refused(work, message):
    model = models.Sequential([Input((3,)), layers.Dense(2, name="d")])
    with pytest.raises(ValueError) as caught:
        work(model)
    assert message in str(caught.value)
    assert [layer.name for layer in model.layers] == ["d"]
    assert model(np.ones((1, 3), np.float32)).shape == (1, 2)


def test_a_shape_that_does_not_fit_leaves_it_unbuilt():
    model = models.Sequential([layers.Conv2D(2, 3), layers.Flatten()])
    with pytest.raises(ValueError, match="must have rank 4"):
        model.build((None, 3))
    assert not model.built
    model.build((None, 5, 5, 1))
    assert model.output_shape == (None, 18)


def test_a_layer_can_be_popped_and_another_added():
    model = models.Sequential([layers.Flatten(), layers.Dense(2)])
    model.pop()
    model.add(layers.Dense(4))
    assert model(np.ones((1, 3), np.float32)).shape == (1, 4)


def test_an_unbuilt_model_keeps_its_configuration():
    model = models.Sequential([layers.Dense(2, name="d")], name="m")
    again = models.Sequential.from_config(model.get_config())
    assert not again.built
    assert again.get_config() == model.get_config()
    model.build((None, 3))
    assert models.Sequential.from_config(model.get_config()).input_shape == (None, 3)


def test_a_model_without_layers_has_no_output():
    model = models.Sequential([Input((3,))])
    assert not model.built
    with pytest.raises(AttributeError, match="never been called and thus has no defined output"):
        _ = model.output


def test_outputs_of_a_prefix():
    start = Input((3,), name="start")
    middle = layers.Dense(2, name="middle")(start)
    model = models.Model(start, [middle, layers.Dense(4, name="end")(middle)], name="both")
    assert model.inputs == [start]
    assert model.output_shape == [(None, 2), (None, 4)]
    assert [output.shape for output in model.outputs] == [(None, 2), (None, 4)]
    with pytest.raises(ValueError, match=r"Model 'both' has 2\."):
        model(Input((3,)))
    one = models.Model(start, [middle])
    (value,) = one(np.ones((2, 3), np.float32))
    assert value.shape == (2, 2)


def test_ranks_are_matched_by_an_axis_of_one():
    model = models.Sequential([Input((2, 2, 1)), layers.Flatten()])
    images = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    np.testing.assert_array_equal(model(images), images.reshape(2, 4))
    flat = models.Sequential([Input((4,)), layers.Activation("linear")])
    np.testing.assert_array_equal(flat(images.reshape(2, 4, 1)), images.reshape(2, 4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda a, d: models.Model("a", d), "`inputs` and `outputs` must be symbolic tensors. Received str."),
        (lambda a, d: models.Model([a, a], d), "Received 2 inputs and 1 outputs."),
        (lambda a, d: models.Model(a, []), "Received 1 inputs and 0 outputs."),
        (lambda a, d: models.Model(a, a), "Output"),
    ],
)
def test_what_is_no_chain(make, message):
    start = Input((3,))
    with pytest.raises(ValueError) as caught:
        make(start, layers.Dense(2)(start))
    assert message in str(caught.value)


@pytest.mark.parametrize("sources", [[], ["nowhere"], ["start", "d"]])
def test_a_configuration_that_is_no_chain(sources):
    start = Input((3,), name="start")
    model = models.Model(start, layers.Dense(2, name="e")(layers.Dense(2, name="d")(start)))
    config = model.get_config()
    node = config["layers"][-1]["inbound_nodes"][0]
    (argument,) = node["args"]
    node["args"] = [
        argument | {"config": argument["config"] | {"keras_history": [source, 0, 0]}} for source in sources
    ]
    with pytest.raises(
        ValueError, match=r"layer 'e' must have one input, from a layer before it\. Received inputs"
    ):
        models.Model.from_config(config)


def test_a_popped_name_is_free_again():
    model = models.Sequential([Input((3,)), layers.Dense(2, name="a"), layers.Dense(2, name="b")])
    model.pop()
    model.add(layers.Dense(4, name="b"))
    assert model.output_shape == (None, 4)
