"""Integer shape arithmetic: how a window slides over an image, and how many places it finds.

Everything here is exact integer arithmetic on Python integers; no arrays. A `Window` is a NamedTuple of plain
integers so that the reference, the Numba kernels and a reader see the very same object.
"""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

Pair = tuple[int, int]


class Window(NamedTuple):
    """One kernel or pool sliding over one image; every pair is (height, width).

    Tap (p, q) of the window at output position (i, j) reads image row `i·stride + p·dilation − pad_before`,
    and the same for columns. Rows and columns outside the image are padding.
    """

    image_size: Pair
    kernel_size: Pair
    strides: Pair
    dilation: Pair
    pads_before: Pair
    """Padded rows above, padded columns on the left."""
    pads_after: Pair
    """Padded rows below, padded columns on the right. Negative when rows at the end are never read ('valid')."""
    output_size: Pair

    def taps(self) -> Iterator[tuple[int, int, slice, slice]]:
        """Yield (p, q, rows, columns) in row-major order: the slices of the *padded* image that tap (p, q) reads."""
        (out_h, out_w), (stride_h, stride_w) = self.output_size, self.strides
        for p, q in product(range(self.kernel_size[0]), range(self.kernel_size[1])):
            top, left = p * self.dilation[0], q * self.dilation[1]
            yield (
                p,
                q,
                slice(top, top + (out_h - 1) * stride_h + 1, stride_h),
                slice(left, left + (out_w - 1) * stride_w + 1, stride_w),
            )

    @property
    def is_plain(self) -> bool:
        """Stride 1, no dilation, no padding."""
        return (
            self.strides == self.dilation == (1, 1)
            and self.pads_before == (0, 0)
            and max(self.pads_after) <= 0
        )

    @property
    def is_tiling(self) -> bool:
        """The windows neither overlap nor dilate nor reach into padding: a max pool routes each dy to one x."""
        return (
            self.strides == self.kernel_size
            and self.dilation == (1, 1)
            and self.pads_before == (0, 0)
            and max(self.pads_after) <= 0
        )


def dilated(kernel: int, dilation: int) -> int:
    """Extent of `kernel` taps that lie `dilation` apart."""
    return (kernel - 1) * dilation + 1


def output_length(size: int, kernel: int, stride: int, padding: str, dilation: int = 1) -> int:
    """Number of window positions along one axis; 0 when a 'valid' window is larger than the image.

    'same' gives ⌈size/stride⌉, 'valid' gives ⌊(size − extent)/stride⌋ + 1
    (Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", relationships 3, 6 and 11–13).
    """
    if padding == "same":
        return -(-size // stride)
    return max(0, (size - dilated(kernel, dilation)) // stride + 1)


def same_pads(size: int, kernel: int, stride: int, dilation: int = 1) -> Pair:
    """Padding (before, after) of TensorFlow's SAME along one axis: the odd one goes after.

    Source: TensorFlow, "Neural network ops" (tf.nn), section "Notes on padding".
    """
    total = max(
        0, (output_length(size, kernel, stride, "same") - 1) * stride + dilated(kernel, dilation) - size
    )
    return total // 2, total - total // 2


def make_window(
    image_size: Pair,
    kernel_size: Pair,
    strides: Pair = (1, 1),
    padding: str = "valid",
    dilation: Pair = (1, 1),
) -> Window:
    """Resolve `padding` ('valid' or 'same') for one image size.

    Raises:
        ValueError: a 'valid' window larger than the image.
    """
    axes = list(zip(image_size, kernel_size, strides, dilation, strict=True))
    out_h, out_w = (output_length(size, kernel, stride, padding, step) for size, kernel, stride, step in axes)
    if min(out_h, out_w) < 1:
        raise ValueError(
            f"With padding='valid' the window must fit into the image. Received kernel or pool size={kernel_size}, "
            f"dilation_rate={dilation}, image size={image_size}."
        )
    if padding == "same":
        (top, bottom), (left, right) = (same_pads(*axis) for axis in axes)
    else:
        top = left = 0
        bottom, right = (
            (out - 1) * stride + dilated(kernel, step) - size
            for out, (size, kernel, stride, step) in zip((out_h, out_w), axes, strict=True)
        )
    return Window(image_size, kernel_size, strides, dilation, (top, left), (bottom, right), (out_h, out_w))
