"""What the data given to `fit`, `evaluate` and `predict` must be, and how it is taken apart.

Every message says what must hold, then what came; all of it happens before the first step.
"""

from collections.abc import Iterator, Mapping
from math import floor, prod
from mmap import mmap
from numbers import Integral, Real
from typing import Any

import numpy as np

from minicnn import config

Arrays = tuple[np.ndarray, np.ndarray | None, np.ndarray | None]
"""x, y, sample_weight."""

BLOCK_ELEMENTS = 1 << 20
"""How many numbers are looked at at once: the mask of a block stays small beside any data worth training on."""


def positive_integer(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received {name}={value!r}.")
    return int(value)


def is_stream(x: Any) -> bool:
    """Whether x brings its own batches: a generator, or an object like `utils.PyDataset`."""
    return isinstance(x, Iterator) or (hasattr(x, "__getitem__") and hasattr(x, "on_epoch_end"))


def unpack(data: Any) -> tuple[Any, Any, Any]:
    """(x, y, sample_weight) from `validation_data`: a tuple of up to three, or a source that holds all of them."""
    if not isinstance(data, tuple | list):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise ValueError(f"Data must be x, (x, y) or (x, y, sample_weight). Received {len(data)} elements.")
    x, y, sample_weight = (*data, None, None)[:3]
    return x, y, sample_weight


def split_validation(x: Any, y: Any, sample_weight: Any, fraction: float) -> tuple[Arrays, Arrays]:
    """Views of the first and of the last part of the arrays; the last part holds `fraction` of the examples.

    Raises:
        TypeError, ValueError: a fraction outside (0, 1), data that can't be split, an empty part; as `arrays`.
    """
    if isinstance(fraction, bool) or not isinstance(fraction, Real) or not 0 < fraction < 1:
        raise ValueError(f"`validation_split` must be in (0, 1). Received validation_split={fraction!r}.")
    if is_stream(x):
        raise ValueError(
            f"`validation_split` needs arrays, which it can cut in two. Received x of type {type(x).__name__}."
        )
    x, y, weight = arrays(x, y, sample_weight)
    split = floor(len(x) * (1.0 - fraction))  # Keras's rounding: trainers/data_adapters/array_slicing.py
    if split in (0, len(x)):
        raise ValueError(
            "`validation_split` must leave examples in both parts. "
            f"Received validation_split={fraction} with {len(x)} examples."
        )
    first, last = slice(split), slice(split, None)
    return (
        (x[first], None if y is None else y[first], None if weight is None else weight[first]),
        (x[last], None if y is None else y[last], None if weight is None else weight[last]),
    )


def examples(
    x: Any,
    y: Any,
    sample_weight: Any,
    class_weight: Mapping[int, float] | None = None,
    *,
    finite: bool,
    what: str = "",
) -> Arrays:
    """The arguments as arrays that hold numbers, fit together, and, unless memory-mapped, are finite.

    `what` starts every message: which batch of a stream is meant. Class weights become sample weights.

    Raises:
        TypeError: something that isn't real numbers.
        ValueError: no examples, different lengths, sample weights of another shape than (N,) or (N, 1), both kinds of
            weight, NaN or an infinity.
    """
    if class_weight is not None and sample_weight is not None:
        raise ValueError(f"{what}`class_weight` and `sample_weight` must not be given at the same time.")
    x, y, weight = arrays(x, y, sample_weight, what)
    if finite:
        in_memory = (None if a is None or is_mapped(a) else a for a in (x, y, weight))
        check_finite(*in_memory, what=what)
    if class_weight is not None:
        weight = class_to_sample_weight(y, class_weight)
    return x, y, weight


def arrays(x: Any, y: Any, sample_weight: Any, what: str = "") -> Arrays:
    """The arguments as arrays of equal length, without looking at their values."""
    given = {"x": x, "y": y, "sample_weight": sample_weight}
    found = {name: numbers(name, value, what) for name, value in given.items() if value is not None}
    lengths = {name: len(array) for name, array in found.items()}
    if len(set(lengths.values())) > 1:
        received = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise ValueError(
            f"{what}x, y and sample_weight must have the same number of examples. Received {received}."
        )
    if not lengths["x"]:
        raise ValueError(f"{what}`x` must hold at least one example. Received shape {found['x'].shape}.")
    weight = found.get("sample_weight")
    if weight is not None:
        if weight.shape not in ((len(weight),), (len(weight), 1)):
            raise ValueError(
                f"{what}`sample_weight` must hold one number for each example, shape ({len(weight)},). "
                f"Received shape {weight.shape}."
            )
        weight = weight.reshape(-1)
    return found["x"], found.get("y"), weight


def numbers(name: str, value: Any, what: str = "") -> np.ndarray:
    """`value` as an array of booleans, integers or floats with at least one axis."""
    if isinstance(value, Mapping):
        raise ValueError(f"{what}`{name}` must be one array: models have one input. Received a dict.")
    try:
        array = np.asarray(value)
    except ValueError as error:  # a ragged list
        raise ValueError(
            f"{what}`{name}` must be an array or become one. Received {shorten(value)}."
        ) from error
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"{what}`{name}` must hold real numbers: bool, integer or floating point. "
            f"Received dtype {array.dtype} ({shorten(value)})."
        )
    if array.ndim == 0:
        raise ValueError(f"{what}`{name}` must be an array of examples. Received {shorten(value)}.")
    return array


