"""2-D convolution with a 3×3 kernel by Winograd's minimal filtering, F(2×2, 3×3) and F(4×4, 3×3).

An m×m tile of outputs reads a t×t tile d of pixels, t = m + 2. Instead of 9·m² products it takes t²:

    Y = Aᵀ [ Σ_c (G w_c Gᵀ) ∘ (Bᵀ d_c B) ] A

Pixels and weights are transformed once each, multiplied at each of t² positions (over channels: a matrix product),
and what is transformed back is a sum. The transforms are polynomial evaluation and interpolation at the points
0, ±1, ∞ (m = 2) or 0, ±1, ±2, ∞ (m = 4).

The formula is linear in d and in w, so the gradients are its transposes, with dM = A dY Aᵀ:

    dw = Gᵀ [ Σ_tiles (Bᵀ d B) ∘ dM ] G          dd = B [ Σ_f (G w Gᵀ) ∘ dM ] Bᵀ

and tiles of dd, which overlap by two rows and columns, are added up. Sources: S. Winograd, "Arithmetic complexity of
computations" (1980), ch. V; A. Lavin & S. Gray, "Fast algorithms for convolutional neural networks" (2016), §4.1 for
m = 2 and §4.3 for m = 4. The price is rounding: an output is a difference of larger sums, the more so the larger m.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view

from minicnn.geometry import Window
from minicnn.reference.padding import unpad


class Transforms(NamedTuple):
    """The matrices of F(m×m, 3×3), one column each for an output, a pixel and a weight."""

    a: Float[np.ndarray, "T M"]
    b: Float[np.ndarray, "T T"]
    g: Float[np.ndarray, "T 3"]


F2 = Transforms(
    a=np.array([[1, 0], [1, 1], [1, -1], [0, -1]], float),
    b=np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], float).T,
    g=np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]) / 2,
)
F4 = Transforms(
    a=np.array(
        [[1, 0, 0, 0], [1, 1, 1, 1], [1, -1, 1, -1], [1, 2, 4, 8], [1, -2, 4, -8], [0, 0, 0, 1]], float
    ),
    b=np.array(
        [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ],
        float,
    ).T,
    g=np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24,
)


class WinogradResiduals(NamedTuple):
    v: np.ndarray
    """(T, T, tiles, C): the transformed pixels."""
    u: np.ndarray
    """(T, T, C, F): the transformed weights."""
    window: Window
    transforms: Transforms


def refusal(window: Window, groups: int = 1) -> str:
    """Why the algorithm doesn't apply to this geometry; '' if it does."""
    if window.kernel_size != (3, 3):
        return "it is made for 3×3 kernels; other sizes have other transforms"
    if window.strides != (1, 1) or window.dilation != (1, 1):
        return "its outputs share pixels as neighbours do, at stride 1 without dilation"
    if groups != 1:
        return "with groups there are too few products to pay for the transforms"
    return ""


def winograd_forward(
    x: Float[np.ndarray, "N H W C"],
    w: Float[np.ndarray, "3 3 C F"],
    b: Float[np.ndarray, " F"] | None,
    window: Window,
    groups: int = 1,
    *,
    transforms: Transforms,
) -> tuple[Float[np.ndarray, "N OH OW F"], WinogradResiduals]:
    """Slide `w` over `x`, for what `refusal` lets through. b=None means no bias."""
    residuals = WinogradResiduals(
        _on_both_axes(transforms.b.T, _tiles(x, window, transforms)),
        _on_both_axes(transforms.g, w),
        window,
        transforms,
    )
    y = _untiled(_on_both_axes(transforms.a.T, residuals.v @ residuals.u), len(x), window)
    return y if b is None else y + b, residuals


