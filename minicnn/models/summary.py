"""The table that `model.summary()` prints: Keras 3's, character for character.

Columns, widths and markup are those of Keras 3.15, `keras/src/utils/summary_utils.py`; rich draws both.
"""

import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.models.details import dead_units, layer_details
from minicnn.registry import class_name

if TYPE_CHECKING:
    from rich.table import Table

NUMBER, SYMBOL, NO_NUMBER, NO = "color(34)", "color(33)", "color(45)", "color(9)"
"""Colours of Keras's theme, in rich's markup."""


def summary(
    model: Any,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    print_fn: Callable[[str], Any] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Sequence[str] | None = None,
    *,
    details: Any = False,
) -> None:
    """Print the layers of `model`, their output shapes and parameter counts, and the totals.

    Args:
        model: has `name`, `layers`, `trainable_weights`, `non_trainable_weights`, `compiled` and `optimizer`.
        line_length: width of the table in characters; by default 88, or 4 less than a narrower terminal.
        positions: where the columns end, as fractions of the width.
        print_fn: receives the whole summary as one string without colours; by default it goes to stdout.
        expand_nested: whether models among the layers show their own layers.
        show_trainable: whether a column says which layers are trainable.
        layer_range: names or regular expressions of the first and the last layer shown.
        details: whether further columns say, for one image, how many multiply-adds a layer takes (every tap of every
            position, padding included), how large its output is, and how much of the image a unit in the middle sees.
            Samples (N, …) in place of True: also how many units of a layer that ends in a ReLU are 0 on all of them.

    Raises:
        ValueError: a column under 4 characters; a `layer_range` that is not two strings or matches nothing;
            samples that the model doesn't take.
    """
    from rich.console import Console

    samples = None if isinstance(details, bool) else details
    details = samples is not None or details
    dead = dead_units(model, samples) if samples is not None else None
    table = empty_table(line_length, positions, show_trainable, details, dead is not None)
    known = details_cells(model, dead) if details else {}
    for layer in layers_in_range(model.layers, layer_range):
        for row in layer_rows(layer, expand_nested, show_trainable, known if details else None):
            table.add_row(*row)

    colours: dict[str, Any] = {"force_terminal": False, "color_system": None} if print_fn else {}
    if print_fn and details:
        colours["width"] = table.width  # no terminal: nothing has to be squeezed
    console = Console(highlight=False, **colours)
    if print_fn:
        console.begin_capture()
    console.print(bold(f'Model: "{escape(model.name)}"'))
    console.print(table)
    for line in total_lines(model):
        console.print(line)
    if print_fn:
        print_fn(console.end_capture())


def empty_table(
    line_length: int | None,
    positions: Sequence[float] | None,
    show_trainable: bool,
    details: bool = False,
    dead: bool = False,
) -> "Table":
    """The table's columns, their widths rounded down one after the other."""
    from rich.table import Column, Table

    headers = {"Layer (type)": "left", "Output Shape": "left", "Param #": "right"}
    ends, width = list(positions or (0.45, 0.80, 1.0)), 88
    if show_trainable:
        headers["Trainable"] = "center"
        ends, width = [0.90 * end for end in ends] + [1.0], width + 12
    if details:
        headers |= {"Multiply-adds": "right", "Memory": "right", "Receptive field": "right"}
        if positions is None:
            ends, width = [0.62 * end for end in ends] + [0.77, 0.89, 1.0], width + 34
    if dead:
        headers |= {"Dead units": "right"}
        if positions is None:
            ends, width = [0.90 * end for end in ends] + [1.0], width + 14
    line_length = line_length or min(width, shutil.get_terminal_size().columns - 4)

    columns, current = [], 0
    for (header, justify), end in zip(headers.items(), ends, strict=False):
        column_width = int(end * line_length) - current
        if column_width < 4:
            raise ValueError(
                "Every column of the summary must be at least 4 characters wide. "
                f"Received line_length={line_length}, positions={positions}: '{header}' has {column_width}."
            )
        columns.append(Column(header, justify=justify, width=column_width))  # type: ignore[arg-type]
        current += column_width
    return Table(*columns, width=line_length, show_lines=True)


