"""Cross-entropies, forward and backward, from logits and from probabilities.

Every forward returns one loss for each sample (the last axis is reduced) and the residuals; every backward takes
dloss, one number a sample, and returns (dz,) or (dp,). `t` are target probabilities, of the predictions' shape.
All is computed in float64 whatever comes in, and rounded once; gradients start from the logits, because p − 1 has no
digit left where p was rounded to 1.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from minicnn.reference.activations import sigmoid

EPSILON = 1e-7
"""Probabilities are clipped to [ε, 1 − ε] (keras/src/backend/config.py, `epsilon`)."""

Batch = Float[np.ndarray, "*N K"]
Losses = Float[np.ndarray, "*N"]


class FromLogitsResiduals(NamedTuple):
    p: np.ndarray
    """(*N, K): softmax or sigmoid of the logits, rounded: the predictions."""
    t: np.ndarray
    z: np.ndarray
    """The logits."""


class FromProbabilitiesResiduals(NamedTuple):
    p: np.ndarray
    t: np.ndarray


def softmax_crossentropy_forward(z: Batch, t: Batch) -> tuple[Losses, FromLogitsResiduals]:
    """loss = −Σ t·log softmax(z) = Σ t·(log Σ exp(z) − z), the maximum taken out of the logarithm."""
    shifted, exponentials, others = _shifted(z)
    # log Σ exp(shifted) = log1p(Σ over all but one maximum): exact to the last digits when one logit dominates.
    log_sum = np.log1p(others)
    # A class of target 0 adds nothing, even where its logit is −∞.
    terms = np.multiply(t, log_sum - shifted, where=t != 0, out=np.zeros(z.shape))
    p = exponentials / (1 + others)
    return terms.sum(-1).astype(z.dtype), FromLogitsResiduals(p.astype(z.dtype), t, z)


def softmax_crossentropy_backward(dloss: Losses, residuals: FromLogitsResiduals) -> tuple[Batch]:
    """Return (dz,) = ((p·Σt − t)·dloss,).

    For the largest logit, whose p may be all but 1, that is (Σ other t − t·Σ other exp) / Σ exp: nothing cancels.
    """
    _, t, z = residuals
    t64 = t.astype(np.float64)
    _, exponentials, others = _shifted(z)
    is_largest = np.arange(z.shape[-1]) == z.argmax(-1)[..., None]
    other_t = np.where(is_largest, 0, t64).sum(-1, keepdims=True)
    total = other_t + np.where(is_largest, t64, 0).sum(-1, keepdims=True)
    dz = np.where(
        is_largest, (other_t - t64 * others) / (1 + others), exponentials / (1 + others) * total - t64
    )
    return ((dz * dloss[..., None]).astype(z.dtype),)


def _shifted(z: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z − max z, its exponentials, and their sum (*N, 1) over all but one maximum, which is 1; float64."""
    shifted = np.subtract(z, z.max(-1, keepdims=True), dtype=np.float64)
    exponentials = np.exp(shifted)
    others = exponentials.copy()
    np.put_along_axis(others, z.argmax(-1, keepdims=True), 0.0, -1)
    return shifted, exponentials, others.sum(-1, keepdims=True)


def sigmoid_crossentropy_forward(z: Batch, t: Batch) -> tuple[Losses, FromLogitsResiduals]:
    """loss = mean over the last axis of max(z, 0) − z·t + log(1 + e^−|z|)
    (keras/src/backend/tensorflow/nn.py, `binary_crossentropy`)."""
    z64 = z.astype(np.float64)
    values = np.maximum(z64, 0) - z64 * t + np.log1p(np.exp(-np.abs(z64)))
    return values.mean(-1).astype(z.dtype), FromLogitsResiduals(sigmoid(z).astype(z.dtype), t, z)


def sigmoid_crossentropy_backward(dloss: Losses, residuals: FromLogitsResiduals) -> tuple[Batch]:
    """Return (dz,) = ((p − t)·dloss / K,), with p − t as (1 − t)·σ(z) − t·σ(−z)."""
    _, t, z = residuals
    dz = ((1 - t.astype(np.float64)) * sigmoid(z) - t * sigmoid(-z)) / z.shape[-1]
    return ((dz * dloss[..., None]).astype(z.dtype),)


def categorical_crossentropy_forward(p: Batch, t: Batch) -> tuple[Losses, FromProbabilitiesResiduals]:
    """loss = −Σ t·log clip(p / Σp, ε, 1 − ε) (keras/src/backend/tensorflow/nn.py, `categorical_crossentropy`)."""
    p64 = p.astype(np.float64)
    share = p64 / p64.sum(-1, keepdims=True)
    loss = -(t * np.log(np.clip(share, EPSILON, 1 - EPSILON))).sum(-1)
    return loss.astype(p.dtype), FromProbabilitiesResiduals(p, t)


def categorical_crossentropy_backward(dloss: Losses, residuals: FromProbabilitiesResiduals) -> tuple[Batch]:
    """Return (dp,): through the logarithm, the clip (0 where it acted) and the normalisation."""
    p, t = residuals
    total = p.astype(np.float64).sum(-1, keepdims=True)
    share = p / total
    dshare = np.where(_is_unclipped(share), -t / np.clip(share, EPSILON, 1), 0.0)
    dp = (dshare - (dshare * share).sum(-1, keepdims=True)) / total
    return ((dp * dloss[..., None]).astype(p.dtype),)


def binary_crossentropy_forward(p: Batch, t: Batch) -> tuple[Losses, FromProbabilitiesResiduals]:
    """loss = mean over the last axis of −t·log p − (1 − t)·log(1 − p), p clipped to [ε, 1 − ε]."""
    q = np.clip(p.astype(np.float64), EPSILON, 1 - EPSILON)
    values = -t * np.log(q) - (1 - t.astype(np.float64)) * np.log1p(-q)
    return values.mean(-1).astype(p.dtype), FromProbabilitiesResiduals(p, t)


def binary_crossentropy_backward(dloss: Losses, residuals: FromProbabilitiesResiduals) -> tuple[Batch]:
    """Return (dp,) = ((p − t) / (p·(1 − p)) · dloss / K,), 0 where the clip acted."""
    p, t = residuals
    q = np.clip(p.astype(np.float64), EPSILON, 1 - EPSILON)
    dp = np.where(_is_unclipped(p), (q - t) / (q * (1 - q)), 0.0) / p.shape[-1]
    return ((dp * dloss[..., None]).astype(p.dtype),)


def _is_unclipped(p: Batch) -> np.ndarray:
    return (p >= EPSILON) & (p <= 1 - EPSILON)
