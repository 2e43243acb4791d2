"""A run: every measurement's contestants are built, checked against the reference, then timed in turn."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.bench import fresh, machine, peers
from minicnn.bench.check import DENORMAL_TOLERANCES, TOLERANCES, disagreement
from minicnn.bench.neutral import Convolution, Network
from minicnn.bench.results import FAILED, MISSING, OK, WRONG, Measured, Series
from minicnn.bench.session import DeadWorker, Session, Worker, cpus
from minicnn.bench.table import Contestant, Effort, Measurement

Case = Network | Convolution
SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)
Answers = dict[str, np.ndarray]
Say = Callable[[str], object]
REFERENCE = "reference"


@dataclass
class Entry:
    """A contestant on its way through a measurement. Fields as in `results.Series`."""

    contestant: Contestant
    worker: Any = None
    """Its process; None before it was started."""
    variants: list[dict[str, Any]] = field(default_factory=list)
    """What the process has said of each that it has built."""
    status: str = OK
    variant: str = ""
    rounds: list[tuple[float, ...]] = field(default_factory=list)
    first_call_s: float | None = None
    trials: dict[str, float] = field(default_factory=dict)
    note: str = ""

    def fail(self, status: str, why: str) -> None:
        self.status, self.note, self.rounds = status, why, []

    def series(self, threads: int) -> Series:
        return Series(
            label=self.contestant.label,
            peer=self.contestant.peer,
            threads=self.contestant.threads or threads,
            busy=self.contestant.busy,
            status=self.status,
            variant=self.variant,
            rounds=tuple(self.rounds),
            first_call_s=self.first_call_s,
            trials=self.trials,
            note=self.note,
        )


def run(
    measurements: Sequence[Measurement],
    case_of: Callable[[Measurement], Case],
    threads: int,
    *,
    quick: bool = False,
    say: Say = lambda text: None,
) -> Iterator[Measured]:
    """Carry out the measurements one after the other; contestants that aren't installed are left out, and said so.

    A group of measurements shares its processes; a quick run keeps them all to its end, and builds side by side what
    is to be timed.
    """
    with Session(threads) as session, tempfile.TemporaryDirectory() as folder:
        for k, measurement in enumerate(measurements):
            effort = (measurement.quick if quick else None) or measurement.effort
            contest = Contest(measurement, case_of(measurement), effort, session, Path(folder))
            yield contest.measure(say, side_by_side=quick)
            following = measurements[k + 1 : k + 2]
            if not quick and following and following[0].group != measurement.group:
                session.end_workers()


class Contest:
    """One measurement."""

    def __init__(
        self, measurement: Measurement, case: Case, effort: Effort, session: Session, folder: Path
    ) -> None:
        self.measurement, self.case, self.effort = measurement, case, effort
        self.session, self.folder = session, folder
        self.is_fresh = measurement.job in fresh.JOBS
        self.entries = [Entry(contestant) for contestant in measurement.contestants]
        self.began = machine.moment()
        self._expected: Answers | None = None

    def measure(self, say: Say, side_by_side: bool = False) -> Measured:
        """Build as many contestants at a time as there are CPUs if `side_by_side`; whatever is timed runs alone."""
        for entry in self.entries:
            if lacking := peers.missing(entry.contestant.peer):
                entry.fail(MISSING, f"not installed: {', '.join(lacking)}")
        if not self.is_fresh:
            say(f"{self.measurement.name}: everything is built")
            self._build_all(len(cpus()) if side_by_side else 1)
        for entry in self._able():
            say(f"{self.measurement.name}: {entry.contestant.label} is checked")
            self._guarded(entry, self._warm_up if self.is_fresh else self._check_and_choose)
        for k in range(self.effort.rounds):
            say(f"{self.measurement.name}: round {k + 1} of {self.effort.rounds}")
            for entry in self._able():
                self._guarded(entry, self._sample)
        return self._measured()

    def _able(self) -> Iterator[Entry]:
        return (entry for entry in self.entries if entry.status == OK)

    def _guarded(self, entry: Entry, step: Callable[[Entry], object]) -> None:
        """What goes wrong in a peer's process is that peer's result; the run goes on."""
        try:
            step(entry)
        except DeadWorker as error:
            entry.fail(FAILED, f"the process {error}")
            self.session.drop(entry.contestant.peer, entry.contestant.threads)
        except ValueError as error:
            entry.fail(FAILED, str(error))

    # Before the timing

    def _warm_up(self, entry: Entry) -> None:
        """So that kernels and files are in their caches."""
        entry.variant = "a process for every sample"
        self._fresh_sample(entry)

    def _build_all(self, at_a_time: int) -> None:
        """Have every process build its variants and run each once; all import their libraries meanwhile."""
        firsts = [entry for entry in self._able() if self._first_like(entry) is entry]
        for contestant in (Contestant(REFERENCE), *(entry.contestant for entry in firsts)):
            self.session.start(contestant.peer, contestant.threads)
        with suppress(ValueError):  # said of everyone who is compared
            self._reference_answers()
        if at_a_time == 1:  # then what is built first tells how long it takes: nobody may import beside it
            for entry in firsts:
                self._guarded(entry, self._worker_of)
        ready = [entry for entry in firsts if entry.status == OK]
        with ThreadPoolExecutor(at_a_time) as pool:
            try:
                list(pool.map(lambda entry: self._guarded(entry, self._build), ready))
            except BaseException:  # Ctrl-C: nothing more is begun, and the threads wait for nobody
                pool.shutdown(wait=False, cancel_futures=True)
                self.session.end_workers()
                raise

    def _first_like(self, entry: Entry) -> Entry:
        """The first entry with the same process: it does for all of them what is done before the timing."""
        wanted = entry.contestant.peer, entry.contestant.threads
        return next(e for e in self.entries if (e.contestant.peer, e.contestant.threads) == wanted)

    def _worker_of(self, entry: Entry) -> Worker:
        return self.session.worker(entry.contestant.peer, entry.contestant.threads)

    def _build(self, entry: Entry) -> None:
        entry.worker = self._worker_of(entry)
        steps = min(self.effort.steps, entry.contestant.most_steps or self.effort.steps)
        entry.variants = entry.worker.ask(**self._request(steps))["variants"]

    def _check_and_choose(self, entry: Entry) -> None:
        """Compare what was built with the reference, choose the fastest variant."""
        first = self._first_like(entry)
        if first is not entry:
            shared = ("worker", "status", "variant", "first_call_s", "trials", "note")
            vars(entry).update({name: vars(first)[name] for name in shared})
            return
        right, notes = self._right_ones(entry)
        entry.note = "; ".join(notes)
        if right:
            chosen = entry.worker.ask(do="choose", variants=list(right), at_least_s=self.effort.at_least_s)
            entry.variant, entry.trials = chosen["variant"], chosen["trials"]
            entry.first_call_s = right[entry.variant]
        elif entry.status == OK:
            entry.fail(FAILED, entry.note)

    def _request(self, steps: int) -> dict[str, Any]:
        measurement = self.measurement
        return {
            "do": "build",
            "job": measurement.job,
            "case": asdict(self.case),
            "batch_size": measurement.batch_size,
            "steps": steps,
            "folder": str(self.folder),
            "slow": self.effort.slow,
        }

    def _right_ones(self, entry: Entry) -> tuple[dict[str, float], list[str]]:
        """Seconds of the first call by variant that agrees with the reference, and what is to be said of the others."""
        right, notes = {}, []
        is_denormal = isinstance(self.case, Network) and self.case.input_scale < SMALLEST_NORMAL
        tolerances = DENORMAL_TOLERANCES if is_denormal else TOLERANCES
        for each in entry.variants:
            if why := each.get("error"):
                notes.append(f"{each['variant']}: {why}")
            elif why := disagreement(load(each["answers"]), self._reference_answers(), tolerances):
                entry.status = WRONG
                notes.append(f"{each['variant']} is wrong: {why}")
            else:
                right[each["variant"]] = each["first_call_s"]
        if right:
            entry.status = OK
        return right, notes

    def _reference_answers(self) -> Answers:
        """What the reference computes, once a measurement.

        Raises:
            ValueError: it can't.
        """
        if self._expected is None:
            try:
                answer = self.session.worker(REFERENCE).ask(**self._request(1))["variants"][0]
            except DeadWorker as error:
                self.session.drop(REFERENCE)
                raise ValueError(f"there is nothing to compare with, the reference {error}") from error
            if "error" in answer:
                raise ValueError(f"there is nothing to compare with, the reference fails: {answer['error']}")
            self._expected = load(answer["answers"])
            if "losses" in self._expected:
                self._expected["first loss"] = self._expected["losses"][:1]
        return self._expected

    # The timing

    def _sample(self, entry: Entry) -> None:
        """One round's samples of one contestant; every other process is stopped meanwhile."""
        with self.session.busy() if entry.contestant.busy else nullcontext():
            if self.is_fresh:
                samples = [self._fresh_sample(entry) for _ in range(self.effort.samples)]
            else:
                samples = entry.worker.ask(do="sample", number=self.effort.samples)["seconds"]
        entry.rounds.append(tuple(samples))

    def _fresh_sample(self, entry: Entry) -> float:
        contestant = entry.contestant
        return fresh.sample(
            self.measurement.job,
            contestant.peer,
            self.case,  # type: ignore[arg-type]
            self.measurement.batch_size,
            contestant.threads or self.session.threads,
        )

    def _measured(self) -> Measured:
        measurement, case = self.measurement, self.case
        return Measured(
            name=measurement.name,
            job=measurement.job,
            case=measurement.case,
            batch_size=measurement.batch_size,
            input_shape=tuple(case.input_shape),
            unit="B" if measurement.job == "memory" else "s",
            multiply_adds=multiply_adds(measurement, case),
            series=tuple(entry.series(self.session.threads) for entry in self.entries),
            **self.began,
        )


def multiply_adds(measurement: Measurement, case: Case) -> int:
    """Of the dense work that one sample stands for."""
    if isinstance(case, Convolution):
        return case.multiply_adds * (3 if measurement.job == "convolution_both" else 1)
    if measurement.job == "train_step":
        return case.multiply_adds(training=True) * measurement.batch_size
    return case.multiply_adds(training=False) if measurement.job == "inference" else 0


def load(path: str) -> Answers:
    """A peer's answers; the file is removed."""
    with np.load(path) as arrays:
        answers = dict(arrays)
    Path(path).unlink()
    return answers
