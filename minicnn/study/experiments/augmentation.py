"""Few images: with and without Dropout, with and without moving them about at random."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import layers, models, utils
from minicnn.study.experiments import words
from minicnn.study.experiments.experiment import Experiment, Report, Results
from minicnn.study.experiments.material import BATCH, Material, accuracy, convnet, seeded

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def moves(material: Material) -> list[layers.Layer]:
    """Shifts by a tenth, turns by 11°, zooms and shears by a tenth. What comes in is paper, or the edge reflected."""
    fill = "constant" if material.name == "mnist" else "reflect"
    return [
        layers.RandomTranslation(0.1, 0.1, fill_mode=fill),
        layers.RandomRotation(0.03, fill_mode=fill),
        layers.RandomZoom(0.1, fill_mode=fill),
        layers.RandomShear(0.1, 0.1, fill_mode=fill),
    ]


ARMS: dict[str, Callable[[Material], models.Sequential]] = {
    "plain": convnet,
    "Dropout": lambda material: convnet(material, dropout=0.5),
    "Dropout, augmented": lambda material: convnet(material, before=moves(material), dropout=0.5),
}


def run(
    material: Material, seed: int, *, sizes: tuple[int, ...], test: int, steps: int, points: int
) -> Results:
    """Every net takes about `steps` steps, whatever the number of images; measured `points` times on the way."""
    curves: dict[str, Any] = {}
    for size in sizes:
        part = material.first(size, test)
        per_epoch = -(-size // BATCH)
        epochs = max(1, round(steps / points / per_epoch))
        for name, make in ARMS.items():
            net = seeded(seed, partial(make, part))
            found: dict[str, list[float]] = {"step": [], "training": [], "test": []}
            for point in range(1, points + 1):
                net.fit(part.training.images, part.training.labels, BATCH, epochs, verbose=0)
                found["step"].append(point * epochs * per_epoch)
                found["training"].append(accuracy(net, part.training))
                found["test"].append(accuracy(net, part.test))
            curves.setdefault(str(size), {})[name] = found
    return Results({"curves": curves}, {"examples": _examples(material, seed)})


def _examples(material: Material, seed: int) -> Any:
    """An image and 15 draws of it, whatever was drawn before."""
    utils.set_random_seed(seed)
    # Not of the first two classes: a disc or a ring looks the same when it is turned.
    chosen = seed + int(np.argmax(material.training.labels[seed:] > 1))
    net = models.Sequential([layers.InputLayer(material.input_shape), *moves(material)])
    image = material.training.images[chosen : chosen + 1]
    drawn = net(image.repeat(15, axis=0), training=True)
    whole = [*image, *drawn]
    return [picture[..., 0] if picture.shape[-1] == 1 else picture for picture in whole]


def report(numbers: Mapping[str, Any]) -> Report:
    curves = numbers["curves"]
    table = [["images", *(f"{arm}: training / test" for arm in ARMS), "error rate, augmented against plain"]]
    falls = {}
    for size, arms in curves.items():
        errors = {arm: 1 - arms[arm]["test"][-1] for arm in ARMS}
        falls[size] = 1 - errors["Dropout, augmented"] / max(errors["plain"], 1e-9)
        cells = [
            f"{words.percent(arms[arm]['training'][-1])} / {words.percent(arms[arm]['test'][-1])}"
            for arm in ARMS
        ]
        table.append([f"{int(size):,}", *cells, f"{-falls[size]:+.0%}"])
    return Report(table, [_gap(curves), _gain(curves, falls), _moves_alone(curves)])


def _gap(curves: Mapping[str, Any]) -> str:
    size = min(curves, key=int)
    gaps = {arm: curves[size][arm]["training"][-1] - curves[size][arm]["test"][-1] for arm in ARMS}
    return (
        f"With {int(size):,} images the plain net ends {100 * gaps['plain']:.1f} points better on its training images "
        f"than on others; with Dropout the gap is {100 * gaps['Dropout']:.1f} points, and with augmentation too "
        f"{100 * gaps['Dropout, augmented']:.1f}."
    )


def _gain(curves: Mapping[str, Any], falls: Mapping[str, float]) -> str:
    helped = [size for size in falls if falls[size] > 0]
    if not helped:
        return "Augmentation helped with no number of images in so few steps."
    largest = max(helped, key=falls.__getitem__)
    some = words.listed([f"{int(size):,}" for size in helped])
    where = "every number of images" if len(helped) == len(falls) else f"{some} images"
    return (
        f"Augmentation with Dropout lowers the plain net's error rate with {where}, most with {int(largest):,}: by "
        f"{falls[largest]:.0%}, to {words.percent(1 - curves[largest]['Dropout, augmented']['test'][-1])}."
    )


def _moves_alone(curves: Mapping[str, Any]) -> str:
    gains = {
        size: arms["Dropout, augmented"]["test"][-1] - arms["Dropout"]["test"][-1]
        for size, arms in curves.items()
    }
    told = [f"{100 * gain:+.1f} points with {int(size):,} images" for size, gain in gains.items()]
    return f"What the moves add to Dropout alone: {words.listed(told)}."


def pictures(results: Results) -> dict[str, Figure]:
    from minicnn import viz
    from minicnn.viz.style import new_figure

    curves = results.numbers["curves"]
    figure = new_figure(4.4 * len(curves), 4.2)
    least = min(min(found["test"]) for arms in curves.values() for found in arms.values())
    for k, (size, arms) in enumerate(curves.items()):
        series = {}
        for arm, found in arms.items():
            series[f"{arm}: test"] = (found["step"], found["test"])
        series["plain: training"] = (arms["plain"]["step"], arms["plain"]["training"])
        ax = figure.add_subplot(1, len(curves), k + 1)
        title = f"{int(size):,} training images"
        viz.lines(series, title, ("training steps", "accuracy"), percent=True, ax=ax)
        ax.set_ylim(least - 0.02, 1.01)  # one scale for all, or the panels can't be compared
    examples = viz.tiles(results.arrays["examples"], "One image (first) and 15 draws of it", columns=8)
    return {"curves.png": figure, "draws.png": examples.figure}  # type: ignore[dict-item]


AUGMENTATION = Experiment(
    name="augmentation",
    question="what do random moves and Dropout gain with few images?",
    run=run,
    report=report,
    pictures=pictures,
    whole={"sizes": (200, 1_000, 5_000), "test": 1_000, "steps": 1_200, "points": 8},
    quick={"sizes": (200, 1_000), "test": 500, "steps": 200, "points": 4},
    whole_shapes={"sizes": (200, 1_000, 4_000)},
    quick_shapes={"steps": 120},
)
