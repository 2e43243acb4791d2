"""What the experiments train on, and the nets that they train."""

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from minicnn import Input, layers, models, utils
from minicnn.engine import ops, work
from minicnn.geometry import Window
from minicnn.models.wants import Wants
from minicnn.runs import Examples, load_examples

BATCH = 64


class Material(NamedTuple):
    """A data set."""

    name: str
    classes: tuple[str, ...]
    training: Examples
    test: Examples

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.training.images.shape[1:]

    def first(self, train: int, test: int) -> "Material":
        """The first images of each; both data sets come shuffled."""
        cut = (
            Examples(part.images[:number], part.labels[:number])
            for part, number in ((self.training, train), (self.test, test))
        )
        return Material(self.name, self.classes, *cut)

    def of_classes(self, first: int, last: int) -> "Material":
        """The images of classes first to last − 1, numbered from 0."""
        kept = []
        for part in (self.training, self.test):
            own = (part.labels >= first) & (part.labels < last)
            kept.append(Examples(part.images[own], part.labels[own] - first))
        return Material(self.name, self.classes[first:last], *kept)


def load(name: str) -> Material:
    """'mnist', or 'shapes' at 64×64 in colour; images (N, H, W, C) float32 from 0 to 1.

    Raises:
        ValueError: another name.
    """
    if name == "mnist":
        return Material(name, tuple("0123456789"), *load_examples(None))
    if name == "shapes":
        from minicnn.datasets import shapes

        parts = (
            Examples(np.divide(images, 255, dtype=np.float32), labels.astype(np.int64))
            for images, labels in shapes.load_data()
        )
        return Material(name, shapes.CLASSES, *parts)
    raise ValueError(f"`data` must be 'mnist' or 'shapes'. Received {name!r}.")


# Nets

Layers = list[layers.Layer]


def max_pooled(filters: int) -> Layers:
    return [layers.Conv2D(filters, 3, activation="relu"), layers.MaxPooling2D(2)]


def average_pooled(filters: int) -> Layers:
    return [layers.Conv2D(filters, 3, activation="relu"), layers.AveragePooling2D(2)]


def not_pooled(filters: int) -> Layers:
    return [layers.Conv2D(filters, 3, activation="relu")]


def strided(filters: int) -> Layers:
    return [layers.Conv2D(filters, 3, strides=2, activation="relu")]


def convnet(
    material: Material,
    stage: Callable[[int], Layers] = max_pooled,
    *,
    before: Iterable[layers.Layer] = (),
    dropout: float = 0.0,
) -> models.Sequential:
    """The book's net; for images of 64×64 with one stage more and half the filters.

    `stage` makes a convolution and how it downsamples; `before` comes first, Dropout before the dense layers.
    """
    is_small = material.input_shape[0] < 40
    filters, last = ((32, 64), 64) if is_small else ((16, 32, 32), 32)
    return models.Sequential(
        [
            Input(material.input_shape),
            *before,
            *(layer for number in filters for layer in stage(number)),
            layers.Conv2D(last, 3, activation="relu"),
            layers.Flatten(),
            *([layers.Dropout(dropout)] if dropout else []),
            layers.Dense(64, activation="relu"),
            layers.Dense(len(material.classes), activation="softmax"),
        ]
    )


def compiled(net: models.Sequential, optimizer: Any = "rmsprop") -> models.Sequential:
    net.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return net


def seeded(seed: int, make: Callable[[], models.Sequential]) -> models.Sequential:
    """A net whose weights, Dropout and order of images follow from `seed`, ready to be trained."""
    utils.set_random_seed(seed)
    return compiled(make())


def trained(net: models.Sequential, training: Examples, epochs: int, **options: Any) -> tuple[Any, float]:
    """(history, seconds) of a training."""
    start = perf_counter()
    history = net.fit(training.images, training.labels, BATCH, epochs, verbose=0, **options).history
    return history, perf_counter() - start


def warm_up(make: Callable[[], models.Sequential], material: Material) -> None:
    """Have the kernels of such a net ready: the first training of a machine compiles them, which would be timed."""
    trained(seeded(0, make), material.first(BATCH, BATCH).training, 1)


def accuracy(net: models.Sequential, examples: Examples) -> float:
    """The share of images that the net classifies rightly."""
    return float(net.evaluate(examples.images, examples.labels, 256, verbose=0)[1])


# What follows from a net's structure


def sizes(shape: Any) -> tuple[int, ...]:
    """A known shape without its batch axis."""
    return tuple(int(size) for size in shape[1:])


class Structure(NamedTuple):
    parameters: int
    multiply_adds: int
    """Of one image forward, padding included."""
    training_nbytes: int
    """Of the arena for one image: activations, gradients and what lies between them."""
    flattened: int
    """Numbers that Flatten hands to the dense layers; of the input if there is no other."""
    receptive_field: int
    """Pixels of the image along one side that a unit of the last convolution sees; 1 without one."""


def structure(net: models.Sequential) -> Structure:
    """Derived, not measured."""
    shape = sizes(net.input_shape)
    plain = net.make_executor(Wants(shape)).plan
    paths = tuple(v.path for v in net.trainable_variables)
    training = net.make_executor(Wants(shape, True, gradients=paths)).plan
    return Structure(
        parameters=net.count_params(),
        multiply_adds=sum(step.dense.forward for step in work.count(plain)),
        training_nbytes=training.arena_nbytes // training.capacity,
        flattened=next(int(np.prod(s.output_shape)) for s in plain.steps if isinstance(s.op, ops.Reshape)),
        receptive_field=receptive_field([step.op for step in plain.steps]),
    )


def receptive_field(chain: Iterable[ops.Op]) -> int:
    """Rows of the image that a unit of the last convolution reads: each window adds (size − 1) · jump."""
    field, jump, of_last = 1, 1, 1
    for op in chain:
        windows = [
            getattr(op, name) for name in ("window", "pool") if isinstance(getattr(op, name, None), Window)
        ]
        for window in windows:
            field += (window.kernel_size[0] - 1) * window.dilation[0] * jump
            jump *= window.strides[0]
            if isinstance(op, ops.Conv2D) and window is op.window:
                of_last = field
    return of_last
