"""This package's own backends, through its layers (validation included) and its one-op plans.

Everything is imported by name when it is called: nothing else of the kit depends on the package.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from minicnn.testing.checks.model import ModelUnderTest, model_target
from minicnn.testing.target import OPTIONS, Target

Array = np.ndarray[Any, Any]


def _layers() -> Any:
    return import_module("minicnn.layers")


def _is_layer(options: dict[str, Any]) -> bool:
    """Layers refuse strides > 1 together with dilation > 1; ops do not."""
    return bool(max(options.get("strides", (1, 1))) == 1 or max(options.get("dilation_rate", (1, 1))) == 1)


def _conv_layer(x: Array, w: Array, b: Array | None, options: dict[str, Any]) -> Any:
    layer = _layers().Conv2D(w.shape[3], w.shape[:2], use_bias=b is not None, dtype=str(x.dtype), **options)
    layer.build((None, *x.shape[1:]))
    layer.set_weights([w] if b is None else [w, b])
    return layer


def _conv_op(
    x: Array, w: Array, options: dict[str, Any], backend: str, bias: bool, algorithm: str | None = None
) -> Any:
    """A plan of one convolution, for what layers refuse, or for one algorithm."""
    ops, plans = import_module("minicnn.engine.ops"), import_module("minicnn.engine.plan")
    sizes = (
        options.get("strides", (1, 1)),
        options.get("padding", "valid"),
        options.get("dilation_rate", (1, 1)),
    )
    window = import_module("minicnn.geometry").make_window(x.shape[1:3], w.shape[:2], *sizes)
    parameters = ("w", "b") if bias else ("w",)
    op = ops.Conv2D(
        name="conv", parameters=parameters, window=window, filters=w.shape[3], groups=options.get("groups", 1)
    )
    return plans.make_plan(
        (op,),
        x.shape[1:],
        len(x),
        training=True,
        backend=backend,
        dtype=str(x.dtype),
        algorithm=algorithm,
        gradients=list(parameters),
        value_gradients=[plans.INPUT],
    )


def _run_plan(plan: Any, weights: tuple[Array, ...], x: Array) -> tuple[Array, Any]:
    workspaces, run = import_module("minicnn.engine.workspace"), import_module("minicnn.engine.run")
    derived = workspaces.Derived(plan)
    derived.update([weights])
    ws = workspaces.Workspace(plan, derived)
    return run.forward(ws, [weights], np.ascontiguousarray(x), draw=(0, 0)).copy(), ws


def _conv_pair(backend: str, algorithm: str | None = None) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def forward(x: Array, w: Array, b: Array | None = None, **options: Any) -> Array:
        if _is_layer(options):
            layer = _conv_layer(x, w, b, options)
            if algorithm is None:
                return np.asarray(layer.forward(x, backend=backend)[0])
        weights = tuple(np.ascontiguousarray(a) for a in (w, b) if a is not None)
        return _run_plan(_conv_op(x, w, options, backend, b is not None, algorithm), weights, x)[0]

    def backward(dy: Array, x: Array, w: Array, **options: Any) -> Any:
        b = np.zeros(w.shape[3], w.dtype)
        if _is_layer(options) and algorithm is None:
            layer = _conv_layer(x, w, b, options)
            dx, grads = layer.backward(dy, layer.forward(x, backend=backend)[1])
            return dx, *grads
        plan = _conv_op(x, w, options, backend, True, algorithm)
        _, ws = _run_plan(plan, (np.ascontiguousarray(w), b), x)
        dw, db = np.zeros(w.shape, w.dtype), np.zeros_like(b)
        run, plans = import_module("minicnn.engine.run"), import_module("minicnn.engine.plan")
        run.backward(ws, [(dw, db)], np.ascontiguousarray(dy))
        return run.value_gradient(ws, plans.INPUT, len(dy)).copy(), dw, db

    return forward, backward


def _layer_pair(name: str, backend: str, **fixed: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Forward and backward of a layer without weights."""

    def forward(x: Array, **options: Any) -> Array:
        layer = getattr(_layers(), name)(dtype=str(x.dtype), **fixed, **options)
        return np.asarray(layer.forward(x, backend=backend)[0])

    def backward(dy: Array, x: Array, **options: Any) -> Array:
        layer = getattr(_layers(), name)(dtype=str(x.dtype), **fixed, **options)
        return np.asarray(layer.backward(dy, layer.forward(x, backend=backend)[1])[0])

    return forward, backward


