"""Layers of every geometry for the explanations, and the reference run in an order that is defined."""

from inspect import unwrap
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from minicnn import Input, layers, models
from minicnn.engine import ops
from minicnn.reference.average_pool2d import average_pool2d_backward, average_pool2d_forward
from minicnn.reference.conv2d import conv2d_backward, conv2d_forward
from minicnn.reference.dense import dense_backward, dense_forward
from minicnn.reference.global_pool2d import (
    global_average_pool2d_backward,
    global_average_pool2d_forward,
    global_max_pool2d_backward,
    global_max_pool2d_forward,
)
from minicnn.reference.max_pool2d import max_pool2d_backward, max_pool2d_forward
from minicnn.reference.padding import zero_pad2d_backward, zero_pad2d_forward
from minicnn.reference.rescaling import rescaling_backward, rescaling_forward

PAIRS: dict[type[ops.Op], tuple[Any, Any, tuple[str, ...]]] = {
    ops.Conv2D: (conv2d_forward, conv2d_backward, ("window", "groups")),
    ops.Dense: (dense_forward, dense_backward, ()),
    ops.MaxPool2D: (max_pool2d_forward, max_pool2d_backward, ("window",)),
    ops.AveragePool2D: (average_pool2d_forward, average_pool2d_backward, ("window",)),
    ops.GlobalAveragePool2D: (global_average_pool2d_forward, global_average_pool2d_backward, ()),
    ops.GlobalMaxPool2D: (global_max_pool2d_forward, global_max_pool2d_backward, ()),
    ops.ZeroPad2D: (zero_pad2d_forward, zero_pad2d_backward, ("pads",)),
    ops.Rescaling: (rescaling_forward, rescaling_backward, ("scale", "offset")),
}
SIZES = st.integers(1, 6)


class Case(NamedTuple):
    """A model of one layer: layers are made in the test, for they draw random seeds."""

    shape: tuple[int, ...]
    kind: str
    arguments: dict[str, Any]

    def model(self, rng: np.random.Generator) -> models.Sequential:
        layer = getattr(layers, self.kind)(**self.arguments, name="layer")
        model = models.Sequential([Input(shape=self.shape), layer])
        layer.set_weights([rng.normal(size=v.shape) for v in layer.weights])
        return model


def in_order(op: ops.Op, x: np.ndarray, w: list[np.ndarray], dy: np.ndarray) -> tuple[Any, Any, list[Any]]:
    """(y, dx, dw) of the very functions of `minicnn.reference`, run on arrays of Python's floats.

    On float64 NumPy leaves the order inside a matrix product to BLAS. On objects it adds from first to last, in
    IEEE double arithmetic and without fused multiply-adds: then the reference has one order on every machine.
    """
    forward, backward, attributes = PAIRS[type(op)]
    if not isinstance(op, ops.MaxPool2D | ops.GlobalMaxPool2D):  # they multiply nothing, and look for NaN
        x, dy, *w = (array.astype(object) for array in (x, dy, *w))
    if isinstance(op, ops.Conv2D | ops.Dense) and len(w) == 1:
        w = [*w, None]
    y, residuals = unwrap(forward)(x, *w, *(getattr(op, name) for name in attributes))
    dx, *dw = unwrap(backward)(dy, residuals)
    return y, dx, dw


