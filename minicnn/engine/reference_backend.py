"""The reference backend: every op bound to its NumPy pair. Slow, readable, and the contract of the other one."""

from collections.abc import Callable
from typing import Any

from minicnn.engine import ops
from minicnn.engine.binding import VIEW, Binding, Frame, loss_pair, pair
from minicnn.reference import activations as act
from minicnn.reference import crossentropy as ce
from minicnn.reference.affine import Sampling, affine_backward
from minicnn.reference.average_pool2d import average_pool2d_backward, average_pool2d_forward
from minicnn.reference.conv2d import conv2d_backward, conv2d_forward
from minicnn.reference.conv2d_fft import conv2d_fft_backward, conv2d_fft_forward
from minicnn.reference.conv2d_im2col import conv2d_im2col_backward, conv2d_im2col_forward
from minicnn.reference.conv2d_loops import conv2d_loops_backward, conv2d_loops_forward
from minicnn.reference.conv2d_windows import conv2d_windows_backward, conv2d_windows_forward
from minicnn.reference.conv2d_winograd import (
    conv2d_winograd4_backward,
    conv2d_winograd4_forward,
    conv2d_winograd_backward,
    conv2d_winograd_forward,
)
from minicnn.reference.conv_relu_pool import (
    conv_relu_backward,
    conv_relu_forward,
    conv_relu_pool_backward,
    conv_relu_pool_forward,
)
from minicnn.reference.dense import dense_backward, dense_forward, dense_relu_backward, dense_relu_forward
from minicnn.reference.draws import Draw
from minicnn.reference.dropout import dropout_backward, dropout_forward
from minicnn.reference.global_pool2d import (
    global_average_pool2d_backward,
    global_average_pool2d_forward,
    global_max_pool2d_backward,
    global_max_pool2d_forward,
)
from minicnn.reference.layout import transpose_backward, transpose_forward
from minicnn.reference.max_pool2d import max_pool2d_backward, max_pool2d_forward
from minicnn.reference.padding import zero_pad2d_backward, zero_pad2d_forward
from minicnn.reference.random_affine import random_affine_forward
from minicnn.reference.regression import (
    mean_absolute_error_backward,
    mean_absolute_error_forward,
    mean_squared_error_backward,
    mean_squared_error_forward,
)
from minicnn.reference.rescaling import rescaling_backward, rescaling_forward
from minicnn.reference.softmax import softmax_backward, softmax_forward


def _dropout() -> Binding:
    """Dropout's pair takes one argument that only the run knows: where in the random stream it stands."""

    def forward(op: Any, frame: Frame) -> None:
        frame.y = frame.y_buffer
        frame.y[...], frame.residuals = dropout_forward(frame.x, op.rate, Draw(op.seed, *frame.draw))

    return Binding(forward, pair(dropout_forward, dropout_backward).backward, reads="")


def _random_affine() -> Binding:
    """As Dropout's."""

    def forward(op: Any, frame: Frame) -> None:
        sampling, draw = Sampling(op.fill_mode, op.interpolation, op.fill_value), Draw(op.seed, *frame.draw)
        frame.y = frame.y_buffer
        frame.y[...], frame.residuals = random_affine_forward(frame.x, op.kind, op.bounds, sampling, draw)

    return Binding(forward, pair(random_affine_forward, affine_backward).backward, reads="")


def _conv(forward: Callable[..., Any], backward: Callable[..., Any]) -> Binding:
    return pair(forward, backward, "window", "groups")


ALGORITHMS: dict[str, Binding] = {
    "loops": _conv(conv2d_loops_forward, conv2d_loops_backward),
    "windows": _conv(conv2d_windows_forward, conv2d_windows_backward),
    "im2col": _conv(conv2d_im2col_forward, conv2d_im2col_backward),
    "direct": _conv(conv2d_forward, conv2d_backward),
    "winograd": _conv(conv2d_winograd_forward, conv2d_winograd_backward),
    "winograd4": _conv(conv2d_winograd4_forward, conv2d_winograd4_backward),
    "fft": _conv(conv2d_fft_forward, conv2d_fft_backward),
}
"""What computes a convolution for which somebody has chosen: see `algorithms.py`."""

