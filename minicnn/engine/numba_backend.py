"""The numba backend: the hot ops bound to kernels that write into the frame's buffers, the rest to NumPy pairs.

It calls no BLAS: a matrix product over a part of a batch would give other bits than over the whole.
"""

from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from minicnn.engine import bands, ops, reference_backend
from minicnn.engine.binding import Arrays, Binding, BufferShapes, Deferred, Frame, kernels_only
from minicnn.geometry import Window, make_window
from minicnn.kernels import (
    affine,
    average_pool2d,
    conv2d,
    conv2d_karatsuba,
    conv2d_loops,
    conv2d_winograd,
    conv_relu_pool,
    dense,
    elementwise,
    max_pool2d,
)
from minicnn.kernels import conv2d_winograd_forward as winograd_forward
from minicnn.kernels import conv_relu_pool_windows as windows
from minicnn.kernels import conv_relu_pool_winograd as pool_winograd
from minicnn.kernels import softmax_crossentropy as ce
from minicnn.reference import softmax
from minicnn.reference.affine import FILL_MODES
from minicnn.reference.draws import Draw
from minicnn.reference.random_affine import random_matrices


@cache
def _no_bias(dtype: np.dtype) -> np.ndarray:
    return np.empty(0, dtype)


def _weights(arrays: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """(kernel, bias) or their accumulators; an empty array stands for no bias."""
    return arrays[0], arrays[1] if len(arrays) > 1 else _no_bias(arrays[0].dtype)


def _rows(x: np.ndarray) -> np.ndarray:
    """(…, C) as (rows, C)."""
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])


# Convolution


@kernels_only
def _conv_forward(op: Any, frame: Frame) -> None:
    _convolve(op, frame, conv2d.conv2d_forward)


@kernels_only
def _conv_relu_forward(op: Any, frame: Frame) -> None:
    _convolve(op, frame, conv2d.conv_relu_forward)


def _convolve(op: Any, frame: Frame, direct: Callable[..., None]) -> None:
    frame.y = frame.y_buffer
    w, b = _weights(frame.w)
    is_relu = direct is conv2d.conv_relu_forward
    if "karatsuba" in frame.derived:
        weights, block = (w, b, frame.derived["karatsuba"]), _block_for(conv2d_karatsuba, frame)
        conv2d_karatsuba.conv2d_karatsuba_forward(frame.x, weights, frame.y, block, op.window, is_relu)
    elif "u" in frame.derived:
        weights, block = (w, b, frame.derived["u"]), _block_for(pool_winograd, frame)
        winograd_forward.conv2d_winograd_forward(frame.x, weights, frame.y, block, op.window, is_relu)
    elif (parts := bands.parts_for(op, frame)) > 1:
        bands.forward(op, parts, direct, (frame.x, w, b), frame.y)
    else:
        direct(frame.x, w, b, frame.y, op.window, op.groups)


@kernels_only
def _conv_backward(op: Any, frame: Frame) -> None:
    _conv_gradients(op, frame, frame.dy)


@kernels_only
def _conv_relu_backward(op: Any, frame: Frame) -> None:
    dz = frame.kept["dz"]
    elementwise.relu_backward(frame.dy.reshape(-1), frame.y.reshape(-1), dz.reshape(-1))
    _conv_gradients(op, frame, dz)


def _conv_gradients(op: Any, frame: Frame, dz: np.ndarray) -> None:
    parts = bands.parts_for(op, frame)
    if frame.dw:
        gradients = _weights(frame.dw)
        if "sums" in frame.kept:
            block, sums = _block_for(conv2d_winograd, frame), frame.kept["sums"]
            conv2d_winograd.backward_w(dz, frame.x, gradients, block, sums, op.window)
        elif parts > 1:
            bands.backward_w(op, parts, dz, frame.x, gradients)
        else:
            conv2d.conv2d_backward_w(dz, frame.x, *gradients, op.window, op.groups)
    if frame.dx_buffer is not None:
        frame.dx = frame.dx_buffer
        if "u_t" in frame.derived:
            weights = frame.w[0], frame.derived["u_t"]
            conv2d_winograd.backward_x(dz, weights, frame.dx, _block_for(conv2d_winograd, frame), op.window)
        elif parts > 1:
            bands.backward_x(op, parts, dz, frame.derived["transposed"], frame.dx)
        else:
            conv2d.conv2d_backward_x(dz, frame.derived["transposed"], frame.dx, op.window, op.groups)


