"""Any picture of a digit, prepared the way MNIST's were: light ink on black, 20×20 in the middle of 28×28.

Source of the recipe: Y. LeCun, C. Cortes, C. Burges, "The MNIST database": the digits were size normalised to fit in
a 20×20 box preserving their aspect ratio, with the grey levels of an anti-aliasing filter, and centred in a 28×28
image by their centre of mass.
"""

import os

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps, TiffImagePlugin, WebPImagePlugin

from minicnn.errors import DataError

BOX, FIELD = 20, 28
MAX_PIXELS = 100_000_000
"""A larger picture is refused before it is decompressed."""
FORMATS = (
    "PNG",
    "JPEG",
    "GIF",
    "BMP",
    "PPM",
    TiffImagePlugin.TiffImageFile.format,
    WebPImagePlugin.WebPImageFile.format,
)
"""Not all that Pillow reads: for PostScript it starts Ghostscript, which runs the program that such a file is."""
MIN_CONTRAST = 16
"""Of 255. Below, a picture is one shade and its noise."""
NOISE_SPREADS = 8
"""How many median deviations of the border are still noise: 5.4 standard deviations if it is normal, which not one
of a million pixels exceeds."""


def read_digit(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "28 28"]:
    """The picture at `path` as an MNIST image.

    Raises:
        DataError (a ValueError): not a picture, too large, or without a digit.
        OSError: the file can't be read.
    """
    return prepare(read_grey(path), str(path))


def read_grey(path: str | os.PathLike[str]) -> Float[np.ndarray, "H W"]:
    """Grey levels from 0 to 255; what is transparent is white, and the camera's rotation is undone."""
    with open(path, "rb") as file:
        try:
            with Image.open(file, formats=FORMATS) as opened:
                width, height = opened.size
                if width * height > MAX_PIXELS:
                    raise DataError(
                        f"'{path}' must have at most {MAX_PIXELS} pixels. Received {width}×{height}."
                    )
                picture = ImageOps.exif_transpose(opened)
                if picture.mode.startswith(("I", "F")):  # 16 or 32 bits: by their own range
                    grey = np.asarray(picture, np.float64)
                    return 255 * (grey - grey.min()) / max(np.ptp(grey), 1e-9)
                if picture.has_transparency_data:
                    picture = picture.convert("RGBA")
                    paper = Image.new("RGBA", picture.size, "white")
                    picture = Image.alpha_composite(paper, picture)
                return np.asarray(picture.convert("L"), np.float64)
        except DataError:
            raise
        except (
            OSError,
            ValueError,
            SyntaxError,
            Image.DecompressionBombError,
        ) as error:  # Pillow's, for bad files
            raise DataError(f"'{path}' must be a picture that can be read. {error}") from error


def prepare(grey: Float[np.ndarray, "H W"], name: str) -> UInt8[np.ndarray, "28 28"]:
    """The digit in a picture of grey levels 0 to 255, whichever of ink and paper is the lighter.

    Raises:
        DataError: no digit; the message begins with `name`.
    """
    ink = ink_of(grey)
    if ink.max(initial=0) < MIN_CONTRAST:
        raise DataError(
            f"{name} must show a digit. Received a blank picture of {grey.shape[1]}×{grey.shape[0]}."
        )
    rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
    digit = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return centred(fitted(digit))


def ink_of(grey: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """How far each pixel is from the paper, 0 to 255 at its darkest; the paper's own noise is 0.

    The paper is the median of the picture's border, and its noise the spread there: writing may touch the border,
    but covers less than half of it.
    """
    border = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    paper = np.median(border)
    ink = grey - paper if paper < (grey.max() + grey.min()) / 2 else paper - grey
    noise = NOISE_SPREADS * np.median(np.abs(border - paper)) + 1e-9
    contrast = ink.max(initial=0)
    if contrast < MIN_CONTRAST:
        return np.zeros_like(grey)
    ink[ink <= min(noise, contrast / 2)] = 0
    return ink * (255 / contrast)


def fitted(digit: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "h w"]:
    """Scaled so that the longer side is 20; a digit of that size stays as it is."""
    height, width = digit.shape
    scale = BOX / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    filter = (
        Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    )  # the mean of an area; or between pixels
    scaled = Image.fromarray(digit.astype(np.float32)).resize(size, filter)
    pixels = np.asarray(scaled, np.float64)
    return pixels * (255 / pixels.max())  # thin strokes fade when they are averaged


def centred(digit: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "28 28"]:
    """In the middle by the centre of mass, as far as it fits."""
    field = np.zeros((FIELD, FIELD), np.uint8)
    place = []
    for axis, size in enumerate(digit.shape):
        mass = digit.sum(1 - axis)
        middle = (mass * np.arange(size)).sum() / mass.sum()
        place.append(min(max(round(FIELD / 2 - middle), 0), FIELD - size))
    top, left = place
    field[top : top + digit.shape[0], left : left + digit.shape[1]] = np.rint(digit)
    return field
