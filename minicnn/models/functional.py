"""Chains of layers to and from Keras's functional configuration (keras/src/models/functional.py, `get_config`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from minicnn.layers.input_layer import InputLayer
from minicnn.layers.symbolic import SymbolicTensor
from minicnn.registry import deserialize_layer, serialize_object

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
        ValueError: a layer with several inputs, one that comes from a layer that isn't there, or what isn't a
            configuration.
    """
    tensors: dict[str, SymbolicTensor] = {}
    for item in config["layers"]:
        layer = deserialize_layer(item, custom_objects)
        tensors[layer.name] = layer.output if isinstance(layer, InputLayer) else layer(_source(item, tensors))
    starts, _ = _ends(config["input_layers"], "input", tensors)
    ends, is_single = _ends(config["output_layers"], "output", tensors)
    if len(starts) != 1:
        raise ValueError(
            f"A model is a chain: it has one input. Received {[start.name for start in starts]}."
        )
    return starts[0], ends[0] if is_single else ends


def _reference(tensor: SymbolicTensor) -> dict[str, Any]:
    history = {"shape": tensor.shape, "dtype": tensor.dtype, "keras_history": [tensor.name, 0, 0]}
    return {"class_name": "__keras_tensor__", "config": history}


def _source(item: dict[str, Any], tensors: dict[str, SymbolicTensor]) -> SymbolicTensor:
    """What the layer of `item` is called on."""
    sources: list[Any] = []
    options: dict[str, Any] = {}
    for node in item.get("inbound_nodes", ()):
        sources += [_history(argument) for argument in node["args"]]
        options |= {name: value for name, value in node["kwargs"].items() if value is not None}
    if options:
        raise ValueError(
            f"A layer in a model is called on its input alone. Received layer {item['name']!r} called with {options}."
        )
    if len(sources) != 1 or sources[0] not in tensors:
        raise ValueError(
            f"A model is a chain: layer {item['name']!r} must have one input, from a layer before it. "
            f"Received inputs from {sources}."
        )
    return tensors[sources[0]]


def _history(argument: Any) -> Any:
    """The name of the layer that an argument comes from; what isn't one tensor is what it is."""
    if isinstance(argument, Mapping) and argument.get("class_name") == "__keras_tensor__":
        return argument["config"]["keras_history"][0]
    if isinstance(argument, list | tuple):
        return tuple(_history(item) for item in argument)
    return repr(argument)


def _ends(given: Any, kind: str, tensors: dict[str, SymbolicTensor]) -> tuple[list[SymbolicTensor], bool]:
    """The tensors that `given` refers to, and whether it is one bare reference: ['dense', 0, 0]."""
    is_single = isinstance(given, list | tuple) and bool(given) and isinstance(given[0], str)
    references = [given] if is_single else given
    if not isinstance(references, list | tuple) or not all(
        isinstance(item, list | tuple) and len(item) == 3 and item[0] in tensors for item in references
    ):
        raise ValueError(f"A model's {kind}s must be layers of it, each as [name, 0, 0]. Received {given!r}.")
    return [tensors[item[0]] for item in references], is_single
