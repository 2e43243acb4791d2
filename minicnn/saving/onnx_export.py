"""Models as ONNX graphs, for inference elsewhere. One op of the chain becomes one node or a few.

ONNX's convolutions and pools take channels first, ours last. A value of rank 4 stays in ONNX's layout until something
needs our order of its elements (a Reshape, a Dense, an output), so that a stack of convolutions has one transpose
before it and one behind it. Source of the operators' meanings: https://onnx.ai/onnx/operators/.
"""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minicnn.engine import ops
from minicnn.geometry import Window
from minicnn.saving.files import write_file

OPSET, IR_VERSION = 20, 10
"""The first with Gelu; what ONNX Runtime has read since 1.17."""
TO_FIRST, TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
INPUT, BATCH = "input", "N"


class Value(NamedTuple):
    """An array of the graph."""

    name: str
    shape: ops.Shape
    """Ours, without the batch axis."""
    channels_first: bool = False
    """Whether the array has its last axis behind the batch axis instead; of rank 4 only."""


class Graph:
    """Nodes and constants as they are added."""

    def __init__(self, dtype: str, parameters: dict[str, np.ndarray]) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.dtype = dtype
        self.parameters = parameters

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node, and return the name of what it gives."""
        from onnx import helper

        name = f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, array: Any, dtype: Any = None) -> str:
        """The name of a constant, of the model's dtype unless another is given."""
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        array = np.ascontiguousarray(np.asarray(array, dtype or self.dtype))
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def last(self, x: Value) -> Value:
        """x in our layout."""
        if not x.channels_first:
            return x
        return Value(self.node("Transpose", x.name, perm=TO_LAST), x.shape)

    def first(self, x: Value) -> Value:
        """x, of rank 4, in ONNX's layout."""
        return x if x.channels_first else Value(self.node("Transpose", x.name, perm=TO_FIRST), x.shape, True)


def export_onnx(model: Any, filepath: str | os.PathLike[str]) -> None:
    """Write `model` as an ONNX file for any batch size: one input, `input`, and its outputs under their layers' names.

    Raises:
        ValueError: the onnx package isn't installed; a model that isn't built, or whose image size isn't known; a
            layer that has no ONNX form, which the message names.
        OSError: the file can't be written; an old one is as it was.
    """
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ValueError(
            "`export` needs onnx, which isn't installed: pip install 'minicnn-numpy[onnx]'"
        ) from error
    if not model.built:
        raise ValueError(f"Model '{model.name}' must be built before it is exported.")
    shape = model.input_shape[1:]
    if None in shape:
        raise ValueError(
            f"Model '{model.name}' must know the size of its images to be exported. "
            f"Received input shape {model.input_shape}."
        )
    write_file(filepath, graph_of(model, shape).SerializeToString(deterministic=True))


def graph_of(model: Any, shape: ops.Shape) -> Any:
    """The onnx.ModelProto of a model for inputs of `shape`, batch axis left out."""
    from onnx import helper

    from minicnn import __version__

    graph = Graph(model.dtype, model.parameters())
    value, values = Value(INPUT, shape), {}
    for op in model.lower_layers(shape):
        value = add_op(graph, op, value)
        values[op.name] = value
    outputs = []
    for tap in model.outputs:
        result = graph.last(values[tap.name])
        graph.nodes.append(helper.make_node("Identity", [result.name], [tap.name]))
        outputs.append(_info(tap.name, graph.dtype, result.shape))
    whole = helper.make_graph(
        graph.nodes, model.name, [_info(INPUT, graph.dtype, shape)], outputs, graph.constants
    )
    return helper.make_model(
        whole,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="minicnn",
        producer_version=__version__,
    )


def _info(name: str, dtype: str, shape: ops.Shape) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(
        name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), [BATCH, *shape]
    )


def add_op(graph: Graph, op: ops.Op, x: Value) -> Value:
    """Add what computes `op` of `x`.

    Raises:
        ValueError: an op that has no ONNX form.
    """
    add = OPS.get(type(op))
    if add is None:
        raise ValueError(
            f"Layer '{op.name.split('/')[0]}' can't be exported: {type(op).__name__} has no ONNX form."
        )
    return add(graph, op, x)


# Convolutions, pools and padding


def _conv2d(graph: Graph, op: ops.Conv2D, x: Value) -> Value:
    kernel, *bias = (graph.parameters[path] for path in op.parameters)
    arrays = [graph.constant(kernel.transpose(3, 2, 0, 1)), *map(graph.constant, bias)]
    name = graph.node(
        "Conv",
        graph.first(x).name,
        *arrays,
        **_geometry(op.window),
        group=op.groups,
        dilations=op.window.dilation,
    )
    return Value(name, op.output_shape(x.shape), True)


def _max_pool2d(graph: Graph, op: ops.MaxPool2D, x: Value) -> Value:
    return Value(
        graph.node("MaxPool", graph.first(x).name, **_geometry(op.window)), op.output_shape(x.shape), True
    )


def _average_pool2d(graph: Graph, op: ops.AveragePool2D, x: Value) -> Value:
    name = graph.node("AveragePool", graph.first(x).name, **_geometry(op.window), count_include_pad=0)
    return Value(name, op.output_shape(x.shape), True)


def _geometry(window: Window) -> dict[str, Any]:
    # A 'valid' window has negative pads where rows at the end are never read.
    pads = [max(0, pad) for pad in (*window.pads_before, *window.pads_after)]
    return {"kernel_shape": window.kernel_size, "strides": window.strides, "pads": pads}


