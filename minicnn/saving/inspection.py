"""What a file holds, without the values of its weights: a `.keras` file, `.weights.h5`, ONNX."""

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

from minicnn.engine.parameters import shapes_only
from minicnn.errors import DataError, shortened
from minicnn.saving.archive import parse_archive, read_file
from minicnn.saving.hdf5 import Reader
from minicnn.saving.json_config import parse_config
from minicnn.saving.keras_file import CONFIG, METADATA, OPTIONS, SUFFIX, build
from minicnn.saving.weights import SUFFIX as WEIGHTS_SUFFIX


class Table(NamedTuple):
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class Inspection(NamedTuple):
    model: Any
    """Its variables have shapes and no values. None if the file says nothing of layers."""
    compiled: dict[str, str]
    """The arguments of `compile` that aren't None, for people to read."""
    properties: dict[str, str]
    """Size, versions, SHA-256."""
    tables: Sequence[Table] = ()
    """What else there is to be seen."""


def inspect_file(filepath: str | os.PathLike[str]) -> Inspection:
    """What is in a `.keras`, `.weights.h5` or `.onnx` file. Weights take no memory but the file's own.

    Raises:
        ValueError: a path that ends otherwise; as DataError, a file that isn't such a file.
        ImportError: an `.onnx` file, and the package onnx isn't installed.
        OSError: the file can't be read at all.
    """
    look = next((look for suffix, look in LOOKS.items() if str(filepath).endswith(suffix)), None)
    if look is None:
        raise ValueError(f"`filepath` must end in {', '.join(LOOKS)}. Received filepath={str(filepath)!r}.")
    try:
        content = read_file(filepath)
    except DataError as error:
        raise DataError(f"'{filepath}' {error}") from None
    try:
        found = look(content)
    except ValueError as error:
        raise DataError(f"'{filepath}' can't be inspected: {shortened(error)}") from error
    digest = {"bytes": f"{len(content):,}", "sha256": hashlib.sha256(content).hexdigest()}
    return found._replace(properties=found.properties | digest)


def _look_at_keras(content: bytes) -> Inspection:
    members = parse_archive(content)
    config, metadata = (parse_config(members[name], name) for name in (CONFIG, METADATA))
    options = parse_config(members[OPTIONS], OPTIONS) if OPTIONS in members else {}
    with shapes_only():
        model = build(config)
    compiled = config.get("compile_config") or {}
    if not isinstance(compiled, Mapping):
        raise DataError(f"{CONFIG} must hold a training configuration. Received {compiled!r}.")
    properties = metadata | {
        name: value for name, value in options.items() if name != "seeds" and value is not None
    }
    return Inspection(
        model,
        {name: readable(value) for name, value in dict(compiled).items() if value is not None},
        {name: readable(value) for name, value in properties.items()},
    )


def _look_at_weights(content: bytes) -> Inspection:
    arrays = Reader(content).contents()
    rows = [(path, str(shape), dtype) for path, (shape, dtype) in arrays.items()]
    numbers = {
        "arrays": f"{len(arrays):,}",
        "numbers": f"{sum(prod(shape) for shape, _ in arrays.values()):,}",
    }
    return Inspection(None, {}, numbers, [Table("Arrays", ("path", "shape", "dtype"), rows)])


def _look_at_onnx(content: bytes) -> Inspection:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError as error:
        raise DataError(f"it must be an ONNX model. {error}.") from None
    graph = model.graph
    if not graph.node:
        raise DataError("it must be an ONNX model. It has no nodes.")
    values = [
        (kind, _text(value.name), *_onnx_type(value.type.tensor_type))
        for kind, group in (("input", graph.input), ("output", graph.output))
        for value in group
    ]
    stored = [
        ("constant", _text(t.name), str(tuple(t.dims)), _onnx_dtype(t.data_type)) for t in graph.initializer
    ]
    nodes = Counter(_text(node.op_type) for node in graph.node)
    opsets = ", ".join(f"{_text(opset.domain) or 'ai.onnx'} {opset.version}" for opset in model.opset_import)
    properties = {
        "producer": f"{_text(model.producer_name)} {_text(model.producer_version)}".strip(),
        "ir_version": str(model.ir_version),
        "opset": opsets,
    }
    return Inspection(
        None,
        {},
        {name: value for name, value in properties.items() if value},
        [
            Table("Nodes", ("operator", "how many"), [(kind, str(count)) for kind, count in nodes.items()]),
            Table("Arrays", ("kind", "name", "shape", "dtype"), values + stored),
        ],
    )


def _onnx_type(tensor: Any) -> tuple[str, str]:
    """(shape, dtype) in words; axes without a number have a name."""
    sizes = [_text(dim.dim_param) or str(dim.dim_value) for dim in tensor.shape.dim]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})", _onnx_dtype(tensor.elem_type)


def _text(value: str | bytes) -> str:
    """Protobuf gives bytes for what isn't UTF-8."""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def _onnx_dtype(number: int) -> str:
    from onnx import TensorProto

    return (
        TensorProto.DataType.Name(number).lower() if number in TensorProto.DataType.values() else str(number)
    )


LOOKS = {SUFFIX: _look_at_keras, WEIGHTS_SUFFIX: _look_at_weights, ".onnx": _look_at_onnx}


def readable(value: Any) -> str:
    """A configuration as a call: Adam(learning_rate=0.001, beta_1=0.9); arguments that are None left out."""
    if isinstance(value, list):
        return ", ".join(readable(item) for item in value)
    if not isinstance(value, Mapping) or "class_name" not in value:
        return str(value)
    if value["class_name"] == "function":
        return str(value.get("config"))
    given = value.get("config")
    arguments = given.items() if isinstance(given, Mapping) else ()
    text = ", ".join(f"{k}={readable(v)}" for k, v in arguments if v is not None and k != "name")
    return f"{value['class_name']}({text})"
