"""Results as text: what was measured as it comes, the bars at the end, two runs side by side."""

from collections.abc import Iterable

from rich.table import Table

from minicnn.bench.results import OK, Measured, Results, Series, Verdict
from minicnn.bench.statistics import Ratio, ratio

UNITS = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")),
    "B": ((1e9, "GB"), (1e6, "MB"), (1.0, "B")),
}


def quantity(value: float, unit: str) -> str:
    """Three digits and the unit that suits them: '4.2 ms', '311 MB'."""
    size, name = next((each for each in UNITS[unit] if value >= each[0]), UNITS[unit][-1])
    return f"{value / size:.3g} {name}"


def series_line(series: Series, unit: str) -> str:
    if series.status != OK:
        return f"{series.label}: {series.status} ({series.note})"
    return f"{series.label} {quantity(series.median or 0.0, unit)}"


def measured_line(measured: Measured) -> str:
    """'train_step/book/64: minicnn 4.2 ms, keras 21.3 ms, …'."""
    return f"{measured.name}: " + ", ".join(series_line(series, measured.unit) for series in measured.series)


def verdict_cells(verdict: Verdict) -> tuple[str, str, str, str, str]:
    """What, against whom, the ratio with its interval, the bar, met or missed."""
    if verdict.value is None:
        value = "not measured"
    elif verdict.low is None or verdict.high is None:
        value = f"{verdict.value:.2f}"
    else:
        value = f"{verdict.value:.2f} ({verdict.low:.2f}–{verdict.high:.2f})"
    what = f"{verdict.what} ({verdict.worst.split('/')[-1]})" if verdict.worst else verdict.what
    bar = f"{'≥' if verdict.at_least else '≤'} {verdict.limit:g}"
    return what, verdict.against, value, bar, {True: "met", False: "missed", None: "–"}[verdict.is_met]


COLOURS = {"met": "green", "missed": "red", "–": "dim"}


def bars_table(verdicts: Iterable[Verdict]) -> Table:
    table = Table("measured", "against", "ratio (95 %)", "bar", "", title="minicnn ÷ another, medians")
    for verdict in verdicts:
        *cells, met = verdict_cells(verdict)
        table.add_row(*cells, f"[{COLOURS[met]}]{met}[/]")
    return table


def measurements_table(measurements: Iterable[Measured]) -> Table:
    """One line for each series."""
    table = Table("measurement", "by", "median", "minicnn ÷ it", "fastest of", title="measured")
    for column in table.columns:
        column.overflow = "fold"
    for measured in measurements:
        own = measured.series_of("minicnn")
        for series in measured.series:
            name = measured.name if series is measured.series[0] else ""
            if series.status != OK:
                table.add_row(name, series.label, f"[red]{series.status}[/]", "", series.note)
                continue
            compared = (
                f"{ratio(own.samples, series.samples).value:.2f}"
                if own and own.rounds and series is not own
                else ""
            )
            table.add_row(
                name, series.label, quantity(series.median or 0.0, measured.unit), compared, series.variant
            )
    return table


def comparison(before: Results, after: Results) -> list[tuple[str, str, Ratio]]:
    """(measurement, label, after ÷ before) for every series that both runs have."""
    rows = []
    for measured in after.measurements:
        earlier = before.measurement(measured.name)
        for series in measured.series:
            other = earlier.series_of(series.label) if earlier else None
            if other and other.rounds and series.rounds:
                rows.append((measured.name, series.label, ratio(series.samples, other.samples)))
    return rows


def comparison_table(rows: Iterable[tuple[str, str, Ratio]]) -> Table:
    table = Table(
        "measurement", "by", "after ÷ before", "95 %", "", title="time after ÷ time before, medians"
    )
    for name, label, change in rows:
        interval = "" if change.low is None else f"{change.low:.3f}–{change.high:.3f}"
        verdict = ""
        if change.is_significant:
            verdict = "[green]less[/]" if change.value < 1 else "[red]more[/]"
        table.add_row(name, label, f"{change.value:.3f}", interval, verdict)
    return table
