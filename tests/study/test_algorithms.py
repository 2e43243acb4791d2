"""The table's formulas against what the pages do, and a run in small: records, report, pictures, command."""

import numpy as np
import pytest
from jaxtyping import config as jaxtyping_config

from minicnn import cli
from minicnn.engine.algorithms import REFUSALS
from minicnn.engine.reference_backend import ALGORITHMS
from minicnn.geometry import make_window
from minicnn.reference import conv2d_im2col, conv2d_loops, conv2d_windows, conv2d_winograd
from minicnn.study.algorithms import command, measure
from minicnn.study.algorithms.pictures import PICTURES
from minicnn.study.algorithms.report import report
from minicnn.study.algorithms.results import Results
from minicnn.study.algorithms.table import TABLE, Case, applicable

# Counting


class Counted:
    """A number that counts how often it is multiplied, and whether by a constant."""

    products = transforms = 0

    def __mul__(self, other):
        if isinstance(other, Counted):
            Counted.products += 1
        else:
            Counted.transforms += 1
        return self

    __rmul__ = __mul__

    def __add__(self, other):
        return self

    __radd__ = __add__


def counted(shape):
    array = np.empty(shape, object)
    for index in np.ndindex(shape):
        array[index] = Counted()
    return array


PAGES = {
    "loops": conv2d_loops.conv2d_loops_forward,
    "windows": conv2d_windows.conv2d_windows_forward,
    "im2col": conv2d_im2col.conv2d_im2col_forward,
    "winograd": conv2d_winograd.conv2d_winograd_forward,
    "winograd4": conv2d_winograd.conv2d_winograd4_forward,
}


@pytest.mark.parametrize("size", [6, 10])
@pytest.mark.parametrize("name", PAGES)
def test_the_pages_multiply_as_often_as_the_table_says(name, size):
    """Tiles of 2×2 and of 4×4 fit the outputs, so that no product is one with a zero beyond the image."""
    case = Case(2, make_window((size, size), (3, 3)), 2, 3)
    x, w = counted((2, size, size, 2)), counted((3, 3, 2, 3))
    Counted.products = Counted.transforms = 0
    jaxtyping_config.update("jaxtyping_disable", True)
    try:
        PAGES[name](x, w, None, case.window)
    finally:
        jaxtyping_config.update("jaxtyping_disable", False)
    assert (Counted.products, Counted.transforms) == TABLE[name].work(case)


def test_derived_numbers_of_one_case():
    case = Case(1, make_window((28, 28), (3, 3), padding="same"), 64, 64)
    dense = 28 * 28 * 9 * 64 * 64
    assert {name: TABLE[name].work(case).products for name in TABLE} == {
        **dict.fromkeys(("loops", "windows", "im2col", "direct"), dense),
        "winograd": dense * 4 // 9,
        "winograd4": dense // 4,
        "fft": 4 * 30 * 16 * 64 * 64,
    }
    assert TABLE["loops"].memory_nbytes(case) == 0
    assert TABLE["windows"].memory_nbytes(case) == 4 * 30 * 30 * 64
    assert TABLE["im2col"].memory_nbytes(case) == 4 * (28 * 28 * 9 * 64 + 30 * 30 * 64)
    assert TABLE["winograd"].memory_nbytes(case) == 4 * 16 * (196 * 64 + 64 * 64 + 196 * 64)
    assert TABLE["winograd4"].memory_nbytes(case) == 4 * 36 * (49 * 64 + 64 * 64 + 49 * 64)
    assert TABLE["fft"].memory_nbytes(case) == 8 * 30 * 16 * (64 + 64 * 64 + 64)


@pytest.mark.parametrize(
    ("name", "most"), [("windows", 1.1), ("im2col", 1.05), ("winograd", 2.2), ("fft", 3.0)]
)
def test_what_a_page_allocates_is_what_the_formula_says_and_copies(name, most):
    """im2col to 5 %; NumPy's transforms need temporary copies beside what is kept. Beside the 87 kB of sliding windows
    Python's own objects, up to 5 kB, already count.
    """
    case = measure.square_case(2, 24, 3, 16)
    peak = measure.peak_nbytes(case, ALGORITHMS[name], measure.arrays_for(case))
    assert 0.99 <= peak / TABLE[name].memory_nbytes(case) <= most


