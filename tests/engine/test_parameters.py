"""Variables as users see them: copies out, values in, in place."""

import numpy as np
import pytest

from minicnn.engine.parameters import (
    ALIGNMENT_ELEMENTS,
    Variable,
    aligned_offsets,
    flat_views,
    give_home,
    shapes_only,
)
from minicnn.layers import Dense


def variable(*shape, name="v"):
    return Variable(
        np.arange(np.prod(shape), dtype=np.float32).reshape(shape), name=name, path=f"layer/{name}"
    )


def test_values_are_copies():
    v = variable(2, 3)
    for values in (v.value, v.numpy(), np.asarray(v), np.array(v, dtype="float64")):
        values[...] = -1
    np.testing.assert_array_equal(v.numpy().ravel(), range(6))
    assert (v.shape, v.ndim, v.dtype) == ((2, 3), 2, "float32")
    assert repr(variable(2)) == "<Variable path=layer/v, shape=(2,), dtype=float32, value=[0. 1.]>"


def test_assigning_writes_in_place_and_counts():
    v = variable(2)
    array = v.array
    assert v.assign([5, 7]).assign_add([1, 1]).assign_sub(2) is v
    assert v.array is array
    np.testing.assert_array_equal(array, [4, 6])
    assert v.version == 3
    with pytest.raises(
        ValueError, match=r"variable 'layer/v' must have shape \(2,\)\. Received value.shape=\(2, 1\)"
    ):
        v.assign([[1], [2]])
    assert v.version == 3


def test_a_home_keeps_values_and_is_given_once():
    first, second, later = variable(3), variable(17, name="w"), variable(2, name="u")
    give_home([first, second])
    assert first.array.base is second.array.base
    np.testing.assert_array_equal(second.array, range(17))
    at = second.array.ctypes.data - first.array.ctypes.data
    assert at == ALIGNMENT_ELEMENTS * first.array.itemsize
    home = first.array
    give_home([first, later])
    assert first.array is home
    assert later.array.base is not first.array.base
    give_home([first, second, later])
    assert first.array is home


def test_offsets_are_multiples_of_a_vector():
    assert aligned_offsets([variable(1), variable(16), variable(17), variable(1)]) == ([0, 16, 32, 64], 80)
    flat, views = flat_views([variable(2, 3), variable(4)], np.dtype("float64"))
    assert flat.dtype == "float64" and not flat.any()
    assert [view.shape for view in views] == [(2, 3), (4,)]
    views[1][...] = 1
    np.testing.assert_array_equal(np.flatnonzero(flat), range(16, 20))


def test_shapes_without_values():
    """A layer too large for any memory has its shapes; values come by `fill`; afterwards layers draw again."""
    with shapes_only():
        large = Dense(10**12)
        large.build((None, 10**5))
        small = Dense(2, use_bias=False)
        small.build((None, 3))
    assert [v.shape for v in large.variables] == [(10**5, 10**12), (10**12,)]
    assert small.kernel.array.strides == (0, 0)
    with pytest.raises(ValueError, match="read-only"):
        small.kernel.assign(np.ones((3, 2)))
    small.kernel.fill(np.ones((3, 2), np.float32))
    assert small.kernel.version == 1
    np.testing.assert_array_equal(small(np.ones((1, 3))), [[3, 3]])
    drawn = Dense(2)
    drawn.build((None, 3))
    assert drawn.kernel.array.std() > 0
