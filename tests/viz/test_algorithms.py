"""Pictures of algorithms: every number stands where it must."""

import numpy as np
import pytest

from minicnn.viz import algorithms as draw


def test_a_cell_names_the_fastest_and_its_lead():
    seconds = {"direct": [[1.0, 4.0]], "fft": [[3.0, 2.0]], "winograd": [[np.nan, 1.0]]}
    ax = draw.winner_map([3], [8, 16], seconds)
    assert [text.get_text() for text in ax.texts] == ["direct\n×3", "winograd\n×2"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["8", "16"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["3×3"]


def test_tables_must_fit_and_have_numbers():
    with pytest.raises(ValueError, match="tables of"):
        draw.winner_map([3], [8, 16], {"direct": [[1.0]]})
    with pytest.raises(ValueError, match="NaN alone"):
        draw.winner_map([3], [8], {"direct": [[np.nan]]})


def test_curves_have_a_colour_and_a_marker_each():
    shares = {name: [1.0, 2.0] for name in draw.STYLES}
    ax = draw.rate_curves([4, 16], shares, "3×3, forward")
    curves = [line for line in ax.lines if line.get_label() in shares]
    assert [list(line.get_ydata()) for line in curves] == [[1.0, 2.0]] * len(shares)
    assert len({line.get_color() for line in curves}) == len({line.get_marker() for line in curves}) == 8
    assert ax.get_title(loc="left") == "3×3, forward"


def test_errors_over_terms_and_over_speed():
    ax = draw.error_growth({"fft": [36, 144]}, {"fft": [0.5, 0.4]}, "forward")
    (line,) = ax.lines
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([36, 144], [0.5, 0.4])
    ax = draw.error_speed({"fft": 10.0, "direct": 90.0}, {"fft": 3.0, "direct": 1.0}, "3×3")
    assert {tuple(map(float, (*line.get_xdata(), *line.get_ydata()))) for line in ax.lines} == {
        (10.0, 3.0),
        (90.0, 1.0),
    }
    assert [text.get_text() for text in ax.texts] == ["fft", "direct"]


def test_names_of_points_lie_on_no_other_point():
    names = ("loops", "windows", "im2col", "direct", "winograd", "winograd4", "fft", "engine")
    shares = dict(zip(names, (1.2, 7.8, 47.0, 94.0, 33.0, 56.0, 5.9, 174.0), strict=True))
    errors = dict(zip(names, (4.2, 4.2, 2.4, 1.0, 2.1, 19.0, 0.9, 1.7), strict=True))
    ax = draw.error_speed(shares, errors, "3×3")
    ax.figure.canvas.draw()
    points = [ax.transData.transform((shares[name], errors[name])) for name in names]
    assert not any(text.get_window_extent().contains(*point) for text in ax.texts for point in points)
