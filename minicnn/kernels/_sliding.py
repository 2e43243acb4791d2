"""Where windows read: offsets of pixels and taps in flat memory, and images padded with zeros."""

import numpy as np

from minicnn.geometry import Window
from minicnn.kernels._jit import inner

PIXELS_PER_BLOCK = 256
"""Small images are taken together, and rows of large ones in bands, until about so many output pixels: enough that
a tile of weights or of their gradient is used often, few enough that x and y stay in the L2 cache."""


@inner
def aligned_zeros(shape, dtype):  # type: ignore[no-untyped-def]
    """Zeros that start at a cache line: NumPy's own start anywhere, and vectors that span two lines cost double."""
    size = 1
    for extent in shape:
        size *= extent
    # 64 bytes are at most 16 numbers
    buffer = np.zeros(size + 16, dtype)
    first = (-buffer.ctypes.data % 64) // buffer.itemsize
    return buffer[first : first + size].reshape(shape)


@inner
def images_per_block(images, pixels):  # type: ignore[no-untyped-def]
    return max(1, min(images, PIXELS_PER_BLOCK // max(1, pixels)))


def band_rows(window: Window) -> int:
    """Output rows in a band of a large image; by the width alone, so that a part of an image has the same bands."""
    return max(1, PIXELS_PER_BLOCK // window.output_size[1])


@inner
def padded_shape(x, images, window):  # type: ignore[no-untyped-def]
    """(images, H, W, C) with the rows and columns that the window reads outside the image; images = 0 if none."""
    top, left = window.pads_before
    bottom, right = max(0, window.pads_after[0]), max(0, window.pads_after[1])
    number = images if top + left + bottom + right > 0 else 0
    return number, x.shape[1] + top + bottom, x.shape[2] + left + right, x.shape[3]


@inner
def pad_images(x, first, number, window, padded):  # type: ignore[no-untyped-def]
    """Copy images first … first + number − 1 of x into the middle of `padded`, whose border stays as it is."""
    top, left = window.pads_before
    # Loops, because assigning a slice compiles Numba's error message for unequal shapes: 2.8 s.
    for n in range(number):
        for h in range(x.shape[1]):
            for v in range(x.shape[2]):
                source, target = x[first + n, h, v], padded[n, top + h, left + v]
                for c in range(source.size):
                    target[c] = source[c]


@inner
def pixel_starts(images, source_shape, window):  # type: ignore[no-untyped-def]
    """Offset of the first tap of every output pixel of `images` images, in an array of shape (·, H, W, C)."""
    (out_h, out_w), (stride_h, stride_w) = window.output_size, window.strides
    _, height, width, channels = source_shape
    starts = np.empty(images * out_h * out_w, np.int64)
    t = 0
    for n in range(images):
        for i in range(out_h):
            for j in range(out_w):
                starts[t] = ((n * height + i * stride_h) * width + j * stride_w) * channels
                t += 1
    return starts


@inner
def spans(window, axis):  # type: ignore[no-untyped-def]
    """For every position along one axis: the taps first ≤ tap < last inside the image, and where tap 0 lies.

    Listed once, because the divisions cost more than the few multiply-adds of one small window.
    """
    dilation, size = window.dilation[axis], window.image_size[axis]
    found = np.empty((window.output_size[axis], 3), np.int64)
    for k in range(len(found)):
        origin = k * window.strides[axis] - window.pads_before[axis]
        found[k, 0] = (-origin + dilation - 1) // dilation if origin < 0 else 0
        found[k, 1] = min(window.kernel_size[axis], (size - 1 - origin) // dilation + 1)
        found[k, 2] = origin
    return found


@inner
def pool_starts(images, source_shape, window, pool):  # type: ignore[no-untyped-def]
    """starts[t, m]: the offset of the first tap of the output pixel that is tap m of pooled pixel t.

    The number of columns is rounded up to a multiple of 4 by repeating the last.
    """
    (pool_h, pool_w), (out_h, out_w) = pool.kernel_size, pool.output_size
    _, height, width, channels = source_shape
    starts = np.empty((images * out_h * out_w, (pool_h * pool_w + 3) // 4 * 4), np.int64)
    for t in range(len(starts)):
        n, i, j = t // (out_h * out_w), t // out_w % out_h, t % out_w
        for k in range(starts.shape[1]):
            m = min(k, pool_h * pool_w - 1)
            row = (i * pool.strides[0] + m // pool_w) * window.strides[0]
            column = (j * pool.strides[1] + m % pool_w) * window.strides[1]
            starts[t, k] = ((n * height + row) * width + column) * channels
    return starts


@inner
def tap_offsets(w, source_shape, window):  # type: ignore[no-untyped-def]
    """Offset in x, from a pixel's start, of what each row (p, q, c) of w is multiplied by."""
    kernel_h, kernel_w, channels, _ = w.shape
    taps = np.empty(kernel_h * kernel_w * channels, np.int64)
    k = 0
    for p in range(kernel_h):
        for q in range(kernel_w):
            pixel = p * window.dilation[0] * source_shape[2] + q * window.dilation[1]
            for c in range(channels):
                taps[k] = pixel * source_shape[3] + c
                k += 1
    return taps


@inner
def pixel_pairs(dy, dx, window, tap, part, pairs):  # type: ignore[no-untyped-def]
    """List the pixels of dy whose tap p·Q + q lies inside the image, and the pixel of dx it lies on.

    `part` is (first image, last image, first row, last row), the last ones excluded. pairs[0] are offsets in dy,
    pairs[1] in dx. Returns how many there are.
    """
    first, last, top, bottom = part
    _, height, width, channels = dx.shape
    _, out_h, out_w, filters = dy.shape
    row_shift = tap // window.kernel_size[1] * window.dilation[0] - window.pads_before[0]
    column_shift = tap % window.kernel_size[1] * window.dilation[1] - window.pads_before[1]
    number = 0
    for n in range(first, last):
        for i in range(top, bottom):
            h = i * window.strides[0] + row_shift
            if h < 0 or h >= height:
                continue
            for j in range(out_w):
                v = j * window.strides[1] + column_shift
                if v < 0 or v >= width:
                    continue
                pairs[0, number] = ((n * out_h + i) * out_w + j) * filters
                pairs[1, number] = ((n * height + h) * width + v) * channels
                number += 1
    return number
