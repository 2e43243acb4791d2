"""2-D convolution as six nested loops, compiled: what a compiler makes of the definition, to compare with.

Contract: reference.conv2d. The text is that of `reference/conv2d_loops.py`; a sum is one chain in the taps' order.
"""

import numpy as np

from minicnn.geometry import Window
from minicnn.kernels._jit import inner, kernel


@kernel
def loops_forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray, y: np.ndarray, window: Window, groups: int
) -> None:
    """y (N, OH, OW, F), overwritten = cross-correlation of x (N, H, W, C) with w (P, Q, C/groups, F), plus b.

    b is (F,), or (0,) for none.
    """
    for n in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                for f in range(y.shape[3]):
                    first = f // (w.shape[3] // groups) * w.shape[2]
                    y[n, i, j, f] = 0
                    for p in range(w.shape[0]):
                        for q in range(w.shape[1]):
                            row, column = _place(window, i, j, p, q)
                            if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                                for c in range(w.shape[2]):
                                    y[n, i, j, f] += x[n, row, column, first + c] * w[p, q, c, f]
                    if b.size > 0:
                        y[n, i, j, f] += b[f]


@kernel
def loops_backward_x(dy: np.ndarray, w: np.ndarray, dx: np.ndarray, window: Window, groups: int) -> None:
    """dx (N, H, W, C), overwritten."""
    dx[:] = 0
    for n in range(dy.shape[0]):
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                for f in range(dy.shape[3]):
                    first = f // (w.shape[3] // groups) * w.shape[2]
                    for p in range(w.shape[0]):
                        for q in range(w.shape[1]):
                            row, column = _place(window, i, j, p, q)
                            if 0 <= row < dx.shape[1] and 0 <= column < dx.shape[2]:
                                for c in range(w.shape[2]):
                                    dx[n, row, column, first + c] += dy[n, i, j, f] * w[p, q, c, f]


@kernel
def loops_backward_w(
    dy: np.ndarray, x: np.ndarray, dw: np.ndarray, db: np.ndarray, window: Window, groups: int
) -> None:
    """Add to dw (P, Q, C/groups, F) and to db (F,), or (0,) for none."""
    for n in range(dy.shape[0]):
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                for f in range(dy.shape[3]):
                    first = f // (dw.shape[3] // groups) * dw.shape[2]
                    for p in range(dw.shape[0]):
                        for q in range(dw.shape[1]):
                            row, column = _place(window, i, j, p, q)
                            if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                                for c in range(dw.shape[2]):
                                    dw[p, q, c, f] += dy[n, i, j, f] * x[n, row, column, first + c]
                    if db.size > 0:
                        db[f] += dy[n, i, j, f]


@inner
def _place(window, i, j, p, q):  # type: ignore[no-untyped-def]
    """Row and column of the image that tap (p, q) reads for output (i, j)."""
    return (
        i * window.strides[0] + p * window.dilation[0] - window.pads_before[0],
        j * window.strides[1] + q * window.dilation[1] - window.pads_before[1],
    )
