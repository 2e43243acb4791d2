"""The README's table of bars is made from the results, and a stale one is noticed."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest

from minicnn.bench import results, table
from minicnn.bench.bars import judge
from minicnn.bench.results import Measured, Series

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("readme", ROOT / "benchmarks" / "readme.py")
readme = importlib.util.module_from_spec(spec)
spec.loader.exec_module(readme)


@pytest.fixture
def measured() -> results.Results:
    machine = results.Machine(
        "cpu", {}, 2, 2, "blas", {"python": "3.11"}, {"1": 60.0}, {}, 0.1, "abc", "2026-11-24"
    )

    def series(label, *samples, status=results.OK):
        rounds = tuple((sample,) for sample in samples)
        return Series(label, label, 2, False, status, rounds=rounds)

    parts = (
        series("minicnn", 1.0, 1.0, 1.0),
        series("keras", 10.0, 10.0, 10.0),
        series("torch", 2.0, 2.0, 2.0),
        series("jax", status=results.WRONG),
    )
    step = Measured("train_step/book/64", "train_step", "book", 64, (28, 28, 1), "s", 0, parts)
    return results.Results(machine, (step,), ())


def numbers() -> dict:
    return json.loads(readme.RESULTS.read_text("utf-8"))


def test_the_readme_is_not_stale():
    text = readme.README.read_text("utf-8")
    assert readme.updated(text, numbers(), readme.bench_results()) == text, "run benchmarks/readme.py"


def test_every_bar_is_listed_and_a_missed_one_is_not_hidden(measured):
    text = readme.bars_table(measured)
    assert all(f"| {bar.what} " in text for bar in table.cases().BARS)
    rows = [line for line in text.splitlines() if line.startswith("| training step, book's net, batch 64 |")]
    assert [row.split(" | ")[-3:] for row in rows] == [
        ["0.10 (0.10–0.10)", "≤ 0.2", "met |"],
        ["0.50 (0.50–0.50)", "≤ 0.27", "**missed** |"],
    ]
    assert text.count("not measured") == len(table.cases().BARS) - 2
    assert "jax: wrong in places" in text


def test_another_number_makes_it_stale(measured):
    text = readme.updated(readme.README.read_text("utf-8"), numbers(), measured)
    assert readme.updated(text, numbers(), measured) == text
    [step] = measured.measurements
    slower = step.series[0].__class__(**vars(step.series[0]) | {"rounds": ((3.0,), (3.0,), (3.0,))})
    changed = Measured(**vars(step) | {"series": (slower, *step.series[1:])})
    assert readme.updated(text, numbers(), results.Results(measured.machine, (changed,), ())) != text


def test_a_bar_over_a_part_of_its_measurements_has_no_value(measured):
    [bar] = [b for b in table.cases().BARS if b.measurement == "convolution_both/*" and b.over == "worst"]
    [step] = measured.measurements
    some = replace(step, name="convolution_both/one")
    assert judge([bar], [some])[0].value is None
    assert judge([replace(bar, of=1)], [some])[0].value == 0.1


def test_slices_measured_at_different_times_are_said_so(measured):
    [step] = measured.measurements
    early = replace(step, date="2026-11-24T01:00:00+00:00", commit="a" * 40, load_average=0.1)
    late = replace(step, name="other", date="2026-11-25T01:00:00+00:00", commit="b" * 40, load_average=2.0)
    text = readme.moments(replace(measured, measurements=(late, early)))
    assert (
        text
        == "2026-11-24 to 2026-11-25, commits aaaaaaaaaa, bbbbbbbbbb, load average 0.1 to 2.0 at the beginning"
    )
