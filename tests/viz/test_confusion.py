"""What `confusion_matrix` draws: counts in cells, names at the axes, shades that follow the counts."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from minicnn.viz import confusion_matrix

Y_TRUE = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
Y_PRED = np.array([0, 0, 2, 1, 0, 2, 2, 2, 2])


def cells(ax) -> dict[tuple[int, int], str]:
    """The text of each cell, by (row, column)."""
    return {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in ax.texts}


def test_counts_are_in_the_cells():
    ax = confusion_matrix(Y_TRUE, Y_PRED)
    assert cells(ax) == {(0, 0): "2", (0, 2): "1", (1, 1): "1", (1, 0): "1", (2, 2): "4"}
    assert ax.get_title(loc="left") == "7 of 9 right (77.78%)"
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("true", "predicted")
    assert ax.get_ylim() == (2.5, -0.5)  # class 0 on top


def test_every_count_of_a_larger_case():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 10, 10_000).astype(np.uint8)
    predicted = np.where(rng.random(10_000) < 0.99, true, rng.integers(0, 10, 10_000))
    expected = {}
    for pair in zip(true.tolist(), predicted.tolist(), strict=True):
        expected[pair] = expected.get(pair, 0) + 1
    assert cells(confusion_matrix(true, predicted)) == {pair: str(count) for pair, count in expected.items()}


def test_a_single_error_shows_beside_a_thousand():
    ax = confusion_matrix([0] * 1000 + [1], [0] * 1000 + [0])
    shade = ax.images[0].get_array()
    assert shade[0, 0] > shade[1, 0] > 0.05 and shade[1, 1] == shade[0, 1] == 0


def test_text_can_be_read_on_its_cell():
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    def luminance(rgb) -> float:  # WCAG 2
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in rgb[:3]]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    counts = np.repeat(np.arange(60), np.unique(np.geomspace(1, 5000, 100).astype(int))[:60])
    ax = confusion_matrix(counts, counts)
    shade = ax.images[0].get_array()
    for text in ax.texts:
        j, i = (int(v) for v in text.get_position())
        light, dark = sorted(
            (luminance(colormaps["Blues"](shade[i, j])), luminance(to_rgb(text.get_color())))
        )[::-1]
        assert (light + 0.05) / (dark + 0.05) > 4.5  # WCAG 2, level AA


def test_class_names():
    names = ["T-shirt/top", r"$\odd$", "Bag", "never seen"]
    ax = confusion_matrix(Y_TRUE, Y_PRED, names)
    assert [t.get_text() for t in ax.get_xticklabels()] == names
    assert [t.get_text() for t in ax.get_yticklabels()] == names
    assert len(cells(ax)) == 5
    ax.figure.savefig("/dev/null", format="png")


def test_numbers_are_the_names_otherwise():
    assert [t.get_text() for t in confusion_matrix([2], [0]).get_xticklabels()] == ["0", "1", "2"]


def test_given_axes_are_drawn_into():
    ax = Figure().subplots()
    assert confusion_matrix(Y_TRUE, Y_PRED, ax=ax) is ax
    assert len(cells(ax)) == 5


@pytest.mark.parametrize(
    ("true", "predicted", "names", "message"),
    [
        ([], [], None, "`y_true` must be class numbers|equally long, at least 1"),
        (np.array([], int), np.array([], int), None, "equally long, at least 1"),
        ([0, 1], [0], None, "Received 2 and 1"),
        ([0.0, 1.0], [0, 1], None, "`y_true` must be class numbers"),
        ([0, 1], [0, -1], None, "`y_pred` must be class numbers"),
        ([0, 1], [[1, 0], [0, 1]], None, r"`y_pred` must be .*shape=\(2, 2\)"),
        ([True], [True], None, "`y_true` must be class numbers"),
        ([0, 1], [0, 2], ["a", "b"], "`class_names` must name classes 0 to 2. Received 2"),
    ],
)
def test_bad_input(true, predicted, names, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(true, predicted, names)
