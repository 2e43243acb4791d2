"""A student's convolution: the first try, the second, and the one that is right. They differ in one line each."""

import numpy as np


def conv2d(x, kernel, bias=None, *, strides=(1, 1), padding="valid"):
    """The window is centred on its pixel."""
    return _convolve(x, kernel, bias, strides, padding, lambda n, k, s: (k // 2, k - 1 - k // 2))


def conv2d_second_try(x, kernel, bias=None, *, strides=(1, 1), padding="valid"):
    """An even kernel has its odd row at the end."""
    return _convolve(x, kernel, bias, strides, padding, lambda n, k, s: ((k - 1) // 2, k // 2))


def conv2d_right(x, kernel, bias=None, *, strides=(1, 1), padding="valid"):
    """Only as much padding as the last window needs, half of it at the top and the left."""

    def pads(n, k, s):
        total = max((-(-n // s) - 1) * s + k - n, 0)
        return total // 2, total - total // 2

    return _convolve(x, kernel, bias, strides, padding, pads)


def _convolve(x, kernel, bias, strides, padding, pads):
    """`x` (N, H, W, C), `kernel` (P, Q, C, F) → y (N, OH, OW, F); `pads` is asked only for 'same'."""
    (n, h, w, c), (p, q, channels, filters) = x.shape, kernel.shape
    if channels != c or min(strides) < 1 or padding not in ("valid", "same"):
        raise ValueError("these don't fit together")
    if padding == "same":
        x = np.pad(x, ((0, 0), pads(h, p, strides[0]), pads(w, q, strides[1]), (0, 0)))
    rows, columns = (x.shape[1] - p) // strides[0] + 1, (x.shape[2] - q) // strides[1] + 1
    if min(rows, columns) < 1:
        raise ValueError("the kernel is larger than the image")
    y = np.zeros((n, rows, columns, filters), x.dtype)
    for i in range(rows):
        for j in range(columns):
            r, s = i * strides[0], j * strides[1]
            y[:, i, j] = np.tensordot(x[:, r : r + p, s : s + q], kernel, axes=3)
    return y if bias is None else y + bias
