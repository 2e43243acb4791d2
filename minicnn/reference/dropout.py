"""Dropout, forward and backward, with a mask that depends only on (seed, step, position): never on chunks or threads.

Srivastava et al., "Dropout", JMLR 15 (2014), in the inverted form: what is kept is divided by the chance to be kept.
The bits are those of `reference.draws`.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from minicnn.reference.draws import Draw, bits


class DropoutResiduals(NamedTuple):
    keep: np.ndarray
    rate: float


def keep_mask(shape: tuple[int, ...], rate: float, draw: Draw) -> Bool[np.ndarray, "N ..."]:
    """True with probability 1 − rate, drawn sample by sample; 24 bits an element."""
    keep = np.empty(shape, bool)
    size = int(np.prod(shape[1:]))
    for n, words in enumerate(bits(draw, shape[0], (size + 1) // 2)):
        uniform = words.view(np.uint32)[:size] >> np.uint32(8)
        keep[n] = (uniform >= np.uint32(round(rate * 2**24))).reshape(shape[1:])
    return keep


def dropout_forward(
    x: Float[np.ndarray, "N ..."], rate: float, draw: Draw
) -> tuple[Float[np.ndarray, "N ..."], DropoutResiduals]:
    """y = x / (1 − rate) where kept, else 0."""
    keep = keep_mask(x.shape, rate, draw)
    return _scaled(x, keep, rate), DropoutResiduals(keep, rate)


def dropout_backward(
    dy: Float[np.ndarray, "N ..."], residuals: DropoutResiduals
) -> tuple[Float[np.ndarray, "N ..."]]:
    """Return (dx,): dy / (1 − rate) where kept, else 0."""
    return (_scaled(dy, *residuals),)


def _scaled(x: np.ndarray, keep: np.ndarray, rate: float) -> np.ndarray:
    scale = 1 / (1 - rate) if rate < 1 else 0.0  # at rate 1 nothing is kept
    return np.where(keep, x * x.dtype.type(scale), x.dtype.type(0))
