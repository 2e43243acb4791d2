"""What the tests of the reference share: the kit's geometries as windows, frozen inputs, comparison with a bound."""

import numpy as np

from minicnn.geometry import make_window
from minicnn.testing.tolerances import Arithmetic


def conv_window(g):
    """The window of one of the kit's convolution geometries."""
    return make_window((g.height, g.width), g.kernel_size, g.strides, g.padding, g.dilation_rate)


def pool_window(g):
    return make_window((g.height, g.width), g.pool_size, g.strides, g.padding)


def frozen(*arrays):
    """Read-only views: an op that writes into its inputs fails at once."""
    views = [a.view() for a in arrays]
    for view in views:
        view.flags.writeable = False
    return views


def arithmetic(array):
    return Arithmetic(array.dtype)


def assert_within(ours, exact, bound, dtype):
    """|ours − exact| ≤ bound elementwise, in the dtype and shape expected; a NaN is never within."""
    exact, bound = np.asarray(exact), np.broadcast_to(bound, np.shape(exact))
    assert ours.dtype == dtype
    assert ours.shape == exact.shape
    wrong = ~(np.abs(ours.astype(np.float64) - exact) <= bound)
    assert not wrong.any(), f"{ours[wrong][:3]} != {exact[wrong][:3]}, bound {bound[wrong][:3]}"


def assert_exact(ours, exact, dtype):
    """Equal, NaN at the same places, zeros of either sign."""
    assert ours.dtype == dtype
    np.testing.assert_array_equal(ours, exact)
