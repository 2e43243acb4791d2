"""Ratios of medians, bars, and two runs side by side."""

import numpy as np
import pytest

from minicnn.bench import results, show
from minicnn.bench.bars import judge
from minicnn.bench.results import Measured, Series
from minicnn.bench.statistics import combined, ratio
from minicnn.bench.table import Bar


def draws(median: float, seed: int, n: int = 15) -> list[float]:
    return list(median * np.random.default_rng(seed).lognormal(0, 0.05, n))


def series(label: str, median: float, seed: int = 0, status: str = results.OK) -> Series:
    rounds = tuple((sample,) for sample in draws(median, seed)) if status == results.OK else ()
    return Series(label, label.split(",")[0], 2, False, status, rounds=rounds)


def measured(name: str, *parts: Series) -> Measured:
    return Measured(name, name.split("/")[0], name.split("/")[1], 64, (28, 28, 1), "s", 0, parts)


def test_the_interval_holds_the_true_ratio_about_as_often_as_it_says():
    intervals = [ratio(draws(1.0, 2 * seed), draws(2.0, 2 * seed + 1)) for seed in range(100)]
    # 95 of 100 are promised; the percentile bootstrap of a median of 15 keeps a little more or less
    assert 88 <= sum(low <= 0.5 <= high for _, low, high in intervals) <= 100
    assert all(low <= value <= high for value, low, high in intervals)


def test_a_difference_is_significant_only_if_the_interval_leaves_out_1():
    assert ratio(draws(1.5, 0), draws(1.0, 1)).is_significant
    assert not ratio(draws(1.0, 0), draws(1.0, 1)).is_significant
    assert ratio([1.0], [2.0]) == (0.5, None, None) and not ratio([1.0], [2.0]).is_significant


def test_over_several():
    ours, theirs = [[1.0], [8.0]], [[2.0], [4.0]]
    assert combined(ours, theirs, "worst").value == 2
    assert combined(ours, theirs, "geometric mean").value == pytest.approx(1)  # of 0.5 and 2
    assert combined(ours, theirs, "gain").value == 0.25


def test_bars_are_judged():
    step = measured(
        "train_step/book/64", series("minicnn", 1.0), series("keras", 10.0, 1), series("torch", 2.0, 2)
    )
    dead = measured("inference/book/1", series("minicnn", 1.0), series("keras", 1.0, status=results.FAILED))
    convolutions = [
        measured(f"convolution_both/{name}", series("minicnn", ours), series("keras", 1.0, 1))
        for name, ours in (("a", 0.5), ("b", 3.0))
    ]
    scaling = measured(
        "scaling/book/64",
        *(series("minicnn, 1 thread", 1.8), series("minicnn", 1.0)),
        *(series("sgemm, 1 thread", 2.0), series("sgemm", 1.0)),
    )
    bars = [
        Bar("met", "train_step/book/64", "keras", 0.2),
        Bar("missed", "train_step/book/64", "torch", 0.27),
        Bar("not measured", "inference/book/1", "keras", 1.0),
        Bar("worst", "convolution_both/*", "keras", 1.5, over="worst"),
        Bar("mean", "convolution_both/*", "keras", 1.5, over="geometric mean"),
        Bar("gain", "scaling/book/64", "sgemm", 0.95, at_least=True, over="gain"),
    ]
    verdicts = {v.what: v for v in judge(bars, [step, dead, *convolutions, scaling])}
    assert [v.is_met for v in verdicts.values()] == [True, False, None, False, True, False]
    assert verdicts["met"].value == pytest.approx(0.1, rel=0.1)
    assert verdicts["worst"].worst == "convolution_both/b"
    assert verdicts["gain"].value == pytest.approx(0.9)  # 1.8 ÷ 2, all of the same draws
    assert verdicts["not measured"].value is None
    assert "missed" in show.verdict_cells(verdicts["worst"]) and "–" in show.verdict_cells(
        verdicts["not measured"]
    )


def test_comparison_marks_what_changed():
    machine = results.Machine("cpu", {}, 2, 2, "blas", {}, {}, {}, 0.0, "", "")
    before, after = (
        results.Results(
            machine,
            (
                measured(
                    "train_step/book/64", series("minicnn", ours, seed), series("keras", 5.0, seed + 10)
                ),
                measured(f"inference/only{seed}/1", series("minicnn", 1.0)),
            ),
            (),
        )
        for seed, ours in ((1, 1.0), (2, 0.8))
    )
    rows = show.comparison(before, after)
    assert [(name, label) for name, label, _ in rows] == [
        ("train_step/book/64", "minicnn"),
        ("train_step/book/64", "keras"),
    ]
    assert [change.is_significant for _, _, change in rows] == [True, False]
    assert rows[0][2].value == pytest.approx(0.8, rel=0.1)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.00421, "s", "4.21 ms"), (0.000106, "s", "106 µs"), (12.3, "s", "12.3 s"), (311e6, "B", "311 MB")],
)
def test_quantities(value, unit, text):
    assert show.quantity(value, unit) == text
