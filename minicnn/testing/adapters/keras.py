"""Keras 3 on whatever backend it is configured for, through its layers and losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minicnn.testing.target import OPTIONS, Target

Array = np.ndarray[Any, Any]
NAN = "TensorFlow's max pool starts at the lowest finite number: it drops NaN and turns −inf into that"
SOFTMAX_NAN = "with oneDNN TensorFlow's float32 softmax gives zeros in a row that holds a NaN"
EMPTY = "Keras's pooling returns an empty map for a 'valid' pool larger than the image"
GROUPED_NAN = "XLA multiplies the other groups' channels by zero: their NaN comes through"
FORMAT = "TensorFlow's CPU convolution and pooling take channels_last only"
FLOAT32_GELU = "TensorFlow rounds the Python constants in gelu (√½) to float32, in float64 too"
FLOAT32_ONLY = (
    "float32 only: on this backend some of Keras computes float64 in float32 (losses; on JAX tanh, on PyTorch "
    "the gradient of Dense, on NumPy every layer)"
)
DIFFERENCES = {
    ("tensorflow", "elu"): {"small results keep their digits": "TensorFlow computes elu as exp(x) − 1"},
    ("jax", "sparse"): {"equals the oracle": "on JAX probabilities are renormalised, then clipped"},
    ("numpy", "binary"): {
        "equals the oracle": "on NumPy logits go through a sigmoid that is clipped at 1e-7",
        "extreme logits": "on NumPy logits go through a sigmoid that is clipped at 1e-7",
    },
}


def _backend() -> str:
    import keras

    return str(keras.backend.backend())


def _numpy(tensor: Any) -> Array:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(tensor))


def _gradients(
    function: Callable[..., Any], arrays: Sequence[Array], variables: Sequence[Any], dy: Any
) -> list[Array]:
    """Gradients of ⟨function(*arrays), dy⟩ to the arrays and to the variables, on any backend."""
    differentiate = {"tensorflow": _by_tape, "torch": _by_autograd, "jax": _by_vjp}[_backend()]
    given = [np.ascontiguousarray(a) for a in arrays]
    # not ascontiguousarray: it would turn the gradient of a number into a row of one
    return [_numpy(g) for g in differentiate(function, given, variables, np.array(dy, order="C"))]


def _by_tape(function: Any, arrays: list[Array], variables: Sequence[Any], dy: Array) -> Sequence[Any]:
    import tensorflow as tf

    tensors = [tf.constant(a) for a in arrays]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        y = function(*tensors)
    return list(tape.gradient(y, [*tensors, *(v.value for v in variables)], tf.constant(dy)))


def _by_autograd(function: Any, arrays: list[Array], variables: Sequence[Any], dy: Array) -> Sequence[Any]:
    import torch

    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    wanted = [*tensors, *(v.value for v in variables)]
    return list(torch.autograd.grad(function(*tensors), wanted, torch.tensor(dy)))


def _by_vjp(function: Any, arrays: list[Array], variables: Sequence[Any], dy: Array) -> Sequence[Any]:
    import jax
    import keras

    def stateless(values: Any, *tensors: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return function(*tensors)

    _, pullback = jax.vjp(stateless, [v.value for v in variables], *map(jax.numpy.asarray, arrays))
    dvalues, *dtensors = pullback(jax.numpy.asarray(dy))
    return [*dtensors, *dvalues]


def _conv_layer(x: Array, w: Array, b: Array | None, options: dict[str, Any]) -> Any:
    import keras

    options = {"padding": "valid", **options}
    layer = keras.layers.Conv2D(
        w.shape[3], w.shape[:2], use_bias=b is not None, dtype=str(x.dtype), **options
    )
    layer.build((None, *x.shape[1:]))
    layer.set_weights([np.ascontiguousarray(a) for a in (w, b) if a is not None])
    return layer


def conv2d(x: Array, w: Array, b: Array | None = None, **options: Any) -> Array:
    """The forward pass of the layer."""
    if _is_compiled(options):
        return _numpy(_compiled(x, w, b, options)[0](np.ascontiguousarray(x)))
    return _numpy(_conv_layer(x, w, b, options)(np.ascontiguousarray(x)))


def conv2d_backward(dy: Array, x: Array, w: Array, **options: Any) -> list[Array]:
    """dx, dw, db."""
    b = np.zeros(w.shape[3], w.dtype)
    if _is_compiled(options):
        arrays = np.ascontiguousarray(x), np.ascontiguousarray(dy)
        return [_numpy(g) for g in _compiled(x, w, b, options)[1](*arrays)]
    layer = _conv_layer(x, w, b, options)
    return _gradients(layer, [x], layer.trainable_variables, dy)


def _is_compiled(options: dict[str, Any]) -> bool:
    return _backend() == "tensorflow" and options.get("groups", 1) > 1


def _compiled(x: Array, w: Array, b: Array | None, options: dict[str, Any]) -> tuple[Any, Any]:
    """The layer's forward and its gradients as TensorFlow graphs, with these weights.

    Called eagerly, Keras compiles a grouped convolution anew at every call: 0.3 s for its gradients.
    """
    key = (x.shape, w.shape, str(x.dtype), b is None, tuple(sorted(options.items())))
    if key not in _COMPILED:
        _COMPILED[key] = _compile(_conv_layer(x, w, b, options))
    layer, forward, backward = _COMPILED[key]
    layer.set_weights([np.ascontiguousarray(a) for a in (w, b) if a is not None])
    return forward, backward


def _compile(layer: Any) -> tuple[Any, Any, Any]:
    import tensorflow as tf

    @tf.function
    def backward(x: Any, dy: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return tape.gradient(y, [x, *(v.value for v in layer.trainable_variables)], dy)

    return layer, tf.function(layer), backward


_COMPILED: dict[Any, tuple[Any, Any, Any]] = {}


def dense(x: Array, w: Array, b: Array | None = None) -> Array:
    """The forward pass of the layer."""
    return _numpy(_dense_layer(x, w, b)(np.ascontiguousarray(x)))


def _dense_layer(x: Array, w: Array, b: Array | None) -> Any:
    import keras

    layer = keras.layers.Dense(w.shape[1], use_bias=b is not None, dtype=str(x.dtype))
    layer.build((None, x.shape[1]))
    layer.set_weights([np.ascontiguousarray(a) for a in (w, b) if a is not None])
    return layer


def dense_backward(dy: Array, x: Array, w: Array) -> list[Array]:
    """dx, dw, db."""
    layer = _dense_layer(x, w, np.zeros(w.shape[1], w.dtype))
    return _gradients(layer, [x], layer.trainable_variables, dy)


def _simple(name: str, **fixed: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Forward and backward of a layer without weights."""

    def layer(x: Array, options: dict[str, Any]) -> Any:
        import keras

        return getattr(keras.layers, name)(dtype=str(x.dtype), **fixed, **options)

    def forward(x: Array, **options: Any) -> Array:
        return _numpy(layer(x, options)(np.ascontiguousarray(x)))

    def backward(dy: Array, x: Array, **options: Any) -> Array:
        return _gradients(layer(x, options), [x], [], dy)[0]

    return forward, backward