def shorten(value: Any) -> str:
    text = f"{type(value).__name__} {value!r}".replace("\n", " ")
    return text if len(text) <= 80 else text[:77] + "..."


def check_finite(
    x: np.ndarray | None, y: np.ndarray | None, sample_weight: np.ndarray | None, *, what: str = ""
) -> None:
    """Raise a ValueError that names the first number that is not finite, or not in floatx; looks block by block."""
    if not config.check_finite:
        return
    for name, array in (("x", x), ("y", y), ("sample_weight", sample_weight)):
        if array is None or array.dtype.kind != "f":
            continue
        rows = max(1, BLOCK_ELEMENTS // max(1, prod(array.shape[1:])))
        for start in range(0, len(array), rows):
            with np.errstate(over="ignore"):
                finite = np.isfinite(array[start : start + rows].astype(config.floatx(), copy=False))
            if not finite.all():
                first = np.argwhere(~finite)[0]
                first[0] += start
                index = tuple(int(i) for i in first)
                raise ValueError(
                    f"{what}`{name}` must be finite in {config.floatx()}. Received {array[index]} at index {index} "
                    "(minicnn.config.check_finite = False turns this check off)."
                )


def is_mapped(array: np.ndarray) -> bool:
    """Whether the array's memory is a mapped file: looking at all of it would read the file."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    return isinstance(owner, mmap)


def class_to_sample_weight(y: np.ndarray | None, class_weight: Mapping[int, float]) -> np.ndarray:
    """The weight of each example (N,): that of its class, 1 where `class_weight` names none.

    The class is the argmax of a one-hot row, or the rounded label
    (keras/src/trainers/data_adapters/data_adapter_utils.py, `class_weight_to_sample_weights`).
    """
    if not isinstance(class_weight, Mapping):
        raise TypeError(
            f"`class_weight` must be a dict of class: weight. Received a {type(class_weight).__name__}."
        )
    if not all(isinstance(w, Real) and np.isfinite(w) for w in class_weight.values()):
        raise ValueError(f"`class_weight` must hold finite numbers. Received {shorten(class_weight)}.")
    if y is None:
        raise ValueError("`class_weight` needs y. Received y=None.")
    if y.ndim > 2:
        raise ValueError(
            f"`class_weight` needs labels of shape (N,), (N, 1) or (N, K). Received shape {y.shape}."
        )
    labels = y.argmax(-1) if y.ndim == 2 and y.shape[1] != 1 else y.reshape(-1)
    classes, positions = np.unique(np.round(labels).astype(np.int32), return_inverse=True)
    return np.array([class_weight.get(int(k), 1.0) for k in classes], config.floatx())[positions]
