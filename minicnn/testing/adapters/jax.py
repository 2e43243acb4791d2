"""JAX with float64 switched on: ``lax`` convolution and pooling, ``jax.nn``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from minicnn.testing.target import OPTIONS, Target

Array = np.ndarray[Any, Any]
REFUSES = "the adapter refuses what lax answers with an empty array"


def _conv(x: Any, w: Any, b: Any, options: dict[str, Any]) -> Any:
    y = lax.conv_general_dilated(
        x,
        w,
        window_strides=options.get("strides", (1, 1)),
        padding=options.get("padding", "valid").upper(),
        rhs_dilation=options.get("dilation_rate", (1, 1)),
        feature_group_count=options.get("groups", 1),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=lax.Precision.HIGHEST,
    )
    return y if b is None else y + b


def conv2d(x: Array, w: Array, b: Array | None = None, **options: Any) -> Array:
    """The forward pass; an empty result is refused."""
    y = np.asarray(_conv(jnp.asarray(x), jnp.asarray(w), None if b is None else jnp.asarray(b), options))
    if y.size == 0:
        raise ValueError("no window fits")
    return y


def conv2d_backward(dy: Array, x: Array, w: Array, **options: Any) -> tuple[Array, ...]:
    """dx, dw, db."""
    arrays = (jnp.asarray(x), jnp.asarray(w), jnp.zeros(w.shape[3], w.dtype))
    _, pullback = jax.vjp(lambda x, w, b: _conv(x, w, b, options), *arrays)
    return tuple(np.asarray(g) for g in pullback(jnp.asarray(dy)))


def _window(x: Any, start: Any, combine: Any, options: dict[str, Any]) -> Any:
    pool = (1, *options["pool_size"], 1)
    strides = (1, *(options.get("strides") or options["pool_size"]), 1)
    return lax.reduce_window(x, start, combine, pool, strides, options.get("padding", "valid").upper())


def _max(x: Any, **options: Any) -> Any:
    return _window(x, -jnp.inf, lax.max, options)


def _average(x: Any, **options: Any) -> Any:
    return _window(x, 0.0, lax.add, options) / _window(jnp.ones_like(x), 0.0, lax.add, options)


def _pair(f: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def forward(*arrays: Array, **options: Any) -> Array:
        y = np.asarray(f(*map(jnp.asarray, arrays), **options))
        if y.size == 0:
            raise ValueError("no window fits")
        return y

    def backward(dy: Array, *arrays: Array, **options: Any) -> Any:
        _, pullback = jax.vjp(lambda *a: f(*a, **options), *map(jnp.asarray, arrays))
        out = tuple(np.asarray(g) for g in pullback(jnp.asarray(dy)))
        return out if len(out) > 1 else out[0]

    return forward, backward


def _dense(x: Any, w: Any, b: Any = 0.0) -> Any:
    return jnp.matmul(x, w, precision=lax.Precision.HIGHEST) + jnp.asarray(b, x.dtype)


def _dense_backward(dy: Array, x: Array, w: Array) -> Any:
    return _pair(_dense)[1](dy, x, w, np.zeros(w.shape[1], w.dtype))


def targets() -> list[Target]:
    """All of JAX's targets.  Switches float64 on for the process."""
    jax.config.update("jax_enable_x64", True)
    pool = frozenset(OPTIONS["max_pooling2d"]) - {"data_format"}
    common: dict[str, Any] = {"flush_to_zero": True}
    ties = "XLA gives a tie to the first maximum; no rule is documented"
    out = [
        Target(
            "jax",
            "conv2d",
            conv2d,
            conv2d_backward,
            frozenset(OPTIONS["conv2d"]) - {"data_format"},
            notes=(REFUSES,),
            **common,
        ),
        Target("jax", "max_pooling2d", *_pair(_max), pool, notes=(REFUSES, ties), **common),
        Target("jax", "average_pooling2d", *_pair(_average), pool, notes=(REFUSES,), **common),
        Target("jax", "dense", _pair(_dense)[0], _dense_backward, **common),
        Target("jax", "flatten", *_pair(lambda x: x.reshape(len(x), -1)), **common),
        Target("jax", "softmax", *_pair(lambda x: jax.nn.softmax(x, axis=-1)), **common),
    ]
    functions = {
        "relu": jax.nn.relu,
        "sigmoid": jax.nn.sigmoid,
        "tanh": jnp.tanh,
        "elu": jax.nn.elu,
        "gelu": lambda x: jax.nn.gelu(x, approximate=False),
        "silu": jax.nn.silu,
        "softplus": jax.nn.softplus,
    }
    for name, function in functions.items():
        out.append(Target(f"jax {name}", "activation", *_pair(function), parameters={"name": name}, **common))
    return out
