"""2-D convolution by the convolution theorem: products of spectra.

    ŷ[k,l,n,f] = Σ_c x̂[k,l,n,c] · conj(ŵ[k,l,c,f])        correlation: the kernel's spectrum conjugated
    d̂x = dŷ · ŵᵀ        convolution            d̂w = x̂ᵀ · conj(dŷ)        correlation

with one small matrix product for each frequency (k, l). Transforms are as long as the padded image, rounded up to a
product of 2, 3 and 5: the theorem's sums wrap around, but no wanted output reaches so far that they could. A dilated
kernel costs nothing more: zeros between its taps.

Sources: J. W. Cooley & J. W. Tukey, "An algorithm for the machine calculation of complex Fourier series" (1965);
M. Mathieu, M. Henaff & Y. LeCun, "Fast training of convolutional networks through FFTs" (2014). The work hardly depends
on the kernel's size, and an error is in proportion to an image's largest pixels, not to those in the window.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float

from minicnn.geometry import Pair, Window, dilated
from minicnn.reference.padding import pad, unpad


class FFTResiduals(NamedTuple):
    x_hat: np.ndarray
    """(K, L, N, C) complex."""
    w_hat: np.ndarray
    """(K, L, C, F) complex."""
    window: Window


def refusal(window: Window, groups: int = 1) -> str:
    """Why the algorithm doesn't apply to this geometry; '' if it does."""
    if window.strides != (1, 1):
        return "it computes every position: at stride s all but one in s² would be thrown away"
    if groups != 1:
        return "with groups there are too few products to pay for the transforms"
    return ""


def conv2d_fft_forward(
    x: Float[np.ndarray, "N H W C"],
    w: Float[np.ndarray, "P Q C F"],
    b: Float[np.ndarray, " F"] | None,
    window: Window,
    groups: int = 1,
) -> tuple[Float[np.ndarray, "N OH OW F"], FFTResiduals]:
    """Slide `w` over `x`, for what `refusal` lets through. b=None means no bias."""
    residuals = FFTResiduals(_spectrum(pad(x, window), window), _spectrum_of_kernel(w, window), window)
    y = _inverse(residuals.x_hat @ residuals.w_hat.conj(), window, window.output_size).transpose(2, 0, 1, 3)
    return y if b is None else y + b, residuals


def conv2d_fft_backward(
    dy: Float[np.ndarray, "N OH OW F"], residuals: FFTResiduals
) -> tuple[Float[np.ndarray, "N H W C"], Float[np.ndarray, "P Q C F"], Float[np.ndarray, " F"]]:
    """Return (dx, dw, db)."""
    x_hat, w_hat, window = residuals
    dy_hat = _spectrum(dy, window)
    dx = _inverse(dy_hat @ w_hat.transpose(0, 1, 3, 2), window, _padded_size(window))
    dw = _inverse(x_hat.transpose(0, 1, 3, 2) @ dy_hat.conj(), window, _extents(window))
    return (
        unpad(dx.transpose(2, 0, 1, 3), window),
        dw[:: window.dilation[0], :: window.dilation[1]],
        dy.sum((0, 1, 2)),
    )


def transform_size(window: Window) -> Pair:
    """Rows and columns of the transforms."""
    height, width = _padded_size(window)
    return _smooth(height), _smooth(width)


def _padded_size(window: Window) -> Pair:
    (top, left), (bottom, right) = window.pads_before, window.pads_after
    return window.image_size[0] + top + max(0, bottom), window.image_size[1] + left + max(0, right)


def _extents(window: Window) -> Pair:
    (height, width), (rows, columns) = window.kernel_size, window.dilation
    return dilated(height, rows), dilated(width, columns)


def _smooth(size: int) -> int:
    """The next number without prime factors above 5."""
    rest = size
    for factor in (2, 3, 5):
        while rest % factor == 0:
            rest //= factor
    return size if rest == 1 else _smooth(size + 1)


def _spectrum(images: Float[np.ndarray, "N H W C"], window: Window) -> Complex[np.ndarray, "K L N C"]:
    """Frequencies first, so that each has a matrix."""
    return np.fft.rfft2(images, transform_size(window), (1, 2)).transpose(1, 2, 0, 3)


def _spectrum_of_kernel(w: Float[np.ndarray, "P Q C F"], window: Window) -> Complex[np.ndarray, "K L C F"]:
    stuffed = np.zeros((*_extents(window), *w.shape[2:]), w.dtype)
    stuffed[:: window.dilation[0], :: window.dilation[1]] = w
    return np.fft.rfft2(stuffed, transform_size(window), (0, 1))


def _inverse(
    spectrum: Complex[np.ndarray, "K L A B"], window: Window, size: Pair
) -> Float[np.ndarray, "rows columns A B"]:
    """Back from the frequencies, without what wraps around."""
    return np.fft.irfft2(spectrum, transform_size(window), (0, 1))[: size[0], : size[1]]