@st.composite
def convolutions(draw: Any) -> Case:
    height, width, groups = draw(SIZES), draw(SIZES), draw(st.integers(1, 3))
    padding = draw(st.sampled_from(["valid", "same"]))
    steps = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    strides, dilation = draw(st.sampled_from([(steps, (1, 1)), ((1, 1), steps)]))
    data_format = draw(st.sampled_from(["channels_last", "channels_first"]))
    arguments = {
        "filters": groups * draw(st.integers(1, 3)),
        "kernel_size": [
            draw(st.integers(1, 4 if padding == "same" else max(1, (size - 1) // step + 1)))
            for size, step in zip((height, width), dilation, strict=True)
        ],
        "strides": strides,
        "padding": padding,
        "dilation_rate": dilation,
        "groups": groups,
        "use_bias": draw(st.booleans()),
        "data_format": data_format,
        "activation": draw(st.sampled_from([None, "relu", "tanh"])),
    }
    return Case(_shape(height, width, groups * draw(st.integers(1, 3)), data_format), "Conv2D", arguments)


class Chain(NamedTuple):
    """A layer with ReLU, and maybe a pool behind it, that the default plan computes in one op of the kind `fused`."""

    fused: type[ops.Op]
    case: Case
    pool: bool = False

    def model(self, rng: np.random.Generator) -> models.Sequential:
        model = self.case.model(rng)
        if self.pool:
            model.add(layers.MaxPooling2D(2, name="pool"))
        return model

    @property
    def options(self) -> dict[str, Any]:
        """The geometry, as `minicnn.testing` takes it."""
        names = ("strides", "padding", "dilation_rate", "groups")
        return {name: self.case.arguments[name] for name in names if name in self.case.arguments}


@st.composite
def dense_and_relu(draw: Any) -> Chain:
    arguments = {"units": draw(st.integers(1, 9)), "use_bias": draw(st.booleans()), "activation": "relu"}
    return Chain(ops.DenseReLU, Case((draw(st.integers(1, 40)),), "Dense", arguments))


@st.composite
def convolution_and_relu(draw: Any) -> Chain:
    """Strides, dilation and groups too."""
    case = draw(convolutions())
    (height, width, channels), options = case.shape, {"data_format": "channels_last", "activation": "relu"}
    if case.arguments["data_format"] == "channels_first":
        channels, height, width = case.shape
    return Chain(ops.ConvReLU, Case((height, width, channels), "Conv2D", case.arguments | options))


@st.composite
def convolution_relu_and_pool(draw: Any) -> Chain:
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    arguments = {
        "filters": draw(st.integers(1, 9)),
        "kernel_size": kernel,
        "padding": draw(st.sampled_from(["valid", "same"])),
        "use_bias": draw(st.booleans()),
        "activation": "relu",
    }
    shape = (*(draw(st.integers(k + 1, 12)) for k in kernel), draw(st.integers(1, 5)))
    return Chain(ops.ConvReLUPool, Case(shape, "Conv2D", arguments), pool=True)


@st.composite
def winograd(draw: Any) -> Chain:
    """So many channels that the kernels for Winograd's algorithm are taken: where tiles fit well enough."""
    pool = draw(st.booleans())
    arguments = {
        "filters": 32,
        "kernel_size": 3,
        "padding": draw(st.sampled_from(["valid", "same"])),
        "activation": "relu",
    }
    size = draw(st.sampled_from([8, 11, 12] if arguments["padding"] == "valid" else [6, 9, 10]))
    fused = ops.ConvReLUPool if pool else ops.ConvReLU
    return Chain(fused, Case((size, size, draw(st.sampled_from([16, 32]))), "Conv2D", arguments), pool)


@st.composite
def others(draw: Any) -> Case:
    """Pools, dense layers and whatever else is linear or a choice."""
    height, width, channels = draw(SIZES), draw(SIZES), draw(st.integers(1, 4))
    padding = draw(st.sampled_from(["valid", "same"]))
    data_format = draw(st.sampled_from(["channels_last", "channels_first"]))
    pool = {
        "pool_size": [draw(st.integers(1, 4 if padding == "same" else size)) for size in (height, width)],
        "strides": draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        "padding": padding,
    }
    pads = draw(st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 2))
    kind, arguments = draw(
        st.sampled_from(
            [
                ("MaxPooling2D", pool),
                ("AveragePooling2D", pool),
                ("GlobalAveragePooling2D", {"keepdims": draw(st.booleans())}),
                ("GlobalMaxPooling2D", {}),
                ("ZeroPadding2D", {"padding": pads}),
                ("Flatten", {}),
                ("Rescaling", {"scale": 0.3, "offset": -1.5}),
                ("Dense", {"units": 3, "use_bias": draw(st.booleans()), "activation": "relu"}),
            ]
        )
    )
    if kind not in ("Rescaling", "Dense"):
        arguments = arguments | {"data_format": data_format}
    return Case(_shape(height, width, channels, data_format), kind, arguments)


def _shape(height: int, width: int, channels: int, data_format: str) -> tuple[int, ...]:
    return (height, width, channels) if data_format == "channels_last" else (channels, height, width)
