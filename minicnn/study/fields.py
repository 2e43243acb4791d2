"""Receptive fields: which pixels of the image a unit sees; and a report of every layer, dead units included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.models import Model
from minicnn.models.details import Details, dead_units, layer_details, region_of, spatial, unfused
from minicnn.models.summary import readable
from minicnn.study.explaining.explain import checked_index
from minicnn.study.explaining.recording import record

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class ReceptiveField:
    """The pixels of the input that one unit of a layer is computed from: all of `rows` × `columns`."""

    layer: str
    unit: tuple[int, ...]
    rows: tuple[int, ...]
    """Ascending; with gaps where a dilated kernel or a stride larger than the kernel leaves them."""
    columns: tuple[int, ...]
    image_size: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns from the first to the last, gaps included."""
        return tuple(axis[-1] - axis[0] + 1 if axis else 0 for axis in (self.rows, self.columns))  # type: ignore[return-value]

    def mask(self) -> np.ndarray:
        """(H, W) bool: the pixels."""
        mask = np.zeros(self.image_size, bool)
        mask[np.ix_(self.rows, self.columns)] = True
        return mask

    def plot(self, image: Any = None, ax: Axes | None = None) -> Axes:
        """Draw the field on an image (H, W) or (H, W, C), or on blank paper."""
        from minicnn.viz.fields import receptive_field

        title = f"{self.layer}[{', '.join(map(str, self.unit))}] sees {self.size[0]} × {self.size[1]} pixels"
        return receptive_field(self.mask(), image, ax, title=title)


def receptive_field(model: Model, layer: str, unit: Any = None) -> ReceptiveField:
    """What `unit` of `layer`, an index of its output without the batch axis, sees; by default the one in the middle.

    From the geometry alone, and exact: no pixel outside can change the unit. One inside does unless weights, a ReLU or
    a max pool happen to stop it.

    Raises:
        ValueError: a model that isn't built or doesn't take images, no such layer, an index outside its output.
    """
    if not model.built or len(model.input_shape) != 4:
        raise ValueError(
            "receptive_field needs a model that is built and takes images. "
            f"Received {'input shape ' + str(model.input_shape) if model.built else 'a model that is not built'}."
        )
    plan, spans = unfused(model)
    stops = {span_layer.name: stop for span_layer, _, stop in spans}
    if layer not in stops:
        raise ValueError(f"`layer` must be one of {list(stops)}. Received layer={layer!r}.")
    stop = stops[layer]
    shape = plan.steps[stop - 1].output_shape if stop else plan.input_shape
    at = tuple(size // 2 for size in shape) if unit is None else checked_index("unit", unit, shape)
    rows, columns = spatial(region_of(plan, stop, tuple({k} for k in at)), model)
    height, width = spatial(tuple(range(size) for size in plan.input_shape), model)
    return ReceptiveField(layer, at, tuple(sorted(rows)), tuple(sorted(columns)), (len(height), len(width)))


@dataclass(frozen=True)
class LayerReport:
    """What each layer takes, sees, and leaves unused."""

    params: dict[str, int]
    details: dict[str, Details]
    dead: dict[str, tuple[int, ...]]
    """For each layer that ends in a ReLU: the units, or channels, that are 0 for every sample at every position."""
    units: dict[str, int]
    """How many there are."""
    samples: int

    def __rich__(self) -> Any:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table(box=SIMPLE_HEAD, pad_edge=False, caption=f"Dead on all of {self.samples} samples.")
        heads = ("layer", "parameters", "multiply-adds", "memory", "receptive field", "dead units")
        for number, column in enumerate(heads):
            table.add_column(column, justify="right" if number else "left", no_wrap=True)
        for name, (multiply_adds, nbytes, field) in self.details.items():
            dead = f"{len(self.dead[name])} of {self.units[name]}" if name in self.dead else ""
            seen = "×".join(map(str, field))
            table.add_row(name, f"{self.params[name]:,}", f"{multiply_adds:,}", readable(nbytes), seen, dead)
        return table

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=110, force_terminal=False, color_system=None, highlight=False)
        with console.capture() as capture:
            console.print(self)
        return "\n".join(line.rstrip() for line in capture.get().splitlines())


def layer_report(model: Model, x: Any) -> LayerReport:
    """Parameters, multiply-adds, bytes and receptive field of every layer for one image, and which units x never wakes.

    Raises:
        ValueError: x that the model doesn't take.
    """
    run = record(model, x)
    details = layer_details(model)
    masks = dead_units(model, x)
    dead = {name: tuple(np.flatnonzero(mask).tolist()) for name, mask in masks.items()}
    units = {name: mask.size for name, mask in masks.items()}
    params = {part.layer.name: part.layer.count_params() for part in run.parts}
    return LayerReport(params, {name: details[name] for name in params}, dead, units, len(run.values[0]))
