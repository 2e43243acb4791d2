"""Why downsample: the book's net, without pooling, with average pooling, with strides."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.runs import Examples
from minicnn.study.experiments import words
from minicnn.study.experiments.experiment import Experiment, Report, Results
from minicnn.study.experiments.material import (
    Material,
    accuracy,
    average_pooled,
    convnet,
    max_pooled,
    not_pooled,
    seeded,
    strided,
    structure,
    trained,
    warm_up,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VARIANTS = {
    "max pooling": max_pooled,
    "no pooling": not_pooled,
    "average pooling": average_pooled,
    "stride-2 convolutions": strided,
}
SHIFTS = (0, 1, 2, 3, 4)


def shifted(images: np.ndarray, pixels: int) -> list[np.ndarray]:
    """The images moved by `pixels` up, down, left and right; the edge goes on."""
    if not pixels:
        return [images]
    padded = np.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), mode="edge")
    height, width = images.shape[1:3]
    corners = ((0, pixels), (2 * pixels, pixels), (pixels, 0), (pixels, 2 * pixels))
    return [padded[:, top : top + height, left : left + width] for top, left in corners]


def run(material: Material, seed: int, *, train: int, test: int, epochs: int, seeds: int) -> Results:
    material = material.first(train, test)
    variants: dict[str, Any] = {}
    for name, stage in VARIANTS.items():
        nets, seconds = [], []
        warm_up(partial(convnet, material, stage), material)
        for k in range(seeds):
            nets.append(seeded(seed + k, partial(convnet, material, stage)))
            seconds.append(trained(nets[-1], material.training, epochs)[1])
        variants[name] = {
            **structure(nets[0])._asdict(),
            "seconds_per_epoch": min(seconds) / epochs,
            "accuracy": [accuracy(net, material.test) for net in nets],
            "shifted": [
                float(
                    np.mean(
                        [
                            accuracy(net, Examples(moved, material.test.labels))
                            for net in nets
                            for moved in shifted(material.test.images, pixels)
                        ]
                    )
                )
                for pixels in SHIFTS
            ],
        }
    return Results({"variants": variants, "shifts": list(SHIFTS)})


def report(numbers: Mapping[str, Any]) -> Report:
    variants = numbers["variants"]
    table = [
        [
            "net", "parameters", "multiply-adds an image", "memory an image", "flattened", "sees",
            "s an epoch", "test accuracy", f"shifted by {numbers['shifts'][-1]}",
        ],
        *(
            [
                name,
                f"{v['parameters']:,}",
                words.count(v["multiply_adds"]),
                words.nbytes(v["training_nbytes"]),
                f"{v['flattened']:,}",
                f"{v['receptive_field']}×{v['receptive_field']}",
                f"{v['seconds_per_epoch']:.2f}",
                words.mean_and_range(v["accuracy"]),
                words.percent(v["shifted"][-1]),
            ]
            for name, v in variants.items()
        ),
    ]  # fmt: skip
    return Report(table, [*_cost(variants), *_accuracy(variants), *_shifts(numbers)])


def _cost(variants: Mapping[str, Any]) -> list[str]:
    pooled, plain = variants["max pooling"], variants["no pooling"]
    return [
        f"Without pooling Flatten hands {plain['flattened']:,} numbers to the dense layer instead of "
        f"{pooled['flattened']:,}; the net has {plain['parameters'] / pooled['parameters']:.1f} times the parameters, "
        f"{plain['multiply_adds'] / pooled['multiply_adds']:.1f} times the multiply-adds, needs "
        f"{plain['training_nbytes'] / pooled['training_nbytes']:.1f} times the memory and took "
        f"{plain['seconds_per_epoch'] / pooled['seconds_per_epoch']:.1f} times as long to train.",
        f"A unit of its last convolution sees {plain['receptive_field']}×{plain['receptive_field']} pixels, with "
        f"pooling {pooled['receptive_field']}×{pooled['receptive_field']}.",
    ]


def _accuracy(variants: Mapping[str, Any]) -> list[str]:
    means = {name: float(np.mean(v["accuracy"])) for name, v in variants.items()}
    first = words.best(means)
    others = [name for name in variants if name != first]
    clear = [n for n in others if words.apart(variants[first]["accuracy"], variants[n]["accuracy"])]
    seeds = len(variants[first]["accuracy"])
    if seeds == 1:
        return [f"The best test accuracy of this one seed is that of {first}, {words.percent(means[first])}."]
    verdict = (
        f"in every seed better than {words.listed(clear)}"
        if clear
        else "though no net is better in every seed"
    )
    return [
        f"The best mean test accuracy over {seeds} seeds is that of {first}, {words.percent(means[first])}, {verdict}."
    ]


def _shifts(numbers: Mapping[str, Any]) -> list[str]:
    lost = {name: v["shifted"][0] - v["shifted"][-1] for name, v in numbers["variants"].items()}
    least, most = min(lost, key=lost.__getitem__), max(lost, key=lost.__getitem__)
    return [
        f"When the image is moved by {numbers['shifts'][-1]} pixels, the accuracy falls least with {least} "
        f"({100 * lost[least]:.1f} points) and most with {most} ({100 * lost[most]:.1f})."
    ]


def pictures(results: Results) -> dict[str, Figure]:
    from minicnn import viz

    variants, shifts = results.numbers["variants"], results.numbers["shifts"]
    ax = viz.lines(
        {name: (shifts, v["shifted"]) for name, v in variants.items()},
        "Test accuracy when the image is moved",
        ("pixels, mean of four directions", "accuracy"),
        percent=True,
    )
    ax.set_xticks(shifts)
    return {"shifts.png": ax.figure}  # type: ignore[dict-item]


POOLING = Experiment(
    name="pooling",
    question="why do we downsample?",
    run=run,
    report=report,
    pictures=pictures,
    whole={"train": 6_000, "test": 1_000, "epochs": 4, "seeds": 3},
    quick={"train": 1_500, "test": 500, "epochs": 2, "seeds": 1},
    whole_shapes={"train": 4_000, "epochs": 10, "seeds": 2},
    quick_shapes={"train": 2_000, "epochs": 5},
)