def _has_karatsuba(op: Any, shape: ops.Shape) -> bool:
    return conv2d_karatsuba.applies(op.window, op.groups, shape[-1], op.filters)


def _has_winograd_forward(op: Any, shape: ops.Shape) -> bool:
    applies = winograd_forward.applies(op.window, op.groups, shape[-1], op.filters)
    return applies and not _has_karatsuba(op, shape)


def _has_winograd_gradients(op: Any, shape: ops.Shape) -> bool:
    return conv2d_winograd.applies(op.window, op.groups, shape[-1], op.filters)


def _conv_block(op: Any, shape: ops.Shape) -> dict[str, ops.Shape]:
    """Forward and backward use the same memory, as much of it as each needs."""
    used = {
        conv2d_karatsuba: _has_karatsuba,
        pool_winograd: _has_winograd_forward,
        conv2d_winograd: _has_winograd_gradients,
    }
    shapes = [
        kernel.block_shape(shape[-1], op.filters) for kernel, is_used in used.items() if is_used(op, shape)
    ]
    rows = max((positions * tiles for positions, tiles, _ in shapes), default=0)
    return {"block": (rows, shape[-1] + op.filters)} if rows else {}


def _block_for(kernel: ModuleType, frame: Frame) -> np.ndarray:
    """What a kernel uses of it."""
    w, block = frame.w[0], frame.kept["block"]
    positions, tiles, both = kernel.block_shape(*w.shape[2:])
    return block[: positions * tiles].reshape(positions, tiles, both)


def _conv_sums(op: Any, shape: ops.Shape) -> dict[str, ops.Shape]:
    if not _has_winograd_gradients(op, shape):
        return {}
    return {"sums": (conv2d_winograd.POSITIONS, shape[-1], op.filters)}


def _u_shape(op: Any, shape: ops.Shape) -> dict[str, ops.Shape]:
    if _has_karatsuba(op, shape):
        return {"karatsuba": conv2d_karatsuba.weights_shape(shape[-1], op.filters)}
    return {"u": (4, 4, shape[-1], op.filters)} if _has_winograd_forward(op, shape) else {}


def _transposed_shape(op: Any, shape: ops.Shape) -> dict[str, ops.Shape]:
    if _has_winograd_gradients(op, shape):
        return {"u_t": (conv2d_winograd.POSITIONS, op.filters, shape[-1])}
    return _transposed_alone(op, shape)


@kernels_only
def _derive_conv(op: Any, w: Arrays, derived: dict[str, np.ndarray]) -> None:
    if "karatsuba" in derived:
        conv2d_karatsuba.transform_weights(w[0], derived["karatsuba"])
    if "u" in derived:
        pool_winograd.transform_weights(w[0], derived["u"])
    if "transposed" in derived:
        conv2d.pack_transposed(w[0], derived["transposed"], op.groups)
    if "u_t" in derived:
        conv2d_winograd.transform_weights(w[0], derived["u_t"])


# Convolution by an algorithm that somebody has chosen


@kernels_only
def _loops_forward(op: Any, frame: Frame) -> None:
    frame.y = frame.y_buffer
    conv2d_loops.loops_forward(frame.x, *_weights(frame.w), frame.y, op.window, op.groups)