def winograd_backward(
    dy: Float[np.ndarray, "N OH OW F"], residuals: WinogradResiduals
) -> tuple[Float[np.ndarray, "N H W C"], Float[np.ndarray, "3 3 C F"], Float[np.ndarray, " F"]]:
    """Return (dx, dw, db)."""
    v, u, window, (a, b, g) = residuals
    dm = _on_both_axes(a, _tiles_of_gradients(dy, a.shape[1]))
    dw = _on_both_axes(g.T, v.transpose(0, 1, 3, 2) @ dm)
    dd = _on_both_axes(b, dm @ u.transpose(0, 1, 3, 2))
    return _added_up(dd, len(dy), window), dw, dy.sum((0, 1, 2))


conv2d_winograd_forward = partial(winograd_forward, transforms=F2)
conv2d_winograd_backward = winograd_backward
conv2d_winograd4_forward = partial(winograd_forward, transforms=F4)
conv2d_winograd4_backward = winograd_backward


def tile_counts(window: Window, m: int) -> tuple[int, int]:
    """Rows and columns of tiles; the last ones may reach beyond the outputs."""
    height, width = window.output_size
    return -(-height // m), -(-width // m)


def _on_both_axes(
    matrix: Float[np.ndarray, "R S"], tiles: Float[np.ndarray, "S S K L"]
) -> Float[np.ndarray, "R R K L"]:
    """matrix · tile · matrixᵀ for every tile; the tiles lie along the last two axes."""
    matrix = matrix.astype(tiles.dtype)
    return np.tensordot(matrix, np.tensordot(matrix, tiles, (1, 1)), (1, 1))


def _tiles(
    x: Float[np.ndarray, "N H W C"], window: Window, transforms: Transforms
) -> Float[np.ndarray, "T T tiles C"]:
    """Overlapping t×t tiles of pixels, m apart; zeros outside the image."""
    t, m = transforms.a.shape
    rows, columns = tile_counts(window, m)
    (top, left), (height, width) = window.pads_before, window.image_size
    image = np.zeros((len(x), m * rows + 2, m * columns + 2, x.shape[3]), x.dtype)
    image[:, top : top + height, left : left + width] = x
    tiles = sliding_window_view(image, (t, t), (1, 2))[:, ::m, ::m]
    return tiles.transpose(4, 5, 0, 1, 2, 3).reshape(t, t, -1, x.shape[3])


def _untiled(
    tiles: Float[np.ndarray, "M M tiles F"], images: int, window: Window
) -> Float[np.ndarray, "N OH OW F"]:
    """Tiles of outputs side by side, without what reaches beyond."""
    m, _, _, filters = tiles.shape
    rows, columns = tile_counts(window, m)
    y = tiles.reshape(m, m, images, rows, columns, filters).transpose(2, 3, 0, 4, 1, 5)
    height, width = window.output_size
    return y.reshape(images, rows * m, columns * m, filters)[:, :height, :width]


def _tiles_of_gradients(dy: Float[np.ndarray, "N OH OW F"], m: int) -> Float[np.ndarray, "M M tiles F"]:
    """The transpose of `_untiled`: zeros where a tile reaches beyond the outputs."""
    images, height, width, filters = dy.shape
    padded = np.pad(dy, ((0, 0), (0, -height % m), (0, -width % m), (0, 0)))
    tiles = padded.reshape(images, padded.shape[1] // m, m, padded.shape[2] // m, m, filters)
    return tiles.transpose(2, 4, 0, 1, 3, 5).reshape(m, m, -1, filters)


def _added_up(
    tiles: Float[np.ndarray, "T T tiles C"], images: int, window: Window
) -> Float[np.ndarray, "N H W C"]:
    """The transpose of `_tiles`: every pixel is the sum over the tiles that it lies in."""
    t, _, _, channels = tiles.shape
    m = t - 2
    rows, columns = tile_counts(window, m)
    by_place = tiles.reshape(t, t, images, rows, columns, channels)
    image = np.zeros((images, m * rows + 2, m * columns + 2, channels), tiles.dtype)
    for i, j in np.ndindex(t, t):
        image[:, i : i + m * rows : m, j : j + m * columns : m] += by_place[i, j]
    return unpad(image, window)
