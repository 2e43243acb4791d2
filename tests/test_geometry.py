"""Windows, exhaustively: every tap of every window reads the pixel that a brute-force loop says."""

from itertools import chain, product

import numpy as np
import pytest

from minicnn.geometry import Window, dilated, make_window, output_length, same_pads
from minicnn.testing.oracles.convolution import conv_windows

SIZES, KERNELS, STRIDES, DILATIONS, PADDINGS = (
    range(1, 15),
    range(1, 6),
    range(1, 5),
    range(1, 4),
    ("valid", "same"),
)
"""Every image, kernel, stride, dilation and padding for which all claims are checked, one axis at a time."""

PADDED = -1


def windows_along_one_axis():
    for size, kernel, stride, dilation, padding in product(SIZES, KERNELS, STRIDES, DILATIONS, PADDINGS):
        if padding == "same" or dilated(kernel, dilation) <= size:
            yield (
                (size, kernel, stride, padding, dilation),
                make_window((size, 1), (kernel, 1), (stride, 1), padding, (dilation, 1)),
            )


def pixels_read(window: Window) -> list[list[int]]:
    """For each output row the image row under each tap, PADDED outside: `taps` on an image of its own row numbers."""
    (top, _), (bottom, _) = window.pads_before, window.pads_after
    rows = np.pad(np.arange(window.image_size[0]), (top, max(0, bottom)), constant_values=PADDED)
    return np.stack([rows[rows_of_tap] for _, _, rows_of_tap, _ in window.taps()], axis=1).tolist()


def test_every_tap_of_every_window():
    for (size, kernel, stride, padding, dilation), window in windows_along_one_axis():
        assert pixels_read(window) == conv_windows(size, kernel, stride, padding, dilation), window


def test_output_sizes():
    for (size, kernel, stride, padding, dilation), window in windows_along_one_axis():
        places = conv_windows(size, kernel, stride, padding, dilation)
        assert window.output_size == (len(places), 1)
        assert output_length(size, kernel, stride, padding, dilation) == len(places)


def test_padding_is_split_evenly_and_the_odd_row_goes_after():
    for (size, kernel, stride, padding, dilation), window in windows_along_one_axis():
        before, after = window.pads_before[0], window.pads_after[0]
        if padding == "valid":
            assert before == 0
            assert after <= 0
            assert -after < stride  # what is left over is less than one step
        else:
            assert (before, after) == same_pads(size, kernel, stride, dilation)
            assert 0 <= after - before <= 1


def test_a_valid_window_larger_than_the_image_is_refused():
    for size, kernel, dilation in product(SIZES, KERNELS, DILATIONS):
        if dilated(kernel, dilation) > size:
            assert output_length(size, kernel, 1, "valid", dilation) == 0
            for image, taps, steps in (
                ((size, 9), (kernel, 1), (dilation, 1)),
                ((9, size), (1, kernel), (1, dilation)),
            ):
                with pytest.raises(ValueError, match="must fit into the image"):
                    make_window(image, taps, dilation=steps)


def test_the_refusal_names_every_size():
    with pytest.raises(ValueError) as refusal:
        make_window((9, 4), (2, 3), (1, 1), "valid", (1, 2))
    assert str(refusal.value) == (
        "With padding='valid' the window must fit into the image. Received kernel or pool size=(2, 3), "
        "dilation_rate=(1, 2), image size=(9, 4)."
    )


def test_what_may_be_left_out():
    """Stride 1, 'valid' and no dilation, as Keras's layers have it."""
    assert make_window((7, 5), (3, 2)) == make_window((7, 5), (3, 2), (1, 1), "valid", (1, 1))
    assert make_window((7, 5), (3, 2)).output_size == (5, 4)
    assert output_length(7, 3, 2, "valid") == 3
    assert output_length(3, 3, 1, "valid") == 1
    assert same_pads(7, 4, 2) == (1, 2)


def test_rows_and_columns_are_not_confused():
    window = make_window((9, 6), (4, 3), (3, 2), "same", (1, 1))
    assert window.output_size == (3, 3)
    assert window.pads_before == (0, 0)
    assert window.pads_after == (1, 1)
    taps = list(window.taps())
    assert [tap[:2] for tap in taps] == list(product(range(4), range(3)))
    assert taps[-1][2:] == (slice(3, 10, 3), slice(2, 7, 2))


def windows_in_two_axes():
    """Every pair of axes out of a few that differ in what matters: overlap, gaps, dilation, padding, leftovers."""
    axes = list(product((4, 5, 6), (1, 2, 3), (1, 2, 3), (1, 2), ("valid", "same")))
    for (h, p, s, d, padding), (w, q, t, e, other) in product(axes, axes):
        if padding == other and (padding == "same" or (dilated(p, d) <= h and dilated(q, e) <= w)):
            yield make_window((h, w), (p, q), (s, t), padding, (d, e))


def reads_of(window: Window) -> tuple[list[list[int]], list[list[int]]]:
    """For each axis the pixels of each window, by brute force."""
    padding = "same" if max(window.pads_after) > 0 else "valid"
    axes = zip(window.image_size, window.kernel_size, window.strides, window.dilation, strict=True)
    rows, columns = (conv_windows(size, kernel, stride, padding, step) for size, kernel, stride, step in axes)
    return rows, columns


def test_plain_and_tiling_mean_what_they_say():
    """Kernels rely on the two flags; a window of a single place or a single tap may do without them."""
    seen = set()
    for window in windows_in_two_axes():
        axes = reads_of(window)
        slides_by_one = all(
            pixels == list(range(i, i + len(pixels))) for a in axes for i, pixels in enumerate(a)
        )
        tiles = all(list(chain(*a)) == list(range(sum(map(len, a)))) for a in axes)
        assert slides_by_one or not window.is_plain, window
        assert tiles or not window.is_tiling, window
        if all(len(a) > 1 and len(a[0]) > 1 for a in axes):
            assert window.is_plain == slides_by_one, window
            assert window.is_tiling == tiles, window
            seen.add((window.is_plain, window.is_tiling))
    assert seen == {(False, False), (True, False), (False, True)}
