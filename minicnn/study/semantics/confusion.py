"""What a confusion is made of: a question, two answers, an example, a training run, and where people asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Source(NamedTuple):
    """A public discussion."""

    repository: str
    number: int
    title: str

    @property
    def url(self) -> str:
        """GitHub leads from an issue's address to a pull request of that number."""
        return f"https://github.com/{self.repository}/issues/{self.number}"


class Shown(NamedTuple):
    """An array with what it is."""

    label: str
    values: np.ndarray
    """One or two axes."""


class Example(NamedTuple):
    """A worked difference."""

    arrays: tuple[Shown, ...]
    says: str


class Row(NamedTuple):
    """One training, or one evaluation of moved weights."""

    what: str
    loss: float
    """On the test images."""
    accuracy: float
    """On the test images."""


class Training(NamedTuple):
    rows: tuple[Row, ...]
    says: str


@dataclass(frozen=True)
class Confusion:
    name: str
    question: str
    ours: str
    """What Keras does, and so minicnn."""
    other: str
    """What is done elsewhere."""
    sources: tuple[Source, ...]
    example: Callable[[], Example]
    """Derived: the same on every machine."""
    train: Callable[[], Training]
    """Measured, in the reference backend: some seconds."""
