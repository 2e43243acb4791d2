"""Geometries and data for the kernels: every remainder of vectors and tiles, sums small enough to be exact.

Inputs are small integers, so that every order of summation gives the same number in float32 and results can be
compared for equality; one test uses real numbers and the rounding bound.
"""

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st

from minicnn.geometry import Window, dilated, make_window

# Below, at and above one, two and four vectors of 16 numbers (or 8, or 4), and odd ones between.
WIDTHS = (1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 48, 64, 70)
DTYPES = (np.float32, np.float64)


@dataclass(frozen=True)
class ConvCase:
    images: int
    channels: int
    filters: int
    window: Window
    groups: int
    has_bias: bool
    dtype: type
    seed: int

    def arrays(self, real: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """x, w, b (empty for none), dy."""
        draw = numbers(self.seed, self.dtype, real)
        x = draw(self.images, *self.window.image_size, self.channels)
        w = draw(*self.window.kernel_size, self.channels // self.groups, self.filters)
        b = draw(self.filters if self.has_bias else 0)
        return x, w, b, draw(self.images, *self.window.output_size, self.filters)


def numbers(seed: int, dtype: type, real: bool = False):
    """A function of a shape that draws integers −3 … 3, or normal numbers."""
    rng = np.random.default_rng(seed)
    if real:
        return lambda *shape: rng.standard_normal(shape).astype(dtype)
    return lambda *shape: rng.integers(-3, 4, shape).astype(dtype)


@st.composite
def windows(draw, max_kernel: int = 4, max_extra: int = 8, max_dilation: int = 3) -> Window:
    kernel, strides, dilation = (
        draw(st.tuples(st.integers(1, top), st.integers(1, top))) for top in (max_kernel, 3, max_dilation)
    )
    if draw(st.booleans()):
        strides = dilation = (1, 1)
    padding = draw(st.sampled_from(("valid", "same")))
    smallest = [dilated(k, d) if padding == "valid" else 1 for k, d in zip(kernel, dilation, strict=True)]
    size = tuple(extent + draw(st.integers(0, max_extra)) for extent in smallest)
    return make_window(size, kernel, strides, padding, dilation)


def pool_windows() -> st.SearchStrategy[Window]:
    """Pools don't dilate: a dilated one could lie wholly in the padding."""
    return windows(max_dilation=1)


@st.composite
def conv_cases(draw, groups: int = 3) -> ConvCase:
    """With `groups` above 1 also one channel and filter a group, for which there are kernels of their own."""
    kind = draw(st.sampled_from(("plain", "grouped", "depthwise"))) if groups > 1 else "plain"
    groups = {
        "plain": 1,
        "grouped": draw(st.integers(2, max(2, groups))),
        "depthwise": draw(st.integers(2, 40)),
    }[kind]
    return ConvCase(
        images=draw(st.integers(1, 5)),
        channels=groups * (1 if kind == "depthwise" else draw(st.sampled_from(WIDTHS[:10]))),
        filters=groups * (1 if kind == "depthwise" else draw(st.sampled_from(WIDTHS))),
        window=draw(windows()),
        groups=groups,
        has_bias=draw(st.booleans()),
        dtype=draw(st.sampled_from(DTYPES)),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


@st.composite
def conv_pool_cases(draw) -> tuple[ConvCase, Window]:
    """A convolution and a pool that tiles its output."""
    case = draw(conv_cases(groups=1))
    pool = tuple(draw(st.integers(1, min(3, size))) for size in case.window.output_size)
    return case, make_window(case.window.output_size, pool, pool)


def at_every_alignment(array: np.ndarray):
    """Copies of the array that start 0, 1, 5, … numbers after a cache line."""
    for shift in (0, 1, 5, 8):
        buffer = np.empty(array.size + 32, array.dtype)
        first = (-buffer.ctypes.data % 64) // array.itemsize + shift
        copy = buffer[first : first + array.size].reshape(array.shape)
        copy[...] = array
        yield copy


def large(case: ConvCase) -> ConvCase:
    """The same with an image so large that it is cut into bands of rows."""
    window = make_window((40, 37), case.window.kernel_size, case.window.strides, "same", case.window.dilation)
    return replace(case, images=2, window=window)
