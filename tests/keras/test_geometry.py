"""Geometry against Keras's shape functions and TensorFlow's padding, exhaustively over one axis."""

from itertools import product

import numpy as np
import pytest
import tensorflow as tf
from keras.src.ops.operation_utils import compute_conv_output_shape, compute_pooling_output_shape

from minicnn.geometry import dilated, make_window, output_length
from tests.test_geometry import DILATIONS, KERNELS, PADDINGS, SIZES, STRIDES, pixels_read

EVERYTHING = list(product(SIZES, KERNELS, STRIDES, DILATIONS, PADDINGS))


def keras_length(function, *arguments):
    """Keras's output length along an axis; 0 where it raises an error."""
    try:
        return function(*arguments)[1]
    except ValueError:
        return 0


def test_convolution_output_sizes():
    for size, kernel, stride, dilation, padding in EVERYTHING:
        theirs = keras_length(
            compute_conv_output_shape,
            (1, size, 1),
            1,
            (kernel,),
            (stride,),
            padding,
            "channels_last",
            (dilation,),
        )
        assert output_length(size, kernel, stride, padding, dilation) == theirs


def test_pooling_output_sizes():
    for size, kernel, stride, padding in product(SIZES, KERNELS, STRIDES, PADDINGS):
        theirs = keras_length(compute_pooling_output_shape, (1, size, 1), (kernel,), (stride,), padding)
        assert output_length(size, kernel, stride, padding) == theirs


@pytest.mark.parametrize("axis", [0, 1], ids=["rows", "columns"])
def test_tensorflow_reads_the_same_pixels(axis):
    """Filter p of the kernel is one at tap p, and pixels are numbered: the output names the pixel under each tap."""

    def along(value, other=1):
        return (value, other) if axis == 0 else (other, value)

    for size, kernel, stride, dilation, padding in EVERYTHING:
        if padding == "valid" and dilated(kernel, dilation) > size:
            continue
        window = make_window((size, 1), (kernel, 1), (stride, 1), padding, (dilation, 1))
        x = np.arange(1, size + 1, dtype=np.float32).reshape(1, *along(size), 1)
        taps = np.eye(kernel, dtype=np.float32).reshape(*along(kernel), 1, kernel)
        y = tf.nn.conv2d(x, taps, along(stride), padding.upper(), dilations=along(dilation))
        pixels = y.numpy().reshape(-1, kernel).astype(int) - 1
        assert pixels.tolist() == pixels_read(window), (size, kernel, stride, dilation, padding)


@pytest.mark.parametrize(("pool", "combine"), [(tf.nn.max_pool2d, max), (tf.nn.avg_pool2d, np.mean)])
def test_tensorflow_pools_the_same_pixels(pool, combine):
    """A window's pixels are consecutive, so its maximum and its mean together say which they are."""
    for size, kernel, stride, padding in product(SIZES, KERNELS, STRIDES, PADDINGS):
        if padding == "valid" and kernel > size:
            continue
        window = make_window((size, 1), (kernel, 1), (stride, 1), padding)
        x = np.arange(size, dtype=np.float32).reshape(1, size, 1, 1)
        y = pool(x, (kernel, 1), (stride, 1), padding.upper()).numpy().ravel()
        assert y.tolist() == [combine([i for i in pixels if i >= 0]) for pixels in pixels_read(window)]
