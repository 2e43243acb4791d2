"""What a trained net sees: activations, filters, gradient ascent, Grad-CAM, occlusion, and how they came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import callbacks
from minicnn.study.experiments import looking, words
from minicnn.study.experiments.experiment import Experiment, Report, Results
from minicnn.study.experiments.material import BATCH, Material, accuracy, convnet, seeded
from minicnn.study.experiments.transfer import convolutions

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Watch(callbacks.Callback):
    """Keeps the first convolution's filters and one image's activations `frames` times during a training."""

    def __init__(self, image: np.ndarray, frames: int, steps: int) -> None:
        super().__init__()
        # Most changes early on: the steps looked at grow geometrically.
        self.due = sorted({0, *np.geomspace(1, steps, frames - 1).round().astype(int).tolist()})
        self.image, self.step = image, 0
        self.kept: list[tuple[int, np.ndarray, np.ndarray]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self._keep()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.step += 1
        self._keep()

    def _keep(self) -> None:
        if self.step in self.due:
            first = convolutions(self.model)[0]
            maps = looking.activations(self.model, self.image)[first.name]
            self.kept.append((self.step, kernels(first), maps))


def kernels(layer: Any) -> np.ndarray:
    """(C, F, P, Q): the kernel of each input channel and filter."""
    return layer.get_weights()[0].transpose(2, 3, 0, 1)


def run(
    material: Material, seed: int, *, train: int, test: int, epochs: int, ascent: int, frames: int
) -> Results:
    material = material.first(train, test)
    net = seeded(seed, lambda: convnet(material))
    image, label = material.test.images[seed % test], int(material.test.labels[seed % test])
    watch = Watch(image, frames, epochs * -(-train // BATCH))
    net.fit(*material.training, BATCH, epochs, verbose=0, callbacks=[watch])
    right = accuracy(net, material.test)
    p = net.predict(image[None], verbose=0)[0]
    last = convolutions(net)[-1]
    arrays: dict[str, Any] = {"image": image, "frames": watch.kept}
    maps = looking.activations(net, image)
    arrays |= {f"activations of {name}": array for name, array in maps.items()}
    arrays |= {f"filters of {layer.name}": kernels(layer) for layer in convolutions(net)}
    gains = {}
    for layer in convolutions(net):
        x, (before, after) = looking.ascended(net, layer, ascent, seed)
        arrays[f"ascent of {layer.name}"] = x
        gains[layer.name] = [
            float(before.mean()),
            float(after.mean()),
            int(np.sum(after > before)),
            len(after),
        ]
    side = image.shape[0]
    occlusion = looking.occluded(net, image, label, patch=side // 4, stride=max(1, side // 28))
    logits = looking.linear_until(net, net.layers[-1])
    after = looking.grad_cam(net, last, image, label)
    before = looking.grad_cam(logits, convolutions(logits)[-1], image, label)
    arrays |= {"before the softmax": before.heat, "after the softmax": after.heat, "occlusion": occlusion}
    numbers = {
        "accuracy": right,
        "label": label,
        "class": material.classes[label],
        "probability": float(p[label]),
        "layers": {
            name: {
                "shape": list(array.shape),
                "dead": int(np.sum(array.max((1, 2)) <= 0)),
                "positive": float(np.mean(array > 0)),
            }
            for name, array in maps.items()
        },
        "ascent": gains,
        "grad_cam": {
            "largest_weight_before": float(np.abs(before.weights).max()),
            "largest_weight_after": float(np.abs(after.weights).max()),
            "correlation": _correlation(before.heat, after.heat),
        },
        "occlusion": {"largest_fall": float(occlusion.max()), "patch": side // 4},
    }
    return Results(numbers, arrays)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Of two maps; 0 if one is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def report(numbers: Mapping[str, Any]) -> Report:
    table = [["layer", "maps", "size", "dead on this image", "positive", "mean before ReLU, ascended"]]
    for name, layer in numbers["layers"].items():
        channels, height, width = layer["shape"]
        gain = numbers["ascent"].get(name)
        table.append(
            [
                name, str(channels), f"{height}×{width}", str(layer["dead"]), f"{layer['positive']:.0%}",
                f"{gain[0]:.3f} → {gain[1]:.3f}" if gain else "",
            ]
        )  # fmt: skip
    return Report(table, [_net(numbers), _ascent(numbers), _grad_cam(numbers), _occlusion(numbers)])


def _net(numbers: Mapping[str, Any]) -> str:
    layers = numbers["layers"]
    positive = [layer["positive"] for layer in layers.values()]
    trend = "fewer" if positive[-1] < positive[0] else "no fewer"
    return (
        f"The net has {words.percent(numbers['accuracy'])} of the test images right and gives class "
        f"{numbers['class']} of the image shown a probability of {numbers['probability']:.4f}. In its last maps "
        f"{trend} numbers are positive than in its first ({positive[-1]:.0%} against {positive[0]:.0%})."
    )


def _ascent(numbers: Mapping[str, Any]) -> str:
    raised = sum(gain[2] for gain in numbers["ascent"].values())
    filters = sum(gain[3] for gain in numbers["ascent"].values())
    return f"Gradient ascent raised the mean, before ReLU, of {raised} of {filters} filters."


def _grad_cam(numbers: Mapping[str, Any]) -> str:
    cam = numbers["grad_cam"]
    ratio = cam["largest_weight_before"] / max(cam["largest_weight_after"], 1e-300)
    p, alike = numbers["probability"], cam["correlation"]
    return (
        "Grad-CAM differentiates a class's score. Taken after the softmax the gradient carries the factor p·(1 − p) "
        f"and the other classes' logits: at p = {p:.4f} its largest channel weight is {ratio:,.1f} times smaller than "
        f"before the softmax. Scaled to the same brightness the two maps "
        f"{'look alike' if alike > 0.9 else 'differ'} (correlation {alike:.2f})."
    )


def _occlusion(numbers: Mapping[str, Any]) -> str:
    fall, patch = numbers["occlusion"]["largest_fall"], numbers["occlusion"]["patch"]
    return f"Covering the worst place with {patch}×{patch} pixels takes {100 * fall:.1f} points off the probability."


def pictures(results: Results) -> dict[str, Figure | Sequence[Figure]]:
    from minicnn import viz

    arrays, drawn = results.arrays, {}
    for key, array in arrays.items():
        kind, _, layer = key.partition(" of ")
        name = f"{kind}_{layer}.png"
        if kind == "activations":
            title = f"{layer}: {len(array)} maps of one image"
            drawn[name] = viz.tiles(
                array, title, each=True, note="each map from its least to its largest"
            ).figure
        elif kind == "filters":
            channels, filters = array.shape[:2]
            title = f"{layer}: {filters} filters" + (
                f" (columns) of {channels} channels (rows)" if channels > 1 else ""
            )
            flat = array.reshape(channels * filters, *array.shape[2:])
            columns = filters if channels > 1 else 16
            drawn[name] = viz.tiles(
                flat, title, columns=columns, signed=True, note="red above zero, blue below"
            ).figure
        elif kind == "ascent":
            shown = array[..., 0] if array.shape[-1] == 1 else array
            drawn[name] = viz.tiles(shown, f"{layer}: inputs that maximise each filter").figure
    cams = ["before the softmax", "after the softmax", "occlusion"]
    notes = [
        "Grad-CAM, each to its own maximum",
        "Grad-CAM, each to its own maximum",
        "fall of the probability",
    ]
    drawn["heat.png"] = viz.overlays(arrays["image"], [arrays[c] for c in cams], cams, notes)[0].figure
    largest = max(float(np.abs(filters[0]).max()) for _, filters, _ in arrays["frames"])
    frames = [_frame(step, filters, maps, largest) for step, filters, maps in arrays["frames"]]
    return {**drawn, "training.gif": frames}  # type: ignore[dict-item]


def _frame(step: int, filters: np.ndarray, maps: np.ndarray, largest: float) -> Figure:
    """The filters in one scale of colours for all frames, so that they are seen to grow."""
    from minicnn import viz
    from minicnn.viz.style import new_figure

    figure = new_figure(8.4, 0.4 + 0.55 * -(-len(maps) // 8))
    left, right = (figure.add_subplot(1, 2, k) for k in (1, 2))
    title = f"Filters{' on red' if len(filters) > 1 else ''} after {step:,} steps"
    viz.tiles(filters[0], title, columns=8, signed=True, largest=largest, ax=left)
    viz.tiles(maps, "Their maps of one image", columns=8, each=True, ax=right)
    return figure


VISUALISE = Experiment(
    name="visualise",
    question="what does a trained net see?",
    run=run,
    report=report,
    pictures=pictures,
    whole={"train": 20_000, "test": 2_000, "epochs": 3, "ascent": 60, "frames": 24},
    quick={"train": 2_000, "test": 500, "epochs": 2, "ascent": 20, "frames": 10},
    whole_shapes={"train": 4_000, "test": 1_000, "epochs": 15},
    quick_shapes={"epochs": 6},
)
