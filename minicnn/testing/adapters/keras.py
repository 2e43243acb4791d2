"""Keras 3 on whatever backend it is configured for, through its layers and losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.testing.target import OPTIONS, Target

Array = np.ndarray[Any, Any]
NAN = "TensorFlow's max pool starts at the lowest finite number: it drops NaN and turns −inf into that"
SOFTMAX_NAN = "TensorFlow's float32 softmax keeps a NaN in its own element and gives 0 in the rest of the row"
EMPTY = "Keras's pooling returns an empty map for a 'valid' pool larger than the image"
GROUPED_NAN = "XLA multiplies the other groups' channels by zero: their NaN comes through"
FORMAT = "TensorFlow's CPU convolution and pooling take channels_last only"
FLOAT32_CONSTANTS = "TensorFlow rounds the Python constants in gelu (√2) to float32, in float64 too"


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
    if _backend() == "tensorflow":
        import tensorflow as tf

        tensors = [tf.constant(np.ascontiguousarray(a)) for a in arrays]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            y = function(*tensors)
        wanted = [*tensors, *(v.value for v in variables)]
        return [_numpy(g) for g in tape.gradient(y, wanted, tf.constant(np.ascontiguousarray(dy)))]
    if _backend() == "torch":
        import torch

        tensors = [torch.tensor(np.ascontiguousarray(a), requires_grad=True) for a in arrays]
        wanted = [*tensors, *(v.value for v in variables)]
        grads = torch.autograd.grad(function(*tensors), wanted, torch.tensor(np.ascontiguousarray(dy)))
        return [_numpy(g) for g in grads]
    raise NotImplementedError(f"Gradients on Keras's {_backend()} backend are not written yet.")


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
    """All of Keras's targets.  Raises ImportError without Keras."""
    tf = _backend() == "tensorflow"
    name = f"keras ({_backend()})"
    common: dict[str, Any] = {"flush_to_zero": True}
    pool = frozenset(OPTIONS["max_pooling2d"]) - {"data_format"}
    nan = {"no NaN or infinity is hidden": NAN} if tf else {}
    grouped = {"no NaN or infinity is hidden": GROUPED_NAN} if tf else {}
    images: dict[str, Any] = {**common, "notes": (FORMAT,)}
    softmax = {"NaN fills its row and no other": SOFTMAX_NAN} if tf else {}
    empty = {"invalid geometry is refused": EMPTY}
    conv = Target(
        name,
        "conv2d",
        conv2d,
        conv2d_backward,
        frozenset(OPTIONS["conv2d"]) - {"data_format"},
        strided_dilation=False,
        compiles_groups=tf,
        differences=grouped,
        **images,
    )
    out = [
        conv,
        Target(name, "max_pooling2d", *_simple("MaxPooling2D"), pool, differences={**nan, **empty}, **images),
        Target(name, "average_pooling2d", *_simple("AveragePooling2D"), pool, differences=empty, **images),
        Target(name, "dense", dense, dense_backward, **common),
        Target(name, "flatten", *_simple("Flatten"), **common),
        Target(name, "softmax", *_simple("Softmax"), differences=softmax, **common),
    ]
    for activation in ("relu", "sigmoid", "tanh", "elu", "gelu", "silu", "softplus"):
        note: dict[str, Any] = (
            {"dtypes": (np.float32,), "notes": (FLOAT32_CONSTANTS,)} if activation == "gelu" else {}
        )
        pair = _simple("Activation", activation=activation)
        note.update(parameters={"name": activation}, **common)
        out.append(Target(f"{name} {activation}", "activation", *pair, **note))
    for kind in ("categorical", "sparse", "binary"):
        options = frozenset(OPTIONS["crossentropy"])
        spec2 = {"kind": kind, "from_logits": False}
        out.append(
            Target(f"{name} {kind}", "crossentropy", *_loss_pair(kind), options, parameters=spec2, **common)
        )
    for optimizer in ("sgd", "rmsprop", "adam"):
        options = frozenset(OPTIONS["optimizer"])
        spec = {"name": optimizer}
        # a Keras optimizer's learning rate follows floatx, which a process sets once
        only: dict[str, Any] = {
            "dtypes": (np.float32,),
            "notes": ("float32 only: learning rates follow floatx",),
        }
        out.append(
            Target(
                f"{name} {optimizer}",
                "optimizer",
                _step(optimizer),
                None,
                options,
                parameters=spec,
                **common,
                **only,
            )
        )
    return out
