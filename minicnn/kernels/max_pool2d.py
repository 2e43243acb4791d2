"""Max pooling for every geometry. Contract: reference.max_pool2d. Arrays are C-contiguous, float32 or float64."""

import numpy as np

from minicnn.geometry import Window
from minicnn.kernels._jit import inner, kernel
from minicnn.kernels._simd import fold_max, lanes, load_row, max_state, store_max, zeros
from minicnn.kernels._tile import ROW_1


@kernel
def max_pool2d_forward(x: np.ndarray, y: np.ndarray, argmax: np.ndarray, window: Window) -> None:
    """y (N, OH, OW, C) and argmax, overwritten, from x (N, H, W, C).

    argmax[n,i,j,c] = p·Q + q of the tap that won: uint8 when P·Q ≤ 255, else int32. The first of equals and the
    first NaN win; taps outside the image never do.
    """
    (kernel_h, kernel_w), (stride_h, stride_w) = window.kernel_size, window.strides
    (out_h, out_w), (top, left) = window.output_size, window.pads_before
    for n in range(len(x)):
        for i in range(out_h):
            rows = _inside(i * stride_h - top, kernel_h, window.dilation[0], x.shape[1])
            for j in range(out_w):
                columns = _inside(j * stride_w - left, kernel_w, window.dilation[1], x.shape[2])
                _pool_pixel(x, y, argmax, window, (n, i, j), rows, columns)


@inner
def _inside(origin, kernel_size, dilation, size):  # type: ignore[no-untyped-def]
    """The taps [first, last) of a window at `origin` that lie inside an axis of `size` pixels."""
    first = max(0, -(origin // dilation)) if origin < 0 else 0
    last = min(kernel_size, (size - 1 - origin) // dilation + 1)
    return first, last


@inner
def _pool_pixel(x, y, argmax, window, place, rows, columns):  # type: ignore[no-untyped-def]
    n, i, j = place
    _, height, width, channels = x.shape
    row = zeros(x, ROW_1, ROW_1)
    h = i * window.strides[0] - window.pads_before[0]
    v = j * window.strides[1] - window.pads_before[1]
    for c in range(0, channels, lanes(x)):
        count = min(channels - c, lanes(x))
        state = max_state(row, 0)
        for p in range(rows[0], rows[1]):
            for q in range(columns[0], columns[1]):
                at = (n * height + h + p * window.dilation[0]) * width + v + q * window.dilation[1]
                values = load_row(row, x, at * channels + c, count)
                tap = p * window.kernel_size[1] + q
                is_first = p == rows[0] and q == columns[0]
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
