"""ONNX Runtime: inference only, from a model written with onnx.helper, in the better of two layouts at its input."""

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from minicnn.bench.neutral import Convolution, Layer, Network, channels_first_kernel, pair
from minicnn.bench.peers import Candidates, Job
from minicnn.config import num_threads
from minicnn.geometry import make_window

OPSET, IR_VERSION = 17, 8
TO_FIRST, TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
ACTIVATIONS = {"relu": "Relu", "softmax": "Softmax", "sigmoid": "Sigmoid"}


class Graph:
    """Nodes one after the other, and their constants."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.last = "input"

    def add(self, op: str, *arrays: np.ndarray, **attributes: Any) -> None:
        names = [f"constant_{len(self.constants) + k}" for k in range(len(arrays))]
        self.constants += [
            numpy_helper.from_array(np.ascontiguousarray(a), name)
            for a, name in zip(arrays, names, strict=True)
        ]
        name = f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, [self.last, *names], [name], **attributes))
        self.last = name

    def session(self, input_shape: tuple[int, ...]) -> Any:
        ends = [
            helper.make_tensor_value_info("input", TensorProto.FLOAT, input_shape),
            helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None),
        ]
        graph = helper.make_graph(self.nodes, "net", ends[:1], ends[1:], self.constants)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = num_threads(), 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )


def add_layer(graph: Graph, layer: Layer, weights: list[np.ndarray]) -> None:
    if layer.kind == "Conv2D":
        kernel, bias = weights
        size = layer.arguments["kernel_size"]
        window = make_window(pair(layer.input_shape[:2]), size, (1, 1), layer.arguments["padding"])
        graph.add("Conv", kernel.transpose(3, 2, 0, 1), bias, pads=pads_of(window))
    elif layer.kind == "Dense":
        graph.add("Gemm", *weights)
    elif layer.kind == "MaxPooling2D":
        size = layer.arguments["pool_size"]
        graph.add("MaxPool", kernel_shape=size, strides=size)
    elif layer.kind == "GlobalAveragePooling2D":
        graph.add("GlobalAveragePool")
        graph.add("Flatten")
    else:
        graph.add("Flatten")
    if activation := layer.arguments.get("activation"):
        graph.add(ACTIVATIONS[activation])


def pads_of(window: Any) -> list[int]:
    """Top, left, bottom, right. 'valid' windows have negative ones where rows are never read."""
    return [max(0, pad) for pad in (*window.pads_before, *window.pads_after)]


def inference(network: Network, batch_size: int, steps: int) -> Candidates:
    def job(is_channels_last: bool) -> Job:
        x, layers, arrays = network.examples(batch_size)[0], network.resolved(), iter(network.weights())
        graph = Graph()
        if is_channels_last:
            graph.add("Transpose", perm=TO_FIRST)
        else:
            x = np.ascontiguousarray(x.transpose(TO_FIRST))
        before = {id(b): a for a, b in pairwise(layers)}
        for layer in layers:
            weights = [next(arrays) for _ in layer.weight_shapes]
            flat = before.get(id(layer))
            if weights and flat is not None and flat.kind == "Flatten":
                weights[0] = channels_first_kernel(weights[0], flat.input_shape)
            add_layer(graph, layer, weights)
        session = graph.session(x.shape)

        def run() -> Any:
            return session.run(None, {"input": x})[0]

        return Job(lambda: {"predictions": run()}, run, batch_size)

    return {"NCHW": partial(job, False), "NHWC and Transpose": partial(job, True)}


def convolution_forward(convolution: Convolution) -> Candidates:
    def job(is_channels_last: bool) -> Job:
        x, w, b, _ = convolution.arrays()
        graph = Graph()
        if is_channels_last:
            graph.add("Transpose", perm=TO_FIRST)
        else:
            x = np.ascontiguousarray(x.transpose(TO_FIRST))
        graph.add(
            "Conv",
            w.transpose(3, 2, 0, 1),
            b,
            pads=pads_of(convolution.window),
            strides=pair(convolution.stride),
            dilations=pair(convolution.dilation),
            group=convolution.groups,
        )
        if is_channels_last:
            graph.add("Transpose", perm=TO_LAST)
        session = graph.session(x.shape)

        def run() -> Any:
            return session.run(None, {"input": x})[0]

        def answers() -> dict[str, np.ndarray]:
            return {"y": run() if is_channels_last else run().transpose(TO_LAST)}

        return Job(answers, run)

    return {"NCHW": partial(job, False), "NHWC and Transpose": partial(job, True)}
