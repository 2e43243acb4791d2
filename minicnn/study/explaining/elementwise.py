"""Activations, softmax and the loss: a point of a curve and its slope, a share of a whole, a difference."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn.engine import ops
from minicnn.engine.binding import Frame, binding_of
from minicnn.engine.work import ELEMENTWISE
from minicnn.reference.softmax import softmax_forward
from minicnn.study.explaining.steps import Curve, Difference, Index, Share, Sum

CURVES = tuple(kind for kind in ELEMENTWISE if kind not in (ops.Identity, ops.Rescaling, ops.Dropout))
LOSSES = (ops.SoftmaxCrossEntropy, ops.SigmoidCrossEntropy)
"""Those that contain the last activation, and so have a gradient by the logits."""
POINTS = 201


def curve(op: ops.Op, x: np.ndarray, dy: np.ndarray | None, index: Index, about: Mapping[str, Any]) -> Curve:
    """y = f(x), f'(x), and dx = dy·f'(x) if dy is given; f and f' are the reference's."""
    here = float(x[index])
    reach = max(3.0, 1.5 * abs(here)) if np.isfinite(here) else 3.0
    around = np.linspace(-reach, reach, POINTS)
    y, slope = evaluate(op, np.array([here]))
    return Curve(
        **about,
        input=here,
        output=float(y[0]),
        derivative=float(slope[0]),
        dy=None if dy is None else float(dy[index]),
        curve=(around, evaluate(op, around)[0]),
    )


def evaluate(op: ops.Op, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(f(x), f'(x)) of an elementwise op by its reference, in x's dtype; x is (N,)."""
    frame = Frame(len(x), ())
    frame.x, frame.y_buffer, frame.dx_buffer = x, np.empty_like(x), np.empty_like(x)
    frame.dy = np.ones_like(x)
    binding = binding_of(op, "reference")
    binding.forward(op, frame)
    binding.backward(op, frame)
    return frame.y_buffer, frame.dx_buffer


def softmax_output(x: np.ndarray, index: Index, about: Mapping[str, Any]) -> Share:
    """y_k = exp(z_k − max z) ÷ Σ exp(z_j − max z)."""
    z = x[index[:-1]].astype(np.float64)
    return Share(**about, logits=z, exponentials=np.exp(z - z.max()))


def softmax_input(x: np.ndarray, dy: np.ndarray, index: Index, about: Mapping[str, Any]) -> Sum:
    """dz_k = Σ_j J_kj·dy_j with the Jacobian's row J_kj = y_k·(1 if j = k else 0) − y_k·y_j."""
    y = softmax_forward(x[index[:-1]].astype(np.float64))[0]
    k, classes = index[-1], np.arange(x.shape[-1])
    others = np.where(classes == k, 0, y).sum()
    # 1 − y_k has no digits left where y_k is all but 1; the sum of the others has.
    row = y[k] * np.where(classes == k, others, -y)
    return Sum(**about, indices={"j": classes}, first=row, second=dy[index[:-1]], factors=("J", "dy"))


def loss_input(
    op: ops.Op, p: np.ndarray, target: np.ndarray, seed: np.ndarray, index: Index, about: Mapping[str, Any]
) -> Difference:
    """dz = (p − t)·seed; a mean over the K outputs of a sigmoid is in the seed."""
    share = float(seed[index[:-1]]) / (p.shape[-1] if isinstance(op, ops.SigmoidCrossEntropy) else 1)
    # Targets that don't add up to 1 scale the softmax: dz = (p·Σt − t)·seed.
    total = float(target[index[:-1]].sum()) if isinstance(op, ops.SoftmaxCrossEntropy) else 1.0
    return Difference(**about, probability=float(p[index]) * total, target=float(target[index]), seed=share)