BINDINGS: dict[type[ops.Op], Binding] = {
    ops.Conv2D: ALGORITHMS["direct"],
    ops.ConvReLU: _conv(conv_relu_forward, conv_relu_backward),
    ops.ConvReLUPool: pair(conv_relu_pool_forward, conv_relu_pool_backward, "window", "pool"),
    ops.Dense: pair(dense_forward, dense_backward),
    ops.DenseReLU: pair(dense_relu_forward, dense_relu_backward),
    ops.MaxPool2D: pair(max_pool2d_forward, max_pool2d_backward, "window"),
    ops.AveragePool2D: pair(average_pool2d_forward, average_pool2d_backward, "window"),
    ops.GlobalMaxPool2D: pair(global_max_pool2d_forward, global_max_pool2d_backward),
    ops.GlobalAveragePool2D: pair(global_average_pool2d_forward, global_average_pool2d_backward),
    ops.ZeroPad2D: pair(zero_pad2d_forward, zero_pad2d_backward, "pads"),
    ops.Transpose: pair(transpose_forward, transpose_backward, "axes"),
    ops.Reshape: VIEW,
    ops.Identity: VIEW,
    ops.Rescaling: pair(rescaling_forward, rescaling_backward, "scale", "offset"),
    ops.Dropout: _dropout(),
    ops.RandomAffine: _random_affine(),
    ops.ReLU: pair(act.relu_forward, act.relu_backward),
    ops.ClippedReLU: pair(
        act.clipped_relu_forward, act.clipped_relu_backward, "negative_slope", "max_value", "threshold"
    ),
    ops.LeakyReLU: pair(act.leaky_relu_forward, act.leaky_relu_backward, "negative_slope"),
    ops.Elu: pair(act.elu_forward, act.elu_backward, "alpha"),
    ops.Gelu: pair(act.gelu_forward, act.gelu_backward, "approximate"),
    ops.Silu: pair(act.silu_forward, act.silu_backward),
    ops.Softplus: pair(act.softplus_forward, act.softplus_backward),
    ops.Sigmoid: pair(act.sigmoid_forward, act.sigmoid_backward),
    ops.Tanh: pair(act.tanh_forward, act.tanh_backward),
    ops.Softmax: pair(softmax_forward, softmax_backward),
    ops.SoftmaxCrossEntropy: loss_pair(
        ce.softmax_crossentropy_forward, ce.softmax_crossentropy_backward, predicts=True
    ),
    ops.SigmoidCrossEntropy: loss_pair(
        ce.sigmoid_crossentropy_forward, ce.sigmoid_crossentropy_backward, predicts=True
    ),
    ops.LogitsSoftmaxCrossEntropy: loss_pair(
        ce.softmax_crossentropy_forward, ce.softmax_crossentropy_backward, predicts=False
    ),
    ops.LogitsSigmoidCrossEntropy: loss_pair(
        ce.sigmoid_crossentropy_forward, ce.sigmoid_crossentropy_backward, predicts=False
    ),
    ops.CategoricalCrossEntropy: loss_pair(
        ce.categorical_crossentropy_forward, ce.categorical_crossentropy_backward, predicts=False
    ),
    ops.BinaryCrossEntropy: loss_pair(
        ce.binary_crossentropy_forward, ce.binary_crossentropy_backward, predicts=False
    ),
    ops.MeanSquaredError: loss_pair(mean_squared_error_forward, mean_squared_error_backward, predicts=False),
    ops.MeanAbsoluteError: loss_pair(
        mean_absolute_error_forward, mean_absolute_error_backward, predicts=False
    ),
}
