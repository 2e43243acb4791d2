"""ONNX Runtime on the CPU, float32, forward only: models of one node (needs the onnx package)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from minicnn.testing.geometry import pad_amounts
from minicnn.testing.target import OPTIONS, Target

Array = np.ndarray[Any, Any]
FLOAT32 = "ONNX Runtime's CPU convolution is float32 only"
AUTO_PAD = (
    "ONNX Runtime's auto_pad refuses SAME with dilation, and with strides larger than the kernel: the "
    "adapter gives explicit pads"
)
LOWEST = "ONNX Runtime's max pool starts at the lowest finite number: −inf becomes that, NaN is dropped"
ELU = "ONNX Runtime computes elu as exp(x) − 1"
EMPTY = "ONNX Runtime answers a 'valid' pool larger than the image with a map"


def _run(node: str, arrays: list[Array], **attributes: Any) -> Array:
    """Runs one node on float32 arrays."""
    names = [f"in{k}" for k in range(len(arrays))]
    inputs = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape)
        for n, a in zip(names, arrays, strict=True)
    ]
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node(node, names, ["out"], **attributes)], "one", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, dict(zip(names, map(np.ascontiguousarray, arrays), strict=True)))[0])


def _pads(x: Array, kernel: Any, strides: Any, padding: str, dilation: Any = (1, 1)) -> list[int]:
    """``[top, left, bottom, right]``."""
    if padding not in ("valid", "same"):
        raise ValueError(f"padding={padding!r}")
    sizes = zip(x.shape[1:3], kernel, strides, dilation, strict=True)
    (top, bottom), (left, right) = (pad_amounts(n, k, s, padding, d) for n, k, s, d in sizes)
    return [top, left, bottom, right]


def _first(x: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))


def _last(y: Array) -> Array:
    if y.size == 0:
        raise ValueError("no window fits")
    return np.ascontiguousarray(np.moveaxis(y, 1, -1))


def conv2d(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    strides: tuple[int, int] = (1, 1),
    padding: str = "valid",
    dilation_rate: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> Array:
    """The Conv node."""
    arrays = [_first(x), np.ascontiguousarray(w.transpose(3, 2, 0, 1)), *([] if b is None else [b])]
    attributes = {
        "strides": strides,
        "dilations": dilation_rate,
        "group": groups,
        "pads": _pads(x, w.shape[:2], strides, padding, dilation_rate),
    }
    return _last(_run("Conv", arrays, **attributes))


def _pool(node: str, **fixed: Any) -> Callable[..., Array]:
    def forward(
        x: Array,
        *,
        pool_size: tuple[int, int],
        strides: tuple[int, int] | None = None,
        padding: str = "valid",
    ) -> Array:
        strides = strides or pool_size
        pads = _pads(x, pool_size, strides, padding)
        attributes = {"kernel_shape": pool_size, "strides": strides, "pads": pads}
        return _last(_run(node, [_first(x)], **attributes, **fixed))

    return forward


def targets() -> list[Target]:
    """ONNX Runtime's targets."""
    only: dict[str, Any] = {
        "dtypes": (np.float32,),
        "notes": (FLOAT32, AUTO_PAD, f"onnx {onnx.__version__}"),
        "flush_to_zero": True,
    }
    empty = {"invalid geometry is refused": EMPTY}
    lowest = {"no NaN or infinity is hidden": LOWEST, **empty}
    pool = frozenset(OPTIONS["max_pooling2d"]) - {"data_format"}
    average = _pool("AveragePool", count_include_pad=0)
    out = [
        Target("onnxruntime", "conv2d", conv2d, None, frozenset(OPTIONS["conv2d"]) - {"data_format"}, **only),
        Target("onnxruntime", "max_pooling2d", _pool("MaxPool"), None, pool, differences=lowest, **only),
        Target("onnxruntime", "average_pooling2d", average, None, pool, differences=empty, **only),
        Target("onnxruntime", "dense", lambda x, w, b: _run("Gemm", [x, w, b]), **only),
        Target("onnxruntime", "softmax", lambda x: _run("Softmax", [x], axis=-1), **only),
    ]
    for name, node in {
        "relu": "Relu",
        "sigmoid": "Sigmoid",
        "tanh": "Tanh",
        "elu": "Elu",
        "softplus": "Softplus",
    }.items():
        differs = {"differences": {"small results keep their digits": ELU}} if name == "elu" else {}
        spec: dict[str, Any] = {"parameters": {"name": name}, **differs, **only}
        out.append(Target(f"onnxruntime {name}", "activation", _node(node), **spec))
    return out


def _node(node: str) -> Callable[[Array], Array]:
    return lambda x: _run(node, [x])
