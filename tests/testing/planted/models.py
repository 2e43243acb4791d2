"""A small net with its loss, and what people get wrong with whole nets."""

from __future__ import annotations

import numpy as np

from minicnn.testing import ModelUnderTest, oracles
from minicnn.testing.checks.model import model_target
from tests.testing.planted.mutant import Mutant


def net(mistake: str = "") -> ModelUnderTest:
    """Flatten, Dense 6, ReLU, Dense 3, softmax: the right one without a mistake.

    ``mistake`` is "batch statistics", "dropout left on", "mean not taken", "weights ignored", "updated" or
    "straight through".
    """
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(9, 6)), rng.normal(size=6), rng.normal(size=(6, 3))]

    def hidden(x):
        return x.reshape(len(x), -1) @ weights[0] + weights[1]

    def predict(x):
        h = np.maximum(hidden(x), 0)
        if mistake == "dropout left on":
            h = h * (np.random.default_rng(1).random(h.shape) < 0.75)
        z = h @ weights[2]
        return oracles.softmax_forward(z - z.mean(axis=0) if mistake == "batch statistics" else z)

    def loss_of(x, y, sample_weight):
        if mistake == "weights ignored":
            sample_weight = None
        h = hidden(x)
        options = {"from_logits": True, "sample_weight": sample_weight}
        z = np.maximum(h, 0) @ weights[2]
        dz = oracles.crossentropy_backward(y, z, **options) * (len(x) if mistake == "mean not taken" else 1)
        dh = dz @ weights[2].T * (1 if mistake == "straight through" else h > 0)
        if mistake == "updated":
            weights[1] += 1e-3
        gradients = [x.reshape(len(x), -1).T @ dh, dh.sum(axis=0), np.maximum(h, 0).T @ dz]
        return float(oracles.crossentropy_forward(y, z, **options)), gradients

    def set_weights(new):
        for mine, value in zip(weights, new, strict=True):
            mine[...] = value

    return ModelUnderTest(predict, loss_of, lambda: weights, set_weights, (3, 3, 1), 3)


RIGHT = model_target(net(), "right")


def _model(name: str, mistake: str, caught_by: str) -> Mutant:
    return Mutant(name, "model", lambda: model_target(net(mistake), name), caught_by)


MUTANTS = [
    _model("logits centred over the batch", "batch statistics", "results don't depend on batch splitting"),
    _model("dropout left on at prediction", "dropout left on", "batch permutation"),
    _model(
        "gradient of the sum, loss of the mean",
        "mean not taken",
        "a doubled batch has the same mean loss and gradient",
    ),
    _model("sample weights ignored", "weights ignored", "weight 2 is a duplicate"),
    _model(
        "weights updated while gradients are computed", "updated", "inputs and weights are left unmodified"
    ),
    _model("gradient passes the ReLU unchanged", "straight through", "the gradient is a slope of the loss"),
]
