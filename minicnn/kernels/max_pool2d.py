"""Max pooling for every geometry. Contract: reference.max_pool2d. Arrays are C-contiguous, float32 or float64."""

import numpy as np

from minicnn.geometry import Window
from minicnn.kernels._jit import inner, kernel
from minicnn.kernels._simd import fold_max, lanes, load_row, max_state, store_max, zeros
from minicnn.kernels._sliding import spans
from minicnn.kernels._tile import ROW_1, ROW_2, ZERO


@kernel
def max_pool2d_forward(x: np.ndarray, y: np.ndarray, argmax: np.ndarray, window: Window) -> None:
    """y (N, OH, OW, C) and argmax, overwritten, from x (N, H, W, C).

    argmax[n,i,j,c] = p·Q + q of the tap that won: uint8 when P·Q ≤ 255, else int32. The first of equals and the
    first NaN win; taps outside the image never do.
    """
    rows, columns = spans(window, 0), spans(window, 1)
    for n in range(len(x)):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                taps = rows[i, 0], rows[i, 1], rows[i, 2], columns[j, 0], columns[j, 1], columns[j, 2]
                c = ZERO
                while c < y.shape[3]:
                    if y.shape[3] - c >= 2 * lanes(x):
                        _pool_pixel(x, y, argmax, window, (n, i, j), taps, (c, None), ROW_2)
                        c += 2 * lanes(x)
                    else:
                        count = min(y.shape[3] - c, lanes(x))
                        _pool_pixel(x, y, argmax, window, (n, i, j), taps, (c, count), ROW_1)
                        c += lanes(x)


@inner
def _pool_pixel(x, y, argmax, window, place, taps, columns, width):  # type: ignore[no-untyped-def]
    first_p, last_p, top, first_q, last_q, left = taps
    n, i, j = place
    c, count = columns
    channels, row = x.shape[3], zeros(x, ROW_1, width)
    state = max_state(row, 0)
    for p in range(first_p, last_p):
        line = (n * x.shape[1] + top + p * window.dilation[0]) * x.shape[2] + left
        for q in range(first_q, last_q):
            values = load_row(row, x, (line + q * window.dilation[1]) * channels + c, count)
            tap = p * window.kernel_size[1] + q
            is_first = p == first_p and q == first_q
            state = max_state(values, tap) if is_first else fold_max(state, values, tap)
    store_max(y, argmax, ((n * y.shape[1] + i) * y.shape[2] + j) * channels + c, state, count)


@kernel
def max_pool2d_backward(dy: np.ndarray, argmax: np.ndarray, dx: np.ndarray, window: Window) -> None:
    """dx (N, H, W, C), overwritten: each element of dy (N, OH, OW, C) is added to the x that won its window."""
    flat = dx.reshape(-1)
    for k in range(flat.size):
        flat[k] = 0
    _, height, width, channels = dx.shape
    for n in range(dy.shape[0]):
        for i in range(dy.shape[1]):
            h = i * window.strides[0] - window.pads_before[0]
            for j in range(dy.shape[2]):
                v = j * window.strides[1] - window.pads_before[1]
                for c in range(channels):
                    tap = np.int64(argmax[n, i, j, c])
                    p, q = tap // window.kernel_size[1], tap % window.kernel_size[1]
                    row, column = h + p * window.dilation[0], v + q * window.dilation[1]
                    flat[((n * height + row) * width + column) * channels + c] += dy[n, i, j, c]
