"""Cross-entropies and mean squared error in float64, with their gradients.

From probabilities, as Keras 3 on TensorFlow computes them (``keras/src/backend/tensorflow/nn.py``), which
differs between the kinds:

* categorical: divide by the sum over classes, *then* clip to [1e-7, 1 - 1e-7], then ``-sum(t * log p)``;
* sparse: clip first, then ``-log(p_t / sum of the clipped p)``;
* binary: clip, then ``-(t log p + (1 - t) log(1 - p))``, averaged over the last axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
EPSILON = 1e-7


def _log_softmax(z: Array) -> Array:
    z = z - z.max(axis=-1, keepdims=True)
    return np.asarray(z - np.log(np.exp(z).sum(axis=-1, keepdims=True)))


def _sigmoid(z: Array) -> Array:
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, e) / (1.0 + e)


def _one_hot(labels: Array, classes: int) -> Array:
    return np.eye(classes)[np.asarray(labels).astype(np.int64)]


def _per_example(t: Array, p: Array, kind: str, from_logits: bool) -> Array:
    if kind == "binary":
        if from_logits:
            # max(z, 0) - z t + log(1 + exp(-|z|)): tf.nn.sigmoid_cross_entropy_with_logits
            each = np.maximum(p, 0) - p * t + np.log1p(np.exp(-np.abs(p)))
        else:
            q = np.clip(p, EPSILON, 1 - EPSILON)
            each = -(t * np.log(q) + (1 - t) * np.log1p(-q))
        return np.asarray(each.mean(axis=-1))
    if from_logits:
        return np.asarray(-(t * _log_softmax(p)).sum(axis=-1))
    if kind == "sparse":
        q = np.clip(p, EPSILON, 1 - EPSILON)
        return np.asarray(-(t * np.log(q / q.sum(axis=-1, keepdims=True))).sum(axis=-1))
    q = np.clip(p / p.sum(axis=-1, keepdims=True), EPSILON, 1 - EPSILON)
    return np.asarray(-(t * np.log(q)).sum(axis=-1))


def _per_example_gradient(t: Array, p: Array, kind: str, from_logits: bool) -> Array:
    if kind == "binary":
        if from_logits:
            return np.asarray((_sigmoid(p) - t) / p.shape[-1])
        q = np.clip(p, EPSILON, 1 - EPSILON)
        return np.where(q == p, (-t / q + (1 - t) / (1 - q)) / p.shape[-1], 0.0)
    if from_logits:
        return np.asarray(np.exp(_log_softmax(p)) * t.sum(axis=-1, keepdims=True) - t)
    if kind == "sparse":
        q = np.clip(p, EPSILON, 1 - EPSILON)
        return np.where(q == p, 1.0 / q.sum(axis=-1, keepdims=True) - t / q, 0.0)
    total = p.sum(axis=-1, keepdims=True)
    r = p / total
    q = np.clip(r, EPSILON, 1 - EPSILON)
    dr = np.where(q == r, -t / q, 0.0)
    return np.asarray((dr - (dr * r).sum(axis=-1, keepdims=True)) / total)


def _seed_weights(n: int, sample_weight: Array | None, reduction: str) -> Array:
    weights = np.ones(n) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    return weights / n if reduction == "sum_over_batch_size" else weights


def _targets(y_true: Array, y_pred: Array, kind: str) -> tuple[Array, Array]:
    p = np.asarray(y_pred, dtype=np.float64)
    t = _one_hot(y_true, p.shape[-1]) if kind == "sparse" else np.asarray(y_true, dtype=np.float64)
    return t, p


def crossentropy_forward(
    y_true: Array,
    y_pred: Array,
    *,
    kind: str = "categorical",
    from_logits: bool = False,
    sample_weight: Array | None = None,
    reduction: str = "sum_over_batch_size",
) -> Array:
    """The loss: a number for 'sum_over_batch_size' (weighted sum ÷ N) and 'sum', ``(N,)`` for 'none'.

    ``y_true`` is ``(N, K)`` for kind 'categorical' and 'binary', integers ``(N,)`` for 'sparse'.
    """
    t, p = _targets(y_true, y_pred, kind)
    weights = _seed_weights(p.shape[0], sample_weight, reduction)
    values = _per_example(t, p, kind, from_logits) * weights
    return values if reduction == "none" else np.asarray(values.sum())


def crossentropy_backward(
    y_true: Array,
    y_pred: Array,
    *,
    kind: str = "categorical",
    from_logits: bool = False,
    sample_weight: Array | None = None,
    reduction: str = "sum_over_batch_size",
) -> Array:
    """Gradient of the (summed) loss with respect to ``y_pred``, ``(N, K)``; zero where the clip is active."""
    t, p = _targets(y_true, y_pred, kind)
    weights = _seed_weights(p.shape[0], sample_weight, reduction)
    return np.asarray(_per_example_gradient(t, p, kind, from_logits) * weights[:, None])


def mean_squared_error_forward(
    y_true: Array,
    y_pred: Array,
    *,
    sample_weight: Array | None = None,
    reduction: str = "sum_over_batch_size",
) -> Array:
    """Mean over the last axis of ``(y_pred - y_true)²``, then weighted and reduced over the batch."""
    error = np.asarray(y_pred, dtype=np.float64) - np.asarray(y_true, dtype=np.float64)
    weights = _seed_weights(error.shape[0], sample_weight, reduction)
    values = (error**2).mean(axis=-1) * weights
    return values if reduction == "none" else np.asarray(values.sum())


def mean_squared_error_backward(
    y_true: Array,
    y_pred: Array,
    *,
    sample_weight: Array | None = None,
    reduction: str = "sum_over_batch_size",
) -> Array:
    """``2 (y_pred - y_true) / K`` times the example's weight (÷ N for the mean)."""
    error = np.asarray(y_pred, dtype=np.float64) - np.asarray(y_true, dtype=np.float64)
    weights = _seed_weights(error.shape[0], sample_weight, reduction)
    return np.asarray(2.0 * error / error.shape[-1] * weights[:, None])