def layers_in_range(layers: Sequence[Any], layer_range: Sequence[str] | None) -> Sequence[Any]:
    """The layers from the first match of one pattern to the last match of the other, in either order."""
    if layer_range is None:
        return layers
    if len(layer_range) != 2 or not all(isinstance(pattern, str) for pattern in layer_range):
        raise ValueError(
            "`layer_range` must be two strings, names or regular expressions. "
            f"Received layer_range={layer_range}."
        )
    starts, ends = ([i for i, layer in enumerate(layers) if re.match(p, layer.name)] for p in layer_range)
    if not starts or not ends:
        raise ValueError(
            "`layer_range` must match the names of layers of the model. "
            f"Received layer_range={layer_range}, layers={[layer.name for layer in layers]}."
        )
    if min(starts) > max(ends):
        starts, ends = ends, starts
    return layers[min(starts) : max(ends) + 1]


def layer_rows(
    layer: Any,
    expand_nested: bool,
    show_trainable: bool,
    known: Mapping[str, list[str]] | None = None,
    depth: int = 0,
) -> list[list[str]]:
    """The row of one layer, and below it the rows of the layers it holds; `known` are cells of details, if wanted."""
    prefix = "   " * depth + "└ " if depth else ""
    output = getattr(layer, "output", None)  # there is none before the layer is called
    row = [
        f"{escape(prefix + layer.name)} ({marked(SYMBOL, escape(class_name(layer)))})",
        "?" if output is None else format_shape(output.shape),
        marked(NUMBER, f"{layer.count_params():,}") if layer.built else f"{marked(NUMBER, 0)} (unbuilt)",
    ]
    if show_trainable:
        if not layer.weights:
            row.append(bold("-"))
        else:
            row.append(bold(marked(NUMBER, "Y") if layer.trainable else marked(NO, "N")))
    if known is not None:
        row += known.get(layer.name, known[""])
    rows = [row]
    if expand_nested:
        for inner in getattr(layer, "layers", ()):
            rows += layer_rows(inner, expand_nested, show_trainable, known, depth + 1)
    return rows


def details_cells(model: Any, dead: Mapping[str, np.ndarray] | None) -> dict[str, list[str]]:
    """By layer: multiply-adds, bytes, the receptive field, and dead units if they are known; under '' for others."""
    cells = {}
    for name, details in (layer_details(model) if model.built else {}).items():
        field = "×".join(map(str, details.receptive_field)) or "-"
        cells[name] = [marked(NUMBER, f"{details.multiply_adds:,}"), readable(details.nbytes), field]
        if dead is not None:
            cells[name].append(f"{dead[name].sum()} of {dead[name].size}" if name in dead else "-")
    return cells | {"": ["?"] * (3 if dead is None else 4)}


def total_lines(model: Any) -> list[str]:
    """The lines below the table: parameters in all, trainable, not trainable, and the optimizer's."""
    optimizer = model.optimizer if model.compiled else None
    counts = {
        "Trainable": sizes(model.trainable_weights),
        "Non-trainable": sizes(model.non_trainable_weights),
    }
    if optimizer is not None and optimizer.built:
        counts["Optimizer"] = sizes(optimizer.variables)
    total = np.sum(list(counts.values()), axis=0)
    return [
        bold(f" {what} params: ") + marked(NUMBER, f"{count:,}") + f" ({readable(nbytes)})"
        for what, (count, nbytes) in {"Total": total, **counts}.items()
    ]


def sizes(variables: Iterable[Any]) -> tuple[int, int]:
    """Number of elements and of bytes; a variable that occurs twice takes its bytes once."""
    variables = list(variables)
    unique = {id(v): v for v in variables}.values()
    count = sum(prod(v.shape) for v in variables)
    return count, sum(prod(v.shape) * np.dtype(v.dtype).itemsize for v in unique)


def readable(nbytes: float) -> str:
    """`nbytes` with two decimals in the largest unit that leaves at least 1."""
    units = ("B", "KB", "MB", "GB", "TB")
    for unit in units:
        if nbytes < 1024:
            return f"{nbytes:.2f} {unit}"
        nbytes /= 1024
    return f"{nbytes:.2f} PB"


def format_shape(shape: tuple[int | None, ...]) -> str:
    """The shape in Keras's colours."""
    return f"({', '.join(marked(NO_NUMBER if size is None else NUMBER, size) for size in shape)})"


def marked(style: str, text: object) -> str:
    return f"[{style}]{text}[/]"


def bold(text: str) -> str:
    return f"[bold]{text}[/]"


def escape(text: str) -> str:
    from rich.markup import escape as rich_escape

    return rich_escape(text)
