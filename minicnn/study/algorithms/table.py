"""The table: every algorithm with its source, its multiplications and its memory, as formulas and as functions.

Counts are of a forward pass over a batch; the gradients by x and by w are the transposes of the same bilinear map, and
take as many products each. N images, OH×OW outputs, P×Q taps, C channels, F filters, s bytes a number; T tiles of m×m
outputs in the batch, t = m + 2; K frequencies of transforms of L numbers.
"""

from collections.abc import Callable
from math import ceil, log2, prod
from typing import NamedTuple

from minicnn.engine.algorithms import REFUSALS
from minicnn.geometry import Window
from minicnn.reference.conv2d_fft import transform_size
from minicnn.reference.conv2d_winograd import tile_counts


class Case(NamedTuple):
    """One convolution of one group."""

    images: int
    window: Window
    channels: int
    filters: int

    @property
    def outputs(self) -> int:
        """Positions in the batch."""
        return self.images * prod(self.window.output_size)

    @property
    def dense(self) -> int:
        """Products of the definition, those with padding included."""
        return self.outputs * prod(self.window.kernel_size) * self.channels * self.filters

    @property
    def padded_pixels(self) -> int:
        """Numbers in a padded copy of the images."""
        sides = zip(self.window.image_size, self.window.pads_before, self.window.pads_after, strict=True)
        return (
            self.images * prod(size + before + max(0, after) for size, before, after in sides) * self.channels
        )


class Work(NamedTuple):
    products: int
    """Multiplications of numbers that come from x with numbers that come from w."""
    transforms: int
    """Multiplications by constants on the way there and back. For FFT, operations: an estimate."""


class Algorithm(NamedTuple):
    title: str
    source: str
    products: str
    """The formula of `work`."""
    memory: str
    """The formula of `memory_nbytes`."""
    work: Callable[[Case], Work]
    numbers: Callable[[Case], int]
    """What it keeps besides x, w and y, in numbers."""
    where: str
    """Where it applies, and why not elsewhere."""

    def memory_nbytes(self, case: Case, itemsize: int = 4) -> int:
        """What it needs besides x, w and y."""
        return itemsize * self.numbers(case)


def _dense(case: Case) -> Work:
    return Work(case.dense, 0)


def _columns(case: Case) -> int:
    """The matrix of windows; beside it first the padded images, then the product."""
    columns = case.outputs * prod(case.window.kernel_size) * case.channels
    return columns + max(case.padded_pixels, case.outputs * case.filters)


def _tiles(case: Case, m: int) -> int:
    return case.images * prod(tile_counts(case.window, m))


def _winograd_work(m: int) -> Callable[[Case], Work]:
    """A product matrix·tile·matrixᵀ takes r·s·s + r·s·r multiplications for an (r, s) matrix."""

    def work(case: Case) -> Work:
        t, tiles, pairs = m + 2, _tiles(case, m), case.channels * case.filters
        pixels, weights, back = 2 * t**3, 9 * t + 3 * t**2, m * t**2 + m**2 * t
        transforms = pixels * tiles * case.channels + weights * pairs + back * tiles * case.filters
        return Work(t**2 * tiles * pairs, transforms)

    return work


def _winograd_numbers(m: int) -> Callable[[Case], int]:
    def numbers(case: Case) -> int:
        tiles = _tiles(case, m)
        return (m + 2) ** 2 * (tiles * case.channels + case.channels * case.filters + tiles * case.filters)

    return numbers


def _matrices(case: Case) -> int:
    """How many images or kernels of numbers are transformed: of x, w and y."""
    return case.images * case.channels + case.channels * case.filters + case.images * case.filters


def _fft_work(case: Case) -> Work:
    rows, columns = transform_size(case.window)
    length, frequencies = rows * columns, rows * (columns // 2 + 1)
    operations = ceil(2.5 * length * log2(max(2, length)) * _matrices(case))
    return Work(4 * frequencies * case.images * case.channels * case.filters, operations)


def _fft_numbers(case: Case) -> int:
    rows, columns = transform_size(case.window)
    return 2 * rows * (columns // 2 + 1) * _matrices(case)


DENSE = "N·OH·OW·P·Q·C·F"
EVERYWHERE = "every geometry, forward, dx and dw"
ONLY_3X3 = (
    "3×3 kernels at stride 1 without dilation or groups, forward, dx and dw (the transposed formulas): "
)
TABLE: dict[str, Algorithm] = {
    "loops": Algorithm(
        "six nested loops", "the definition", DENSE, "0", _dense, lambda case: 0, EVERYWHERE
    ),
    "windows": Algorithm(
        "sliding_window_view and einsum", "NumPy", DENSE, "s·N·HP·WP·C, padded images", _dense,
        lambda case: case.padded_pixels, EVERYWHERE,
    ),
    "im2col": Algorithm(
        "im2col and one matrix product", "Chellapilla, Puri & Simard 2006", DENSE,
        "s·(N·OH·OW·P·Q·C + the larger of padded images and y)", _dense, _columns, EVERYWHERE,
    ),
    "direct": Algorithm(
        "direct, channels innermost", "this package's kernel", DENSE, "s·N·HP·WP·C, padded images, at most",
        _dense, lambda case: case.padded_pixels, EVERYWHERE,
    ),
    "winograd": Algorithm(
        "Winograd F(2×2, 3×3)", "Lavin & Gray 2016, §4.1", "t²·T·C·F, m = 2: 4 for every 9",
        "s·t²·(T·C + C·F + T·F)", _winograd_work(2), _winograd_numbers(2),
        ONLY_3X3 + "other kernels have other transforms, and strides leave too few shared pixels",
    ),
    "winograd4": Algorithm(
        "Winograd F(4×4, 3×3)", "Lavin & Gray 2016, §4.3", "t²·T·C·F, m = 4: 2.25 for every 9",
        "s·t²·(T·C + C·F + T·F)", _winograd_work(4), _winograd_numbers(4),
        ONLY_3X3 + "as above, and an error many times as large",
    ),
    "fft": Algorithm(
        "FFT", "Mathieu, Henaff & LeCun 2014", "4·K·N·C·F", "2·s·K·(N·C + C·F + N·F)", _fft_work,
        _fft_numbers,
        "stride 1 without groups, dilation too, forward, dx and dw: at stride s all but one of s² would be "
        "thrown away",
    ),
}  # fmt: skip
"""By the name that `compile(algorithm=…)` takes."""


def applicable(window: Window) -> list[str]:
    """The algorithms that apply to a geometry of one group."""
    return [name for name in TABLE if not REFUSALS[name](window, 1)]