def test_the_table_has_the_engines_algorithms_in_its_order():
    assert list(TABLE) == list(REFUSALS) == list(ALGORITHMS)
    assert applicable(make_window((9, 9), (5, 5))) == ["loops", "windows", "im2col", "direct", "fft"]
    assert applicable(make_window((9, 9), (3, 3), (2, 2))) == ["loops", "windows", "im2col", "direct"]


# A run


@pytest.fixture(scope="module")
def results():
    return command.measure("tiny")


def test_every_algorithm_is_timed_wherever_it_applies(results):
    assert results.algorithms == [*TABLE, measure.ENGINE]
    assert (results.kernels, results.channels) == ([1, 3], [2, 4])
    cells = {(k, c) for k in (1, 3) for c in (2, 4)}
    for name in results.algorithms:
        expected = {cell for cell in cells if cell[0] == 3} if name.startswith("winograd") else cells
        for which in ("forward", "backward"):
            seconds = results.seconds(name, which)
            assert set(seconds) == expected and all(value > 0 for value in seconds.values())
    assert all(
        record["runs"]["forward"] == record["algorithm"]
        for record in results.of_kind("time")
        if record["algorithm"] != measure.ENGINE
    )


def test_kernels_are_timed_for_dx_and_dw_alone(results):
    for name in results.algorithms:
        for which in ("dx", "dw"):
            seconds = results.seconds(name, which)
            assert set(seconds) == (
                set(results.seconds(name, "forward")) if name in measure.KERNELS else set()
            )
            assert all(value > 0 for value in seconds.values())


@pytest.mark.parametrize("name", measure.KERNELS)
def test_dx_and_dw_alone_are_those_of_the_whole_pass(name):
    """And neither computes the other."""
    case = measure.square_case(2, 6, 3, 4)
    arrays = measure.arrays_for(case)
    whole, dx, dw = (
        measure.Convolution(case, name, arrays, wants=w) for w in (("dx", "dw"), ("dx",), ("dw",))
    )
    for one in (whole, dx, dw):
        one.forward()
    expected = whole.backward()
    dw.dw[:] = np.nan
    dw.go_back()
    np.testing.assert_array_equal(dw.dw, expected[1])
    found, none = dx.backward()
    np.testing.assert_array_equal(found, expected[0])
    assert not none.any()
    assert not dw.plan.value_gradients and not dx.plan.gradients


def test_shares_of_the_peak_are_of_dense_work(results):
    seconds = results.seconds("direct", "backward")[3, 4]
    flops = 2 * 2 * 36 * 9 * 16
    assert results.share("direct", "backward", 3, 4) == pytest.approx(
        100 * flops / seconds / (1e9 * results.machine["peak_gflops"])
    )
    assert np.isnan(results.share("winograd", "forward", 1, 4))


def test_errors_are_in_units_of_the_sum_of_absolute_values(results):
    for name in results.algorithms:
        for which in ("forward", "dx", "dw"):
            (record,) = results.errors(name, which)
            # γ of a few roundings for direct sums; the transforms' own bounds are tests/reference's
            assert 0 < record["rms"] <= record["largest"] < (900 if name == "winograd4" else 60)
            assert record["terms"] == (36 if which == "dw" else 18)


def test_results_survive_json(results):
    assert Results.from_json(results.to_json()) == results


def test_a_run_leaves_results_a_report_and_pictures(results, tmp_path):
    command.write(results, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "report.md", *PICTURES}
    text = (tmp_path / "report.md").read_text("utf-8")
    assert text == report(results)
    for name in PICTURES:
        assert f"]({name})" in text
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    for algorithm in TABLE.values():
        assert algorithm.title in text and algorithm.source in text


def test_times_of_a_busy_machine_are_called_unreliable(results):
    for load, warns in ((0.2, False), (9.5, True)):
        told = report(Results(results.machine | {"load_average": load}, results.records))
        assert ("unreliable" in told) == warns


def test_the_command(results, tmp_path, monkeypatch, capsys):
    heard = []

    def measured(extent, tell):
        heard.append(extent)
        tell("…")
        return results

    monkeypatch.setattr(command, "measure", measured)
    assert cli.run(["algorithms", "--quick", "--out", str(tmp_path / "there")]) == 0
    assert heard == ["quick"]
    assert "Convolution, seven ways" in capsys.readouterr().out
    assert (tmp_path / "there" / "report.md").is_file()


def test_a_failed_measurement_is_an_error(monkeypatch):
    monkeypatch.setattr(command, "matmul_gflops", lambda: 1.0)
    with pytest.raises(OSError, match="measuring process failed"):
        command.measure("no such extent")
