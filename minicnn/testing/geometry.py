"""Geometries: what an op is asked to do, as small frozen records of integers, and the arithmetic they imply.

Every record has one domain predicate, ``is_valid()``, and the strategies draw only records for which it
holds, by construction.

Output sizes and SAME padding follow TensorFlow (``tensorflow/core/framework/common_shape_fns.cc``,
``GetWindowedOutputSizeVerbose``): with ``e = (k - 1) * d + 1`` the extent of a dilated kernel,

    valid:  out = (size - e) // s + 1                    no padding
    same:   out = ceil(size / s),  total = max((out - 1) * s + e - size, 0),  before = total // 2

so that an odd total puts the extra row at the bottom and the extra column at the right.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

Pair = tuple[int, int]
Pads = tuple[Pair, Pair]


def extent(kernel: int, dilation: int) -> int:
    """Rows (or columns) that a dilated kernel spans: ``(kernel - 1) * dilation + 1``."""
    return (kernel - 1) * dilation + 1


def output_size(size: int, kernel: int, stride: int, padding: str, dilation: int = 1) -> int:
    """Number of windows along one axis; may be ≤ 0 when a valid kernel is larger than the image."""
    if padding == "same":
        return -(-size // stride)
    return (size - extent(kernel, dilation)) // stride + 1


def pad_amounts(size: int, kernel: int, stride: int, padding: str, dilation: int = 1) -> Pair:
    """Rows of padding before and after the image along one axis."""
    if padding == "valid":
        return 0, 0
    out = output_size(size, kernel, stride, padding, dilation)
    total = max((out - 1) * stride + extent(kernel, dilation) - size, 0)
    return total // 2, total - total // 2


class _Geometry:
    """What all records share: describing themselves."""

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain data, for reports in JSON."""
        return asdict(self)  # type: ignore[call-overload]


@dataclass(frozen=True)
class ConvGeometry(_Geometry):
    """A 2D convolution.  Kernels are ``(P, Q, C // groups, F)`` whatever the data format."""

    batch: int = 1
    height: int = 1
    width: int = 1
    channels: int = 1
    filters: int = 1
    kernel_size: Pair = (1, 1)
    strides: Pair = (1, 1)
    padding: str = "valid"
    dilation_rate: Pair = (1, 1)
    groups: int = 1
    data_format: str = "channels_last"

    def is_valid(self) -> bool:
        """The domain: positive integers, groups that divide, and at least one window along each axis."""
        sizes = (self.batch, self.height, self.width, self.channels, self.filters, self.groups)
        pairs = (*self.kernel_size, *self.strides, *self.dilation_rate)
        return (
            min(*sizes, *pairs) >= 1
            and self.padding in ("valid", "same")
            and self.data_format in ("channels_last", "channels_first")
            and self.channels % self.groups == 0
            and self.filters % self.groups == 0
            and min(self.output_size) >= 1
        )

    @property
    def is_keras_layer(self) -> bool:
        """Whether a Keras layer takes it: strides and dilation are not both larger than one."""
        return max(self.strides) == 1 or max(self.dilation_rate) == 1

    @property
    def output_size(self) -> Pair:
        """Rows and columns of the output."""
        sides = (self.height, self.width)
        sizes = zip(sides, self.kernel_size, self.strides, self.dilation_rate, strict=True)
        oh, ow = (output_size(n, k, s, self.padding, d) for n, k, s, d in sizes)
        return oh, ow

    @property
    def pads(self) -> Pads:
        """``((top, bottom), (left, right))``."""
        sides = (self.height, self.width)
        sizes = zip(sides, self.kernel_size, self.strides, self.dilation_rate, strict=True)
        rows, columns = (pad_amounts(n, k, s, self.padding, d) for n, k, s, d in sizes)
        return rows, columns

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of ``x`` in the geometry's data format."""
        return _in_format(self.batch, self.height, self.width, self.channels, self.data_format)

    @property
    def kernel_shape(self) -> tuple[int, int, int, int]:
        """``(P, Q, C // groups, F)``."""
        return (*self.kernel_size, self.channels // self.groups, self.filters)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of ``y`` in the geometry's data format."""
        return _in_format(self.batch, *self.output_size, self.filters, self.data_format)

    @property
    def multiply_adds(self) -> int:
        """Multiplications of the dense algorithm, padded taps counted."""
        return self.batch * math.prod(self.output_size) * math.prod(self.kernel_shape)

    def options(self) -> dict[str, Any]:
        """Keyword arguments of an op: strides, padding, dilation_rate, groups."""
        return {
            "strides": self.strides,
            "padding": self.padding,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
        }


@dataclass(frozen=True)
class PoolGeometry(_Geometry):
    """A 2D pooling, max or average."""

    batch: int = 1
    height: int = 1
    width: int = 1
    channels: int = 1
    pool_size: Pair = (1, 1)
    strides: Pair = (1, 1)
    padding: str = "valid"
    data_format: str = "channels_last"

    def is_valid(self) -> bool:
        """The domain: positive integers and at least one window along each axis."""
        sizes = (self.batch, self.height, self.width, self.channels, *self.pool_size, *self.strides)
        return (
            min(sizes) >= 1
            and self.padding in ("valid", "same")
            and self.data_format in ("channels_last", "channels_first")
            and min(self.output_size) >= 1
        )

    @property
    def output_size(self) -> Pair:
        """Rows and columns of the output."""
        sizes = zip((self.height, self.width), self.pool_size, self.strides, strict=True)
        oh, ow = (output_size(n, k, s, self.padding) for n, k, s in sizes)
        return oh, ow

    @property
    def pads(self) -> Pads:
        """``((top, bottom), (left, right))``."""
        sizes = zip((self.height, self.width), self.pool_size, self.strides, strict=True)
        rows, columns = (pad_amounts(n, k, s, self.padding) for n, k, s in sizes)
        return rows, columns

    @property
    def overlaps(self) -> bool:
        """Whether an element can lie in two windows."""
        return self.pool_size[0] > self.strides[0] or self.pool_size[1] > self.strides[1]

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of ``x`` in the geometry's data format."""
        return _in_format(self.batch, self.height, self.width, self.channels, self.data_format)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of ``y`` in the geometry's data format."""
        return _in_format(self.batch, *self.output_size, self.channels, self.data_format)

    def options(self) -> dict[str, Any]:
        """Keyword arguments of an op: pool_size, strides, padding."""
        return {"pool_size": self.pool_size, "strides": self.strides, "padding": self.padding}


@dataclass(frozen=True)
class DenseGeometry(_Geometry):
    """A dense layer: ``(N, K) @ (K, M)``."""

    batch: int = 1
    inputs: int = 1
    units: int = 1

    def is_valid(self) -> bool:
        """The domain: positive integers."""
        return min(self.batch, self.inputs, self.units) >= 1

    def options(self) -> dict[str, Any]:
        """A dense layer takes no options."""
        return {}


@dataclass(frozen=True)
class ClassGeometry(_Geometry):
    """A batch of class scores: ``(N, K)`` logits or probabilities."""

    batch: int = 1
    classes: int = 2

    def is_valid(self) -> bool:
        """The domain: at least one example and two classes."""
        return self.batch >= 1 and self.classes >= 2


def _in_format(n: int, h: int, w: int, c: int, data_format: str) -> tuple[int, ...]:
    return (n, h, w, c) if data_format == "channels_last" else (n, c, h, w)