def _dense_pair(backend: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def make(x: Array, w: Array, b: Array) -> Any:
        layer = _layers().Dense(w.shape[1], dtype=str(x.dtype))
        layer.build((None, x.shape[1]))
        layer.set_weights([w, b])
        return layer

    def forward(x: Array, w: Array, b: Array) -> Array:
        return np.asarray(make(x, w, b).forward(x, backend=backend)[0])

    def backward(dy: Array, x: Array, w: Array) -> Any:
        layer = make(x, w, np.zeros(w.shape[1], w.dtype))
        dx, grads = layer.backward(dy, layer.forward(x, backend=backend)[1])
        return dx, *grads

    return forward, backward


LOSSES = {
    "categorical": ("CategoricalCrossentropy", "Softmax"),
    "sparse": ("SparseCategoricalCrossentropy", "Softmax"),
    "binary": ("BinaryCrossentropy", "Sigmoid"),
}


def _loss_pair(kind: str, backend: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The op that ends a training step: from logits, it is the one that follows an activation layer."""
    losses, ops = import_module("minicnn.losses"), import_module("minicnn.engine.ops")
    plans, run = import_module("minicnn.engine.plan"), import_module("minicnn.engine.run")
    workspaces = import_module("minicnn.engine.workspace")

    def walk(y_true: Array, y_pred: Array, options: dict[str, Any]) -> tuple[Array, Array, Any]:
        """The losses, their weights in the reduced loss, and the workspace after the forward pass."""
        name, activation = LOSSES[kind]
        loss = getattr(losses, name)(reduction=options.get("reduction", "sum_over_batch_size"))
        contained = options.get("from_logits", kind == "sparse")
        op = loss.lower("loss", getattr(ops, activation)(name="activation") if contained else None)
        dtype, shape = str(y_pred.dtype), y_pred.shape
        plan = plans.make_plan(
            (op,),
            shape[1:],
            shape[0],
            training=True,
            backend=backend,
            dtype=dtype,
            value_gradients=[plans.INPUT],
        )
        ws = workspaces.Workspace(plan, workspaces.Derived(plan))
        each = np.empty(shape[:1], y_pred.dtype)
        run.forward(ws, [()], np.ascontiguousarray(y_pred), loss.targets(y_true, shape, dtype), each)
        return each, loss.seed(each.shape, options.get("sample_weight"), dtype), ws

    def forward(y_true: Array, y_pred: Array, **options: Any) -> Array:
        each, seed, _ = walk(y_true, y_pred, options)
        return np.asarray((each * seed).sum(dtype=np.float64), y_pred.dtype)

    def backward(y_true: Array, y_pred: Array, **options: Any) -> Array:
        _, seed, ws = walk(y_true, y_pred, options)
        run.backward(ws, [()], seed)
        return np.array(run.value_gradient(ws, plans.INPUT, len(y_pred)))

    return forward, backward


def _slots(w: Array, count: int) -> list[Array]:
    return [np.zeros_like(w) for _ in range(count)]


def _step(name: str, backend: str) -> Callable[..., Any]:
    """One step of the in-place optimizers of ``reference`` or ``kernels``, on copies."""
    module = f"minicnn.{'kernels' if backend == 'numba' else 'reference'}.optimizers"

    def sgd(
        w: Array, dw: Array, s: Any, learning_rate: float, momentum: float = 0.0, nesterov: bool = False
    ) -> Any:
        slots = _slots(w, 1) if s is None else s
        functions = import_module(module)
        if momentum:
            functions.sgd_momentum_step(w, dw, slots[0], learning_rate, momentum, nesterov)
        else:
            functions.sgd_step(w, dw, learning_rate)
        return w, slots

    def rmsprop(
        w: Array,
        dw: Array,
        s: Any,
        learning_rate: float,
        rho: float,
        momentum: float,
        epsilon: float,
        centered: bool,
    ) -> Any:
        slots = _slots(w, 3) if s is None else s
        used = (slots[0], slots[1] if momentum else None, slots[2] if centered else None)
        import_module(module).rmsprop_full_step(w, dw, used, learning_rate, rho, momentum, epsilon)
        return w, slots

    def adam(
        w: Array, dw: Array, s: Any, learning_rate: float, beta_1: float, beta_2: float, epsilon: float
    ) -> Any:
        t, slots = (0, _slots(w, 2)) if s is None else s
        import_module(module).adam_step(
            w, dw, (slots[0], slots[1]), t + 1, learning_rate, (beta_1, beta_2), epsilon
        )
        return w, (t + 1, slots)

    steps: dict[str, Callable[..., Any]] = {"sgd": sgd, "rmsprop": rmsprop, "adam": adam}
    chosen = steps[name]
    return lambda w, dw, state, **options: chosen(np.array(w), np.ascontiguousarray(dw), state, **options)


def _net(backend: str) -> ModelUnderTest:
    """Every kind of layer that the book's net has, small, in float64."""
    layers, models, utils = _layers(), import_module("minicnn.models"), import_module("minicnn.utils")
    utils.set_random_seed(0)
    options: dict[str, Any] = {"dtype": "float64"}
    model = models.Sequential(
        [
            import_module("minicnn").Input((7, 6, 2), dtype="float64"),
            layers.Conv2D(3, 2, activation="relu", **options),
            layers.MaxPooling2D(2, **options),
            layers.Conv2D(4, 2, padding="same", **options),
            layers.AveragePooling2D(2, padding="same", **options),
            layers.Flatten(**options),
            layers.Dense(5, activation="tanh", **options),
            layers.Dense(3, activation="softmax", **options),
        ]
    )
    model.compile(loss="categorical_crossentropy", backend=backend)

    def loss(x: Array, y: Array, weight: Array | None) -> tuple[float, list[Array]]:
        found = model.gradients(x, y, weight)
        return float(found.loss), list(found.weights.values())

    return ModelUnderTest(model.predict_on_batch, loss, model.get_weights, model.set_weights, (7, 6, 2), 3)


SPREADS = {"no NaN or infinity is hidden": "a transform spreads a NaN over its tile or image"}
ALGORITHMS: dict[str, dict[str, Any]] = {
    **{name: {} for name in ("loops", "windows", "im2col", "direct")},
    "winograd": {"algorithm": "winograd", "kernel_sizes": ((3, 3),), "differences": SPREADS},
    "winograd4": {"algorithm": "winograd4", "kernel_sizes": ((3, 3),), "differences": SPREADS},
    "fft": {"algorithm": "fft", "differences": SPREADS},
}
"""What a target says of each algorithm of a convolution."""
LACKS = {
    "winograd": ("strides", "dilation_rate", "groups"),
    "winograd4": ("strides", "dilation_rate", "groups"),
    "fft": ("strides", "groups"),
}


def algorithm_target(name: str, backend: str) -> Target:
    """A convolution by one algorithm, on the geometries that it applies to.

    Raises ValueError for an unknown algorithm.
    """
    if name not in ALGORITHMS:
        raise ValueError(f"The algorithm must be one of {', '.join(ALGORITHMS)}. Received: {name!r}")
    options = frozenset(OPTIONS["conv2d"]) - {"data_format", *LACKS.get(name, ())}
    own: dict[str, Any] = ALGORITHMS[name] | {"refuses": (ValueError, TypeError)}
    return Target(f"minicnn:{backend}:{name}", "conv2d", *_conv_pair(backend, name), options, **own)


def targets(backend: str) -> list[Target]:
    """The targets of one backend, 'reference' or 'numba'."""
    name, pool = f"minicnn:{backend}", frozenset(OPTIONS["max_pooling2d"])
    own: dict[str, Any] = {"refuses": (ValueError, TypeError)}
    out = [
        Target(name, "conv2d", *_conv_pair(backend), frozenset(OPTIONS["conv2d"]), **own),
        Target(name, "max_pooling2d", *_layer_pair("MaxPooling2D", backend), pool, **own),
        Target(name, "average_pooling2d", *_layer_pair("AveragePooling2D", backend), pool, **own),
        Target(name, "dense", *_dense_pair(backend), **own),
        Target(name, "flatten", *_layer_pair("Flatten", backend), **own),
        Target(name, "softmax", *_layer_pair("Softmax", backend), **own),
    ]
    for activation in ("relu", "sigmoid", "tanh", "elu", "leaky_relu", "gelu", "silu", "softplus"):
        pair = _layer_pair("Activation", backend, activation=activation)
        out.append(
            Target(f"{name} {activation}", "activation", *pair, parameters={"name": activation}, **own)
        )
    for kind in LOSSES:
        # sparse labels meet plain probabilities nowhere in training
        options = frozenset(OPTIONS["crossentropy"]) - ({"from_logits"} if kind == "sparse" else set())
        spec = {"kind": kind, "from_logits": kind == "sparse"}
        pair = _loss_pair(kind, backend)
        out.append(Target(f"{name} {kind}", "crossentropy", *pair, options, parameters=spec, **own))
    for optimizer in ("sgd", "rmsprop", "adam"):
        step, spec = _step(optimizer, backend), {"name": optimizer}
        out.append(
            Target(
                f"{name} {optimizer}",
                "optimizer",
                step,
                None,
                frozenset(OPTIONS["optimizer"]),
                parameters=spec,
                **own,
            )
        )
    out.append(model_target(_net(backend), name))
    return out
