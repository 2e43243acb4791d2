"""Dense, Flatten, activations, softmax, cross-entropies, optimizers, and what people get wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.testing import Target
from minicnn.testing.target import OPTIONS
from tests.testing.planted.mutant import Mutant, fixed


def dense(x, w, b=None):
    return x @ w if b is None else x @ w + b


def dense_backward(dy, x, w):
    return dy @ w.T, x.T @ dy, dy.sum(axis=0)


def flatten(x):
    return np.ascontiguousarray(x).reshape(len(x), -1)


def flatten_backward(dy, x):
    return dy.reshape(x.shape)


def relu(x):
    return np.maximum(x, 0)


def relu_backward(dy, x):
    return dy * (x > 0)


def sigmoid(x):
    e = np.exp(-abs(x))
    return (np.where(x >= 0, 1, e) / (1 + e)).astype(x.dtype)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(dy, x):
    y = softmax(x)
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


def each_loss(y_true, y_pred, from_logits):
    """The right categorical cross-entropy of each example."""
    if from_logits:
        z = y_pred - y_pred.max(axis=-1, keepdims=True)
        return -(y_true * (z - np.log(np.exp(z).sum(axis=-1, keepdims=True)))).sum(axis=-1)
    p = np.clip(y_pred / y_pred.sum(axis=-1, keepdims=True), 1e-7, 1 - 1e-7)
    return -(y_true * np.log(p)).sum(axis=-1)


def loss(
    y_true, y_pred, *, from_logits=False, sample_weight=None, reduction="sum_over_batch_size", each=each_loss
):
    values = each(y_true, y_pred, from_logits)
    values = values if sample_weight is None else values * sample_weight
    return values.sum() if reduction == "sum" else values.sum() / values.dtype.type(len(values))


def loss_backward(y_true, y_pred, *, from_logits=False, sample_weight=None, reduction="sum_over_batch_size"):
    if from_logits:
        g = softmax(y_pred) * y_true.sum(axis=-1, keepdims=True) - y_true
    else:
        total = y_pred.sum(axis=-1, keepdims=True)
        d = -y_true * total / y_pred
        g = (d - (d * y_pred / total).sum(axis=-1, keepdims=True)) / total
    g = g if sample_weight is None else g * sample_weight[:, None]
    return g if reduction == "sum" else g / g.dtype.type(len(g))


def sgd(w, dw, state, *, learning_rate, momentum=0.0, nesterov=False):
    v = momentum * (np.zeros_like(w) if state is None else state) - learning_rate * dw
    return w + (momentum * v - learning_rate * dw if nesterov else v), v


def rmsprop(w, dw, state, *, learning_rate, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False):
    v, m, a = (np.zeros_like(w),) * 3 if state is None else state
    v, a = rho * v + (1 - rho) * dw**2, rho * a + (1 - rho) * dw
    m = momentum * m + learning_rate * dw / np.sqrt(v - a * a + epsilon if centered else v + epsilon)
    return w - m, (v, m, a)


def adam(w, dw, state, *, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    m, v, t = (np.zeros_like(w), np.zeros_like(w), 0) if state is None else state
    t, m, v = t + 1, m + (1 - beta_1) * (dw - m), v + (1 - beta_2) * (dw**2 - v)
    alpha = w.dtype.type(learning_rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t))
    return w - alpha * m / (np.sqrt(v) + epsilon), (m, v, t)


LOSS = frozenset(OPTIONS["crossentropy"])
HYPER = frozenset(OPTIONS["optimizer"])


def activation(name: str, forward: Any, backward: Any = None) -> Target:
    return Target(name, "activation", forward, backward, parameters={"name": name})


def optimizer(name: str, step: Any) -> Target:
    hyper = {
        "sgd": {"learning_rate", "momentum", "nesterov"},
        "rmsprop": {"learning_rate", "rho", "momentum", "epsilon", "centered"},
        "adam": {"learning_rate", "beta_1", "beta_2", "epsilon"},
    }[name]
    return Target(name, "optimizer", step, None, HYPER & hyper, parameters={"name": name})


def crossentropy(forward: Any, backward: Any = None) -> Target:
    spec = {"kind": "categorical", "from_logits": False}
    return Target("loss", "crossentropy", forward, backward, LOSS, parameters=spec)


RIGHT = [
    Target("right", "dense", dense, dense_backward),
    Target("right", "flatten", flatten, flatten_backward),
    activation("relu", relu, relu_backward),
    activation("sigmoid", sigmoid),
    Target("right", "softmax", softmax, softmax_backward),
    crossentropy(loss, loss_backward),
    optimizer("sgd", sgd),
    optimizer("rmsprop", rmsprop),
    optimizer("adam", adam),
]


def _is(name: str, target: Target, caught_by: str) -> Mutant:
    return Mutant(name, target.op, fixed(target), caught_by)


def _dense(name: str, caught_by: str, forward: Any = dense, backward: Any = None) -> Mutant:
    return _is(name, Target(name, "dense", forward, backward), caught_by)


def _softmax(name: str, caught_by: str, forward: Any = softmax, backward: Any = None) -> Mutant:
    return _is(name, Target(name, "softmax", forward, backward), caught_by)


def _half(x, w, b=None):
    return dense(
        x.astype(np.float16), w.astype(np.float16), None if b is None else b.astype(np.float16)
    ).astype(x.dtype)


def _relu_in_place(x):
    if x.flags.writeable:
        x[x < 0] = 0
        return x
    return relu(x)


def _no_shift(x):
    e = np.exp(x)
    return e / e.sum(axis=-1, keepdims=True)


def _batch_shift(x):
    e = np.exp(x - x.max())
    return e / e.sum(axis=-1, keepdims=True)


def _naive_loss(y_true, y_pred, from_logits):
    p = softmax(y_pred) if from_logits else y_pred / y_pred.sum(axis=-1, keepdims=True)
    return -(y_true * np.log(np.where(y_true > 0, p, 1))).sum(axis=-1)


def _without_renormalising(y_true, y_pred, from_logits):
    if from_logits:
        return each_loss(y_true, y_pred, True)
    return -(y_true * np.log(np.clip(y_pred * 1.001, 1e-7, 1 - 1e-7).astype(y_pred.dtype))).sum(axis=-1)


def _each(each: Callable[..., Any]) -> Target:
    return crossentropy(lambda y, p, **o: loss(y, p, **o, each=each))


def _mean_of_weights(y_true, y_pred, *, sample_weight=None, **o):
    value = loss(y_true, y_pred, sample_weight=sample_weight, **o)
    if sample_weight is None or o.get("reduction") == "sum":
        return value
    return value * len(y_pred) / sample_weight.sum()


def _weights_squared(y_true, y_pred, *, sample_weight=None, **o):
    return loss(y_true, y_pred, sample_weight=None if sample_weight is None else sample_weight**2, **o)


def _rmsprop_outside(w, dw, state, *, learning_rate, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False):
    v, m, a = (np.zeros_like(w),) * 3 if state is None else state
    v, a = rho * v + (1 - rho) * dw**2, rho * a + (1 - rho) * dw
    root = np.sqrt(np.maximum(v - a * a, 0) if centered else v) + epsilon
    m = momentum * m + learning_rate * dw / root
    return w - m, (v, m, a)


def _adam_from(step: int, corrected: bool = True) -> Callable[..., Any]:
    def mutated(w, dw, state, *, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
        m, v, t = (np.zeros_like(w), np.zeros_like(w), step) if state is None else state
        t, m, v = t + 1, m + (1 - beta_1) * (dw - m), v + (1 - beta_2) * (dw**2 - v)
        ratio = np.sqrt(1 - beta_2**t) / (1 - beta_1**t) if corrected else 1.0
        return w - w.dtype.type(learning_rate * ratio) * m / (np.sqrt(v) + epsilon), (m, v, t)

    return mutated


def _adam_inside(w, dw, state, *, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    m, v, t = (np.zeros_like(w), np.zeros_like(w), 0) if state is None else state
    t, m, v = t + 1, m + (1 - beta_1) * (dw - m), v + (1 - beta_2) * (dw**2 - v)
    alpha = w.dtype.type(learning_rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t))
    return w - alpha * m / np.sqrt(v + epsilon), (m, v, t)


def _momentum_sign(w, dw, state, *, learning_rate, momentum=0.0, nesterov=False):
    v = -momentum * (np.zeros_like(w) if state is None else state) - learning_rate * dw
    return w + (momentum * v - learning_rate * dw if nesterov else v), v


def _shared_state() -> Target:
    kept: dict[Any, Any] = {}

    def step(w, dw, state, **o):
        if state is None:
            kept.pop(w.shape, None)
        w, kept[w.shape] = sgd(w, dw, kept.get(w.shape), **o)
        return w, "kept"

    return optimizer("sgd", step)


def _sgd_in_place(w, dw, state, **o):
    new, state = sgd(w, dw, state, **o)
    w[...] = new
    return w, state


def _clipped(w, dw, state, **o):
    return sgd(w, np.clip(dw, -1, 1), state, **o)


def _coupled(w, dw, state, **o):
    return adam(w, dw / max(1.0, float(np.sqrt((dw**2).sum()))), state, **o)


EXACT, ORACLE = "equals the oracle exactly", "equals the oracle"
GRADIENTS = "gradients equal the oracle's exactly"
SUBGRADIENT = "the gradient is a valid subgradient"
MUTANTS = [
    _dense("bias missing", EXACT, lambda x, w, b=None: x @ w),
    _dense(
        "kernel transposed where square",
        EXACT,
        lambda x, w, b=None: dense(x, w.T if w.shape[0] == w.shape[1] else w, b),
    ),
    _dense("computed in float16", "equals the oracle within rounding", _half),
    _dense(
        "last input forgotten where odd",
        "the identity kernel",
        lambda x, w, b=None: dense(x[:, : max(1, len(w) - len(w) % 2)], w[: max(1, len(w) - len(w) % 2)], b),
    ),
    _dense(
        "dw: mean over the batch",
        "a doubled batch doubles dw and db",
        backward=lambda dy, x, w: (dy @ w.T, x.T @ dy / dy.dtype.type(len(x)), dy.sum(axis=0)),
    ),
    _dense(
        "dx: kernel not transposed where square",
        GRADIENTS,
        backward=lambda dy, x, w: (dy @ (w if w.shape[0] == w.shape[1] else w.T), x.T @ dy, dy.sum(axis=0)),
    ),
    _dense("db: first example only", GRADIENTS, backward=lambda dy, x, w: (dy @ w.T, x.T @ dy, dy[0])),
    _is(
        "column-major",
        Target("f", "flatten", lambda x: np.asfortranarray(x).reshape(len(x), -1, order="F")),
        ORACLE,
    ),
    _is("channels first", Target("f", "flatten", lambda x: flatten(np.moveaxis(x, -1, 1))), ORACLE),
    _is("memory order", Target("f", "flatten", lambda x: x.ravel(order="K").reshape(len(x), -1)), ORACLE),
    _is("relu: gradient let through everywhere", activation("relu", relu, lambda dy, x: dy * 1), SUBGRADIENT),
    _is(
        "relu: slope 2 at zero",
        activation("relu", relu, lambda dy, x: relu_backward(dy, x) + 2 * dy * (x == 0)),
        SUBGRADIENT,
    ),
    _is("relu: gradient by the sign of dy", activation("relu", relu, lambda dy, x: relu(dy)), SUBGRADIENT),
    _is(
        "relu: in place",
        activation("relu", _relu_in_place),
        "inputs are left unmodified, repeatable, dtype is kept",
    ),
    _is(
        "relu: NaN becomes 0",
        activation("relu", lambda x: np.where(x > 0, x, 0).astype(x.dtype)),
        "NaN stays NaN",
    ),
    _is(
        "sigmoid: overflows",
        activation("sigmoid", lambda x: np.exp(x) / (1 + np.exp(x))),
        "the largest numbers",
    ),
    _is(
        "sigmoid: piecewise linear",
        activation("sigmoid", lambda x: np.clip(x / 6 + x.dtype.type(0.5), 0, 1)),
        ORACLE,
    ),
    _is(
        "leaky_relu: slope 0.02",
        activation("leaky_relu", lambda x: np.where(x > 0, x, x * x.dtype.type(0.02))),
        ORACLE,
    ),
    _is(
        "elu: minus one forgotten",
        activation("elu", lambda x: np.where(x > 0, x, np.exp(np.minimum(x, 0)))),
        ORACLE,
    ),
    _is(
        "tanh: gradient 1 − y",
        activation("tanh", np.tanh, lambda dy, x: dy * (1 - np.tanh(x))),
        "the gradient equals differences of the forward",
    ),
    _is(
        "gelu: the tanh approximation",
        activation(
            "gelu",
            lambda x: (
                0.5
                * x
                * (1 + np.tanh(np.sqrt(2 / np.pi).astype(x.dtype) * (x + x.dtype.type(0.044715) * x**3)))
            ).astype(x.dtype),
        ),
        ORACLE,
    ),
    _is(
        "softplus: overflows", activation("softplus", lambda x: np.log(1 + np.exp(x))), "the largest numbers"
    ),
    _softmax("without the shift by the maximum", "extreme logits", _no_shift),
    _softmax("shifted by the maximum of the batch", "results don't depend on batch splitting", _batch_shift),
    _softmax("over the batch axis", "sums to one", lambda x: softmax(x.T).T),
    _softmax("exp of 2x", ORACLE, lambda x: softmax(2 * x)),
    _softmax(
        "gradient: diagonal only",
        "the gradient equals the oracle's",
        backward=lambda dy, x: softmax(x) * (1 - softmax(x)) * dy,
    ),
    _softmax(
        "gradient: sum over the batch too",
        "the gradient sums to zero",
        backward=lambda dy, x: softmax(x) * (dy - (dy * softmax(x)).sum()),
    ),
    _is(
        "sum instead of mean",
        crossentropy(lambda y, p, **o: loss(y, p, **{**o, "reduction": "sum"})),
        "a doubled batch has the same mean",
    ),
    _is("not clipped", _each(_naive_loss), ORACLE),
    _is("scaled before the clip", _each(_without_renormalising), ORACLE),
    _is("base 2", _each(lambda *a: each_loss(*a) * 1.442695), ORACLE),
    _is("from_logits ignored", crossentropy(lambda y, p, *, from_logits=False, **o: loss(y, p, **o)), ORACLE),
    _is(
        "logarithm of a softmax",
        crossentropy(lambda y, p, *, from_logits=False, **o: loss(y, softmax(p) if from_logits else p, **o)),
        "extreme logits",
    ),
    _is(
        "sample weights ignored",
        crossentropy(lambda y, p, *, sample_weight=None, **o: loss(y, p, **o)),
        "weight 2 is a duplicate",
    ),
    _is("divided by the sum of the weights", crossentropy(_mean_of_weights), ORACLE),
    _is("weights squared", crossentropy(_weights_squared), "weight 2 is a duplicate"),
    _is(
        "gradient not divided by the batch size",
        crossentropy(loss, lambda y, p, **o: loss_backward(y, p, **{**o, "reduction": "sum"})),
        "the gradient has its closed form",
    ),
    _is(
        "gradient with the wrong sign",
        crossentropy(loss, lambda y, p, **o: -loss_backward(y, p, **o)),
        "the gradient equals differences of the loss",
    ),
    _is(
        "gradient without the softmax",
        crossentropy(
            loss, lambda y, p, *, from_logits=False, **o: p - y if from_logits else loss_backward(y, p, **o)
        ),
        "the gradient equals differences of the loss",
    ),
    _is("rmsprop: ε outside the root", optimizer("rmsprop", _rmsprop_outside), ORACLE),
    _is(
        "rmsprop: rho and 1 − rho swapped",
        optimizer("rmsprop", lambda *a, rho=0.9, **o: rmsprop(*a, rho=1 - rho, **o)),
        ORACLE,
    ),
    _is(
        "rmsprop: centered ignored",
        optimizer("rmsprop", lambda *a, centered=False, **o: rmsprop(*a, **o)),
        ORACLE,
    ),
    _is("adam: bias correction one step ahead", optimizer("adam", _adam_from(1)), ORACLE),
    _is("adam: no bias correction", optimizer("adam", _adam_from(0, corrected=False)), ORACLE),
    _is("adam: ε inside the root", optimizer("adam", _adam_inside), ORACLE),
    _is("adam: gradients clipped by their norm", optimizer("adam", _coupled), ORACLE),
    _is("sgd: sign of the momentum", optimizer("sgd", _momentum_sign), ORACLE),
    _is("sgd: nesterov ignored", optimizer("sgd", lambda *a, nesterov=False, **o: sgd(*a, **o)), ORACLE),
    _is("sgd: gradients clipped to ±1", optimizer("sgd", _clipped), ORACLE),
    _is(
        "sgd: weight decay nobody asked for",
        optimizer("sgd", lambda w, dw, s, **o: sgd(w, dw + w / 100, s, **o)),
        "zero gradients change nothing",
    ),
    _is(
        "sgd: weights changed in place",
        optimizer("sgd", _sgd_in_place),
        "inputs are left unmodified and dtype is kept",
    ),
    Mutant("sgd: one state for everybody", "optimizer", _shared_state, "two runs don't share state"),
]
