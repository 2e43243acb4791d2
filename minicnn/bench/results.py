"""What a benchmark run leaves: raw samples, a machine record, verdicts; one JSON file. Documentation of its schema.

    results = read("benchmarks/results/bench.json")
    results.measurement("train_step/book/64").series_of("keras").median      # seconds a step

The JSON is these dataclasses, field for field, nested; `schema` is raised when a field changes its meaning.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

SCHEMA = 1

OK, WRONG, MISSING, FAILED = "ok", "wrong", "missing", "failed"
"""Status of a series: timed; disagrees with the reference, so not timed; not installed; an error or a dead process."""


@dataclass(frozen=True)
class Machine:
    """Where and when the run took place."""

    cpu: str
    caches: dict[str, int]
    """Bytes by name as Linux has them: 'L1 Data', 'L1 Instruction', 'L2 Unified', 'L3 Unified'; one instance each."""
    cores: int
    """That this process may use."""
    threads: int
    """That every library was given, unless a series says otherwise."""
    blas: str
    """NumPy's, with its version."""
    versions: dict[str, str]
    """By distribution: python, numpy, numba, keras, tensorflow, torch, … as far as installed."""
    sgemm_gflops: dict[str, float]
    """Largest rate of NumPy's float32 matrix product, 10⁹ FLOP/s, by the number of threads ('1', '2')."""
    triad_gbytes_s: dict[str, float]
    """Memory bandwidth of a ← b + s·c far beyond the caches, 10⁹ bytes/s, three arrays counted, by threads."""
    load_average: float
    """Of the last minute, before the first measurement."""
    commit: str
    """Empty outside a checkout; ends in '+' when files differ from it."""
    date: str
    """UTC, as 2026-11-24T03:20:00+00:00."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """What pyperf collects of a process and its machine; empty when it isn't installed."""


@dataclass(frozen=True)
class Series:
    """The samples of one contestant of a measurement."""

    label: str
    """The peer, and what is special about this series: 'minicnn', 'minicnn, 1 thread', 'torch, one core busy'."""
    peer: str
    """minicnn, reference, keras, torch, jax, onnxruntime, or sgemm (the dense work at the rate of a matrix product)."""
    threads: int
    busy: bool
    """Whether another process kept one core busy."""
    status: str
    """OK, WRONG, MISSING or FAILED. Only OK has samples."""
    variant: str = ""
    """Which way of the peer's was the fastest: 'jit_compile=True, steps_per_execution=32'."""
    rounds: tuple[tuple[float, ...], ...] = ()
    """Samples in the measurement's unit, by round, in the order in which they were taken."""
    first_call_s: float | None = None
    """Seconds of building, tracing, compiling and running for the first time, of the chosen variant."""
    trials: dict[str, float] = field(default_factory=dict)
    """One sample of every variant, by which the fastest was chosen."""
    note: str = ""
    """Why it is not OK, which variants were left out and why."""

    @property
    def samples(self) -> list[float]:
        return [sample for each in self.rounds for sample in each]

    @property
    def median(self) -> float | None:
        """In the measurement's unit; None without samples."""
        return median(self.samples) if self.rounds else None


@dataclass(frozen=True)
class Measured:
    """One measurement: several contestants doing the same job on the same inputs, interleaved in rounds."""

    name: str
    """job/case/batch size: 'train_step/book/64'; 'scaling/book/64', 'busy/book/64', 'memory/book/64', … ."""
    job: str
    """train_step (a sample is seconds a step), inference (seconds an image), convolution_forward, convolution_both
    (forward and backward; seconds a call), first_step (seconds from process start), memory (bytes)."""
    case: str
    """Name of the network or the convolution in benchmarks/cases.py."""
    batch_size: int
    input_shape: tuple[int, ...]
    """(H, W, C) of one image."""
    unit: str
    """'s' or 'B'."""
    multiply_adds: int
    """Of dense work in what one sample stands for (a step, an image, a call); 0 where it says nothing."""
    series: tuple[Series, ...]
    date: str = ""
    """When it began, UTC; with commit and load_average as `Machine` has them. A file may be measured in slices."""
    commit: str = ""
    load_average: float | None = None
    """Of the minute before it began."""

    def series_of(self, label: str) -> Series | None:
        return next((s for s in self.series if s.label == label), None)


