"""Average pooling for every geometry; padding doesn't count. Contract: reference.average_pool2d.

Sums are taken in float64 and rounded once: a global pool of 28×28 positive numbers is one chain of 784 terms.
"""

import numpy as np

from minicnn.geometry import Window
from minicnn.kernels._jit import inner, kernel


@kernel
def average_pool2d_forward(x: np.ndarray, y: np.ndarray, window: Window) -> None:
    """y (N, OH, OW, C), overwritten = mean of each window's pixels inside the image x (N, H, W, C)."""
    total = np.empty(y.shape[3], np.float64)
    for n in range(y.shape[0]):
        for i in range(y.shape[1]):
            top, bottom = _inside(i, window, 0)
            for j in range(y.shape[2]):
                left, right = _inside(j, window, 1)
                mean = y[n, i, j]
                for c in range(total.size):
                    total[c] = 0
                number = 0
                for h in range(top, bottom, window.dilation[0]):
                    for v in range(left, right, window.dilation[1]):
                        number += 1
                        pixel = x[n, h, v]
                        for c in range(total.size):
                            total[c] += pixel[c]
                for c in range(total.size):
                    mean[c] = total[c] / number


@kernel
def average_pool2d_backward(dy: np.ndarray, dx: np.ndarray, window: Window) -> None:
    """dx (N, H, W, C), overwritten: each element of dy (N, OH, OW, C) is shared equally among its window's pixels."""
    image = np.empty(dx.shape[1:], np.float64)
    sums = image.reshape(-1)
    for n in range(dy.shape[0]):
        for k in range(sums.size):
            sums[k] = 0
        for i in range(dy.shape[1]):
            top, bottom = _inside(i, window, 0)
            for j in range(dy.shape[2]):
                left, right = _inside(j, window, 1)
                rows = (bottom - top + window.dilation[0] - 1) // window.dilation[0]
                columns = (right - left + window.dilation[1] - 1) // window.dilation[1]
                number, gradient = np.float64(rows * columns), dy[n, i, j]
                for h in range(top, bottom, window.dilation[0]):
                    for v in range(left, right, window.dilation[1]):
                        pixel = image[h, v]
                        for c in range(pixel.size):
                            pixel[c] += gradient[c] / number
        flat = dx[n].reshape(-1)
        for k in range(sums.size):
            flat[k] = sums[k]


@inner
def _inside(position, window, axis):  # type: ignore[no-untyped-def]
    """range(first, last, dilation) are the rows (axis 0) or columns (axis 1) of a window that lie in the image."""
    dilation = window.dilation[axis]
    first = position * window.strides[axis] - window.pads_before[axis]
    last = min(first + window.kernel_size[axis] * dilation, window.image_size[axis])
    if first < 0:
        first += (-first + dilation - 1) // dilation * dilation
    return first, last
