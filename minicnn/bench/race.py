"""The speedrun: from the start of the process to a test accuracy of 0.99 or more, as fast as an honest schedule can.

The net is the book's, the training data are the 60,000 images, and the test images are used once, at the end. The
schedule was chosen on 55,000 of the training images by the other 5,000 (`benchmarks/race.py search`; every attempt
is in benchmarks/results/race_attempts.jsonl).
"""

import json
import os
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

from minicnn.callbacks import Callback
from minicnn.callbacks.callback import Logs


class Schedule(NamedTuple):
    """How the net is trained: the learning rate rises to its peak and then falls to zero, both in a straight line."""

    optimizer: str
    batch_size: int
    epochs: int
    peak: float
    """The largest learning rate."""
    warmup: float
    """The share of the steps before it."""


SCHEDULE = Schedule("rmsprop", 64, 2, 0.002, 0.2)

START = 0.1
"""The first learning rate, as a share of the peak. Smith & Topin 2017, "Super-convergence", §3."""


class OneCycle(Callback):
    """Sets the learning rate before each of `steps` steps, and notes when each began."""

    def __init__(self, schedule: Schedule, steps: int) -> None:
        super().__init__()
        self.schedule, self.steps = schedule, steps
        self.times: list[float] = []

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0; above 0 in the last one too."""
        done, warmup = step / self.steps, self.schedule.warmup
        share = START + (1 - START) * done / warmup if done < warmup else (1 - done) / (1 - warmup)
        return self.schedule.peak * share

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self.model.optimizer.learning_rate = self.rate(len(self.times))
        self.times.append(time.perf_counter())


class Race(NamedTuple):
    """One run. All times are seconds."""

    seed: int
    test_accuracy: float
    seconds: float
    """From the start of the process to the known test accuracy."""
    phases: dict[str, float]
    """What they went to."""


def race(seed: int) -> Race:
    """Train the book's net by SCHEDULE and evaluate it once. To be called early: all before counts as 'start'."""
    clock = _Clock()
    from minicnn import runs, utils

    utils.set_random_seed(seed)
    net = runs.book_net()
    net.compile(optimizer=SCHEDULE.optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    clock.lap("import")
    training, test = runs.load_examples(None)
    clock.lap("data")
    cycle = OneCycle(SCHEDULE, SCHEDULE.epochs * -(-len(training.images) // SCHEDULE.batch_size))
    net.fit(
        training.images,
        training.labels,
        batch_size=SCHEDULE.batch_size,
        epochs=SCHEDULE.epochs,
        callbacks=[cycle],
        verbose=0,
    )
    clock.lap("training")
    _, accuracy = net.evaluate(test.images, test.labels, batch_size=500, verbose=0)
    clock.lap("evaluation")
    return Race(seed, accuracy, clock.total, _kernels_apart(clock.laps, cycle.times))


def run_race(seed: int, folder: Path) -> None:
    """Race, leave race.json in `folder` and show what the time went to."""
    result = race(seed)
    from rich.console import Console
    from rich.table import Table

    from minicnn.saving import write_file

    write_file(folder / "race.json", (json.dumps(result._asdict(), indent=1) + "\n").encode())
    title = f"Test accuracy {result.test_accuracy:.4f} in {result.seconds:.2f} s"
    table = Table("phase", "seconds", title=title)
    for phase, seconds in result.phases.items():
        table.add_row(phase, f"{seconds:.2f}")
    Console().print(table)


def _kernels_apart(laps: dict[str, float], times: list[float]) -> dict[str, float]:
    """The first step is as long as any other but for loading the kernels: that is a phase of its own."""
    steps = [after - before for before, after in pairwise(times)]
    kernels = max(0.0, steps[0] - median(steps)) if steps else 0.0
    phases = {}
    for name, seconds in laps.items():
        if name == "training":
            phases["kernels from disk"] = kernels
            seconds -= kernels
        phases[name] = seconds
    return phases


class _Clock:
    """Seconds between laps; the first, 'start', began with the process."""

    def __init__(self) -> None:
        self.laps = {"start": process_age()}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self._last = now - self._last, now

    @property
    def total(self) -> float:
        return sum(self.laps.values())


def process_age() -> float:
    """Seconds since this process began, to a hundredth; where there is no /proc, its processor time so far."""
    stat = Path("/proc/self/stat")
    if not stat.exists():
        return time.process_time()
    ticks = int(stat.read_text().rpartition(")")[2].split()[19])  # field 22, proc(5)
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
