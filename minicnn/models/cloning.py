"""Copies of a model's architecture, with new weights."""

from minicnn.layers.input_layer import Input, InputLayer
from minicnn.layers.layer import Layer
from minicnn.models.model import Model
from minicnn.models.sequential import Sequential


def clone_model(model: Model) -> Model:
    """A model of the same layers under the same names, its weights drawn anew; it shares nothing with `model`.

    Raises:
        ValueError: not a model.
    """
    if not isinstance(model, Model):
        raise ValueError(f"`model` must be a Model. Received a {type(model).__name__}.")
    if isinstance(model, Sequential):
        return Sequential.from_config(model.get_config())
    tensor = Input(batch_shape=model.input.shape, dtype=model.input.dtype, name=model.input.name)
    copies = {model.input.name: tensor}
    for layer in model.layers:
        if not isinstance(layer, InputLayer):
            tensor = copies[layer.name] = _clone(layer)(tensor)
    outputs = [copies[tap.name] for tap in model.outputs]
    return Model(copies[model.input.name], outputs[0] if model.has_single_output else outputs, name=model.name)


def _clone(layer: Layer) -> Layer:
    return clone_model(layer) if isinstance(layer, Model) else type(layer).from_config(layer.get_config())
