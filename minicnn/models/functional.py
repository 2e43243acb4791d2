"""Chains of layers to and from Keras's functional configuration (keras/src/models/functional.py, `get_config`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from minicnn.layers.input_layer import InputLayer
from minicnn.layers.symbolic import SymbolicTensor
from minicnn.registry import deserialize_object, serialize_object

if TYPE_CHECKING:
    from minicnn.models.model import Model


def functional_config(model: Model) -> dict[str, Any]:
    """Layers with where their input comes from, the input layer, and the output layers: one bare if the model was
    made with one output that wasn't in a list."""
    previous = model.input
    layers = []
    for layer in model.layers:
        node = [] if isinstance(layer, InputLayer) else [{"args": [_reference(previous)], "kwargs": {}}]
        layers.append(serialize_object(layer) | {"name": layer.name, "inbound_nodes": node})
        previous = SymbolicTensor(layer.compute_output_shape(previous.shape), layer.dtype, layer.name)
    outputs = [[tap.name, 0, 0] for tap in model.outputs]
    return {
        "name": model.name,
        "trainable": model.trainable,
        "layers": layers,
        "input_layers": [model.input.name, 0, 0],
        "output_layers": outputs[0] if model.has_single_output else outputs,
    }


def connect_config(
    config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None
) -> tuple[SymbolicTensor, SymbolicTensor | list[SymbolicTensor]]:
    """(input, outputs) of the chain that a functional configuration describes, its layers made anew.

    Raises:
        ValueError: a layer with several inputs, or one that comes from a layer that isn't there.
    """
    tensors: dict[str, SymbolicTensor] = {}
    for item in config["layers"]:
        layer = deserialize_object(
            {key: item[key] for key in ("module", "class_name", "config", "registered_name")}, custom_objects
        )
        tensors[layer.name] = layer.output if isinstance(layer, InputLayer) else layer(_source(item, tensors))
    start = tensors[config["input_layers"][0]]
    outputs = config["output_layers"]
    if isinstance(outputs[0], str):
        return start, tensors[outputs[0]]
    return start, [tensors[name] for name, *_ in outputs]


def _reference(tensor: SymbolicTensor) -> dict[str, Any]:
    history = {"shape": tensor.shape, "dtype": tensor.dtype, "keras_history": [tensor.name, 0, 0]}
    return {"class_name": "__keras_tensor__", "config": history}


def _source(item: dict[str, Any], tensors: dict[str, SymbolicTensor]) -> SymbolicTensor:
    nodes = item["inbound_nodes"]
    sources = [argument["config"]["keras_history"][0] for node in nodes for argument in node["args"]]
    if len(sources) != 1 or sources[0] not in tensors:
        raise ValueError(
            f"A model is a chain: layer {item['name']!r} must have one input, from a layer before it. "
            f"Received inputs from {sources}."
        )
    return tensors[sources[0]]