@kernels_only
def _loops_backward(op: Any, frame: Frame) -> None:
    if frame.dw:
        conv2d_loops.loops_backward_w(frame.dy, frame.x, *_weights(frame.dw), op.window, op.groups)
    if frame.dx_buffer is not None:
        frame.dx = frame.dx_buffer
        conv2d_loops.loops_backward_x(frame.dy, frame.w[0], frame.dx, op.window, op.groups)


def _transposed_alone(op: Any, shape: ops.Shape) -> dict[str, ops.Shape]:
    """Without the layouts that a Winograd kernel would be chosen by."""
    return {"transposed": (*op.window.kernel_size, op.filters // op.groups, shape[-1])}


ALGORITHMS: dict[str, Binding] = reference_backend.ALGORITHMS | {
    "loops": Binding(_loops_forward, _loops_backward),
    "direct": Binding(_conv_forward, _conv_backward, derived=_transposed_alone, derive=_derive_conv),
}

# Convolution, ReLU and pooling in one


@kernels_only
def _conv_relu_pool_forward(op: Any, frame: Frame) -> None:
    frame.y = frame.y_buffer
    w, outputs = _weights(frame.w), (frame.y, frame.kept["argmax"])
    if "winograd" in frame.derived:
        weights = (*w, frame.derived["winograd"])
        pool_winograd.conv_relu_pool_winograd_forward(
            frame.x, weights, *outputs, frame.kept["block"], op.window, op.pool
        )
    else:
        conv_relu_pool.conv_relu_pool_forward(frame.x, *w, *outputs, op.window, op.pool)


@kernels_only
def _conv_relu_pool_backward(op: Any, frame: Frame) -> None:
    maxima = frame.dy, frame.y, frame.kept["argmax"]
    if frame.dw:
        conv_relu_pool.conv_relu_pool_backward_w(*maxima, frame.x, *_weights(frame.dw), op.window, op.pool)
    if frame.dx_buffer is not None:
        frame.dx = frame.dx_buffer
        if "by_window" in frame.derived:
            windows.windows_backward_x(*maxima, frame.derived["by_window"], frame.dx, op.window)
        else:
            packed = frame.derived["by_filter"]
            conv_relu_pool.conv_relu_pool_backward_x(*maxima, packed, frame.dx, op.window, op.pool)


def _packed_shape(op: Any, shape: ops.Shape) -> dict[str, ops.Shape]:
    if _is_pool_winograd(op, shape):
        return {"by_window": windows.packed_shape(shape[-1], op.filters)}
    return {"by_filter": (op.filters, *op.window.kernel_size, shape[-1])}


def _is_pool_winograd(op: Any, shape: ops.Shape) -> bool:
    return pool_winograd.applies(op.window, op.pool, shape[-1], op.filters)


def _winograd_shape(op: Any, shape: ops.Shape) -> dict[str, ops.Shape]:
    return {"winograd": (4, 4, shape[-1], op.filters)} if _is_pool_winograd(op, shape) else {}


def _winograd_block(op: Any, shape: ops.Shape) -> dict[str, ops.Shape]:
    return {"block": pool_winograd.block_shape(shape[-1], op.filters)} if _is_pool_winograd(op, shape) else {}


@kernels_only
def _derive_conv_relu_pool(op: Any, w: Arrays, derived: dict[str, np.ndarray]) -> None:
    if "winograd" in derived:
        pool_winograd.transform_weights(w[0], derived["winograd"])
    if "by_window" in derived:
        windows.pack_for_windows(w[0], derived["by_window"])
    if "by_filter" in derived:
        conv_relu_pool.pack_by_filter(w[0], derived["by_filter"])


# Dense


@kernels_only
def _dense_forward(op: Any, frame: Frame) -> None:
    frame.y = frame.y_buffer
    dense.dense_forward(_rows(frame.x), *_weights(frame.w), _rows(frame.y))


@kernels_only
def _dense_relu_forward(op: Any, frame: Frame) -> None:
    _dense_forward(op, frame)
    flat = frame.y.reshape(-1)
    elementwise.relu_forward(flat, flat)


@kernels_only
def _dense_backward(op: Any, frame: Frame) -> None:
    _dense_gradients(frame, frame.dy)


@kernels_only
def _dense_relu_backward(op: Any, frame: Frame) -> None:
    dz = frame.kept["dz"]
    elementwise.relu_backward(frame.dy.reshape(-1), frame.y.reshape(-1), dz.reshape(-1))
    _dense_gradients(frame, dz)


def _dense_gradients(frame: Frame, dz: np.ndarray) -> None:
    if frame.dw:
        dw, db = _weights(frame.dw)
        dense.dense_backward_w(_rows(dz), _rows(frame.x), dw, db, 0, len(dw))
    if frame.dx_buffer is not None:
        frame.dx = frame.dx_buffer
        dense.dense_backward_x(_rows(dz), frame.w[0], _rows(frame.dx))


def _add_dense(op: Any, inputs: Arrays, dw: Arrays, start: int, stop: int) -> None:
    x, dz = inputs
    dense.dense_backward_w(_rows(dz), _rows(x), *_weights(dw), start, stop)


def _dz_of(op: ops.Op, shape: ops.Shape) -> BufferShapes:
    """dy behind the ReLU: zero where y isn't positive."""
    return {"dz": (op.output_shape(shape), None)}


# Pooling


def _argmax_of(op: Any, shape: ops.Shape) -> BufferShapes:
    pool: Window = op.pool if isinstance(op, ops.ConvReLUPool) else op.window
    taps = pool.kernel_size[0] * pool.kernel_size[1]
    return {"argmax": (op.output_shape(shape), "uint8" if taps <= 255 else "int32")}


@kernels_only
def _max_pool_forward(op: Any, frame: Frame) -> None:
    frame.y = frame.y_buffer
    max_pool2d.max_pool2d_forward(frame.x, frame.y, frame.kept["argmax"], op.window)


@kernels_only
def _max_pool_backward(op: Any, frame: Frame) -> None:
    frame.dx = frame.dx_buffer
    max_pool2d.max_pool2d_backward(frame.dy, frame.kept["argmax"], frame.dx, op.window)


@kernels_only
def _average_pool_forward(op: Any, frame: Frame) -> None:
    frame.y = frame.y_buffer
    average_pool2d.average_pool2d_forward(frame.x, frame.y, op.window)


@kernels_only
def _average_pool_backward(op: Any, frame: Frame) -> None:
    frame.dx = frame.dx_buffer
    average_pool2d.average_pool2d_backward(frame.dy, frame.dx, op.window)


@kernels_only
def _global_average_forward(op: Any, frame: Frame) -> None:
    frame.y = frame.y_buffer
    average_pool2d.average_pool2d_forward(frame.x, frame.y[:, None, None, :], _whole(frame.x.shape[1:3]))


@kernels_only
def _global_average_backward(op: Any, frame: Frame) -> None:
    frame.dx = frame.dx_buffer
    average_pool2d.average_pool2d_backward(frame.dy[:, None, None, :], frame.dx, _whole(frame.dx.shape[1:3]))


@cache
def _whole(image_size: tuple[int, int]) -> Window:
    """One window over the whole image."""
    return make_window(image_size, image_size, image_size)


# Augmentation


def _random_affine_forward(op: Any, frame: Frame) -> None:
    """The few numbers of each sample are drawn in NumPy: a Philox generator a sample takes 10 µs."""
    frame.y, draw = frame.y_buffer, Draw(op.seed, *frame.draw)
    frame.residuals = random_matrices(frame.n, frame.x.shape[1:3], op.kind, op.bounds, draw)
    affine.affine_forward(frame.x, frame.residuals, frame.y, *_sampling(op), op.fill_value)


def _random_affine_backward(op: Any, frame: Frame) -> None:
    frame.dx = frame.dx_buffer
    affine.affine_backward(frame.dy, frame.residuals, frame.dx, *_sampling(op))


def _sampling(op: Any) -> tuple[int, bool]:
    return FILL_MODES.index(op.fill_mode), op.interpolation == "bilinear"


# The rest


@kernels_only
def _relu_forward(op: Any, frame: Frame) -> None:
    frame.y = frame.y_buffer
    elementwise.relu_forward(frame.x.reshape(-1), frame.y.reshape(-1))


@kernels_only
def _relu_backward(op: Any, frame: Frame) -> None:
    frame.dx = frame.dx_buffer
    elementwise.relu_backward(frame.dy.reshape(-1), frame.y.reshape(-1), frame.dx.reshape(-1))


@kernels_only
def _softmax_forward(op: Any, frame: Frame) -> None:
    frame.y = frame.y_buffer
    ce.softmax_forward(_rows(frame.x), _rows(frame.y))


def _softmax_backward(op: Any, frame: Frame) -> None:
    """From the logits: rounded shares near 1 have lost their difference from 1."""
    frame.dx = frame.dx_buffer
    _, residuals = softmax.softmax_forward(frame.x)
    frame.dx[...] = softmax.softmax_backward(frame.dy, residuals)[0]


@kernels_only
def _softmax_crossentropy_forward(op: Any, frame: Frame) -> None:
    frame.y = frame.y_buffer
    ce.softmax_crossentropy_forward(
        _rows(frame.x), _rows(frame.target), _rows(frame.y), frame.losses.reshape(-1)
    )


@kernels_only
def _softmax_crossentropy_backward(op: Any, frame: Frame) -> None:
    frame.dx = frame.dx_buffer
    ce.softmax_crossentropy_backward(
        _rows(frame.x), _rows(frame.target), frame.loss_gradient.reshape(-1), _rows(frame.dx)
    )


_CONV = {
    "block": _conv_block,
    "sums": _conv_sums,
    "derived": _transposed_shape,
    "derived_forward": _u_shape,
    "derive": _derive_conv,
}

BINDINGS: dict[type[ops.Op], Binding] = reference_backend.BINDINGS | {
    ops.Conv2D: Binding(_conv_forward, _conv_backward, reads="x", **_CONV),
    ops.ConvReLU: Binding(_conv_relu_forward, _conv_relu_backward, reads="xy", scratch=_dz_of, **_CONV),
    ops.ConvReLUPool: Binding(
        _conv_relu_pool_forward,
        _conv_relu_pool_backward,
        reads="xy",
        kept=_argmax_of,
        block=_winograd_block,
        derived=_packed_shape,
        derived_forward=_winograd_shape,
        derive=_derive_conv_relu_pool,
    ),
    ops.Dense: Binding(
        _dense_forward,
        _dense_backward,
        reads="x",
        deferred=Deferred(lambda frame: (frame.x, frame.dy), _add_dense),
    ),
    ops.DenseReLU: Binding(
        _dense_relu_forward,
        _dense_relu_backward,
        reads="xy",
        scratch=_dz_of,
        deferred=Deferred(lambda frame: (frame.x, frame.kept["dz"]), _add_dense),
    ),
    ops.MaxPool2D: Binding(_max_pool_forward, _max_pool_backward, reads="", kept=_argmax_of),
    ops.AveragePool2D: Binding(_average_pool_forward, _average_pool_backward, reads=""),
    ops.GlobalAveragePool2D: Binding(_global_average_forward, _global_average_backward, reads=""),
    ops.RandomAffine: Binding(_random_affine_forward, _random_affine_backward, reads=""),
    ops.ReLU: Binding(_relu_forward, _relu_backward, reads="y"),
    ops.Softmax: Binding(_softmax_forward, _softmax_backward, reads="x"),
    ops.SoftmaxCrossEntropy: Binding(
        _softmax_crossentropy_forward, _softmax_crossentropy_backward, reads="x"
    ),
}
