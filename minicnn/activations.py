"""Activation functions on arrays, and the ops they lower to. Names and arguments are Keras's (keras/src/activations/).

Each takes an array of any shape, or whatever NumPy makes one of, and returns a new one of the same shape: float32 and
float64 stay what they are, anything else becomes `config.floatx()`. The arithmetic is that of `reference`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn import config
from minicnn.checks import number, optional_number
from minicnn.engine import ops
from minicnn.reference import activations as reference
from minicnn.reference.softmax import softmax_forward
from minicnn.registry import Registry


def linear(x: Any) -> np.ndarray:
    """x."""
    return _as_float(x).copy()


def relu(
    x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> np.ndarray:
    """max(x, 0); in general x from `threshold` up to `max_value`, negative_slope·(x − threshold) below.

    Raises:
        ValueError: a negative parameter, as in Keras's ReLU layer.
    """
    if not negative_slope and max_value is None and not threshold:
        return reference.relu_forward(_as_float(x))[0]
    slope, limit = number("negative_slope", negative_slope, 0), optional_number("max_value", max_value, 0)
    return reference.clipped_relu_forward(_as_float(x), slope, limit, number("threshold", threshold, 0))[0]


def leaky_relu(x: Any, negative_slope: float = 0.2) -> np.ndarray:
    """x above 0, negative_slope·x below."""
    return reference.leaky_relu_forward(_as_float(x), number("negative_slope", negative_slope))[0]


def elu(x: Any, alpha: float = 1.0) -> np.ndarray:
    """x above 0, α·(e^x − 1) below."""
    return reference.elu_forward(_as_float(x), number("alpha", alpha))[0]


def gelu(x: Any, approximate: bool = False) -> np.ndarray:
    """x·Φ(x), Φ the normal distribution function; `approximate` is the form with tanh."""
    return reference.gelu_forward(_as_float(x), bool(approximate))[0]


def silu(x: Any) -> np.ndarray:
    """x·sigmoid(x)."""
    return reference.silu_forward(_as_float(x))[0]


def softplus(x: Any) -> np.ndarray:
    """log(1 + e^x)."""
    return reference.softplus_forward(_as_float(x))[0]


def sigmoid(x: Any) -> np.ndarray:
    """1 / (1 + e^−x)."""
    return reference.sigmoid_forward(_as_float(x))[0]


def tanh(x: Any) -> np.ndarray:
    """tanh(x)."""
    return reference.tanh_forward(_as_float(x))[0]


def softmax(x: Any, axis: int = -1) -> np.ndarray:
    """exp(x) / Σ exp(x) along one axis.

    Raises:
        ValueError: an axis that x doesn't have, or that isn't one integer.
    """
    x = _as_float(x)
    if isinstance(axis, bool) or not isinstance(axis, int) or not -x.ndim <= axis < x.ndim:
        raise ValueError(
            f"`axis` must be an integer and an axis of x. Received axis={axis!r}, x.shape={x.shape}."
        )
    last = softmax_forward(np.ascontiguousarray(np.moveaxis(x, axis, -1)))[0]
    return np.ascontiguousarray(np.moveaxis(last, -1, axis))


swish = silu

_OPS: dict[Callable[..., np.ndarray], type[ops.Op]] = {
    elu: ops.Elu,
    gelu: ops.Gelu,
    leaky_relu: ops.LeakyReLU,
    relu: ops.ReLU,
    sigmoid: ops.Sigmoid,
    silu: ops.Silu,
    softmax: ops.Softmax,
    softplus: ops.Softplus,
    tanh: ops.Tanh,
}
"""What each function computes when it is called without further arguments."""

registry = Registry("activation", "activations", (linear, *_OPS), {"swish": silu})

serialize = registry.serialize
deserialize = registry.deserialize


def get(identifier: Any) -> Callable[..., np.ndarray]:
    """An activation by name, configuration or function; `linear` for None.

    Raises:
        ValueError: an unknown name, or something that can't be called.
    """
    return linear if identifier is None else registry.get(identifier)


def lower(activation: Callable[..., np.ndarray], name: str) -> tuple[ops.Op, ...]:
    """The ops that compute an activation, the last one called `name`; none for `linear`.

    Raises:
        ValueError: a function that isn't one of this module: a layer needs its derivative too.
    """
    if activation is linear:
        return ()
    if activation not in _OPS:
        raise ValueError(
            f"An activation inside a model must be one of minicnn.activations, which have derivatives: "
            f"{', '.join(sorted(function.__name__ for function in (linear, *_OPS)))}. Received {activation!r}."
        )
    return (_OPS[activation](name=name),)


def _as_float(x: Any) -> np.ndarray:
    """x as a float32 or float64 array.

    Raises:
        TypeError: complex numbers, strings, objects.
    """
    array = np.asarray(x)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"An activation takes real numbers. Received an array of dtype {array.dtype}.")
    # A Python list of numbers has no dtype of its own, although NumPy calls it float64.
    keeps = array.dtype.name in config.FLOAT_TYPES and hasattr(x, "dtype")
    return array if keeps else array.astype(config.floatx())
