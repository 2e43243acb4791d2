"""Where a training stands, as plain data: what a checkpoint keeps, and how a fit takes it up again.

Kept are the weights, the optimizer's state, the sums of the loss and the metrics, the seeds of random layers and of the
order of the samples, the stream of further seeds, and the position. Together with the same model, data and versions
that determines every bit of what follows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import __version__
from minicnn import random as random_module
from minicnn.checks import integer
from minicnn.engine.parameters import Variable
from minicnn.models.data import ArrayData, Data, IndexedData
from minicnn.models.data_arguments import is_mapped

if TYPE_CHECKING:
    from minicnn.models.model import Model

SAMPLED_ROWS = 1024
"""How many rows of a memory-mapped array are looked at: all of it would read the file."""


class Progress:
    """A fit's position. It lives as `model.progress` while `fit` runs.

    Args:
        model: the model in training.
        data, validation: its data.
        epoch: the first epoch.
    """

    def __init__(self, model: Model, data: Data, validation: Data | None, epoch: int) -> None:
        self.model, self.data, self.validation = model, data, validation
        self.epoch = epoch
        self.batch = 0
        """Batches of this epoch that are done."""
        self.taken = 0
        """Batches of all epochs that are done."""
        self.is_over = False
        """Whether the training that was taken up had decided to stop, behind an epoch."""
        self.logs: dict[str, float] = {}
        """Of the last epoch that is over, its validation included."""

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs; arrays are copies."""
        return {
            "position": {
                "epoch": self.epoch,
                "batch": self.batch,
                "taken": self.taken,
                "logs": dict(self.logs),
            },
            "stops": bool(self.model.stop_training),
            "weights": _values(self.model.variables),
            "optimizer": _values(self.model.optimizer.variables),
            "metrics": [_values(metric.variables) for metric in self.model.metrics],
            "seeds": {
                "layers": [layer.drawn_seed for layer in random_layers(self.model)],
                "order": self.data.seed if isinstance(self.data, IndexedData) else None,
                "stream": [
                    list(part) if isinstance(part, tuple) else part for part in random_module.stream_state()
                ],
            },
        }

    def check(self, state: dict[str, Any]) -> None:
        """Refuse a state that `restore` couldn't take up.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: something in it isn't what it must be.
        """
        shapes = [[(v.shape, v.dtype) for v in variables] for variables in self._variables()]
        found = [[(a.shape, a.dtype.name) for a in group] for group in _arrays(state)]
        if shapes != found:
            raise ValueError(f"The state must hold arrays of shapes {shapes}. Received {found}.")
        position, seeds = state["position"], state["seeds"]
        for name in ("epoch", "batch", "taken"):
            integer(name, position[name], 0)
        dict(position["logs"])
        drawn = [layer.drawn_seed for layer in random_layers(self.model)]
        order = self.data.seed if isinstance(self.data, IndexedData) else None
        if [type(s) for s in [*seeds["layers"], seeds["order"]]] != [type(s) for s in [*drawn, order]]:
            raise ValueError(
                "The state must hold a seed for each random layer, and for the order of the samples."
            )
        Random().setstate(_as_stream(seeds["stream"]))

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a training whose `state` this is, compared by `identity` and `check` before."""
        model = self.model
        for variables, values in zip(self._variables(), _arrays(state), strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        seeds = state["seeds"]
        for layer, seed in zip(random_layers(model), seeds["layers"], strict=True):
            layer.drawn_seed = seed
        model.forget_executors()
        if isinstance(self.data, IndexedData):
            self.data.seed = seeds["order"]
        random_module.restore_stream(_as_stream(seeds["stream"]))
        position = state["position"]
        self.epoch, self.batch, self.logs = position["epoch"], position["batch"], position["logs"]
        self.taken = position["taken"]
        self.data.skip(self.taken)
        model.stop_training = bool(state["stops"])
        self.is_over = model.stop_training and self.batch == 0

    def _variables(self) -> list[list[Variable]]:
        model = self.model
        return [model.variables, model.optimizer.variables, *(metric.variables for metric in model.metrics)]

    def identity(self) -> dict[str, Any]:
        """What must be the same for a checkpoint to be taken up; names, which are numbered anew, are left out."""
        model = self.model
        optimizer = model.optimizer.get_config()
        if not isinstance(optimizer["learning_rate"], dict):
            del optimizer["learning_rate"]  # it is state: callbacks change it
        return {
            "minicnn": __version__,
            "backend": model.backend,
            "model": {
                f"layer {k}": {"class": type(layer).__name__} | _plain(layer.get_config())
                for k, layer in enumerate(model.layers, 1)
            },
            "optimizer": {"class": type(model.optimizer).__name__} | _plain(optimizer),
            "loss": _name_of(model.loss),
            "metrics": [metric.name for metric in model.metrics],
            "data": describe_data(self.data),
            "validation_data": None if self.validation is None else describe_data(self.validation),
        }


def describe_data(data: Data) -> dict[str, Any]:
    """What tells one source of training data from another: its shapes, how it is cut, and a digest of the values."""
    if isinstance(data, ArrayData):
        arrays: dict[str, Any] = dict(zip(("x", "y", "sample_weight"), data.arrays, strict=True))
        cut = {"batch_size": data.batch_size, "steps": data.steps, "shuffle": data.shuffle}
    else:
        arrays, cut = data.peek()._asdict(), {"batches": data.num_batches}
    described = {name: None if a is None else _digest(a) for name, a in arrays.items()}
    return {"kind": type(data).__name__, **cut, **described}


def random_layers(model: Any) -> Iterator[Any]:
    """The layers that draw, in order, those of models inside included."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from random_layers(layer)
        elif hasattr(layer, "drawn_seed"):
            yield layer


def _digest(array: np.ndarray) -> str:
    """'float32 (60000, 28, 28, 1) sha256 1f…'; of a memory-mapped array SAMPLED_ROWS rows are looked at."""
    rows = array
    if is_mapped(array) and len(array) > SAMPLED_ROWS:
        rows = array[np.linspace(0, len(array) - 1, SAMPLED_ROWS, dtype=np.int64)]
    digest = hashlib.sha256(np.ascontiguousarray(rows).data).hexdigest()
    return f"{array.dtype} {array.shape} sha256 {digest[:32]}"


def _values(variables: list[Variable]) -> list[np.ndarray]:
    return [variable.numpy() for variable in variables]


def _arrays(state: dict[str, Any]) -> list[list[np.ndarray]]:
    return [state["weights"], state["optimizer"], *state["metrics"]]


def _as_stream(parts: list[Any]) -> tuple:
    return tuple(tuple(part) if isinstance(part, list) else part for part in parts)


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without names, and with lists for tuples, as JSON has it."""
    return {key: _listed(value) for key, value in config.items() if key != "name"}


def _listed(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_listed(item) for item in value]
    return _plain(value) if isinstance(value, dict) else value


def _name_of(loss: Any) -> str:
    return loss if isinstance(loss, str) else getattr(loss, "__name__", None) or type(loss).__name__
