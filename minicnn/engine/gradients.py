"""Where gradients are added up: an accumulator for each lane, and their sum, a flat vector laid out like weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minicnn.engine.binding import Arrays, kernels_only
from minicnn.engine.parameters import ALIGNMENT_ELEMENTS, Variable, aligned_zeros, flat_views, views_of
from minicnn.engine.plan import LANES, Plan
from minicnn.engine.slices import Sliced
from minicnn.engine.tape import Phase, run_phases


class Gradients:
    """The gradients of `variables`, those of `plan.gradients` in that order.

    Between two batches the accumulators are zero: whoever adds them up clears them, while they are in the cache. Large
    weights have no part in them; their gradients are computed at the end, in `deferred`.
    """

    def __init__(self, plan: Plan, variables: Sequence[Variable]) -> None:
        self.flat, self.views = flat_views(variables, np.dtype(plan.dtype))
        self._accumulators = aligned_zeros(LANES * len(self.flat), self.flat.dtype).reshape(LANES, -1)
        self._is_clear = True
        self._lanes = [
            _by_step(plan, views_of(variables, row), is_deferred=False) for row in self._accumulators
        ]
        wanted = _by_step(plan, self.views, is_deferred=True)
        self.deferred = {k: views for k, views in enumerate(wanted) if views}
        """By step, the weight's and the bias's."""
        self._parts = _between(self.flat, [view for views in self.deferred.values() for view in views])
        self._additions = {lanes: self._addition(plan.backend, lanes) for lanes in range(1, LANES + 1)}

    def lanes(self, number: int) -> list[list[Arrays]]:
        """For each lane, accumulators by step, all zero. To be followed by `add_up`."""
        if not self._is_clear:  # something was raised in the last batch
            self._accumulators[...] = 0
        self._is_clear = False
        return self._lanes[:number]

    def add_up(self, lanes: int, before: Sequence[Phase] = ()) -> None:
        """flat = accumulator 0 + accumulator 1 + …, elementwise from left to right; the accumulators become zero.

        `before` are phases that write into the accumulators.
        """
        known = self.known_sum(lanes)
        if known is not None:
            run_phases([*before, known])
        else:
            run_phases(before)
            for add in self._additions[lanes]:
                add()
        self.settle()

    def known_sum(self, lanes: int) -> Phase | None:
        """What `add_up` does once it has been done before. `settle` belongs behind it."""
        additions = self._additions[lanes]
        if not all(add.tapes for add in additions):
            return None
        return Phase([tape for add in additions for tape in add.tapes])

    def settle(self) -> None:
        """All has been added up."""
        self._is_clear = True

    def _addition(self, backend: str, lanes: int) -> list[Sliced]:
        """What adds up so many accumulators, one function for each part of the vector."""
        rows = self._accumulators[:lanes]
        return [Sliced(stop - start, _adder(backend, self.flat, rows, start)) for start, stop in self._parts]


def _by_step(plan: Plan, views: Sequence[np.ndarray], *, is_deferred: bool) -> list[Arrays]:
    """The views of the steps' parameters, for steps that are deferred or that aren't; empty tuples for the others."""
    by_path = dict(zip(plan.gradients, views, strict=True))
    return [
        tuple(by_path[path] for path in step.op.parameters)
        if step.wants_dw and step.is_deferred == is_deferred
        else ()
        for step in plan.steps
    ]


def _between(flat: np.ndarray, views: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """(start, stop) of the parts of `flat` before, between and after `views`, which are in order."""
    parts, start = [], 0
    for view in views:
        first = (view.ctypes.data - flat.ctypes.data) // flat.itemsize
        parts.append((start, first))
        start = first + -(-view.size // ALIGNMENT_ELEMENTS) * ALIGNMENT_ELEMENTS
    return [(start, stop) for start, stop in [*parts, (start, len(flat))] if start < stop]


def _adder(backend: str, total: np.ndarray, rows: np.ndarray, first: int) -> Callable[[slice], None]:
    """What adds up a slice of the elements from `first` on."""
    if backend != "numba":
        return lambda part: _add_up(total, rows, first + part.start, first + part.stop)

    @kernels_only
    def add(part: slice) -> None:
        from minicnn.kernels.elementwise import add_up

        add_up(total, rows, first + part.start, first + part.stop)

    return add


def _add_up(total: np.ndarray, rows: np.ndarray, start: int, stop: int) -> None:
    """total[start:stop], overwritten = the sum of the rows, one after the other, which become zero."""
    total[start:stop] = rows[0, start:stop]
    for row in rows[1:]:
        total[start:stop] += row[start:stop]
    rows[:, start:stop] = 0
