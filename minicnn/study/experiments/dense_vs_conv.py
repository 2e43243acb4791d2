"""A densely connected net against the convnet."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import Input, layers, models
from minicnn.study.experiments import words
from minicnn.study.experiments.experiment import Experiment, Report, Results
from minicnn.study.experiments.material import (
    Material,
    accuracy,
    convnet,
    seeded,
    structure,
    trained,
    warm_up,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def densenet(material: Material) -> models.Sequential:
    """512 ReLU units on the pixels: the book's first net (section 2.1)."""
    return models.Sequential(
        [
            Input(material.input_shape),
            layers.Flatten(),
            layers.Dense(512, activation="relu"),
            layers.Dense(len(material.classes), activation="softmax"),
        ]
    )


def run(material: Material, seed: int, *, train: int, test: int, epochs: int, seeds: int) -> Results:
    material = material.first(train, test)
    nets: dict[str, Any] = {}
    for name, make in {"dense, 512 units": densenet, "convnet": convnet}.items():
        found = []
        warm_up(partial(make, material), material)
        for k in range(seeds):
            net = seeded(seed + k, partial(make, material))
            history, seconds = trained(net, material.training, epochs, validation_data=tuple(material.test))
            found.append((accuracy(net, material.test), seconds, history["val_accuracy"]))
        nets[name] = {
            **structure(net)._asdict(),
            "accuracy": [one[0] for one in found],
            "seconds": min(one[1] for one in found),
            "by_epoch": np.mean([one[2] for one in found], axis=0).tolist(),
        }
    return Results({"nets": nets})


def report(numbers: Mapping[str, Any]) -> Report:
    nets = numbers["nets"]
    (dense_name, dense), (conv_name, conv) = nets.items()
    table = [
        ["net", "parameters", "multiply-adds an image", "trained in", "test accuracy", "error rate"],
        *(
            [
                name,
                f"{v['parameters']:,}",
                words.count(v["multiply_adds"]),
                f"{v['seconds']:.1f} s",
                words.mean_and_range(v["accuracy"]),
                words.percent(1 - np.mean(v["accuracy"])),
            ]
            for name, v in nets.items()
        ),
    ]
    errors = [1 - float(np.mean(v["accuracy"])) for v in (dense, conv)]
    fall = 1 - errors[1] / errors[0]
    verdict = f"falls by {fall:.0%}, relative to the dense net's" if fall >= 0 else f"rises by {-fall:.0%}"
    fewer = "fewer" if conv["parameters"] < dense["parameters"] else "more"
    return Report(
        table,
        [
            f"With convolutions the error rate {verdict}: from {words.percent(errors[0])} to "
            f"{words.percent(errors[1])}.",
            f"The {conv_name} has {fewer} parameters ({conv['parameters']:,} against {dense['parameters']:,}) and "
            f"{conv['multiply_adds'] / dense['multiply_adds']:.1f} times the multiply-adds of {dense_name}: every "
            "weight of a kernel is used at every position.",
        ],
    )


def pictures(results: Results) -> dict[str, Figure]:
    from minicnn import viz

    curves = {
        name: (np.arange(1, 1 + len(v["by_epoch"])), 1 - np.array(v["by_epoch"]))
        for name, v in results.numbers["nets"].items()
    }
    ax = viz.lines(curves, "Error rate on the test images", ("epoch", "error rate"), percent=True)
    ax.set_ylim(bottom=0)
    ax.set_xticks(range(1, 1 + len(next(iter(curves.values()))[0])))
    return {"errors.png": ax.figure}  # type: ignore[dict-item]


DENSE_VS_CONV = Experiment(
    name="dense-vs-conv",
    question="what do convolutions gain over a dense net?",
    run=run,
    report=report,
    pictures=pictures,
    whole={"train": 60_000, "test": 10_000, "epochs": 5, "seeds": 1},
    quick={"train": 4_000, "test": 1_000, "epochs": 3, "seeds": 1},
    whole_shapes={"train": 4_000, "test": 1_000, "epochs": 15},
)