def _global_pool2d(kind: str) -> Callable[..., Value]:
    def add(graph: Graph, op: ops.Op, x: Value) -> Value:
        return Value(graph.node("Flatten", graph.node(kind, graph.first(x).name)), op.output_shape(x.shape))

    return add


def _zero_pad2d(graph: Graph, op: ops.ZeroPad2D, x: Value) -> Value:
    (top, bottom), (left, right) = op.pads
    pads = graph.constant([0, 0, top, left, 0, 0, bottom, right], np.int64)
    return Value(graph.node("Pad", graph.first(x).name, pads), op.output_shape(x.shape), True)


# Shapes


def _transpose(graph: Graph, op: ops.Transpose, x: Value) -> Value:
    shape = op.output_shape(x.shape)
    if op.axes == (1, 2, 0) and not x.channels_first:
        return Value(x.name, shape, True)
    if op.axes == (2, 0, 1) and x.channels_first:
        return Value(x.name, shape)
    perm = [0, *(axis + 1 for axis in op.axes)]
    return Value(graph.node("Transpose", graph.last(x).name, perm=perm), shape)


def _reshape(graph: Graph, op: ops.Reshape, x: Value) -> Value:
    shape = graph.constant([0, *op.shape], np.int64)  # 0 keeps the batch axis
    return Value(graph.node("Reshape", graph.last(x).name, shape), op.shape)


def _same(graph: Graph, op: ops.Op, x: Value) -> Value:
    return x


# Arithmetic


def _dense(graph: Graph, op: ops.Dense, x: Value) -> Value:
    kernel, *bias = (graph.constant(graph.parameters[path]) for path in op.parameters)
    name = graph.node("MatMul", graph.last(x).name, kernel)
    return Value(graph.node("Add", name, *bias) if bias else name, op.output_shape(x.shape))


def _rescaling(graph: Graph, op: ops.Rescaling, x: Value) -> Value:
    def along_last(value: float | tuple[float, ...]) -> str:
        return graph.constant(np.reshape(value, (-1, 1, 1)) if x.channels_first and np.ndim(value) else value)

    name = graph.node("Add", graph.node("Mul", x.name, along_last(op.scale)), along_last(op.offset))
    return x._replace(name=name)


def _elementwise(kind: str, **attributes: Any) -> Callable[..., Value]:
    def add(graph: Graph, op: ops.Op, x: Value) -> Value:
        return x._replace(name=graph.node(kind, x.name, **attributes))

    return add


def _softmax(graph: Graph, op: ops.Softmax, x: Value) -> Value:
    return x._replace(name=graph.node("Softmax", x.name, axis=1 if x.channels_first else -1))


def _silu(graph: Graph, op: ops.Silu, x: Value) -> Value:
    return x._replace(name=graph.node("Mul", x.name, graph.node("Sigmoid", x.name)))


def _gelu(graph: Graph, op: ops.Gelu, x: Value) -> Value:
    return x._replace(name=graph.node("Gelu", x.name, approximate="tanh" if op.approximate else "none"))


def _above(graph: Graph, x: Value, threshold: float, above: str, below: str) -> Value:
    """`above` where x reaches the threshold, `below` elsewhere. Attributes of LeakyRelu and Elu are float32 always."""
    reaches = graph.node("GreaterOrEqual", x.name, graph.constant(threshold))
    return x._replace(name=graph.node("Where", reaches, above, below))


def _leaky_relu(graph: Graph, op: ops.LeakyReLU, x: Value) -> Value:
    return _above(graph, x, 0.0, x.name, graph.node("Mul", x.name, graph.constant(op.negative_slope)))


def _elu(graph: Graph, op: ops.Elu, x: Value) -> Value:
    # exp only of what is below 0: of a large number it is infinite.
    negative = graph.node("Min", x.name, graph.constant(0.0))
    below = graph.node("Sub", graph.node("Exp", negative), graph.constant(1.0))
    return _above(graph, x, 0.0, x.name, graph.node("Mul", below, graph.constant(op.alpha)))


def _clipped_relu(graph: Graph, op: ops.ClippedReLU, x: Value) -> Value:
    shifted = graph.node("Sub", x.name, graph.constant(op.threshold))
    below = graph.node("Mul", shifted, graph.constant(op.negative_slope))
    above = x.name if op.max_value is None else graph.node("Min", x.name, graph.constant(op.max_value))
    return _above(graph, x, op.threshold, above, below)


OPS: dict[type[ops.Op], Callable[..., Value]] = {
    ops.AveragePool2D: _average_pool2d,
    ops.ClippedReLU: _clipped_relu,
    ops.Conv2D: _conv2d,
    ops.Dense: _dense,
    ops.Dropout: _same,
    ops.Elu: _elu,
    ops.Gelu: _gelu,
    ops.GlobalAveragePool2D: _global_pool2d("GlobalAveragePool"),
    ops.GlobalMaxPool2D: _global_pool2d("GlobalMaxPool"),
    ops.Identity: _same,
    ops.LeakyReLU: _leaky_relu,
    ops.MaxPool2D: _max_pool2d,
    ops.RandomAffine: _same,
    ops.ReLU: _elementwise("Relu"),
    ops.Rescaling: _rescaling,
    ops.Reshape: _reshape,
    ops.Sigmoid: _elementwise("Sigmoid"),
    ops.Silu: _silu,
    ops.Softmax: _softmax,
    ops.Softplus: _elementwise("Softplus"),
    ops.Tanh: _elementwise("Tanh"),
    ops.Transpose: _transpose,
    ops.ZeroPad2D: _zero_pad2d,
}
"""How an op becomes nodes. A user's own op has no entry."""
