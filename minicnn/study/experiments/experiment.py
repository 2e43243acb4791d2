"""What an experiment is: a question, a run that measures, a report that follows from what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicnn.study.experiments.material import Material

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Results(NamedTuple):
    numbers: dict[str, Any]
    """What JSON can hold: goes to results.json, and a report's text follows from it alone."""
    arrays: dict[str, np.ndarray] = {}  # noqa: RUF012 (nobody writes into it)
    """What the pictures need beside it."""


class Report(NamedTuple):
    table: list[list[str]]
    """The header, then the rows."""
    seen: list[str]
    """Sentences, each made of the run's numbers and of comparisons between them."""


@dataclass(frozen=True)
class Experiment:
    """`run(material, seed, **size)` measures; `report(numbers)` puts it into words; `pictures(results)` draws it."""

    name: str
    question: str
    run: Callable[..., Results]
    report: Callable[[Mapping[str, Any]], Report]
    pictures: Callable[[Results], Mapping[str, Figure | Sequence[Figure]]]
    """File name → a figure (.png), or the frames of an animation (.gif)."""
    whole: Mapping[str, Any]
    """Sizes of the run: how many images, epochs, seeds."""
    quick: Mapping[str, Any]
    """The same in small: within two minutes on two cores."""
    whole_shapes: Mapping[str, Any] = field(default_factory=dict)
    """What is other with the data set 'shapes': it has fewer images, and they take more epochs."""
    quick_shapes: Mapping[str, Any] = field(default_factory=dict)

    def size(self, data: str = "mnist", *, quick: bool) -> Mapping[str, Any]:
        size, of_shapes = (self.quick, self.quick_shapes) if quick else (self.whole, self.whole_shapes)
        return {**size, **of_shapes} if data == "shapes" else size

    def __call__(self, material: Material, seed: int, **size: Any) -> Results:
        return self.run(material, seed, **size)
