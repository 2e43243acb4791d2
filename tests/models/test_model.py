"""Models as chains: prefixes and several outputs, sharing, nesting, gradients, what changes and what doesn't."""

import threading

import numpy as np
import pytest

from minicnn import Input, layers, models, ops, utils


def small_net(**kwargs):
    return models.Sequential(
        [
            Input((8, 8, 2)),
            layers.Conv2D(4, 3, activation="relu", name="first"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Conv2D(3, 2, activation="relu", name="second"),
            layers.Flatten(name="flat"),
            layers.Dropout(0.5, name="dropout"),
            layers.Dense(3, activation="softmax", name="head"),
        ],
        **kwargs,
    )


@pytest.fixture
def net():
    utils.set_random_seed(7)
    return small_net()


@pytest.fixture
def batch():
    rng = np.random.default_rng(1)
    return rng.normal(size=(6, 8, 8, 2)).astype("float32"), np.eye(3, dtype="float32")[rng.integers(0, 3, 6)]


def test_weights_live_in_one_flat_vector(net, batch):
    net(batch[0])
    bases = {id(v.array.base) for v in net.variables}
    assert len(bases) == 1


def test_a_prefix_gives_what_the_whole_passes_on(net, batch):
    x, _ = batch
    outputs = [layer.output for layer in net.layers]
    every = models.Model(inputs=net.inputs, outputs=outputs)
    values = every.predict(x, verbose=0)
    assert [v.shape[1:] for v in values] == [layer.output.shape[1:] for layer in net.layers]
    np.testing.assert_array_equal(values[-1], net.predict(x, verbose=0))
    step = x
    for layer, value in zip(net.layers, values, strict=True):
        step = layer(step)
        # Alone each layer is unfused; sums of at most 12 terms of the same kernel in the same order.
        np.testing.assert_allclose(step, value, rtol=1e-6, atol=1e-6)


def test_models_that_share_layers_share_weights(net, batch):
    x, _ = batch
    before = net.predict(x, verbose=0)
    prefix = models.Model(net.input, net.get_layer("pool").output)
    head = models.Sequential([*net.layers[:3], layers.GlobalAveragePooling2D(), layers.Dense(2)])
    head.build((None, 8, 8, 2))
    head.compile("sgd", "mse")
    head.train_on_batch(x, np.zeros((6, 2)))
    assert not np.array_equal(net.predict(x, verbose=0), before)
    np.testing.assert_array_equal(
        prefix.predict(x, verbose=0), models.Model(head.input, head.layers[1].output).predict(x, verbose=0)
    )


def test_functional_chain_is_the_same_as_sequential(net, batch):
    x, _ = batch
    start = tensor = Input((8, 8, 2))
    for layer in net.layers:
        tensor = layer(tensor)
    model = models.Model(start, tensor)
    np.testing.assert_array_equal(model.predict(x, verbose=0), net.predict(x, verbose=0))


def test_a_model_is_a_layer_of_another(batch):
    x, y = batch
    utils.set_random_seed(3)
    base = models.Sequential(
        [Input((8, 8, 2)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten()], name="base"
    )
    whole = models.Sequential([Input((8, 8, 2)), base, layers.Dense(3, activation="softmax")])
    assert whole.count_params() == base.count_params() + 4 * 36 * 3 + 3
    np.testing.assert_allclose(
        whole.layers[1](base.predict(x, verbose=0)), whole.predict(x, verbose=0), rtol=1e-6, atol=1e-7
    )
    base.trainable = False
    whole.compile("sgd", "categorical_crossentropy")
    frozen = base.get_weights()
    whole.fit(x, y, verbose=0)
    for before, after in zip(frozen, base.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_gradients_are_those_of_the_training_step(net, batch):
    x, y = batch
    net.compile("sgd", "categorical_crossentropy")
    loss, weights, dx, by_layer = net.gradients(x, y, wants=("weights", "input", "pool"))
    assert set(weights) == {v.path for v in net.trainable_variables}
    assert dx.shape == x.shape
    assert by_layer["pool"].shape == (6, 3, 3, 4)
    direction = np.random.default_rng(0).normal(size=x.shape).astype("float32")
    h = np.float32(1e-2)
    ahead, behind = (net.gradients(x + sign * h * direction, y, wants=()).loss for sign in (1, -1))
    # float32 losses near 1 are known to 1e-7, so this slope to 1e-5; the curvature adds about as much again.
    assert np.sum(dx * direction) == pytest.approx((ahead - behind) / (2 * h), rel=2e-2, abs=1e-3)
    assert loss == pytest.approx(net.evaluate(x, y, verbose=0), rel=1e-6)


def test_gradients_of_every_layer_but_the_softmax_that_the_loss_contains(batch):
    x, y = batch
    base = models.Sequential(
        [
            Input((8, 8, 2)),
            layers.Flatten(),
            layers.Dropout(0.5, name="drop"),
            layers.Dense(3, name="logits"),
        ],
        name="base",
    )
    head = models.Sequential([Input((3,)), layers.Activation("softmax", name="softmax")], name="head")
    net = models.Sequential([Input((8, 8, 2)), base, head])
    net.compile("sgd", "categorical_crossentropy")
    by_layer = net.gradients(x, y, wants="base").layers
    # of a mean over six samples: what the logits' softmax is more than the target
    np.testing.assert_allclose(by_layer["base"], (net(x) - y) / 6, rtol=0, atol=1e-7)
    with pytest.raises(ValueError, match="`wants` must name layers before 'head'"):
        net.gradients(x, y, wants=("base", "head"))
    flat = models.Sequential([Input((8, 8, 2)), *base.layers, *head.layers])
    flat.compile("sgd", "categorical_crossentropy")
    by_layer = flat.gradients(x, y, wants=("drop", "logits")).layers
    assert {name: array.shape for name, array in by_layer.items()} == {"drop": (6, 128), "logits": (6, 3)}
    with pytest.raises(ValueError, match="`wants` must name layers before 'softmax'"):
        flat.gradients(x, y, wants="softmax")


def test_gradients_change_nothing(net, batch):
    net.compile("rmsprop", "categorical_crossentropy")
    before = net.get_weights()
    net.gradients(*batch)
    for a, b in zip(before, net.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert int(net.optimizer.iterations.numpy()) == 0


def test_results_are_owned(net, batch):
    x, y = batch
    first = net.predict(x, verbose=0)
    copy = first.copy()
    net.predict(-x, verbose=0)
    np.testing.assert_array_equal(first, copy)
    net.compile("sgd", "categorical_crossentropy")
    gradient = net.gradients(x, y).weights["head/kernel"]
    copy = gradient.copy()
    net.gradients(-x, y)
    np.testing.assert_array_equal(gradient, copy)
    kernel = net.get_layer("head").kernel
    values = kernel.numpy()
    np.asarray(kernel)[...] = 0
    np.testing.assert_array_equal(kernel.numpy(), values)


def test_assigned_weights_are_used_at_once(net, batch):
    x, _ = batch
    net.predict(x, verbose=0)
    head = net.get_layer("head")
    head.kernel.assign(np.zeros(head.kernel.shape))
    head.bias.assign([0.0, 100.0, 0.0])
    np.testing.assert_allclose(net.predict(x, verbose=0)[:, 1], 1.0)


def test_predictions_from_several_threads_at_once(net, batch):
    x, _ = batch
    expected = net.predict_on_batch(x)
    wrong = []

    def work():
        for _ in range(30):
            if not np.array_equal(net.predict_on_batch(x), expected):
                wrong.append(1)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_adding_and_popping_layers(net, batch):
    x, _ = batch
    head = net.pop()
    assert net.output_shape == (None, 12)
    net.add(head)
    assert net.predict(x, verbose=0).shape == (6, 3)
    with pytest.raises(ValueError, match="unique names"):
        net.add(layers.Dense(3, name="head"))
    with pytest.raises(ValueError, match="must have rank 4"):
        net.add(layers.Conv2D(3, 3))
    assert [layer.name for layer in net.layers][-1] == "head"
    assert net.predict(x, verbose=0).shape == (6, 3)


def test_an_unbuilt_model_is_built_by_its_first_data(batch):
    model = models.Sequential([layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(2)])
    assert not model.built
    with pytest.raises(ValueError, match="count_params needs a built model"):
        model.count_params()
    assert model(batch[0]).shape == (6, 2)
    assert model.built
    assert model.count_params() == 3 * 3 * 2 * 4 + 4 + 144 * 2 + 2


def test_clone_has_the_architecture_and_other_weights(net, batch):
    x, _ = batch
    clone = models.clone_model(net)
    assert clone.get_config() == net.get_config()
    assert not np.array_equal(clone.predict(x, verbose=0), net.predict(x, verbose=0))
    clone.set_weights(net.get_weights())
    np.testing.assert_array_equal(clone.predict(x, verbose=0), net.predict(x, verbose=0))
    prefix = models.clone_model(models.Model(net.input, [net.get_layer("pool").output, net.output]))
    assert [out.shape[1:] for out in prefix.predict(x, verbose=0)] == [(3, 3, 4), (3,)]


def test_the_reference_backend_trains_to_the_same_weights(batch):
    x, y = batch
    results = []
    for backend in ("reference", "numba"):
        utils.set_random_seed(5)
        model = small_net()
        model.compile("adam", "categorical_crossentropy", backend=backend)
        model.fit(x, y, epochs=3, batch_size=4, verbose=0)
        results.append(model.get_weights())
    for reference, ours in zip(*results, strict=True):
        # Six steps of size 1e-3: rounding of 1e-7 in a gradient may turn an element's step around its zero.
        np.testing.assert_allclose(ours, reference, atol=1e-4)


@pytest.mark.parametrize("branch", ["other input", "no input"])
def test_graphs_that_are_no_chains_are_refused(branch):
    a, b = Input((4,)), Input((4,))
    tensor = layers.Dense(3)(a)
    with pytest.raises(
        ValueError, match="A model is a chain" if branch == "no input" else "must come from the input"
    ):
        models.Model(b, tensor) if branch == "other input" else models.Model([a, b], tensor)
    left, right = layers.Dense(2)(tensor), layers.Dense(2)(tensor)
    with pytest.raises(ValueError, match="one path"):
        models.Model(a, [left, right])


def test_mixed_dtypes_are_refused():
    with pytest.raises(ValueError, match="one dtype"):
        models.Sequential([Input((4,)), layers.Dense(3), layers.Dense(2, dtype="float64")])


def test_a_registered_pair_is_a_layer_and_a_loss():
    ops.register("cube", lambda x: (x**3, x), lambda dy, x: (3 * x**2 * dy,))
    ops.register(
        "quartic",
        lambda y, t: (((y - t) ** 4).sum(-1), y - t),
        lambda dloss, d: (4 * d**3 * dloss[..., None],),
    )

    class Cube(layers.Layer):
        def lower(self, shape):
            return (ops.op("cube", self.name, shape),)

    x = np.array([[1.0, -0.5], [0.5, 0.8]])
    np.testing.assert_array_equal(Cube(dtype="float64")(x), x**3)
    y, residuals = Cube(dtype="float64").forward(x)
    np.testing.assert_array_equal(Cube(dtype="float64").backward(np.ones_like(y), residuals).dx, 3 * x**2)
    dense = layers.Dense(2, dtype="float64")
    model = models.Sequential([Input((2,)), dense, Cube(dtype="float64")])
    dense.set_weights([np.array([[0.9, -0.7], [0.6, 1.1]]), np.array([0.1, -0.2])])
    model.compile("sgd", "quartic")
    targets, h = np.zeros((2, 2)), 1e-6
    gradient = model.gradients(x, targets).weights[dense.kernel.path]
    dense.kernel.assign_add([[0, 0], [h, 0]])
    ahead = model.gradients(x, targets, wants=()).loss
    dense.kernel.assign_add([[0, 0], [-2 * h, 0]])
    behind = model.gradients(x, targets, wants=()).loss
    # A central difference: h² plus u/h ≈ 2e-10, relative to a loss near 1.
    assert gradient[1, 0] == pytest.approx((ahead - behind) / (2 * h), rel=1e-7)
