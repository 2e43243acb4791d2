"""Mistakes that people make in pooling, imitated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.testing import oracles
from minicnn.testing.oracles import pool_windows
from minicnn.testing.strategies import PoolCase
from minicnn.testing.target import Target

Array = np.ndarray[Any, Any]
Imitation = Callable[[Target, PoolCase, str], Any]


def _windows(case: PoolCase) -> Any:
    g = case.geometry
    return pool_windows((g.height, g.width), g.pool_size, g.strides, g.padding)


def _zero_padded_max(t: Target, case: PoolCase, label: str) -> Array | None:
    if label != "y" or case.geometry.padding != "same":
        return None
    y = oracles.max_pooling2d_forward(case.x, **case.geometry.options()).copy()
    full = int(np.prod(case.geometry.pool_size))
    for i, j, pixels in _windows(case):
        if len(pixels) < full:
            y[:, i, j] = np.maximum(y[:, i, j], 0)
    return y


def _divides_by_pool(t: Target, case: PoolCase, label: str) -> Array | None:
    if label != "y" or case.geometry.padding != "same":
        return None
    y, full = (
        oracles.average_pooling2d_forward(case.x, **case.geometry.options()),
        int(np.prod(case.geometry.pool_size)),
    )
    for i, j, pixels in _windows(case):
        y[:, i, j] *= len(pixels) / full
    return y


def _ties(pick: str) -> Imitation:
    def imitate(t: Target, case: PoolCase, label: str) -> Array | None:
        if label != "dx":
            return None
        dx: Array = np.zeros(case.x.shape)
        for i, j, pixels in _windows(case):
            for n in range(dx.shape[0]):
                for c in range(dx.shape[3]):
                    values = [case.x[(n, *pixel, c)] for pixel in pixels]
                    winners = [p for p, v in zip(pixels, values, strict=True) if v == max(values)]
                    for pixel in winners if pick != "last" else winners[-1:]:
                        share = len(winners) if pick == "split" else 1
                        dx[(n, *pixel, c)] += float(case.dy[n, i, j, c]) / share
        return dx

    return imitate


def _overwritten(t: Target, case: PoolCase, label: str) -> Array | None:
    if label != "dx" or not case.geometry.overlaps:
        return None
    where = oracles.max_pooling2d_argmax(case.x, **case.geometry.options())
    dx: Array = np.zeros(case.x.shape)
    for n, i, j, c in np.ndindex(*case.dy.shape):
        row, column = divmod(int(where[n, i, j, c]), dx.shape[2])
        dx[n, row, column, c] = case.dy[n, i, j, c]
    return dx


MAX_PATTERNS: dict[str, Imitation] = {
    "matches padding with 0 instead of −inf": _zero_padded_max,
    "the gradient of a tie goes to every maximum": _ties("all"),
    "the gradient of a tie is split between the maxima": _ties("split"),
    "the gradient of a tie goes to the last maximum": _ties("last"),
    "where windows overlap the gradient is overwritten instead of added": _overwritten,
}
AVERAGE_PATTERNS: dict[str, Imitation] = {
    "matches a division by the whole pool: padded positions must not count": _divides_by_pool,
}
