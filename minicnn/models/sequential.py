"""A model that is a list of layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minicnn.layers.input_layer import Input, InputLayer
from minicnn.layers.layer import Layer
from minicnn.layers.symbolic import BatchShape, SymbolicTensor
from minicnn.models.chain import names_in
from minicnn.models.model import Model
from minicnn.naming import unique_name
from minicnn.registry import deserialize_layer, serialize_object


class Sequential(Model):
    """Layers one after the other; Keras's meanings: keras/src/models/sequential.py.

    With an `Input` first every layer is built when it is added; without one the model is built by `build`, or when it
    first sees data.
    """

    def __init__(
        self,
        layers: Sequence[Layer | SymbolicTensor] | None = None,
        trainable: bool = True,
        name: str | None = None,
    ) -> None:
        self._begin(name or unique_name("Sequential"))
        self._names: set[str] = set()
        for layer in layers or ():
            self._append(layer)
        self._changed()
        if not trainable:
            self.trainable = False

    def add(self, layer: Layer | SymbolicTensor, rebuild: bool = True) -> None:
        """Append a layer, or begin with an `Input`. `rebuild` is accepted and changes nothing: adding is cheap.

        Raises:
            ValueError: not a layer, a name that is taken, an Input that isn't first, or a shape that doesn't fit; the
                model stays as it was.
        """
        self._append(layer)
        self._changed()

    def _append(self, layer: Layer | SymbolicTensor) -> None:
        start = (
            layer
            if isinstance(layer, SymbolicTensor)
            else layer.output
            if isinstance(layer, InputLayer)
            else None
        )
        if start is not None:
            self._set_start(start)
            return
        if not isinstance(layer, Layer):
            raise ValueError(f"Only layers can be added to a Sequential model. Received {layer!r}.")
        names = list(names_in(layer))
        if taken := next((name for name in names if name in self._names), None):
            raise ValueError(
                "Layers of a model, and of models among them, must have unique names: "
                f"{[other.name for other in self._layers]}. Received another {taken!r}."
            )
        if self._start is None and layer.input_shape_argument is not None and not self._layers:
            self._set_start(Input(tuple(layer.input_shape_argument)))
        if self._start is not None:
            self._connect(layer)
        self._layers.append(layer)
        self._names.update(names)
        self.structure_version += 1

    def pop(self, rebuild: bool = True) -> Layer:
        """Remove the last layer and return it.

        Raises:
            ValueError: the model has no layers.
        """
        if not self._layers:
            raise ValueError("There are no layers to pop.")
        layer = self._layers.pop()
        self._names.difference_update(names_in(layer))
        if self._taps:
            self._taps = [self._taps[-1].parent]  # type: ignore[list-item]
        self.structure_version += 1
        self._changed()
        return layer

    def build(self, input_shape: BatchShape | None = None) -> None:
        """Build every layer for `input_shape`, batch axis included.

        Raises:
            ValueError: no layers, or a shape that doesn't fit them.
        """
        if self._start is not None:
            return
        if input_shape is None:
            raise ValueError("A model without an Input needs `input_shape` to be built. Received None.")
        if not self._layers:
            raise ValueError(f"Sequential model '{self.name}' has no layers; add some before building it.")
        self._set_start(Input(batch_shape=tuple(input_shape)))
        self._changed()

    def _set_start(self, start: SymbolicTensor) -> None:
        if self._start is not None:
            raise ValueError(
                f"Sequential model '{self.name}' has an Input already, of shape {self._start.shape}."
            )
        self._start, self._taps = start, [start]
        try:
            for layer in self._layers:
                self._connect(layer)
        except ValueError:
            self._start, self._taps = None, []
            raise

    def _connect(self, layer: Layer) -> None:
        tensor = layer.connect(self._taps[-1])
        if layer.dtype != (self._layers[0] if self._layers else layer).dtype:
            raise ValueError(
                f"All layers of a model must have one dtype, here {self._layers[0].dtype}. "
                f"Received layer '{layer.name}' of dtype {layer.dtype}."
            )
        self._taps = [tensor]

    def _changed(self) -> None:
        self.built = False
        if self._start is not None and self._layers:
            self._input, self._output = self._start, self._taps[-1]
            self._finish_build()

    @property
    def layers(self) -> list[Layer]:
        return list(self._layers)

    def get_config(self) -> dict[str, Any]:
        start = [self._start.layer] if self._start is not None and self._start.layer is not None else []
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": self.dtype,
            "layers": [serialize_object(layer) for layer in [*start, *self._layers]],
            "build_input_shape": None if self._start is None else self._start.shape,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Sequential:
        """Rebuild the architecture, with new weights; `custom_objects` maps names to layer classes of your own."""
        layers = [deserialize_layer(layer, custom_objects) for layer in config["layers"]]
        model = cls(layers, name=config.get("name"))
        model._trainable = bool(config.get("trainable", True))
        if not model.built and model.layers and config.get("build_input_shape"):
            model.build(tuple(config["build_input_shape"]))
        return model
