"""2-D convolution (cross-correlation, as every deep-learning library means it), forward and backward.

    y[n,i,j,f] = b[f] + Σ_{p,q,c} x[n, i·s+p·d, j·s+q·d, c] · w[p,q,c,f]

A convolution is P·Q matrix products, one per tap (p, q) of the kernel: the image shifted to that tap, times the
(C, F) matrix w[p, q]. The backward pass visits the same taps with the transposed products; where the forward pass
reads a strided view of the image, the backward pass adds into the same view.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from minicnn.geometry import Window
from minicnn.reference.padding import pad, unpad


class Conv2DResiduals(NamedTuple):
    x: np.ndarray
    w: np.ndarray
    window: Window
    groups: int


def conv2d_forward(
    x: Float[np.ndarray, "N H W C"],
    w: Float[np.ndarray, "P Q C_per_group F"],
    b: Float[np.ndarray, " F"] | None,
    window: Window,
    groups: int = 1,
) -> tuple[Float[np.ndarray, "N OH OW F"], Conv2DResiduals]:
    """Slide `w` over `x`. With groups, filter block g sees channel block g only. b=None means no bias."""
    channels, filters = group_slices(w, groups)
    y = np.zeros((len(x), *window.output_size, w.shape[-1]), x.dtype)
    padded = pad(x, window)
    for p, q, rows, columns in window.taps():
        for c, f in zip(channels, filters, strict=True):
            y[..., f] += padded[:, rows, columns, c] @ w[p, q, :, f]
    if b is not None:
        y += b
    return y, Conv2DResiduals(x, w, window, groups)


def conv2d_backward(
    dy: Float[np.ndarray, "N OH OW F"], residuals: Conv2DResiduals
) -> tuple[Float[np.ndarray, "N H W C"], Float[np.ndarray, "P Q C_per_group F"], Float[np.ndarray, " F"]]:
    """Return (dx, dw, db): the sums over everything each input, weight and bias has touched.

    dx[n, i·s+p·d, j·s+q·d, c] += dy[n,i,j,f]·w[p,q,c,f];  dw[p,q,c,f] = Σ_{n,i,j} x[…]·dy[n,i,j,f];  db = Σ dy.
    """
    x, w, window, groups = residuals
    channels, filters = group_slices(w, groups)
    padded, dw = pad(x, window), np.zeros_like(w)
    dx_padded = np.zeros_like(padded)
    for p, q, rows, columns in window.taps():
        for c, f in zip(channels, filters, strict=True):
            dw[p, q, :, f] = np.tensordot(padded[:, rows, columns, c], dy[..., f], ((0, 1, 2), (0, 1, 2)))
            dx_padded[:, rows, columns, c] += dy[..., f] @ w[p, q, :, f].T
    return unpad(dx_padded, window), dw, dy.sum((0, 1, 2))


def group_slices(w: np.ndarray, groups: int) -> tuple[list[slice], list[slice]]:
    """Input-channel and filter slices of each group."""
    channels, filters = w.shape[2], w.shape[3] // groups
    return (
        [slice(g * channels, (g + 1) * channels) for g in range(groups)],
        [slice(g * filters, (g + 1) * filters) for g in range(groups)],
    )
