"""Random affine transforms: what Keras's layers RandomTranslation, RandomRotation, … draw, as matrices.

A kind of transform takes a few numbers for each sample, uniform between two bounds, and makes of them the matrix
a0 a1 a2 b0 b1 b2 of `reference.affine`, which says where an output pixel is read: so a translation by +d reads at
x − d, and a zoom by a number above 1 shrinks the picture. Formulas are those of keras/src/layers/preprocessing/
image_preprocessing/; matrices are float32 there and here.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Float32, Float64

from minicnn.reference.affine import AffineResiduals, Sampling, affine_forward
from minicnn.reference.draws import Draw, uniform

Numbers = Float64[np.ndarray, "N numbers"]


def translation(numbers: Numbers, height: int, width: int) -> Float64[np.ndarray, "N 6"]:
    """Down by numbers[0] of the height, right by numbers[1] of the width."""
    down, right = numbers.T
    return _matrices(1, 0, -right * width, 0, 1, -down * height)


def rotation(numbers: Numbers, height: int, width: int) -> Float64[np.ndarray, "N 6"]:
    """Counter-clockwise about the middle by numbers[0] of a full turn."""
    angle = 2 * np.pi * numbers[:, 0]
    cos, sin, cx, cy = np.cos(angle), np.sin(angle), (width - 1) / 2, (height - 1) / 2
    return _matrices(cos, -sin, cx - cx * cos + cy * sin, sin, cos, cy - cx * sin - cy * cos)


def zoom(numbers: Numbers, height: int, width: int) -> Float64[np.ndarray, "N 6"]:
    """About the middle: 1 + numbers[0] input rows for each output row, 1 + the last of the numbers for columns."""
    down, across = 1 + numbers[:, 0], 1 + numbers[:, -1]
    return _matrices(across, 0, (width - 1) / 2 * (1 - across), 0, down, (height - 1) / 2 * (1 - down))


def shear(numbers: Numbers, height: int, width: int) -> Float64[np.ndarray, "N 6"]:
    """About the corner: columns by numbers[1] of the row, rows by numbers[2] of the column; numbers[0] > ½ reverses."""
    sign = np.where(numbers[:, 0] > 0.5, -1, 1)
    return _matrices(1, sign * numbers[:, 1], 0, sign * numbers[:, 2], 1, 0)


def flip(across: bool, down: bool) -> Callable[[Numbers, int, int], Float64[np.ndarray, "N 6"]]:
    """Left to right, top to bottom or both at once, in those samples whose number is at most ½."""

    def matrices(numbers: Numbers, height: int, width: int) -> Float64[np.ndarray, "N 6"]:
        flips = numbers[:, 0] <= 0.5
        a = np.where(flips & across, -1, 1)
        b = np.where(flips & down, -1, 1)
        return _matrices(a, 0, (1 - a) / 2 * (width - 1), 0, b, (1 - b) / 2 * (height - 1))

    return matrices


KINDS: dict[str, Callable[[Numbers, int, int], Float64[np.ndarray, "N 6"]]] = {
    "translation": translation,
    "rotation": rotation,
    "zoom": zoom,
    "shear": shear,
    "horizontal": flip(across=True, down=False),
    "vertical": flip(across=False, down=True),
    "horizontal_and_vertical": flip(across=True, down=True),
}


def random_matrices(
    n: int, size: tuple[int, int], kind: str, bounds: tuple[tuple[float, float], ...], draw: Draw
) -> Float32[np.ndarray, "N 6"]:
    """The matrices of n samples of `size` (H, W): element k of a sample's draw lies in [low, high) of `bounds[k]`."""
    low, high = np.array(bounds, np.float64).T
    numbers = low + (high - low) * uniform(draw, n, len(bounds))
    return KINDS[kind](numbers, *size).astype(np.float32)


def random_affine_forward(
    x: Float[np.ndarray, "N H W C"],
    kind: str,
    bounds: tuple[tuple[float, float], ...],
    sampling: Sampling,
    draw: Draw,
) -> tuple[Float[np.ndarray, "N H W C"], AffineResiduals]:
    """Every sample transformed by a matrix of its own."""
    return affine_forward(x, random_matrices(len(x), x.shape[1:3], kind, bounds, draw), sampling)


def _matrices(*entries: int | float | np.ndarray) -> Float64[np.ndarray, "N 6"]:
    return np.stack(np.broadcast_arrays(*entries), axis=1).astype(np.float64)
