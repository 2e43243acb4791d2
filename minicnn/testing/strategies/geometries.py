"""Geometry strategies.  Each result satisfies its ``is_valid()`` by construction: nothing is filtered away.

A size of the image is drawn *after* the kernel, as the smallest legal size plus a few, so that edges,
remainders and "just one window" are all common.  Shrinking goes to one image of one pixel with one channel,
kernel (1, 1), stride 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from hypothesis import strategies as st

from minicnn.testing.geometry import ClassGeometry, ConvGeometry, DenseGeometry, PoolGeometry, extent

PADDINGS = ("valid", "same")


@cache
def _pairs(largest: int) -> st.SearchStrategy[tuple[int, int]]:
    """One draw for two integers: a draw costs more than anything that NumPy does with its result."""
    pairs = [(a, b) for a in range(1, largest + 1) for b in range(1, largest + 1)]
    return st.sampled_from(sorted(pairs, key=lambda pair: (max(pair), pair)))


_FEW = [(c, f) for c in (1, 2, 3) for f in (1, 2, 3)]
WIDTHS = (*_FEW, (1, 9), (9, 1), (5, 4), (17, 2), (2, 17))
"""Channels and filters of a group: small ones, and some beyond what a vector of 4, 8 or 16 holds."""
LARGE_POOLS = ((12, 11), (16, 17))
"""More pixels than a signed, than an unsigned byte counts."""


@cache
def _pools(largest: int, large: tuple[tuple[int, int], ...]) -> st.SearchStrategy[tuple[int, int]]:
    return st.one_of(*[_pairs(largest)] * 7, st.sampled_from(large)) if large else _pairs(largest)


@cache
def _up_to(largest: int, smallest: int = 1) -> st.SearchStrategy[int]:
    return st.integers(smallest, largest)


@cache
def one_of(*values: Any) -> st.SearchStrategy[Any]:
    """``st.sampled_from``, built once for the same values."""
    return st.sampled_from(values)


@st.composite
def conv_geometries(
    draw: st.DrawFn,
    *,
    max_batch: int = 3,
    max_extra: int = 5,
    max_kernel: int = 4,
    kernel_sizes: Sequence[tuple[int, int]] = (),
    max_stride: int = 3,
    max_dilation: int = 3,
    max_groups: int = 3,
    paddings: Sequence[str] = PADDINGS,
    strided_dilation: bool = False,
    data_formats: Sequence[str] = ("channels_last",),
) -> ConvGeometry:
    """Convolutions whose groups have 1 to 3 channels and filters, sometimes up to 17.

    ``max_extra`` is how many rows and columns an image may have beyond the smallest legal one.
    ``kernel_sizes`` are those that an algorithm is made for, instead of all up to ``max_kernel``.
    ``strided_dilation=True`` also draws strides > 1 together with dilation > 1, which Keras layers refuse.
    Pass ``max_stride=1``, ``max_groups=1``, ``paddings=("valid",)``, … to narrow.
    """
    padding = draw(one_of(*paddings))
    kernel = draw(one_of(*kernel_sizes) if kernel_sizes else _pairs(max_kernel))
    dilated = draw(one_of(False, True)) if max_dilation > 1 else False
    strides = draw(_pairs(max_stride)) if strided_dilation or not dilated else (1, 1)
    dilation = draw(_pairs(max_dilation)) if dilated else (1, 1)
    smallest = [extent(k, d) if padding == "valid" else 1 for k, d in zip(kernel, dilation, strict=True)]
    groups = draw(_up_to(max_groups))
    channels, filters = draw(one_of(*WIDTHS))
    extra = draw(_pairs(max_extra + 1))
    return ConvGeometry(
        batch=draw(_up_to(max_batch)),
        height=smallest[0] + extra[0] - 1,
        width=smallest[1] + extra[1] - 1,
        channels=groups * channels,
        filters=groups * filters,
        kernel_size=kernel,
        strides=strides,
        padding=padding,
        dilation_rate=dilation,
        groups=groups,
        data_format=draw(one_of(*data_formats)),
    )


@st.composite
def pool_geometries(
    draw: st.DrawFn,
    *,
    max_batch: int = 3,
    max_extra: int = 5,
    max_pool: int = 4,
    max_stride: int = 4,
    max_channels: int = 3,
    large_pools: Sequence[tuple[int, int]] = LARGE_POOLS,
    paddings: Sequence[str] = PADDINGS,
    data_formats: Sequence[str] = ("channels_last",),
) -> PoolGeometry:
    """Poolings: disjoint (strides = pool), overlapping (strides < pool) and with gaps (strides > pool).

    One in eight has one of the ``large_pools``.
    """
    padding = draw(one_of(*paddings))
    pool = draw(_pools(max_pool, tuple(large_pools)))
    default = draw(one_of(False, True)) and max(pool) <= max_stride
    smallest = pool if padding == "valid" else (1, 1)
    extra = draw(_pairs(max_extra + 1))
    return PoolGeometry(
        batch=draw(_up_to(max_batch)),
        height=smallest[0] + extra[0] - 1,
        width=smallest[1] + extra[1] - 1,
        channels=draw(_up_to(max_channels)),
        pool_size=pool,
        strides=pool if default else draw(_pairs(max_stride)),
        padding=padding,
        data_format=draw(one_of(*data_formats)),
    )


def dense_geometries(
    *, max_batch: int = 5, max_inputs: int = 9, max_units: int = 7
) -> st.SearchStrategy[DenseGeometry]:
    """Dense layers, sizes from 1 up."""
    return st.builds(
        DenseGeometry, st.integers(1, max_batch), st.integers(1, max_inputs), st.integers(1, max_units)
    )


def class_geometries(*, max_batch: int = 5, max_classes: int = 12) -> st.SearchStrategy[ClassGeometry]:
    """Batches of class scores, from one example and two classes up."""
    return st.builds(ClassGeometry, st.integers(1, max_batch), st.integers(2, max_classes))


def shapes(*, min_dims: int = 1, max_dims: int = 4, max_side: int = 5) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes of any rank for elementwise ops, size-1 axes included."""
    sides = st.lists(st.integers(1, max_side), min_size=min_dims, max_size=max_dims)
    return sides.map(tuple)
