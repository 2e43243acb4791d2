"""Explanations drawn and shown: every kind of step gives tables, HTML and a picture with the element's numbers."""

import re
from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure

from minicnn import Input, layers, models, study, utils
from minicnn.study.explaining import picture
from minicnn.study.explaining.steps import Sum


@pytest.fixture(scope="module")
def model() -> models.Sequential:
    utils.set_random_seed(3)
    model = models.Sequential(
        [
            Input((9, 9, 2)),
            layers.Conv2D(4, 3, padding="same", groups=2, activation="relu", name="conv"),
            layers.MaxPooling2D(2, name="max"),
            layers.Conv2D(12, 2, name="wide"),
            layers.AveragePooling2D(2, padding="same", name="mean"),
            layers.Flatten(name="flatten"),
            layers.Dense(5, activation="tanh", name="dense"),
            layers.Dense(4, activation="softmax", name="last"),
        ]
    )
    model.compile(loss="sparse_categorical_crossentropy")
    return model


X, Y = np.random.default_rng(5).random((2, 9, 9, 2)), np.array([1, 0])

ASKED = [
    ("conv", {"output": (0, 0, 0, 3)}, "Conv2D: Σ x·w + bias"),
    ("conv", {"input": (1, 4, 4, 1)}, "Conv2D: Σ dy·w"),
    ("conv", {"weight": (0, 2, 0, 3)}, "Conv2D: Σ x·dy"),
    ("conv", {"bias": (1,)}, "Conv2D: Σ dy"),
    ("max", {"output": (0, 1, 2, 3)}, "MaxPool2D: max[0, 1, 2, 3] = max of its window"),
    ("max", {"input": (0, 1, 2, 3)}, "MaxPool2D: Σ dy·won"),
    ("wide", {"output": (1, 1, 1, 1)}, "then AveragePool2D: mean[1, 0, 0, 1] = mean of its window"),
    ("mean", {"output": (1, 1, 1, 1)}, "AveragePool2D: Σ x ÷"),
    ("mean", {"input": (1, 1, 1, 1)}, "AveragePool2D: Σ dy÷pixels"),
    ("flatten", {"output": (1, 5)}, "Reshape: moved, not computed"),
    ("dense", {"output": (1, 2)}, "Tanh: y = f(x)"),
    ("dense", {"weight": (7, 2)}, "Dense: Σ x·dy"),
    ("last", {"output": (1, 2)}, "Softmax: y = exp(z − max z) ÷ Σ exp(z − max z)"),
    ("last", {"input": (1, 2)}, "Dense: Σ dy·w"),
]


@pytest.mark.parametrize(("layer", "asked", "words"), ASKED)
def test_tables_html_and_picture(model, layer, asked, words):
    e = study.explain(model, X, Y, layer=layer, **asked)
    text, html = str(e), e._repr_html_()
    assert words in text and text.startswith(f"{e.title} = ")
    assert (
        e.title in html and words.split(" = ")[0].split("Σ")[0] in html and "data:image/png;base64," in html
    )
    figure = e.plot()
    assert e.title in figure.get_suptitle()
    figure.savefig("/dev/null", format="png")
    assert texts_overlap(figure) == []


def texts_overlap(figure) -> list[tuple[str, str]]:
    """Pairs of texts of one picture that cover each other, drawn at its own size."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = []
    for ax in figure.axes:
        for text in [*ax.texts, ax.title, ax.xaxis.label, *(ax.get_yticklabels() if ax.axison else [])]:
            if text.get_text() and text.get_visible():
                boxes.append(
                    (text.get_text(), text.get_window_extent(canvas.get_renderer()).shrunk(0.9, 0.9))
                )
    return [
        (one, other)
        for k, (one, box) in enumerate(boxes)
        for other, second in boxes[k + 1 :]
        if box.overlaps(second)
    ]


def test_a_notebook_may_be_dark_and_says_a_title_once(model, monkeypatch):
    """Wherever the background has a colour the text has one; the picture below the title has none of its own."""
    titles, save = [], Figure.savefig

    def savefig(figure, *arguments, **options):
        titles.append(figure.get_suptitle())
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    html = study.explain(model, X, layer="max", output=(0, 1, 1, 2))._repr_html_()
    styles = re.findall(r'style="([^"]*)"', html)
    assert any("background" in style for style in styles)
    assert all(("background:" in style) == (" color:" in style) for style in styles)
    assert titles == [""]


def test_the_numbers_below_a_sum_leave_each_other_room():
    """As wide as beside a softmax: their texts, as drawn, don't touch."""
    model = models.Sequential([Input((3,)), layers.Dense(10, activation="softmax", name="dense")])
    model.layers[0].set_weights([np.tile([[-0.035], [0.079], [-0.147]], 10), np.zeros(10)])
    figure = study.explain(model, np.ones((1, 3)), layer="dense", output=(0, 3)).plot()
    for _ in range(2):  # matplotlib chooses the numbers anew once it knows how wide the panel has become
        figure.savefig(BytesIO(), dpi=96)
    ax = next(ax for ax in figure.axes if "sum" in ax.get_title(loc="left"))
    boxes = [text.get_window_extent() for text in ax.get_xticklabels() if text.get_text()]
    assert len(boxes) > 2 and all(a.x1 + 4 < b.x0 for a, b in pairwise(boxes))


def test_all_terms_in_order_or_the_largest_first(model):
    e = study.explain(model, X, layer="last", output=(0, 1))
    e_dense = study.explain(model, X, layer="dense", output=(0, 1))
    assert "the 12 largest of 48 terms" in str(e_dense) and "largest" not in str(e)
    rows = [line.split() for line in e_dense.text(None).splitlines()]
    numbered = [row for row in rows if len(row) == 4 and row[0].isdigit()]
    assert [int(row[0]) for row in numbered] == list(range(48))
    shown = [row for row in map(str.split, str(e_dense).splitlines()) if len(row) == 4 and row[0].isdigit()]
    sizes = [abs(float(row[3].replace("−", "-"))) for row in shown]
    assert len(shown) == 12 and sizes == sorted(sizes, reverse=True)


def test_the_taps_of_a_wide_convolution_are_shown_with_their_sums(model):
    e = study.explain(model, X, layer="wide", output=(1, 1, 1, 1))
    lines = str(e).splitlines()
    start = next(k for k, line in enumerate(lines) if "sum over 4 channels" in line)
    shown = [float(line.split()[-1].replace("−", "-")) for line in lines[start + 2 : start + 6]]
    np.testing.assert_allclose(shown, e.sum.group_sums, rtol=1e-5)


def test_padding_is_said_and_hatched(model):
    e = study.explain(model, X, layer="conv", output=(0, 0, 0, 3))
    assert "5 of 9 terms lie in the padding, which is 0." in str(e)
    hatched = [patch for ax in e.plot().axes for patch in ax.patches if patch.get_hatch()]
    assert len(hatched) == 10  # in the window and among the products


@pytest.mark.parametrize(
    ("layer", "asked"), [("conv", {"input": (1, 4, 4, 1)}), ("wide", {"output": (1, 1, 1, 1)})]
)
def test_the_rows_drawn_sum_to_the_element(model, layer, asked):
    e = study.explain(model, X, Y, layer=layer, **asked)
    _, contributions = picture._rows(e)
    total = sum(value for _, value in contributions) + (e.sum.bias or 0)
    assert isinstance(e.steps[0], Sum) and total == pytest.approx(e.sum.value, rel=1e-6)
