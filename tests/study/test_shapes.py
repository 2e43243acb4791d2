"""The arithmetic of shapes: formulas with the right numbers, the window where it reads, one picture a position."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minicnn.geometry import make_window
from minicnn.study.shapes import explain_shape
from minicnn.viz import save_animation
from minicnn.viz.windows import MOST_FRAMES

PAIRS = st.tuples(st.integers(1, 4), st.integers(1, 4))


@given(PAIRS, PAIRS, PAIRS, st.sampled_from(["valid", "same"]), st.data())
def test_the_drawn_cells_are_what_a_convolution_reads(kernel, stride, dilation, padding, data):
    """Of an image whose pixels are numbered, by the taps of the window that the engine slides."""
    image = (14, 16)
    window = make_window(image, kernel, stride, padding, dilation)
    at = tuple(data.draw(st.integers(0, size - 1)) for size in window.output_size)
    cells = explain_shape(image, kernel, stride, padding, dilation, at=at).cells()
    (top, left), (bottom, right) = window.pads_before, (max(0, pad) for pad in window.pads_after)
    numbers = np.pad(np.arange(1, 1 + 14 * 16).reshape(image), ((top, bottom), (left, right)))
    read = [numbers[rows, columns][at] for _, _, rows, columns in window.taps()]
    assert cells.shape == numbers.shape
    assert sorted(numbers[cells == "■"]) == sorted(n for n in read if n)
    assert (cells == "▣").sum() == read.count(0)
    assert (cells[numbers == 0] != "□").all() and (cells[numbers > 0] != "·").all()


SAME = [
    "extent of the kernel = (kernel − 1)·dilation + 1 = (3 − 1)·1 + 1 = 3",
    "output = ⌈image / stride⌉ = ⌈28 / 2⌉ = 14",
    "padding = max(0, (output − 1)·stride + extent − image) = max(0, (14 − 1)·2 + 3 − 28) = 1: 0 before, 1 after",
    "output i reads i·2 + p·1 for p from 0 to 2",
]
VALID = [
    "extent of the kernel = (kernel − 1)·dilation + 1 = (3 − 1)·2 + 1 = 5",
    "output = ⌊(image − extent) / stride⌋ + 1 = ⌊(10 − 5) / 2⌋ + 1 = 3",
    "at the end 1 of 10 is never read",
    "output i reads i·2 + p·2 for p from 0 to 2",
]


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (((28, 28), (3, 3), (2, 2), "same"), SAME),
        (((10, 10), (3, 3), (2, 2), "valid", (2, 2)), VALID),
    ],
)
def test_formulas(arguments, lines):
    shape = explain_shape(*arguments)
    assert shape.lines() == lines
    assert all(line in str(shape) for line in lines)


def test_rows_and_columns_that_differ_and_groups():
    lines = explain_shape((6, 9), (2, 3), groups=2).lines()
    assert "rows: output = ⌊(image − extent) / stride⌋ + 1 = ⌊(6 − 2) / 1⌋ + 1 = 5" in lines
    assert "columns: output = ⌊(image − extent) / stride⌋ + 1 = ⌊(9 − 3) / 1⌋ + 1 = 7" in lines
    assert lines[-3:] == [
        "groups = 2: the kernel is 2 × 3 × 4/2 = 2 × 4",
        "  filters 0 to 1 see channels 0 to 1",
        "  filters 2 to 3 see channels 2 to 3",
    ]


def test_of_a_large_image_a_part_is_printed():
    text = str(explain_shape((100, 100), (3, 3), at=(90, 90)))
    assert "(a part of 100 × 100 cells)" in text and text.count("■") == 10  # nine taps and the legend
    assert max(map(len, text.splitlines())) < 110


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (((3, 3), (5, 5)), {}, "window must fit into the image"),
        (((3, 0), (1, 1)), {}, r"`image` must be positive\. Received image=\(3, 0\)"),
        (((3, 3), (1, 1), (1, 1), "full"), {}, "`padding` must be 'valid' or 'same'"),
        (((3, 3), (2, 2)), {"at": (0, 2)}, r"`at` must lie within the output of \(2, 2\)"),
        (((3, 3), (2, 2)), {"groups": 0}, "`groups` must be positive"),
    ],
)
def test_bad_arguments(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        explain_shape(*arguments, **options)


def test_an_animation_steps_through_the_positions(tmp_path):
    shape = explain_shape((4, 3), (3, 3), padding="same", stride=(2, 2), groups=2)
    save_animation(shape.frames(), tmp_path / "a.gif", frame_s=0.1)
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 4 and gif.info["loop"] == 0 and gif.info["duration"] == 100
    with pytest.raises(ValueError, match=r"must end in \.gif"):
        save_animation(shape.frames(), tmp_path / "a.png")


def test_of_many_positions_an_animation_shows_some(monkeypatch):
    from minicnn.viz import windows

    drawn = []
    monkeypatch.setattr(windows, "window_step", lambda window, at, *args, **kwargs: drawn.append(at))
    list(windows.window_steps(make_window((40, 10), (3, 3))))
    assert len(drawn) <= MOST_FRAMES and drawn[0] == (0, 0) and drawn[-1] == (37, 7)


def test_the_picture_has_a_box_for_every_tap():
    figure = explain_shape((5, 5), (2, 2), (2, 2), "same", at=(2, 2)).plot()
    image, output = figure.axes
    assert image.get_title(loc="left") == "image 5 × 5" and output.get_title(loc="left") == "output 3 × 3"
    assert len(image.patches) == 2 + 4 + 1  # padding, image, four taps, the frame
    assert "⌈5 / 2⌉ = 3" in figure.get_supxlabel()
