"""Every kernel on a few small shapes: what runs with NUMBA_DISABLE_JIT=1, where drawn shapes would take hours.

Each shape is here for a path of its own: a width of tiles, a remainder, a layout of the backward pass.
"""

import numpy as np
import pytest

from minicnn.geometry import make_window
from tests.kernels import test_conv2d_winograd as conv2d_winograd
from tests.kernels import test_conv_relu_pool_winograd as winograd
from tests.kernels import test_convolution as convolution
from tests.kernels import test_dense_and_pooling as others
from tests.kernels import test_optimizers as optimizers
from tests.kernels.cases import ConvCase

SAME = make_window((5, 5), (2, 2), padding="same")


POOLS = [SAME, make_window((5, 4), (3, 3), (1, 2), "same"), make_window((5, 4), (2, 2), (2, 2))]


def conv(channels, filters, window, images=1, groups=1, has_bias=True, dtype=np.float32):
    return ConvCase(images, channels, filters, window, groups, has_bias, dtype, 0)


CONVOLUTIONS = {
    "one vector and a bit": conv(3, 17, SAME, images=2),
    "several samples in a tile of float64": conv(3, 9, SAME, images=2, has_bias=False, dtype=np.float64),
    "widest tiles and what is left": conv(70, 70, make_window((3, 3), (2, 2))),
    "more terms than a partial sum has": conv(20, 5, make_window((4, 4), (2, 2))),
    "three kernel rows at once": conv(32, 4, make_window((5, 4), (3, 3))),
    "two kernel rows of six vectors": conv(32, 4, make_window((4, 4), (2, 3))),
    "a dilated row of six vectors": conv(100, 2, make_window((4, 4), (2, 2), dilation=(2, 2))),
    "few channels": conv(1, 20, make_window((4, 4), (3, 3), padding="same")),
    "one channel, patches of 4 × 4": conv(1, 32, make_window((6, 7), (3, 3)), images=2),
    "one channel with a border": conv(1, 32, make_window((4, 5), (3, 3), padding="same")),
    "strides": conv(2, 3, make_window((6, 5), (2, 3), (2, 1), "same")),
    "dilation": conv(2, 3, make_window((6, 5), (2, 3), (1, 1), "same", (2, 1))),
    "bands of rows": conv(1, 1, make_window((19, 17), (1, 2))),
    "groups": conv(4, 6, SAME, groups=2),
    "one channel a group": conv(37, 37, make_window((4, 5), (3, 2), (2, 1), "same"), groups=37),
    "one channel a group, no bias": conv(3, 3, make_window((3, 3), (2, 2)), groups=3, has_bias=False),
}
POOLABLE = [name for name, case in CONVOLUTIONS.items() if case.groups == 1]


def drawn(test):
    """The function behind a test of drawn cases."""
    return test.hypothesis.inner_test


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution(name):
    drawn(convolution.test_conv2d_is_exact_on_integers)(CONVOLUTIONS[name])
    drawn(convolution.test_conv_relu_is_the_composition)(CONVOLUTIONS[name])


@pytest.mark.parametrize("pool", [(2, 2), (1, 2), (3, 1)])
@pytest.mark.parametrize("name", POOLABLE)
def test_convolution_with_its_pool(name, pool):
    case = CONVOLUTIONS[name]
    size = tuple(map(min, pool, case.window.output_size))
    window = make_window(case.window.output_size, size, size)
    drawn(convolution.test_conv_relu_pool_is_exact_on_integers)((case, window))


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_convolution_with_its_pool_by_winograd(padding):
    case = conv(16, 32, make_window((6, 5), (3, 3), padding=padding), images=2)
    drawn(winograd.test_integers_are_exact_and_the_first_maximum_wins)(case)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_convolution_by_winograd(padding):
    case = conv(32, 32, make_window((6, 5), (3, 3), padding=padding), images=2)
    drawn(conv2d_winograd.test_integers_are_exact)(case)


# Of (samples, channels, filters) each in turn needs the widest tiles; 520 channels are two blocks.
@pytest.mark.parametrize("shape", [(3, 5, 17), (70, 3, 2), (2, 3, 70), (1, 520, 2), (20, 2, 33)])
@pytest.mark.parametrize("has_bias", [False, True])
def test_dense(shape, has_bias):
    drawn(others.test_dense_is_exact_on_integers)(shape, np.float32, has_bias, 0)


def test_dense_in_slices():
    drawn(others.test_dense_bits_depend_on_neither_chunk_nor_slices)((3, 5, 17), 2, 3, 0)


@pytest.mark.parametrize("channels", [3, 16, 35])
@pytest.mark.parametrize("window", POOLS)
def test_pooling(window, channels):
    drawn(others.test_max_pooling_equals_the_reference)(window, 2, channels, np.float32, True, 0)
    drawn(others.test_average_pooling_equals_the_reference)(window, 2, channels, np.float32, 0)


def test_elementwise_and_crossentropy():
    drawn(others.test_relu_in_place_and_not)(5, np.float32, 0)
    drawn(others.test_softmax_crossentropy)(3, 4, 1, np.float32, 0)


@pytest.mark.parametrize("step", optimizers.OPTIMIZERS)
def test_optimizer(step):
    drawn(optimizers.test_a_step_has_the_reference_bits)(step, 3, np.float32, 0)
