"""One bug for each property of Dense, Flatten, activations, losses and optimizers that no other bug names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.testing import Target
from tests.testing.planted.mutant import Mutant, fixed
from tests.testing.planted.others import (
    activation,
    crossentropy,
    dense,
    dense_backward,
    each_loss,
    flatten,
    flatten_backward,
    loss,
    optimizer,
    relu,
    relu_backward,
    sgd,
    softmax,
)
from tests.testing.planted.rest_images import clearing_dy, forwards, memory_order, reused


def _is(name: str, target: Target, caught_by: str) -> Mutant:
    return Mutant(name, target.op, fixed(target), caught_by)


def _dense(name: str, caught_by: str, forward: Callable[..., Any] = dense, backward: Any = None) -> Mutant:
    return _is(name, Target(name, "dense", forward, backward), caught_by)


def _flatten(
    name: str, caught_by: str, forward: Callable[..., Any] = flatten, backward: Any = None
) -> Mutant:
    return _is(name, Target(name, "flatten", forward, backward), caught_by)


def _softmax(name: str, caught_by: str, forward: Callable[..., Any]) -> Mutant:
    return _is(name, Target(name, "softmax", forward), caught_by)


def _no_bias_for_one(x, w, b=None):
    return dense(x, w, None if len(x) == 1 else b)


def _bias_subtracted(x, w, b=None):
    if b is not None and b.flags.writeable:
        np.negative(b, out=b)
        return x @ w - b
    return dense(x, w, b)


def _cut_to_fit(x, w, b=None):
    k = min(x.shape[1], w.shape[0])
    return dense(x[:, :k], w[:k], None if b is None else b[: w.shape[1]])


def _dw_in_single(dy, x, w):
    dx, dw, db = dense_backward(dy, x, w)
    return dx, (x.astype(np.float32).T @ dy.astype(np.float32)).astype(dw.dtype), db


def _dx_of_a_relu(dy, x, w):
    dx, dw, db = dense_backward(dy, x, w)
    return dx * (x > 0), dw, db


DENSE = [
    _dense(
        "inputs clipped to ±4", "linear in x and in w", lambda x, w, b=None: dense(np.clip(x, -4, 4), w, b)
    ),
    _dense(
        "a bias of negative strides is read forwards",
        "batch, input and unit permutation",
        lambda x, w, b=None: dense(x, w, None if b is None else forwards(b, 0)),
    ),
    _dense(
        "rounded to three decimals",
        "scaling by a power of two is exact",
        lambda x, w, b=None: np.round(dense(x, w, b), 3),
    ),
    _dense("bias forgotten for a batch of one", "results don't depend on batch splitting", _no_bias_for_one),
    _dense(
        "kernel in memory order",
        "memory layout doesn't matter",
        lambda x, w, b=None: dense(x, memory_order(w), b),
    ),
    _dense("bias negated in place", "inputs are left unmodified", _bias_subtracted),
    Mutant(
        "output buffer handed out again",
        "dense",
        lambda: Target("reused", "dense", reused(dense)),
        "repeatable, and earlier results survive",
    ),
    _dense("returned in float64", "dtype is kept", lambda x, w, b=None: dense(x, w, b).astype(np.float64)),
    _dense("what doesn't fit is cut off", "invalid shapes are refused", _cut_to_fit),
    _dense("dw: summed in float32", "gradients equal the oracle's within rounding", backward=_dw_in_single),
    _dense("dx: of a ReLU that isn't there", "adjoint identity", backward=_dx_of_a_relu),
    _dense(
        "dy cleared in place",
        "backward is repeatable and leaves its inputs alone",
        backward=clearing_dy(dense_backward),
    ),
]
FLATTEN = [
    _flatten(
        "a batch of one loses its axis",
        "results don't depend on batch splitting",
        lambda x: flatten(x)[0] if len(x) == 1 else flatten(x),
    ),
    _flatten(
        "always in float32",
        "inputs are left unmodified and dtype is kept",
        lambda x: flatten(x).astype(np.float32),
    ),
    _flatten(
        "backward: column-major",
        "the gradient equals the oracle's",
        backward=lambda dy, x: flatten_backward(dy, x) if x.ndim == 2 else dy.reshape(x.shape, order="F"),
    ),
]


def _softplus(x):
    return np.maximum(x, 0) + np.log(1 + np.exp(-abs(x)))


def _odd_tail_forgotten(x):
    y = relu(x)
    if x.size % 2:
        y.flat[-1] = x.flat[-1]
    return y


def _masked_in_place(dy, x):
    if dy.flags.writeable:
        dy *= x > 0
        return dy
    return relu_backward(dy, x)


ACTIVATION = [
    _is(
        "softplus: 1 added before the logarithm",
        activation("softplus", _softplus),
        "small results keep their digits",
    ),
    _is("relu: the last of an odd number is copied", activation("relu", _odd_tail_forgotten), "elementwise"),
    _is(
        "relu: memory order",
        activation("relu", lambda x: relu(memory_order(x))),
        "memory layout doesn't matter",
    ),
    _is(
        "relu: dy masked in place",
        activation("relu", relu, _masked_in_place),
        "backward is repeatable and leaves its inputs alone",
    ),
]


def _shifted_by_the_first(x):
    e = np.exp(x - x[:, :1])
    return e / e.sum(axis=-1, keepdims=True)


def _shifted_in_place(x):
    if x.flags.writeable:
        x -= x.max(axis=-1, keepdims=True)
    return softmax(x)


SOFTMAX = [
    _softmax(
        "logits cut off at 88, lest exp overflow", "shift invariance", lambda x: softmax(np.minimum(x, 88))
    ),
    _softmax("shifted by the first logit", "batch and class permutation", _shifted_by_the_first),
    _softmax("shifted in place", "inputs are left unmodified, repeatable, dtype is kept", _shifted_in_place),
    _softmax(
        "NaN counts as impossible",
        "NaN fills its row and no other",
        lambda x: softmax(np.where(np.isnan(x), x.dtype.type(-1e30), x)),
    ),
]


def _each(each: Callable[..., Any]) -> Target:
    return crossentropy(lambda y, p, **o: loss(y, p, **o, each=each))


def _cut_off(y_true, y_pred, from_logits):
    return each_loss(y_true, np.minimum(y_pred, 50) if from_logits else y_pred, from_logits)


def _in_pairs(y_true, y_pred, from_logits):
    values = each_loss(y_true, y_pred, from_logits)
    if len(values) > 1 and len(values) % 2:
        values[-1] = 0
    return values


def _logits_shifted_in_place(y_true, y_pred, from_logits):
    if from_logits and y_pred.flags.writeable:
        y_pred -= y_pred.max(axis=-1, keepdims=True)
    return each_loss(y_true, y_pred, from_logits)


LOSS = [
    _is("logits cut off at 50", _each(_cut_off), "shift invariance"),
    _is(
        "targets cast to integers",
        _each(lambda y, p, from_logits: each_loss(y.astype(int).astype(y.dtype), p, from_logits)),
        "soft targets",
    ),
    _is("the last of an odd number of examples is left out", _each(_in_pairs), "batch permutation"),
    _is("NaN counts as zero", _each(lambda *a: np.nan_to_num(each_loss(*a))), "NaN stays NaN"),
    _is("logits shifted in place", _each(_logits_shifted_in_place), "inputs are left unmodified, repeatable"),
]


def _odd_tail_kept(w, dw, state, **o):
    new, state = sgd(w, dw, state, **o)
    if w.size > 1 and w.size % 2:
        new[-1] = w[-1]
    return new, state


OPTIMIZER = [
    _is(
        "sgd: gradients clipped from above only",
        optimizer("sgd", lambda w, dw, s, **o: sgd(w, np.minimum(dw, 1), s, **o)),
        "the negative problem gives the negative weights",
    ),
    _is(
        "sgd: the last of an odd number isn't updated",
        optimizer("sgd", _odd_tail_kept),
        "elements are independent",
    ),
    _is(
        "sgd: NaN counts as zero",
        optimizer("sgd", lambda w, dw, s, **o: sgd(w, np.nan_to_num(dw), s, **o)),
        "NaN stays NaN, in its own element",
    ),
]
MUTANTS: list[Mutant] = [*DENSE, *FLATTEN, *ACTIVATION, *SOFTMAX, *LOSS, *OPTIMIZER]