def _loss_pair(kind: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    names = {"categorical": "Categorical", "sparse": "SparseCategorical", "binary": "Binary"}

    def loss(y_true: Array, y_pred: Any, options: dict[str, Any]) -> Any:
        import keras

        weight = options.pop("sample_weight", None)
        dtype = str(y_pred.dtype).rpartition(".")[2].removeprefix("<dtype: '").removesuffix("'>")
        function = getattr(keras.losses, names[kind] + "Crossentropy")(dtype=dtype, **options)
        return function(np.ascontiguousarray(y_true), y_pred, sample_weight=weight)

    def forward(y_true: Array, y_pred: Array, **options: Any) -> Array:
        return _numpy(loss(y_true, np.ascontiguousarray(y_pred), options))

    def backward(y_true: Array, y_pred: Array, **options: Any) -> Array:
        one = np.ones((), y_pred.dtype)
        return _gradients(lambda p: loss(y_true, p, dict(options)), [y_pred], [], one)[0]

    return forward, backward


def _step(name: str) -> Callable[..., Any]:
    """One optimizer step; the state is the Keras optimizer with its variable."""

    def step(w: Array, dw: Array, state: Any, **options: Any) -> Any:
        import keras

        classes = {
            "sgd": keras.optimizers.SGD,
            "rmsprop": keras.optimizers.RMSprop,
            "adam": keras.optimizers.Adam,
        }
        if state is None:
            variable = keras.Variable(np.array(w), dtype=str(w.dtype))
            optimizer = classes[name](**options)
            optimizer.build([variable])
            state = (optimizer, variable)
        optimizer, variable = state
        optimizer.apply([keras.ops.convert_to_tensor(np.ascontiguousarray(dw))], [variable])
        return _numpy(variable).copy(), state

    return step


def targets() -> list[Target]:
    """All of Keras's targets; without gradients on its NumPy backend.  Raises ImportError without Keras.

    On JAX it switches float64 on for the process.
    """
    backend = _backend()
    if backend == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)
    built = [*_layer_targets(backend), *_activation_targets(), *_loss_targets(), *_optimizer_targets()]
    return [_on_backend(t, backend) for t in built]


