"""Looking into a trained net: activations, gradient ascent, Grad-CAM, occlusion. Arrays out; `viz` draws them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minicnn import layers, models, ops
from minicnn.study.experiments.material import sizes

SCORE = "minicnn.study.score"
"""The loss −Σ y·t, whose gradient by y is −t: with it `model.gradients` differentiates any sum of outputs."""


def score_forward(y: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return -np.sum(y * t, axis=-1), t


def score_backward(dloss: np.ndarray, t: np.ndarray) -> tuple[np.ndarray]:
    return (-dloss[..., None] * t,)


def scored(net: models.Model) -> models.Model:
    """The net compiled so that its gradients are those of Σ y·t, negative and divided by the number of losses."""
    ops.register(SCORE, score_forward, score_backward)
    net.compile("sgd", SCORE)
    return net


def part(net: models.Model, outputs: Any) -> models.Model:
    """The net up to one of its outputs, or with several; run by the net's own backend."""
    model = models.Model(net.input, outputs)
    model.backend = net.backend
    return model


def is_image(layer: layers.Layer) -> bool:
    return len(layer.output.shape) == 4


def image_layers(net: models.Model) -> list[layers.Layer]:
    """The layers whose outputs are maps."""
    return [layer for layer in net.layers if is_image(layer)]


def activations(net: models.Model, image: np.ndarray) -> dict[str, np.ndarray]:
    """Layer → (C, H, W): every channel of every map that the net makes of one image (H, W, C)."""
    chosen = image_layers(net)
    outputs = part(net, [layer.output for layer in chosen])(image[None])
    return {layer.name: y[0].transpose(2, 0, 1) for layer, y in zip(chosen, outputs, strict=True)}


def ascended(
    net: models.Sequential, layer: layers.Layer, steps: int, seed: int, rate: float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    """(F, H, W, C): for each filter of `layer` an input that maximises the mean of its map before ReLU, which would
    stop the gradient of a filter that is silent at first; and (2, F), that mean before and after.

    From faint noise about grey, `steps` steps of `rate` along the gradient divided by its root mean square; pixels
    stay between 0 and 1. F. Chollet, "Deep Learning with Python", section 5.4.2.
    """
    prefix = scored(linear_until(net, layer))
    height, width, filters = sizes(layer.output.shape)
    rng = np.random.default_rng(seed)
    x = (0.5 + 0.05 * rng.standard_normal((filters, *sizes(net.input_shape)))).astype(np.float32)
    target = np.zeros((filters, height, width, filters), np.float32)
    target[np.arange(filters), :, :, np.arange(filters)] = 1

    def mean_activation() -> np.ndarray:
        y = prefix.predict(x, 64, verbose=0)
        return y.mean((1, 2))[np.arange(filters), np.arange(filters)]

    before = mean_activation()
    for _ in range(steps):
        gradient = -prefix.gradients(x, target, wants="input").input  # type: ignore[operator]
        size = np.sqrt(np.mean(gradient**2, axis=(1, 2, 3), keepdims=True))
        x = np.clip(x + rate * gradient / np.maximum(size, 1e-12), 0, 1)
    return x, np.stack([before, mean_activation()])


class GradCam(NamedTuple):
    """Selvaraju et al., "Grad-CAM" (ICCV 2017): maps weighted by the mean gradient of a class's score."""

    heat: np.ndarray
    """(H, W), not negative."""
    weights: np.ndarray
    """(C,): the mean gradient of the score by each channel."""


def grad_cam(net: models.Model, layer: layers.Layer, image: np.ndarray, label: int) -> GradCam:
    """For the output `label` of `net` as it is: a probability after a softmax, a logit before it."""
    target = np.zeros((1, *sizes(net.output_shape)), np.float32)
    target[0, label] = 1
    gradient = -scored(net).gradients(image[None], target, wants=(layer.name,)).layers[layer.name][0]
    weights = gradient.mean((0, 1))
    maps = part(net, layer.output)(image[None])[0]
    return GradCam(np.maximum(maps @ weights, 0), weights)


def linear_until(net: models.Sequential, layer: layers.Layer) -> models.Sequential:
    """The net up to `layer`, its weights copied, without the activation of that layer: logits instead of a softmax."""
    config: dict[str, Any] = net.get_config()
    kept = net.layers[: net.layers.index(layer) + 1]
    names = [each.name for each in kept]
    # An Input comes first in the configuration, and isn't among the layers.
    config["layers"] = [c for k, c in enumerate(config["layers"]) if not k or c["config"]["name"] in names]
    config["layers"][-1]["config"]["activation"] = "linear"
    linear = models.Sequential.from_config(config)
    linear.set_weights([w for each in kept for w in each.get_weights()])
    return linear


def occluded(net: models.Model, image: np.ndarray, label: int, patch: int, stride: int) -> np.ndarray:
    """(OH, OW): by how much the probability of `label` falls when a square of the image's mean colour covers it.

    Zeiler and Fergus, "Visualizing and understanding convolutional networks" (ECCV 2014).
    """
    height, width = image.shape[:2]
    rows, columns = range(0, height - patch + 1, stride), range(0, width - patch + 1, stride)
    covered = image[None].repeat(len(rows) * len(columns), axis=0)
    mean = image.mean((0, 1))
    for k, (i, j) in enumerate(np.ndindex(len(rows), len(columns))):
        top, left = rows[i], columns[j]
        covered[k, top : top + patch, left : left + patch] = mean
    p = net.predict(np.concatenate([image[None], covered]), 64, verbose=0)[:, label]
    return (p[0] - p[1:]).reshape(len(rows), len(columns))
