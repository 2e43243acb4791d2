"""Features learned on half of the classes, used on the other half with few images: frozen, fine-tuned, from scratch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import layers, models, optimizers
from minicnn.study.experiments import words
from minicnn.study.experiments.experiment import Experiment, Report, Results
from minicnn.study.experiments.material import BATCH, Material, accuracy, compiled, convnet, seeded, trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCRATCH, FROZEN, LONGER, TUNED = "from scratch", "frozen features", "frozen, trained on", "fine-tuned"
SMALL_RATE = 1e-4
"""A tenth of RMSprop's own: the convolution is to be adjusted, not learned anew."""
Accuracies = Mapping[str, Sequence[float]]
"""By arm, for each number of images."""


def convolutions(net: models.Sequential) -> list[layers.Layer]:
    return [layer for layer in net.layers if isinstance(layer, layers.Conv2D)]


def with_features(pretrained: models.Sequential, material: Material) -> models.Sequential:
    """A net for other classes: the convolutions of `pretrained`, frozen, below a new head."""
    net = convnet(material)
    for old, new in zip(convolutions(pretrained), convolutions(net), strict=True):
        new.set_weights(old.get_weights())
        new.trainable = False
    return net


def fit_steps(net: models.Sequential, material: Material, steps: int) -> int:
    """Train for about `steps` steps, in whole epochs; how many they were."""
    images, labels = material.training
    per_epoch = -(-len(images) // BATCH)
    epochs = max(1, round(steps / per_epoch))
    net.fit(images, labels, BATCH, epochs, verbose=0)
    return epochs * per_epoch


def run(
    material: Material,
    seed: int,
    *,
    pretrain: int,
    epochs: int,
    sizes: tuple[int, ...],
    test: int,
    steps: int,
    tune: bool,
) -> Results:
    """Pretrain on the first half of the classes; then each arm on the other half, with every number of images."""
    half = len(material.classes) // 2
    source = material.of_classes(0, half).first(pretrain, test)
    target = material.of_classes(half, len(material.classes))
    pretrained = seeded(seed, lambda: convnet(source))
    trained(pretrained, source.training, epochs)
    arms = (SCRATCH, FROZEN, *((LONGER, TUNED) if tune else ()))
    accuracies: dict[str, list[float]] = {arm: [] for arm in arms}
    taken: dict[str, list[int]] = {arm: [] for arm in arms}
    trainable: dict[str, int] = {}
    for size in sizes:
        few = target.first(size, test)
        for arm in (SCRATCH, FROZEN):
            make = convnet if arm == SCRATCH else partial(with_features, pretrained)
            net = seeded(seed, partial(make, few))
            trainable[arm] = sum(v.array.size for v in net.trainable_variables)
            taken[arm].append(fit_steps(net, few, steps))
            accuracies[arm].append(accuracy(net, few.test))
        before = net.get_weights()
        for arm in arms[2:]:  # both as many steps more: else the longer training would win
            net.set_weights(before)
            convolutions(net)[-1].trainable = arm == TUNED
            compiled(net, optimizers.RMSprop(SMALL_RATE))
            trainable[arm] = sum(v.array.size for v in net.trainable_variables)
            taken[arm].append(taken[FROZEN][-1] + fit_steps(net, few, steps))
            accuracies[arm].append(accuracy(net, few.test))
    kept = [
        bool(np.array_equal(*pair))
        for old, new in zip(convolutions(pretrained), convolutions(net), strict=True)
        for pair in zip(old.get_weights(), new.get_weights(), strict=True)
    ]
    return Results(
        {
            "sizes": list(sizes),
            "test_images": len(few.test.images),
            "accuracies": accuracies,
            "steps": taken,
            "trainable": trainable,
            "pretrained_accuracy": accuracy(pretrained, source.test),
            "classes": [list(source.classes), list(target.classes)],
            "frozen_arrays_unchanged": sum(kept),
            "arrays": len(kept),
        }
    )


def report(numbers: Mapping[str, Any]) -> Report:
    sizes, accuracies = numbers["sizes"], numbers["accuracies"]
    table = [
        ["images", *accuracies],
        *_rows(sizes, accuracies),
        ["training steps", *(words.span(steps) for steps in numbers["steps"].values())],
        ["trainable weights", *_counts(numbers)],
    ]
    moved = ", and moved those that were unfrozen" if TUNED in accuracies else ""
    first, second = (words.listed(names) for names in numbers["classes"])
    return Report(
        table,
        [
            f"The convolutions were learned on classes {first} ({words.percent(numbers['pretrained_accuracy'])} right "
            f"there) and used on {second}.",
            _steps(numbers["steps"]),
            _compare(sizes, accuracies, FROZEN, SCRATCH),
            *([_compare(sizes, accuracies, TUNED, LONGER)] if TUNED in accuracies else []),
            f"One of the {numbers['test_images']:,} test images is {100 / numbers['test_images']:.2f} points.",
            f"Training left {numbers['frozen_arrays_unchanged']} of the {numbers['arrays']} kernels and biases of the "
            f"convolutions bit for bit as they were{moved}.",
        ],
    )


def _steps(taken: Mapping[str, Sequence[int]]) -> str:
    """Which arms were trained equally long, and which weren't."""
    by_steps: dict[str, list[str]] = {}
    for arm, steps in taken.items():
        by_steps.setdefault(words.span(steps), []).append(arm)
    if len(by_steps) == 1:
        return f"All were trained for the same number of steps, {next(iter(by_steps))}."
    told = [f"“{'” and “'.join(arms)}” after {steps} steps" for steps, arms in by_steps.items()]
    return (
        f"The arms are compared after unequal numbers of steps: {words.listed(told)}. The longer ones go on from "
        f"“{FROZEN}”, so that what it gains to unfreeze shows against “{LONGER}” alone."
    )


def _rows(sizes: Sequence[int], accuracies: Accuracies) -> list[list[str]]:
    return [
        [f"{size:,}", *(words.percent(a[k]) for a in accuracies.values())] for k, size in enumerate(sizes)
    ]


def _counts(numbers: Mapping[str, Any]) -> list[str]:
    return [f"{numbers['trainable'][arm]:,}" for arm in numbers["accuracies"]]


def _compare(sizes: Sequence[int], accuracies: Accuracies, ours: str, theirs: str) -> str:
    gains = [a - b for a, b in zip(accuracies[ours], accuracies[theirs], strict=True)]
    told = [f"{100 * gain:+.2f} points with {size:,} images" for size, gain in zip(sizes, gains, strict=True)]
    ahead = sum(gain > 0 for gain in gains)
    verdict = {0: "is never ahead of", len(gains): "is ahead of"}.get(
        ahead, f"is in {ahead} of {len(gains)} cases ahead of"
    )
    subject = {FROZEN: "A new head on frozen features", TUNED: "Fine-tuning the last convolution"}[ours]
    other = {
        LONGER: "training the head alone for as many steps more, at the same small rate",
        SCRATCH: "training from scratch",
    }[theirs]
    return f"{subject} {verdict} {other}: {words.listed(told)}."


def pictures(results: Results) -> dict[str, Figure]:
    from minicnn import viz

    sizes, accuracies = results.numbers["sizes"], results.numbers["accuracies"]
    ax = viz.lines(
        {arm: (sizes, values) for arm, values in accuracies.items()},
        "Test accuracy on classes that the features never saw",
        ("training images", "accuracy"),
        log="x",
        percent=True,
    )
    return {"accuracy.png": ax.figure}  # type: ignore[dict-item]


WHOLE = {"pretrain": 20_000, "epochs": 4, "sizes": (25, 100, 400, 1_600), "test": 2_000, "steps": 300}
QUICK = {"pretrain": 2_000, "epochs": 3, "sizes": (25, 100), "test": 500, "steps": 40}
# Of the six shapes' images, three have 2,000 for training and 499 or more for the test.
WHOLE_SHAPES = {"pretrain": 2_000, "epochs": 20, "test": 480}
QUICK_SHAPES = {"epochs": 6, "test": 480}

FEATURE_EXTRACTION = Experiment(
    name="feature-extraction",
    question="what are features worth that were learned on other classes?",
    run=run,
    report=report,
    pictures=pictures,
    whole=WHOLE | {"tune": False},
    quick=QUICK | {"tune": False},
    whole_shapes=WHOLE_SHAPES,
    quick_shapes=QUICK_SHAPES,
)
FINE_TUNING = Experiment(
    name="fine-tuning",
    question="what does it gain to unfreeze the last convolution?",
    run=run,
    report=report,
    pictures=pictures,
    whole=WHOLE | {"tune": True},
    quick=QUICK | {"tune": True},
    whole_shapes=WHOLE_SHAPES,
    quick_shapes=QUICK_SHAPES,
)