def _on_backend(t: Target, backend: str) -> Target:
    """The target with what is known of it on this backend."""
    changes: dict[str, Any] = {
        "name": f"keras ({backend}) {t.name}".rstrip(),
        # the NumPy backend convolves by JAX
        "flush_to_zero": backend != "torch",
        "differences": {**t.differences, **DIFFERENCES.get((backend, t.name), {})},
    }
    if backend != "tensorflow" or t.name == "gelu":
        reason = FLOAT32_GELU if backend == "tensorflow" else FLOAT32_ONLY
        changes |= {"dtypes": (np.float32,), "notes": (*t.notes, reason)}
    if backend not in ("tensorflow", "torch", "jax"):
        changes["backward"] = None
    return replace(t, **changes)


def _layer_targets(backend: str) -> list[Target]:
    tf = backend == "tensorflow"
    conv = frozenset(OPTIONS["conv2d"]) - {"data_format"}
    pool = frozenset(OPTIONS["max_pooling2d"]) - {"data_format"}
    notes = (FORMAT,) if tf else ("channels_last only",)
    hidden = "no NaN or infinity is hidden"
    grouped, nan = ({hidden: GROUPED_NAN}, {hidden: NAN}) if tf else ({}, {})
    empty = {"invalid geometry is refused": EMPTY}
    softmax = {"NaN fills its row and no other": SOFTMAX_NAN} if tf else {}
    conv_options: dict[str, Any] = {"strided_dilation": False, "compiles_groups": tf, "differences": grouped}
    maximum, average = _simple("MaxPooling2D"), _simple("AveragePooling2D")
    return [
        Target("", "conv2d", conv2d, conv2d_backward, conv, notes=notes, **conv_options),
        Target("", "max_pooling2d", *maximum, pool, notes=notes, differences={**nan, **empty}),
        Target("", "average_pooling2d", *average, pool, notes=notes, differences=empty),
        Target("", "dense", dense, dense_backward),
        Target("", "flatten", *_simple("Flatten")),
        Target("", "softmax", *_simple("Softmax"), differences=softmax),
    ]


def _activation_targets() -> list[Target]:
    names = ("relu", "sigmoid", "tanh", "elu", "gelu", "silu", "softplus")
    return [
        Target(name, "activation", *_simple("Activation", activation=name), parameters={"name": name})
        for name in names
    ]


def _loss_targets() -> list[Target]:
    options = frozenset(OPTIONS["crossentropy"])
    return [
        Target(
            kind, "crossentropy", *_loss_pair(kind), options, parameters={"kind": kind, "from_logits": False}
        )
        for kind in ("categorical", "sparse", "binary")
    ]


def _optimizer_targets() -> list[Target]:
    # a Keras optimizer's learning rate follows floatx, which a process sets once
    only: dict[str, Any] = {"dtypes": (np.float32,), "notes": ("float32 only: learning rates follow floatx",)}
    options = frozenset(OPTIONS["optimizer"])
    return [
        Target(name, "optimizer", _step(name), None, options, parameters={"name": name}, **only)
        for name in ("sgd", "rmsprop", "adam")
    ]
