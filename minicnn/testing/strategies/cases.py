"""Cases: a geometry with the arrays that fit it, ready to hand to an op.

A case is a small record; its arrays are plain attributes.  All arrays of a case share one dtype and one
kind of values; each has a memory layout of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minicnn.testing.geometry import ClassGeometry, ConvGeometry, DenseGeometry, PoolGeometry
from minicnn.testing.strategies.arrays import LAYOUTS, MODERATE_VALUES, Array, lay_out, make_array
from minicnn.testing.strategies.geometries import (
    class_geometries,
    conv_geometries,
    dense_geometries,
    one_of,
    pool_geometries,
    shapes,
)

DTYPES = (np.float32, np.float64)
_SEEDS = st.integers(0, 2**32 - 1)


@dataclass(frozen=True, eq=False)
class ConvCase:
    """``x`` image, ``w (P, Q, C // groups, F)``, ``b (F,)``, ``dy`` of the output's shape."""

    geometry: ConvGeometry
    x: Array
    w: Array
    b: Array
    dy: Array


@dataclass(frozen=True, eq=False)
class PoolCase:
    """``x`` image and ``dy`` of the output's shape."""

    geometry: PoolGeometry
    x: Array
    dy: Array


@dataclass(frozen=True, eq=False)
class DenseCase:
    """``x (N, K)``, ``w (K, M)``, ``b (M,)``, ``dy (N, M)``."""

    geometry: DenseGeometry
    x: Array
    w: Array
    b: Array
    dy: Array


@dataclass(frozen=True, eq=False)
class ArrayCase:
    """``x`` and ``dy`` of one shape, for elementwise ops, softmax and Flatten."""

    x: Array
    dy: Array


@dataclass(frozen=True, eq=False)
class ClassCase:
    """``logits (N, K)``, integer ``labels (N,)``, ``one_hot (N, K)``, positive ``sample_weight (N,)``."""

    geometry: ClassGeometry
    logits: Array
    labels: Array
    one_hot: Array
    sample_weight: Array

    @property
    def probabilities(self) -> Array:
        """Softmax of the logits in float64, rounded to the logits' dtype."""
        z = self.logits.astype(np.float64)
        e = np.exp(z - z.max(axis=-1, keepdims=True))
        return np.asarray(e / e.sum(axis=-1, keepdims=True), dtype=self.logits.dtype)


def _draw_arrays(
    draw: st.DrawFn,
    wanted: dict[str, tuple[int, ...]],
    dtypes: Sequence[Any],
    values: Sequence[str],
    layouts: Sequence[str],
    scale: float = 1.0,
) -> dict[str, Array]:
    """One seed, dtype and kind of values for all arrays of a case; each array has a layout of its own."""
    kind = draw(one_of(*values))
    dtype = draw(one_of(*dtypes))
    seed = draw(_SEEDS)
    chosen = draw(_layouts_of(len(wanted), tuple(layouts)))
    out = {}
    for k, ((name, shape), layout) in enumerate(zip(wanted.items(), chosen, strict=True)):
        array = make_array(shape, kind, (seed + k) % 2**32, dtype)
        out[name] = lay_out(array if scale == 1.0 else array * array.dtype.type(scale), layout)
    return out


@cache
def _layouts_of(count: int, layouts: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    """A layout for each array in one draw: four draws would cost more than all that NumPy does."""
    return st.sampled_from(list(product(layouts, repeat=count)))


@st.composite
def conv_cases(
    draw: st.DrawFn,
    geometries: st.SearchStrategy[ConvGeometry] | None = None,
    *,
    dtypes: Sequence[Any] = DTYPES,
    values: Sequence[str] = MODERATE_VALUES,
    layouts: Sequence[str] = tuple(LAYOUTS),
) -> ConvCase:
    """A convolution with its arrays.  ``geometries`` defaults to ``conv_geometries()``."""
    geometry = draw(geometries if geometries is not None else conv_geometries())
    wanted = {
        "x": geometry.image_shape,
        "w": geometry.kernel_shape,
        "b": (geometry.filters,),
        "dy": geometry.output_shape,
    }
    return ConvCase(geometry, **_draw_arrays(draw, wanted, dtypes, values, layouts))


@st.composite
def pool_cases(
    draw: st.DrawFn,
    geometries: st.SearchStrategy[PoolGeometry] | None = None,
    *,
    dtypes: Sequence[Any] = DTYPES,
    values: Sequence[str] = MODERATE_VALUES,
    layouts: Sequence[str] = tuple(LAYOUTS),
) -> PoolCase:
    """A pooling with its arrays.  ``geometries`` defaults to ``pool_geometries()``."""
    geometry = draw(geometries if geometries is not None else pool_geometries())
    wanted = {"x": geometry.image_shape, "dy": geometry.output_shape}
    return PoolCase(geometry, **_draw_arrays(draw, wanted, dtypes, values, layouts))


@st.composite
def dense_cases(
    draw: st.DrawFn,
    geometries: st.SearchStrategy[DenseGeometry] | None = None,
    *,
    dtypes: Sequence[Any] = DTYPES,
    values: Sequence[str] = MODERATE_VALUES,
    layouts: Sequence[str] = tuple(LAYOUTS),
) -> DenseCase:
    """A dense layer with its arrays."""
    geometry = draw(geometries if geometries is not None else dense_geometries())
    n, k, m = geometry.batch, geometry.inputs, geometry.units
    wanted: dict[str, tuple[int, ...]] = {"x": (n, k), "w": (k, m), "b": (m,), "dy": (n, m)}
    return DenseCase(geometry, **_draw_arrays(draw, wanted, dtypes, values, layouts))


@st.composite
def array_cases(
    draw: st.DrawFn,
    shape: st.SearchStrategy[tuple[int, ...]] | None = None,
    *,
    dtypes: Sequence[Any] = DTYPES,
    values: Sequence[str] = MODERATE_VALUES,
    layouts: Sequence[str] = tuple(LAYOUTS),
    scales: Sequence[float] = (1.0,),
) -> ArrayCase:
    """Arrays of any shape for elementwise ops; ``scales`` multiplies the values (say by 0.01, 1, 30)."""
    wanted = draw(shape if shape is not None else shapes())
    scale = draw(one_of(*scales))
    return ArrayCase(**_draw_arrays(draw, {"x": wanted, "dy": wanted}, dtypes, values, layouts, scale))


@st.composite
def class_cases(
    draw: st.DrawFn,
    geometries: st.SearchStrategy[ClassGeometry] | None = None,
    *,
    dtypes: Sequence[Any] = DTYPES,
    values: Sequence[str] = ("integers", "ties", "normal", "sparse"),
    scales: Sequence[float] = (1.0, 0.01, 5.0, 30.0, 300.0),
    layouts: Sequence[str] = tuple(LAYOUTS),
) -> ClassCase:
    """Logits from nearly uniform to far beyond the range of ``exp``, labels, small integer sample weights."""
    geometry = draw(geometries if geometries is not None else class_geometries())
    kind = draw(one_of(*values))
    dtype = np.dtype(draw(one_of(*dtypes)))
    scale = draw(one_of(*scales))
    seed = draw(_SEEDS)
    layout = draw(one_of(*layouts))
    n, k = geometry.batch, geometry.classes
    rng = np.random.default_rng(seed)
    logits = (make_array((n, k), kind, seed, np.float64) * scale).astype(dtype)
    labels = rng.integers(0, k, n)
    one_hot = np.eye(k, dtype=dtype)[labels]
    sample_weight = rng.integers(1, 5, n).astype(dtype)
    return ClassCase(geometry, lay_out(logits, layout), labels, lay_out(one_hot, layout), sample_weight)
