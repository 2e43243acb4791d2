"""Colour images of shapes, made when they are asked for: six shapes in many colours and textures, labelled by shape.

Nothing but the shape tells the classes apart: place, size, angle, colours and texture are drawn independently of it. So
a net has to look across channels for edges, and can't get by on colour.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

CLASSES = ("disc", "ring", "square", "triangle", "cross", "star")
"""The names of labels 0 to 5."""

TEXTURES = ("plain", "stripes", "checks", "dots")
BLOCK = 128
"""Images painted at a time: their pixels in float32 stay below 20 MB."""

Split = tuple[NDArray[np.uint8], NDArray[np.uint8]]
Field = NDArray[np.floating]
"""A number for every pixel of some images, (n, size, size)."""


def load_data(train: int = 4000, test: int = 1000, *, size: int = 64, seed: int = 0) -> tuple[Split, Split]:
    """Return `(x_train, y_train), (x_test, y_test)`: `train` and `test` images, every class as often as any other.

    train, test: numbers of images, at least 1. size: of an image in pixels, at least 16. seed: another one draws other
      images; the same one draws the same.

    Returns: images uint8 (N, size, size, 3) in red, green, blue, and labels uint8 (N,); owned.

    Raises:
      ValueError: a number below its least.
    """
    for name, value, least in (
        ("train", train, 1),
        ("test", test, 1),
        ("size", size, 16),
        ("seed", seed, 0),
    ):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
            raise ValueError(f"`{name}` must be an integer of at least {least}. Received {name}={value!r}.")
    return _split(train, size, (seed, 0)), _split(test, size, (seed, 1))


def _split(number: int, size: int, seed: tuple[int, int]) -> Split:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(number) % len(CLASSES)).astype(np.uint8)
    images = np.empty((number, size, size, 3), np.uint8)
    for first in range(0, number, BLOCK):
        block = slice(first, min(first + BLOCK, number))
        images[block] = _painted(labels[block], size, rng)
    return images, labels


def _painted(labels: NDArray[np.uint8], size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One image for each label."""
    n = len(labels)
    radius = rng.uniform(0.2, 0.34, n) * size
    centre = size / 2 + rng.uniform(-1, 1, (2, n)) * (size / 2 - radius)
    x, y = _turned(size, centre, rng.uniform(0, 2 * np.pi, n))
    inside = np.empty((n, size, size), np.float32)
    for label, shape in enumerate(SHAPES):
        own = labels == label
        scale = radius[own, None, None]
        # Half a pixel on either side of the edge is mixed.
        inside[own] = np.clip(scale * shape(x[own] / scale, y[own] / scale) + 0.5, 0, 1)
    is_dark = rng.random(n) < 0.5
    ground = _colours(rng, np.where(is_dark, rng.uniform(0.05, 0.35, n), rng.uniform(0.7, 1, n)))
    first, second = (
        _colours(rng, np.where(is_dark, rng.uniform(0.6, 1, n), rng.uniform(0.1, 0.5, n))) for _ in range(2)
    )
    pattern = _pattern(size, radius, rng)[..., None]
    fill = pattern * second + (1 - pattern) * first
    picture = inside[..., None] * fill + (1 - inside[..., None]) * ground
    picture += rng.normal(0, 0.03, picture.shape)
    return np.round(255 * np.clip(picture, 0, 1)).astype(np.uint8)


def _turned(size: int, centre: NDArray[np.float64], angle: NDArray[np.float64]) -> tuple[Field, Field]:
    """Coordinates of every pixel about a centre, turned by an angle."""
    rows, columns = np.mgrid[:size, :size] + 0.5
    across, down = columns - centre[0][:, None, None], rows - centre[1][:, None, None]
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    return (cos * across + sin * down).astype(np.float32), (cos * down - sin * across).astype(np.float32)


def _colours(rng: np.random.Generator, value: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 1, 1, 3): any hue, of the brightness `value` (n,)."""
    hue, saturation = rng.uniform(0, 6, len(value)), rng.uniform(0.4, 1, len(value))
    ramp = np.clip(np.abs((hue[:, None] + [0, 4, 2]) % 6 - 3) - 1, 0, 1)
    return (value[:, None] * (1 - saturation[:, None] * (1 - ramp)))[:, None, None, :]


def _pattern(size: int, radius: NDArray[np.float64], rng: np.random.Generator) -> Field:
    """Where the second colour shows: nowhere, in stripes, in checks or in dots."""
    n = len(radius)
    x, y = _turned(size, np.full((2, n), size / 2), rng.uniform(0, 2 * np.pi, n))
    period = (rng.uniform(0.35, 0.7, n) * radius)[:, None, None]
    waves = np.sin(2 * np.pi * x / period), np.sin(2 * np.pi * y / period)
    patterns = np.stack([np.zeros_like(x), waves[0] > 0, waves[0] * waves[1] > 0, waves[0] + waves[1] > 0.8])
    return patterns[rng.integers(0, len(TEXTURES), n), np.arange(n)].astype(np.float32)


# How far a point of the plane lies inside a shape of radius 1: positive inside, 0 on the edge.


def _disc(x: Field, y: Field) -> Field:
    return 1 - np.hypot(x, y)


def _ring(x: Field, y: Field) -> Field:
    return 0.22 - np.abs(np.hypot(x, y) - 0.78)


def _square(x: Field, y: Field) -> Field:
    return 0.78 - np.maximum(np.abs(x), np.abs(y))


def _triangle(x: Field, y: Field) -> Field:
    return np.min(_half_planes(x, y, 3, 0.55), axis=0)


def _cross(x: Field, y: Field) -> Field:
    across, down = np.abs(x), np.abs(y)
    return np.maximum(np.minimum(0.28 - across, 0.95 - down), np.minimum(0.95 - across, 0.28 - down))


def _star(x: Field, y: Field) -> Field:
    """Inside at least four of the five lines that a pentagram is drawn with."""
    return np.sort(_half_planes(x, y, 5, 0.36), axis=0)[1]


def _half_planes(x: Field, y: Field, sides: int, distance: float) -> Field:
    """(sides, n, size, size): how far on the inner side of each side's line."""
    angles = 2 * np.pi * np.arange(sides) / sides
    return np.stack([distance - np.cos(a) * x - np.sin(a) * y for a in angles])


SHAPES: tuple[Callable[[Field, Field], Field], ...] = (_disc, _ring, _square, _triangle, _cross, _star)
