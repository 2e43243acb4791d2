"""Where the weights, gradients and slots of an optimizer's variables lie, and which stretches can be updated at once.

Gradients and slots are flat vectors laid out by `engine.parameters.flat_views`. The weights live in their models' flat
vectors: often one, several in transfer learning, with gaps where a layer isn't trained. A `Run` is a stretch in which
all three advance together; the padding between two variables belongs to it and stays zero under every update.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from minicnn.engine.parameters import Variable, aligned_offsets
from minicnn.errors import ShapeError


class Run(NamedTuple):
    """As many elements as `weights` has, which one elementwise update may take in any slices."""

    weights: np.ndarray
    """1-D: a view of the weights themselves."""
    gradient: slice
    slots: slice
    decays: bool
    """Whether weight decay applies."""


class Layout(NamedTuple):
    """Some of an optimizer's variables, in the order of a flat gradient."""

    variables: tuple[Variable, ...]
    runs: tuple[Run, ...]
    slices: tuple[slice, ...]
    """Each variable's part of the gradient."""
    size: int
    """Elements of the gradient."""

    def gather(self, gradients: Sequence[Any]) -> np.ndarray:
        """One flat gradient from one gradient for each variable.

        Raises:
            ShapeError: a gradient of another shape than its variable's.
        """
        flat = np.zeros(self.size, self.variables[0].dtype)
        for g, v, part in zip(gradients, self.variables, self.slices, strict=True):
            g = np.asarray(g)
            if g.shape != v.shape:
                raise ShapeError(
                    f"The gradient of '{v.path}' must have shape {v.shape}. Received shape {g.shape}."
                )
            flat[part] = g.reshape(-1)
        return flat


class _Place(NamedTuple):
    home: np.ndarray
    weights: slice
    gradient: slice
    slots: slice
    decays: bool

    def stretch(self) -> tuple[int, int, int, bool]:
        """Equal for neighbours that lie equally far apart in all three vectors."""
        start = self.gradient.start
        return id(self.home), self.weights.start - start, self.slots.start - start, self.decays


def make_layout(variables: Sequence[Variable], slot_offsets: Sequence[int], decays: Sequence[bool]) -> Layout:
    """Lay out `variables`, whose slots begin at `slot_offsets`."""
    offsets, size = aligned_offsets(variables)
    places = []
    for v, offset, slot_offset, decay in zip(variables, offsets, slot_offsets, decays, strict=True):
        home, position = _home(v.array)
        weights, gradient, slots = (
            slice(start, start + v.array.size) for start in (position, offset, slot_offset)
        )
        places.append(_Place(home, weights, gradient, slots, decay))
    runs, dtype = [], variables[0].array.dtype
    for _, group in groupby(places, _Place.stretch):
        members = list(group)
        first, last = members[0], members[-1]
        runs.append(
            Run(
                first.home.reshape(-1).view(dtype)[first.weights.start : last.weights.stop],
                slice(first.gradient.start, last.gradient.stop),
                slice(first.slots.start, last.slots.stop),
                first.decays,
            )
        )
    return Layout(tuple(variables), tuple(runs), tuple(place.gradient for place in places), size)


def _home(array: np.ndarray) -> tuple[np.ndarray, int]:
    """(the memory that `array` is a view of, its first element there)."""
    memory = array
    while isinstance(memory.base, np.ndarray):
        memory = memory.base
    distance = array.__array_interface__["data"][0] - memory.__array_interface__["data"][0]
    return memory, distance // array.itemsize
