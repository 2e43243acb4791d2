"""Gradient ascent, Grad-CAM and occlusion on nets whose answers can be written down."""

import numpy as np
import pytest

from minicnn import Input, layers, models, utils
from minicnn.study.experiments import looking

IMAGE = np.random.default_rng(0).random((6, 5, 1), np.float32)


def pooled_net(activation):
    """Convolution, mean of each map, dense: the gradient of a score by a map is a weight over the map's pixels."""
    utils.set_random_seed(0)
    return models.Sequential(
        [
            Input((6, 5, 1)),
            layers.Conv2D(4, 3, activation="relu", name="conv"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation=activation, name="dense"),
        ]
    )


@pytest.mark.parametrize("label", [0, 2])
def test_grad_cam_before_and_after_the_softmax(label):
    net = pooled_net("softmax")
    logits = looking.linear_until(net, net.layers[-1])
    w, p = net.get_layer("dense").get_weights()[0], net.predict(IMAGE[None], verbose=0)[0]
    before = looking.grad_cam(logits, logits.get_layer("conv"), IMAGE, label)
    after = looking.grad_cam(net, net.get_layer("conv"), IMAGE, label)
    # Float32, a handful of roundings on numbers below 1.
    np.testing.assert_allclose(before.weights, w[:, label] / 12, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(after.weights, p[label] * (w[:, label] - w @ p) / 12, rtol=1e-4, atol=1e-7)
    maps = looking.activations(net, IMAGE)["conv"]
    heat = np.maximum(np.tensordot(w[:, label] / 12, maps, 1), 0)
    np.testing.assert_allclose(before.heat, heat, rtol=1e-4, atol=1e-6)


def test_without_its_softmax_a_net_gives_logits_and_stays_as_it_was():
    net = pooled_net("softmax")
    logits = looking.linear_until(net, net.layers[-1]).predict(IMAGE[None], verbose=0)
    p = net.predict(IMAGE[None], verbose=0)
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(), p, rtol=1e-5)


def test_gradient_ascent_finds_the_sign_of_the_filter():
    """The input that maximises w·x with pixels from 0 to 1 is 1 where w is positive, 0 elsewhere."""
    net = models.Sequential([Input((3, 3, 1)), layers.Conv2D(4, 3, name="conv")])
    rng = np.random.default_rng(1)
    kernel = (rng.choice([-1, 1], (3, 3, 1, 4)) * rng.uniform(0.5, 1, (3, 3, 1, 4))).astype(np.float32)
    net.get_layer("conv").set_weights([kernel, np.zeros(4, np.float32)])
    x, (before, after) = looking.ascended(net, net.get_layer("conv"), 40, 0, rate=0.5)
    np.testing.assert_array_equal(x.transpose(1, 2, 3, 0), kernel > 0)
    assert (after > before).all()
    np.testing.assert_allclose(after, np.maximum(kernel, 0).sum((0, 1, 2)), rtol=1e-5)


def test_gradient_ascent_wakes_silent_filters():
    """Behind a ReLU that lets nothing through there is no gradient."""
    net = models.Sequential([Input((3, 3, 1)), layers.Conv2D(1, 3, activation="relu", name="conv")])
    net.get_layer("conv").set_weights([np.ones((3, 3, 1, 1), np.float32), np.float32([-100])])
    _, (before, after) = looking.ascended(net, net.get_layer("conv"), 40, 0, rate=0.5)
    np.testing.assert_allclose(after, [9 - 100])
    assert before < after


def test_occlusion_of_a_linear_net():
    net = models.Sequential([Input((6, 5, 1)), layers.Flatten(), layers.Dense(2, name="dense")])
    w = net.get_layer("dense").get_weights()[0][:, 1].reshape(6, 5)
    expected = [
        [
            np.sum((w * (IMAGE[..., 0] - IMAGE.mean()))[i : i + 2, j : j + 2])
            for j in (0, 3)
        ]
        for i in (0, 3)
    ]  # fmt: skip
    found = looking.occluded(net, IMAGE, 1, patch=2, stride=3)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_activations_are_those_of_every_layer_with_maps():
    net = pooled_net("softmax")
    found = looking.activations(net, IMAGE)
    assert {name: array.shape for name, array in found.items()} == {"conv": (4, 4, 3)}
    np.testing.assert_array_equal(
        found["conv"].transpose(1, 2, 0),
        models.Model(net.input, net.get_layer("conv").output)(IMAGE[None])[0],
    )
