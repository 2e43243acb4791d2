"""Fusion rewrites what it may and nothing else."""

import pytest

from minicnn.engine import ops
from minicnn.engine.fusion import fuse
from minicnn.geometry import make_window
from tests.engine.chains import small_convnet


def kinds(chain):
    return [type(op).__name__ for op in chain]


def test_fuses_the_convnet():
    assert kinds(fuse(small_convnet().ops)) == [
        "ConvReLUPool", "ConvReLU", "Reshape", "Dense", "SoftmaxCrossEntropy",
    ]  # fmt: skip


def test_a_fused_op_has_the_name_of_its_last_part_and_the_weights_of_its_first():
    first = fuse(small_convnet().ops)[0]
    assert first.name == "pool"
    assert first.parameters == ("conv/kernel", "conv/bias")
    assert first.output_shape((11, 10, 2)) == (4, 4, 4)


def test_keeps_a_value_that_somebody_wants():
    assert kinds(fuse(small_convnet().ops, keep={"conv"}))[:2] == ["ConvReLU", "MaxPool2D"]
    assert kinds(fuse(small_convnet().ops, keep={"conv/linear"}))[:3] == ["Conv2D", "ReLU", "MaxPool2D"]


def test_leaves_an_overlapping_pool_alone():
    conv, relu, _, *rest = small_convnet().ops
    overlapping = ops.MaxPool2D(name="pool", window=make_window((9, 8), (2, 2), (1, 1)))
    assert kinds(fuse([conv, relu, overlapping, *rest]))[:2] == ["ConvReLU", "MaxPool2D"]


def test_leaves_a_dilated_convolution_with_its_pool_alone():
    window = make_window((11, 10), (3, 3), dilation=(2, 2))
    conv = ops.Conv2D(name="conv/linear", parameters=("k",), window=window, filters=4)
    pool = ops.MaxPool2D(name="pool", window=make_window(window.output_size, (2, 2), (2, 2)))
    assert kinds(fuse([conv, ops.ReLU(name="conv"), pool])) == ["ConvReLU", "MaxPool2D"]


def convolution_and_pool(pool_size, **arguments):
    window = make_window((11, 10), (3, 3), arguments.pop("strides", (1, 1)))
    conv = ops.Conv2D(name="conv/linear", parameters=("k",), window=window, filters=4, **arguments)
    pool = ops.MaxPool2D(name="pool", window=make_window(window.output_size, pool_size, pool_size))
    return [conv, ops.ReLU(name="conv"), pool]


@pytest.mark.parametrize(
    "arguments",
    [
        {"pool_size": (3, 3)},
        {"pool_size": (2, 1)},
        {"pool_size": (2, 2), "groups": 2},
        {"pool_size": (2, 2), "strides": (1, 2)},
    ],
)
def test_leaves_pools_alone_that_the_fused_kernel_is_not_for(arguments):
    """It takes other pools too, but is slower than two kernels there, or isn't written for groups."""
    assert kinds(fuse(convolution_and_pool(**arguments))) == ["ConvReLU", "MaxPool2D"]


def test_a_pool_that_reaches_into_padding_is_left_alone():
    conv, relu, _ = convolution_and_pool((2, 2))
    padded = ops.MaxPool2D(name="pool", window=make_window((9, 8), (2, 2), (2, 2), "same"))
    assert kinds(fuse([conv, relu, padded])) == ["ConvReLU", "MaxPool2D"]


def test_what_is_fused_is_not_fused_again():
    conv, relu, pool = convolution_and_pool((2, 2))
    again = ops.ReLU(name="again")
    fused = fuse([conv, relu])
    assert fuse([*fused, again]) == (*fused, again)
    assert kinds(fuse([*fused, again, pool])) == ["ConvReLU", "ReLU", "MaxPool2D"]
    dense = fuse([ops.Dense(name="d/linear", parameters=("k",), units=3), ops.ReLU(name="d")])
    assert kinds(dense) == ["DenseReLU"]
    assert dense[0].name == "d"
    assert kinds(fuse([*dense, again])) == ["DenseReLU", "ReLU"]


@pytest.mark.parametrize("other", [ops.ClippedReLU(name="conv", threshold=0.5), ops.LeakyReLU(name="conv")])
def test_another_relu_is_not_the_plain_one(other):
    conv, _, pool = convolution_and_pool((2, 2))
    assert fuse([conv, other, pool]) == (conv, other, pool)
    dense = ops.Dense(name="d/linear", parameters=("k",), units=3)
    assert fuse([dense, other]) == (dense, other)
