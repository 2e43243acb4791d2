"""The strategies: every drawn record is inside its domain, and nothing that matters is never drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import find, given, settings

from minicnn.testing import strategies as cnn
from minicnn.testing.geometry import ConvGeometry, PoolGeometry

CONV = cnn.conv_geometries(strided_dilation=True, data_formats=("channels_last", "channels_first"))


@given(CONV)
def test_conv_geometries_are_inside_their_domain(geometry: ConvGeometry) -> None:
    assert geometry.is_valid()


@given(cnn.conv_geometries())
def test_default_conv_geometries_are_those_of_keras_layers(geometry: ConvGeometry) -> None:
    assert geometry.is_keras_layer


@given(cnn.pool_geometries())
def test_pool_geometries_are_inside_their_domain(geometry: PoolGeometry) -> None:
    assert geometry.is_valid()


@pytest.mark.parametrize(
    "wanted",
    [
        lambda g: not g.is_keras_layer,
        lambda g: g.padding == "same" and g.pads[0][0] != g.pads[0][1],
        lambda g: g.padding == "same" and g.kernel_size[1] > g.width,
        lambda g: g.groups == 3 and g.channels == 6 and g.filters == 9,
        lambda g: g.padding == "valid" and g.strides[0] > 1 and (g.height - g.kernel_size[0]) % g.strides[0],
        lambda g: g.data_format == "channels_first",
        lambda g: g.height != g.width and g.kernel_size[0] != g.kernel_size[1],
        lambda g: g.output_size == (1, 1) and g.kernel_size == (4, 4) and g.padding == "valid",
    ],
)
def test_awkward_convolutions_are_drawn(wanted) -> None:
    find(CONV, wanted, settings=settings(max_examples=5000, database=None))


@pytest.mark.parametrize(
    "wanted",
    [
        lambda g: g.overlaps and g.strides[0] > 1,
        lambda g: min(g.strides) > max(g.pool_size) > 1,
        lambda g: g.pool_size == g.strides and g.height % g.strides[0],
        lambda g: g.padding == "same" and g.pads[1][0] != g.pads[1][1],
    ],
)
def test_awkward_poolings_are_drawn(wanted) -> None:
    find(cnn.pool_geometries(), wanted, settings=settings(max_examples=5000, database=None))


@given(cnn.conv_cases(CONV, values=tuple(cnn.VALUES)))
def test_conv_cases_have_the_shapes_of_their_geometry(case: cnn.ConvCase) -> None:
    g = case.geometry
    shapes = (case.x.shape, case.w.shape, case.b.shape, case.dy.shape)
    assert shapes == (g.image_shape, g.kernel_shape, (g.filters,), g.output_shape)


@pytest.mark.parametrize("layout", cnn.LAYOUTS)
@pytest.mark.parametrize("shape", [(2, 3, 4, 2), (1, 3, 1, 2), (4, 1), (5,)])
def test_layouts_change_memory_and_nothing_else(layout: str, shape: tuple[int, ...]) -> None:
    array = cnn.make_array(shape, "normal", seed=1)
    other = cnn.lay_out(array, layout)
    np.testing.assert_array_equal(array, other)
    assert other.dtype == array.dtype


@pytest.mark.parametrize(
    ("layout", "differs"),
    [
        ("read-only", lambda a: not a.flags.writeable),
        ("fortran", lambda a: not a.flags.c_contiguous),
        ("every other", lambda a: not a.flags.c_contiguous and not a.flags.f_contiguous),
        ("reversed", lambda a: max(a.strides) < 0),
        ("channels-first view", lambda a: not a.flags.c_contiguous),
        ("offset", lambda a: a.base is not None and a.flags.c_contiguous),
    ],
)
def test_each_layout_is_what_it_says(layout: str, differs) -> None:
    assert differs(cnn.lay_out(cnn.make_array((2, 3, 4, 2)), layout))


def test_a_size_one_axis_gets_a_stride_of_no_meaning() -> None:
    view = cnn.lay_out(cnn.make_array((1, 3, 1, 2)), "loose size-1 axes")
    assert view.flags.c_contiguous and view.strides[2] > view.strides[1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("values", "holds"),
    [
        ("integers", lambda a: (a == np.rint(a)).all() and abs(a).max() <= 4),
        ("ties", lambda a: len(np.unique(a)) == 3),
        ("multiples of four", lambda a: (a % 4 == 0).all() and (a % 8).any()),
        ("sparse", lambda a: (a == 0).mean() > 0.5 and np.signbit(a[a == 0]).any()),
        ("negative", lambda a: (a < 0).all()),
        ("distinct", lambda a: len(np.unique(a)) == a.size),
        ("huge", lambda a: np.median(abs(a)) > 1e14 and np.isfinite(a).all()),
        ("tiny", lambda a: 0 < np.median(abs(a)) ** 2 < np.finfo(a.dtype).tiny and (a != 0).all()),
        ("denormal", lambda a: abs(a).max() < np.finfo(a.dtype).tiny and a.any()),
        ("special", lambda a: np.isnan(a).any() and np.isposinf(a).any() and np.isneginf(a).any()),
    ],
)
def test_each_kind_of_values_is_what_it_says(values: str, holds, dtype) -> None:
    assert holds(cnn.make_array((20, 20), values, seed=3, dtype=dtype))


def test_the_same_arguments_make_the_same_array() -> None:
    np.testing.assert_array_equal(cnn.make_array((3, 4), "mixed", 5), cnn.make_array((3, 4), "mixed", 5))


@given(cnn.class_cases())
def test_class_cases_are_consistent(case: cnn.ClassCase) -> None:
    np.testing.assert_array_equal(case.one_hot.argmax(axis=-1), case.labels)
    np.testing.assert_allclose(case.probabilities.sum(axis=-1), 1.0, atol=1e-6)  # 12 classes in float32
