"""What is drawn of a failure, and the page around it."""

from __future__ import annotations

import re
from dataclasses import asdict

import numpy as np
import pytest

from minicnn.testing import oracles, verify
from minicnn.testing.drawing import Panel, panels
from minicnn.testing.geometry import ConvGeometry, DenseGeometry, PoolGeometry
from minicnn.testing.html import MAX_CELLS, as_html, as_svg, number
from minicnn.testing.report import DIFFERS, FAILS, HOLDS, NOT_RUN, Failure, PropertyResult, Report
from tests.testing.test_verify import LAYERS, file

__all__ = ["file"]


def numbers(*shape: int) -> np.ndarray:
    """Powers of two and their inverses: every sum of products is exact, and no two are equal."""
    size = int(np.prod(shape))
    return (2.0 ** (np.arange(size) % 11 - 5) * np.where(np.arange(size) % 3, 1, -1)).reshape(shape)


def failure(label: str, index: tuple[int, ...], expected, geometry=None, **arrays) -> Failure:
    """The element is wrong by one."""
    expected = np.asarray(expected)
    got = expected.copy()
    got[index] += 1
    lists = {name: array.tolist() for name, array in arrays.items()}
    return Failure(
        "", asdict(geometry) if geometry else {}, lists, {}, label, index, got.tolist(), expected.tolist()
    )


def conv(g: ConvGeometry):
    x, w, b = numbers(*g.image_shape), numbers(*g.kernel_shape), numbers(g.filters)
    dy = numbers(*g.output_shape)[..., ::-1]
    arrays = {"x": x, "w": w, "b": b, "dy": dy}
    return (
        arrays,
        oracles.conv2d_forward(x, w, b, **g.options()),
        oracles.conv2d_backward(dy, x, w, **g.options()),
    )


