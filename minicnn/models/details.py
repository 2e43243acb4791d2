"""What each layer of a model takes and sees, from the shapes alone: multiply-adds, bytes, receptive fields; and which
units never wake up on given images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicnn.engine import ops, work
from minicnn.engine.plan import Plan, make_plan
from minicnn.layers.layer import UNKNOWN_SIZE, Layer
from minicnn.models.wants import Wants

if TYPE_CHECKING:
    from minicnn.models.chain import Chain
    from minicnn.models.model import Model

Span = tuple[Layer, int, int]
"""A layer and the positions of its first op and of the one after its last."""


class Details(NamedTuple):
    """Of one layer, for one image."""

    multiply_adds: int
    """Forward: every tap of every position, padding included."""
    nbytes: int
    """Of the layer's output."""
    receptive_field: tuple[int, ...]
    """Rows and columns of the image that the unit in the middle of the output sees, the border cut off; of an input
    that is no image, its numbers."""


def layer_details(model: Chain) -> dict[str, Details]:
    """Details by layer name, those of models inside and of their layers too."""
    plan, spans = unfused(model)
    counts = work.count(plan)
    found = {}
    for layer, start, stop in spans:
        shape = plan.steps[stop - 1].output_shape if stop else plan.input_shape
        seen = region_of(plan, stop, tuple({size // 2} for size in shape))
        found[layer.name] = Details(
            sum(count.dense.forward for count in counts[start:stop]),
            prod(shape) * np.dtype(plan.dtype).itemsize,
            tuple(max(axis) - min(axis) + 1 if axis else 0 for axis in spatial(seen, model)),
        )
    return found


def dead_units(model: Model, x: Any) -> dict[str, np.ndarray]:
    """For each layer that ends in a ReLU, which of its units, or channels, are 0 for every sample at every position.

    Args:
        x: samples (N, …) as the model takes them.

    Raises:
        ValueError: samples that the model doesn't take.
    """
    x = np.ascontiguousarray(model.build_for(np.asarray(x)), model.dtype)
    plan, spans = unfused(model)
    steps = {
        layer.name: plan.steps[start:stop] for layer, start, stop in spans if not hasattr(layer, "layers")
    }
    names = tuple(n for n, parts in steps.items() if any(isinstance(step.op, ops.ReLU) for step in parts))
    with model.executor(Wants(x.shape[1:], intermediates=names)) as executor:
        values = executor.run(model.parameters(), x, version=model.weights_version).values
    return {name: ~(values[name] != 0).any(tuple(range(values[name].ndim - 1))) for name in names}


def unfused(model: Chain) -> tuple[Plan, list[Span]]:
    """The model's plan without fusion, and which of its steps are whose. Unknown sizes are taken to be UNKNOWN_SIZE."""
    shape = tuple(size or UNKNOWN_SIZE for size in model.input_shape[1:])
    chain: list[ops.Op] = []
    spans = list(_lower(model.layers, shape, chain))
    return make_plan(chain, shape, backend="reference", dtype=model.dtype), spans


def _lower(layers: Sequence[Layer], shape: ops.Shape, chain: list[ops.Op]) -> Iterator[Span]:
    for layer in layers:
        start = len(chain)
        inner = getattr(layer, "layers", None)
        if inner is None:
            chain.extend(layer.lower(shape))
        else:
            yield from _lower(inner, shape, chain)
        shape = layer.shape_after(shape)
        yield layer, start, len(chain)


def region_of(plan: Plan, stop: int, region: work.Region) -> work.Region:
    """Which indices of each axis of the input are read for `region` of the value before step `stop`."""
    for step in reversed(plan.steps[:stop]):
        region = work.read_region(step.op, step.input_shape, region)
    return region


def spatial(region: work.Region, model: Chain) -> work.Region:
    """The rows and columns of an input's region; all axes of what is no image."""
    if len(region) != 3:
        return region
    formats = [layer.data_format for layer in model.layers if hasattr(layer, "data_format")]
    return region[1:] if formats[:1] == ["channels_first"] else region[:2]
