"""Fusion rewrites what it may and nothing else."""

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
