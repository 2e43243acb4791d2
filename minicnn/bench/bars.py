"""The bars of benchmarks/cases.py against what was measured."""

from collections.abc import Iterable, Sequence

from minicnn.bench.results import Measured, Series, Verdict
from minicnn.bench.statistics import combined, ratio
from minicnn.bench.table import Bar


def judge(bars: Iterable[Bar], measurements: Sequence[Measured]) -> tuple[Verdict, ...]:
    """One verdict for every bar, in order; a bar whose sides weren't both timed has no value."""
    return tuple(judge_one(bar, measurements) for bar in bars)


def judge_one(bar: Bar, measurements: Sequence[Measured]) -> Verdict:
    pairs = [
        (m.name, ours.samples, theirs.samples)
        for m in measurements
        if m.name == bar.measurement
        or (bar.measurement[-1] == "*" and m.name.startswith(bar.measurement[:-1]))
        for ours, theirs in sides(bar, m)
        if ours.rounds and theirs.rounds
    ]
    verdict = Verdict(bar.what, bar.measurement, bar.against, bar.limit, bar.at_least)
    if len(pairs) < (2 if bar.over == "gain" else bar.of):
        return verdict
    names, ours, theirs = zip(*pairs, strict=True)
    value = combined(ours, theirs, bar.over)
    singles = [ratio(a, b).value for a, b in zip(ours, theirs, strict=True)]
    worst = names[singles.index(max(singles))] if bar.over == "worst" else ""
    return Verdict(
        bar.what,
        bar.measurement,
        bar.against,
        bar.limit,
        bar.at_least,
        value.value,
        value.low,
        value.high,
        worst,
    )


def sides(bar: Bar, measured: Measured) -> list[tuple[Series, Series]]:
    """The two series that a bar compares; for a gain two pairs, one thread and all of them of either side."""
    if bar.over == "gain":
        labels = [(f"{peer}, 1 thread", peer) for peer in (bar.ours, bar.against)]
    else:
        labels = [(bar.ours, bar.against)]
    found = [(measured.series_of(a), measured.series_of(b)) for a, b in labels]
    return [(a, b) for a, b in found if a is not None and b is not None]