SAME = ConvGeometry(1, 3, 3, 1, 1, (2, 2), (2, 2), "same")
VALID = ConvGeometry(1, 3, 3, 1, 1, (2, 2))
ALL = {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_the_window_of_a_convolution_with_its_padding() -> None:
    arrays, y, _ = conv(SAME)
    (image, kernel), (expected, got) = panels(failure("y", (0, 1, 1, 0), y, SAME, **arrays))
    assert image.marked == {(2, 2), (2, 3), (3, 2), (3, 3)} and image.outside == "0"
    assert "x[0, :, :, 0] under the window of y[0, 1, 1, 0]" in image.title
    assert kernel.marked == ALL and np.array_equal(kernel.values, arrays["w"][:, :, 0, 0])
    assert expected.focus == got.focus == (1, 1) and got.wrong == {(1, 1)} and not expected.wrong
    assert np.array_equal(expected.values, y[0, :, :, 0])


def test_the_elements_of_dy_that_reach_a_pixel() -> None:
    arrays, _, gradients = conv(VALID)
    (dy, kernel), (expected, _) = panels(failure("dx", (0, 1, 2, 0), gradients.dx, VALID, **arrays))
    assert dy.marked == {(0, 1), (1, 1)} and kernel.marked == {(1, 1), (0, 1)}
    assert "dy[0, :, :, 0] whose windows see x[0, 1, 2, 0]" in dy.title and expected.focus == (1, 2)


def test_the_pixels_that_a_kernel_element_meets() -> None:
    arrays, _, gradients = conv(VALID)
    (image, dy), (expected, _) = panels(failure("dw", (1, 0, 0, 0), gradients.dw, VALID, **arrays))
    assert image.marked == {(1, 0), (1, 1), (2, 0), (2, 1)} and dy.marked == ALL and expected.focus == (1, 0)
    assert expected.title == "expected dw[:, :, 0, 0]"


@pytest.mark.parametrize("label", ["y", "dx", "dw"])
def test_groups_dilation_and_several_channels(label: str) -> None:
    g = ConvGeometry(2, 5, 4, 4, 6, (2, 2), (1, 1), "same", (2, 1), 2)
    arrays, y, gradients = conv(g)
    wanted = y if label == "y" else getattr(gradients, label)
    for index in np.ndindex(wanted.shape):
        rows = panels(failure(label, index, wanted, g, **arrays))
        assert len(rows) >= 3, f"{label}{index}: the marked elements don't sum to the expected one"
    shown = [row[0].title for row in panels(failure("y", (1, 2, 2, 5), y, g, **arrays))]
    assert shown[0].startswith("x[1, :, :, 2]") and shown[1].startswith("x[1, :, :, 3]")


def test_pooling_windows() -> None:
    g = PoolGeometry(1, 3, 3, 1, (2, 2), (2, 2), "same")
    x, options = numbers(*g.image_shape), g.options()
    for pool, outside in ((oracles.max_pooling2d_forward, "−∞"), (oracles.average_pooling2d_forward, "–")):
        (image,), _ = panels(failure("y", (0, 1, 0, 0), pool(x, **options), g, x=x))
        assert image.marked == {(2, 0), (2, 1), (3, 0), (3, 1)} and image.outside == outside
    dy = numbers(*g.output_shape)
    dx = oracles.max_pooling2d_backward(dy, x, **options)
    (image, gradient), _ = panels(failure("dx", (0, 2, 1, 0), dx, g, x=x, dy=dy))
    assert image.marked == {(2, 1)} and np.array_equal(gradient.values, dy[0, :, :, 0])


@pytest.mark.parametrize(
    ("label", "one", "two"),
    [
        ("y", {(1, 0), (1, 1)}, {(0, 2), (1, 2)}),
        ("dx", {(1, 0), (1, 1), (1, 2)}, {(1, 0), (1, 1), (1, 2)}),
        ("dw", {(0, 1), (1, 1)}, {(0, 2), (1, 2)}),
    ],
)
def test_dense(label: str, one, two) -> None:
    x, w, b, dy = numbers(2, 2), numbers(2, 3), numbers(3), numbers(2, 3)[::-1]
    wanted = {"y": x @ w + b, "dx": dy @ w.T, "dw": x.T @ dy}[label]
    index = (1, 1) if label == "dx" else (1, 2)
    rows = panels(failure(label, index, wanted, DenseGeometry(2, 2, 3), x=x, w=w, b=b, dy=dy))
    (left, right), (expected, _) = rows
    assert (left.marked, right.marked, expected.focus) == (one, two, index)


def test_what_an_element_is_not_made_of_is_not_drawn() -> None:
    arrays, y, _ = conv(VALID)
    assert len(panels(failure("y", (0, 1, 1, 0), 2 * y, VALID, **arrays))) == 1  # another op's y
    assert len(panels(failure("y of the reversed batch", (0, 1, 1, 0), y, VALID, **arrays))) == 1
    g = PoolGeometry(1, 3, 3, 1, (2, 2), (1, 1))
    assert (
        len(panels(failure("y", (0, 1, 1, 0), np.full(g.output_shape, 77.0), g, x=numbers(1, 3, 3, 1)))) == 1
    )


def test_arrays_without_a_geometry() -> None:
    x = numbers(2, 3)
    (image,), (expected, got) = panels(failure("y", (1, 2), x, x=x))
    assert image.marked == {(1, 2)} == got.wrong and expected.title == "expected y[:, :]"
    _, (expected, got) = panels(failure("y", (2,), x[0], x=x[0]))
    assert expected.values.shape == (1, 3) and got.wrong == {(0, 2)} and expected.focus == (0, 2)
    ((expected, _),) = panels(failure("y of channels_first", (0, 1, 2, 0), numbers(1, 2, 3, 4), VALID))
    assert expected.title == "expected y of channels_first[0, 1, :, :]" and expected.values.shape == (3, 4)


@pytest.mark.parametrize("missing", ["got", "expected", "index"])
def test_nothing_is_drawn_of_nothing(missing: str) -> None:
    f = failure("y", (1,), numbers(3))
    setattr(f, missing, None)
    assert panels(f) == []
    assert panels(Failure("", got=1.0, expected=2.0, index=())) == []
    assert panels(Failure("", got=[1.0, 2.0], expected=[1.0], index=(0,))) == []


def test_nan_equals_nan_in_a_drawing() -> None:
    f = Failure("", label="y", index=(0,), got=[1.0, float("nan")], expected=[2.0, float("nan")])
    assert panels(f)[-1][1].wrong == {(0, 0)}


# Pictures


def cells(svg: str, kind: str) -> int:
    return len(re.findall(rf'<rect class="[^"]*\b{kind}\b[^"]*"', svg))


def test_a_panel_as_svg() -> None:
    svg = as_svg(Panel("a < b", numbers(2, 2), {(1, 1), (2, 2)}, {(0, 0)}, (1, 0), "−∞"))
    assert (cells(svg, "cell"), cells(svg, "pad"), cells(svg, "marked"), cells(svg, "wrong")) == (5, 1, 2, 1)
    assert (
        cells(svg, "focus") == 1 and "a < b" not in svg and svg.count("a &lt; b") == 2 and ">−∞</text>" in svg
    )


def test_a_large_array_is_drawn_around_what_is_marked() -> None:
    svg = as_svg(Panel("", numbers(100, 3), {(90, 1)}))
    assert cells(svg, "cell") == 3 * MAX_CELLS and cells(svg, "marked") == 1
    assert ">86</text>" in svg and ">99</text>" in svg and ">85</text>" not in svg


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (-0.5, "−0.5"),
        (float("nan"), "NaN"),
        (float("-inf"), "−∞"),
        (1.5e38, "1.5e38"),
        (1 / 3, "0.3333"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


# The page


def page(*results: PropertyResult, name: str = "<script>alert(1)</script>.py:f") -> str:
    return as_html(name, [Report(name, "conv2d", 0, 200, list(results), ["a <note>"])])


def test_a_page_has_no_script_no_link_and_escapes_everything() -> None:
    f = Failure(
        "<b>bold</b>", {"padding": "<i>"}, {"<x>": [1]}, {"<x>": "<f>"}, reproduce="<run>", diagnosis=["<em>"]
    )
    text = page(PropertyResult("<name>", "<domain>", FAILS, 3, note="<n>", failure=f))
    for tag in (
        "<script",
        "<note>",
        "<b>bold",
        "<i>",
        "<x>",
        "<name>",
        "<domain>",
        "<run>",
        "<em>",
        "http",
        "<a ",
    ):
        assert tag not in text


def test_verdicts_bars_and_cards() -> None:
    f, drawn = Failure("a message"), failure("y", (1,), numbers(3))
    text = page(
        PropertyResult("p", "any", HOLDS, 200, 0.25),
        PropertyResult("q", "any", FAILS, 7, failure=f),
        PropertyResult("r", "any", FAILS, 8, failure=drawn),
        PropertyResult("s", "any", NOT_RUN, note="needs backward"),
        PropertyResult("t", "any", DIFFERS, 2, note="says the manual", failure=f),
    )
    assert 'style="width:25%"' in text and "25.0 %" in text and "needs backward" in text
    cards = re.findall(r'<details class="card (\w+)"( open)?>', text)
    assert cards == [("fails", ""), ("fails", " open"), ("differs", "")]  # the first that is drawn is open
    assert "Documented: says the manual" in text and "1 property holds, 2 fail" in text


def test_several_ops_are_listed_at_the_top() -> None:
    good, bad = (
        Report("mine", op, 0, 5, [PropertyResult("p", "any", v, 5)]) for op, v in (("a", HOLDS), ("b", FAILS))
    )
    text = as_html("mine", [good, bad])
    assert text.count('<a href="#op') == 2 and "1 of 2 ops fail" in text and 'id="op1"' in text
    assert "everything holds<" in as_html("mine", [good])
    good.results.append(PropertyResult("q", "any", DIFFERS, 1, note="so it is"))
    assert "everything holds, 1 documented difference apart<" in as_html("mine", [good])


def test_a_real_failure_has_its_drawing_terms_mistake_and_command(file) -> None:
    target = f"{file(LAYERS.replace('padding, 0), kernel)', 'padding, 0), kernel[::-1, ::-1])'))}:conv"
    text = verify.run(target, examples=60, properties=["equals the oracle exactly"]).to_html()
    for part in (
        *(
            "under the window of y[0, 0, 0, 0]",
            "w[:, :, 0, 0]",
            "expected y[0, :, :, 0]",
            "got y[0, :, :, 0]",
        ),
        *("matches a flipped kernel", "x[0,0,0,0]·w[0,0,0,0]", "minicnn verify --target"),
    ):
        assert part in text
    assert cells(text, "wrong") >= 1 and cells(text, "marked") >= 2 and "<script" not in text