@dataclass(frozen=True)
class Verdict:
    """One bar and what was measured."""

    what: str
    measurement: str
    """Its name; 'convolution_forward/*' for a bar over all of them."""
    against: str
    """Label of the other series."""
    limit: float
    at_least: bool
    """Whether the value must be ≥ the limit; otherwise ≤."""
    value: float | None = None
    """Ratio of medians (or what the bar makes of several of them); None when a side has no samples."""
    low: float | None = None
    high: float | None = None
    """95 % confidence interval of the value by bootstrap; None where there are too few samples."""
    worst: str = ""
    """For a bar over several measurements, the name of the worst."""

    @property
    def is_met(self) -> bool | None:
        """None: not measured."""
        if self.value is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass(frozen=True)
class Results:
    machine: Machine
    measurements: tuple[Measured, ...]
    verdicts: tuple[Verdict, ...]
    quick: bool = False
    schema: int = SCHEMA
    profiles: tuple[dict[str, Any], ...] = ()
    """Networks step by step, in one thread: records of `minicnn.bench.profile`."""

    def measurement(self, name: str) -> Measured | None:
        return next((m for m in self.measurements if m.name == name), None)


def merged(before: Results, after: Results) -> Results:
    """What `after` has measured anew instead of what `before` has under the same name, and all else of both.

    Raises:
        ValueError: they aren't of the same machine, threads, versions and effort.
    """
    if differing := [name for name in SAME if place(before)[name] != place(after)[name]]:
        raise ValueError(
            f"Results in one file must have the same {', '.join(SAME)}. Received "
            + "; ".join(f"{name}={place(before)[name]!r} and {place(after)[name]!r}" for name in differing)
        )
    measurements = {m.name: m for m in (*before.measurements, *after.measurements)}
    profiles = {p["model"]: p for p in (*before.profiles, *after.profiles)}
    return replace(after, measurements=tuple(measurements.values()), profiles=tuple(profiles.values()))


SAME = "cpu", "cores", "threads", "blas", "versions", "quick"
"""What one file has once."""


def place(results: Results) -> dict[str, Any]:
    return vars(results.machine) | {"quick": results.quick}


def write(results: Results, path: str | Path) -> None:
    """Write the JSON.

    Raises:
        OSError: it can't be written.
    """
    Path(path).write_text(json.dumps(asdict(results), indent=1, ensure_ascii=False) + "\n", "utf-8")


def read(path: str | Path) -> Results:
    """Read what `write` has written.

    Raises:
        OSError: there is no such file.
        ValueError: it isn't a file of results, or of another schema.
    """
    try:
        content = json.loads(Path(path).read_text("utf-8"))
        schema = content["schema"]
        if schema != SCHEMA:
            raise ValueError(f"its schema is {schema!r}, not {SCHEMA}")
        return Results(
            machine=Machine(**content["machine"]),
            measurements=tuple(_measured(m) for m in content["measurements"]),
            verdicts=tuple(Verdict(**v) for v in content["verdicts"]),
            quick=bool(content["quick"]),
            profiles=tuple(content.get("profiles", ())),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} must be a file that `minicnn bench --json` has written. Received something else: {error}"
        ) from error


def _measured(content: dict[str, Any]) -> Measured:
    series = tuple(
        Series(**s | {"rounds": tuple(tuple(samples) for samples in s["rounds"])}) for s in content["series"]
    )
    return Measured(**content | {"series": series, "input_shape": tuple(content["input_shape"])})
