"""Targets as the arithmetic needs them: checked against the predictions, of their shape.

Ranks are matched as Keras matches them (keras/src/losses/loss.py, `squeeze_or_expand_to_same_rank`): a last axis of
size 1 is added or dropped. What Keras would then broadcast between samples, truncate to an integer or read outside of
an array is an error here.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn import config
from minicnn.errors import ShapeError

Shape = tuple[int, ...]


def predictions_of(y_pred: Any, y_true: Any) -> np.ndarray:
    """Predictions as a float array; (N,) becomes (N, 1) where the targets are (N, 1)."""
    y = check_numbers("y_pred", y_pred)
    if not (hasattr(y_pred, "dtype") and y.dtype.name in config.FLOAT_TYPES):
        y = y.astype(config.floatx())
    if y.ndim == 0:
        raise ShapeError("`y_pred` must have at least one axis. Received a single number.")
    return y[:, None] if y.ndim == 1 and np.ndim(y_true) == 2 and np.shape(y_true)[-1] == 1 else y


def per_sample(forward: Callable[..., Any], y: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The losses of `forward`; arrays of one axis are one sample, and its loss has none."""
    if y.ndim == 1:
        return np.asarray(forward(y[None], t[None])[0][0])
    return forward(y, t)[0]


def check_numbers(name: str, values: Any) -> np.ndarray:
    """An array of real numbers, not copied if it is one.

    Raises:
        TypeError: complex numbers, strings, objects.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"`{name}` must be real numbers. Received an array of dtype {array.dtype}.")
    return array


def same_shape(y_true: Any, shape: Shape, loss: str, hint: str = "") -> np.ndarray:
    """Targets of the predictions' `shape`, but for a last axis of size 1.

    Raises:
        TypeError: not real numbers.
        ShapeError: another shape.
    """
    y = check_numbers("y_true", y_true)
    if y.ndim == len(shape) - 1 and shape[-1] == 1:
        y = y[..., None]
    elif y.ndim == len(shape) + 1 and y.shape[-1] == 1:
        y = y[..., 0]
    if y.shape != shape:
        raise ShapeError(
            f"{loss} takes targets of the predictions' shape. Received y_true.shape={np.shape(y_true)}, "
            f"y_pred.shape={shape}.{hint}"
        )
    return y


def broadcast(y_true: Any, shape: Shape, loss: str) -> np.ndarray:
    """Targets that fit `shape`, or whose axes of size 1 behind the batch axis are repeated to fit it.

    Raises:
        TypeError: not real numbers.
        ShapeError: another shape.
    """
    y = check_numbers("y_true", y_true)
    repeats = y.ndim == len(shape) and y.shape[:1] == shape[:1]
    if repeats and all(came in (1, size) for came, size in zip(y.shape, shape, strict=True)):
        return np.broadcast_to(y, shape)
    return same_shape(y, shape, loss)


def labels(y_true: Any, shape: Shape, loss: str) -> np.ndarray:
    """One class for each prediction: integers (*N), or (*N, 1), for predictions (*N, K).

    Raises:
        TypeError: not real numbers.
        ShapeError: another shape.
        ValueError: a label that isn't an integer, or not one of 0, …, K − 1.
    """
    y = check_numbers("y_true", y_true)
    if y.ndim == len(shape) and y.shape[-1] == 1:
        y = y[..., 0]
    if y.shape != shape[:-1]:
        hint = " For one-hot targets use categorical_crossentropy." if y.shape == shape else ""
        raise ShapeError(
            f"{loss} takes one integer label for each prediction: y_true.shape={shape[:-1]} for "
            f"y_pred.shape={shape}. Received y_true.shape={np.shape(y_true)}.{hint}"
        )
    if not y.size:
        return y.astype(np.int64)
    low, high, classes = y.min(), y.max(), shape[-1]
    # Not `low < 0`: NaN must fail too.
    if not (low >= 0 and high < classes):
        wrong = low if not low >= 0 else high
        raise ValueError(f"Labels must be 0 … {classes - 1} for {classes} classes. Received a label {wrong}.")
    if y.dtype.kind == "f" and (y != np.floor(y)).any():
        raise ValueError(f"Labels must be integers. Received a label {y[y != np.floor(y)].flat[0]}.")
    return y


def one_hot(classes: np.ndarray, count: int, dtype: str) -> np.ndarray:
    """(*N) labels → (*N, count), 1 at the label and 0 elsewhere."""
    encoded = np.zeros((classes.size, count), dtype)
    encoded[np.arange(classes.size), classes.reshape(-1).astype(np.intp)] = 1
    return encoded.reshape(*classes.shape, count)


def shares(y: np.ndarray, loss: str) -> np.ndarray:
    """y, all of it in [0, 1].

    Raises:
        ValueError: it isn't.
    """
    if y.size and not (y.min() >= 0 and y.max() <= 1):
        wrong = y.min() if not y.min() >= 0 else y.max()
        raise ValueError(f"{loss} takes targets between 0 and 1. Received a target {wrong}.")
    return y
