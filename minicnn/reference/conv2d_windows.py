"""2-D convolution as one sum over a view of all windows: NumPy's `sliding_window_view` and `einsum`.

    windows[n,i,j,c,p,q] = x[n, i·s+p·d, j·s+q·d, c]         a view: strides, no copy
    y[n,i,j,f]   = Σ_{c,p,q} windows[n,i,j,c,p,q] · w[p,q,c,f]
    dw[p,q,c,f]  = Σ_{n,i,j} windows[n,i,j,c,p,q] · dy[n,i,j,f]
    dx[n,h,k,c]  = Σ_{f,p,q} windows'[n,h,k,f,p,q] · w[P−1−p, Q−1−q, c, f]

dx is a convolution again: windows' slides at stride 1 over dy with s−1 zeros between its numbers and a border of
zeros, and the kernel is turned by 180° with channels and filters exchanged (Dumoulin & Visin, "A guide to convolution
arithmetic for deep learning", §4: transposed convolution).

`einsum` walks the view number by number and needs no memory. With `optimize=True` it would copy the windows into a
matrix for BLAS: that is im2col, without saying so.
"""

import numpy as np
from jaxtyping import Float, Shaped
from numpy.lib.stride_tricks import sliding_window_view

from minicnn.geometry import Pair, Window, dilated
from minicnn.reference.conv2d import Conv2DResiduals
from minicnn.reference.padding import pad, unpad


def conv2d_windows_forward(
    x: Float[np.ndarray, "N H W C"],
    w: Float[np.ndarray, "P Q C_per_group F"],
    b: Float[np.ndarray, " F"] | None,
    window: Window,
    groups: int = 1,
) -> tuple[Float[np.ndarray, "N OH OW F"], Conv2DResiduals]:
    """Slide `w` over `x`. With groups, filter block g sees channel block g only. b=None means no bias."""
    y = np.einsum("nijgcpq,pqcgf->nijgf", _windows(x, window, groups), _by_group(w, groups))
    y = y.reshape(*y.shape[:3], w.shape[3])
    return y if b is None else y + b, Conv2DResiduals(x, w, window, groups)


def conv2d_windows_backward(
    dy: Float[np.ndarray, "N OH OW F"], residuals: Conv2DResiduals
) -> tuple[Float[np.ndarray, "N H W C"], Float[np.ndarray, "P Q C_per_group F"], Float[np.ndarray, " F"]]:
    """Return (dx, dw, db)."""
    x, w, window, groups = residuals
    dw = np.einsum("nijgcpq,nijgf->pqcgf", _windows(x, window, groups), _by_group(dy, groups))
    turned = _by_group(w, groups)[::-1, ::-1]
    dx = np.einsum("nhkgfpq,pqcgf->nhkgc", _transposed_windows(dy, window, groups), turned)
    return unpad(dx.reshape(*dx.shape[:3], x.shape[3]), window), dw.reshape(w.shape), dy.sum((0, 1, 2))


def _windows(
    x: Float[np.ndarray, "N H W C"], window: Window, groups: int
) -> Float[np.ndarray, "N OH OW G C_per_group P Q"]:
    return _slide(_by_group(pad(x, window), groups), window.kernel_size, window.dilation, window.strides)


def _transposed_windows(
    dy: Float[np.ndarray, "N OH OW F"], window: Window, groups: int
) -> Float[np.ndarray, "N HP WP G F_per_group P Q"]:
    """What of dy each pixel of the padded image has touched, the taps in reverse order."""
    (top, left), (bottom, right) = window.pads_before, window.pads_after
    height, width = window.image_size
    rows, columns = height + top + max(0, bottom), width + left + max(0, right)
    edges = [dilated(k, d) - 1 for k, d in zip(window.kernel_size, window.dilation, strict=True)]
    stuffed = np.zeros((len(dy), rows + edges[0], columns + edges[1], dy.shape[3]), dy.dtype)
    (out_h, out_w), (stride_h, stride_w) = window.output_size, window.strides
    ends = edges[0] + (out_h - 1) * stride_h + 1, edges[1] + (out_w - 1) * stride_w + 1
    stuffed[:, edges[0] : ends[0] : stride_h, edges[1] : ends[1] : stride_w] = dy
    return _slide(_by_group(stuffed, groups), window.kernel_size, window.dilation, (1, 1))


def _slide(
    image: Shaped[np.ndarray, "N H W G K"], kernel_size: Pair, dilation: Pair, strides: Pair
) -> Shaped[np.ndarray, "N OH OW G K P Q"]:
    extents = tuple(dilated(k, d) for k, d in zip(kernel_size, dilation, strict=True))
    views = sliding_window_view(image, extents, (1, 2))
    return views[:, :: strides[0], :: strides[1], :, :, :: dilation[0], :: dilation[1]]


def _by_group(array: Shaped[np.ndarray, "... K"], groups: int) -> Shaped[np.ndarray, "... G K_per_group"]:
    """The last axis cut into (group, place in it)."""
    return array.reshape(*array.shape[:-1], groups, array.shape[-1] // groups)
