"""2-D convolution as one matrix product: the windows written out as rows of a matrix, "im2col".

    columns[(n,i,j), (p,q,c)] = x[n, i·s+p·d, j·s+q·d, c]
    y  = columns · w            (N·OH·OW, P·Q·C) · (P·Q·C, F)
    dw = columnsᵀ · dy
    dx = col2im(dy · wᵀ)        every number of the product is added to the pixel that it came from

Each pixel is copied P·Q times; in exchange a BLAS library does all the arithmetic. Source: K. Chellapilla, S. Puri &
P. Simard, "High performance convolutional neural networks for document processing" (2006), §3; named after MATLAB's
im2col, and the way of Y. Jia's Caffe. The backward pass copies the windows anew: kept, they would take P·Q times the
memory of x in every layer.
"""

import numpy as np
from jaxtyping import Float

from minicnn.geometry import Window
from minicnn.reference.conv2d import Conv2DResiduals, group_slices
from minicnn.reference.padding import pad, unpad


def conv2d_im2col_forward(
    x: Float[np.ndarray, "N H W C"],
    w: Float[np.ndarray, "P Q C_per_group F"],
    b: Float[np.ndarray, " F"] | None,
    window: Window,
    groups: int = 1,
) -> tuple[Float[np.ndarray, "N OH OW F"], Conv2DResiduals]:
    """Slide `w` over `x`. With groups, filter block g sees channel block g only. b=None means no bias."""
    y = np.empty((len(x), *window.output_size, w.shape[3]), x.dtype)
    for c, f in zip(*group_slices(w, groups), strict=True):
        product = im2col(x[..., c], window) @ _matrix(w[..., f])
        y[..., f] = product.reshape(*y.shape[:3], -1)
    if b is not None:
        y += b
    return y, Conv2DResiduals(x, w, window, groups)


def conv2d_im2col_backward(
    dy: Float[np.ndarray, "N OH OW F"], residuals: Conv2DResiduals
) -> tuple[Float[np.ndarray, "N H W C"], Float[np.ndarray, "P Q C_per_group F"], Float[np.ndarray, " F"]]:
    """Return (dx, dw, db)."""
    x, w, window, groups = residuals
    dx, dw = np.empty_like(x), np.empty_like(w)
    for c, f in zip(*group_slices(w, groups), strict=True):
        rows, kernel = _matrix(dy[..., f]), w[..., f]
        dw[..., f] = (im2col(x[..., c], window).T @ rows).reshape(kernel.shape)
        dx[..., c] = col2im(rows @ _matrix(kernel).T, x[..., c].shape, window)
    return dx, dw, dy.sum((0, 1, 2))


def im2col(x: Float[np.ndarray, "N H W C"], window: Window) -> Float[np.ndarray, "NOHOW PQC"]:
    """Every window as a row."""
    columns = np.empty((len(x), *window.output_size, *window.kernel_size, x.shape[3]), x.dtype)
    padded = pad(x, window)
    for p, q, rows, cols in window.taps():
        columns[:, :, :, p, q] = padded[:, rows, cols]
    return columns.reshape(-1, window.kernel_size[0] * window.kernel_size[1] * x.shape[3])


def col2im(
    columns: Float[np.ndarray, "NOHOW PQC"], shape: tuple[int, ...], window: Window
) -> Float[np.ndarray, "N H W C"]:
    """The transpose of `im2col`: the sum over all windows that a pixel lies in."""
    windows = columns.reshape(shape[0], *window.output_size, *window.kernel_size, shape[3])
    padded = pad(np.zeros(shape, columns.dtype), window)
    for p, q, rows, cols in window.taps():
        padded[:, rows, cols] += windows[:, :, :, p, q]
    return unpad(padded, window)


def _matrix(array: Float[np.ndarray, "... K"]) -> Float[np.ndarray, "R K"]:
    return array.reshape(-1, array.shape[-1])
