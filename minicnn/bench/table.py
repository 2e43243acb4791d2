"""The words in which benchmarks/cases.py says what is measured, and where that table is found."""

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CASES = "minicnn.bench.cases"


@dataclass(frozen=True)
class Contestant:
    """Who takes part in a measurement, and how."""

    peer: str
    threads: int | None = None
    """All that the run may use without it."""
    busy: bool = False
    """While another process keeps one core busy."""
    most_steps: int | None = None
    """Of a sample of a training step: of one who is slow, and pays nothing for the start of an epoch."""
    in_quick: bool = True
    """Whether `minicnn bench --quick` times it too."""

    @property
    def label(self) -> str:
        plural = "" if self.threads == 1 else "s"
        return (
            self.peer
            + (f", {self.threads} thread{plural}" if self.threads else "")
            + (", one core busy" if self.busy else "")
        )


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    rounds: int = 7
    samples: int = 1
    """By each contestant in each round."""
    steps: int = 224
    """Of `fit` in a sample of a training step: a multiple of 32, which is one of Keras's steps_per_execution."""
    at_least_s: float = 0.1
    """A shorter call is repeated until a sample takes this long."""
    slow: bool = True
    """Also variants that take long to compile (XLA, torch.compile)."""


@dataclass(frozen=True)
class Measurement:
    """The same job on the same inputs by several contestants, in turn."""

    job: str
    """See `results.Measured.job`."""
    case: str
    """Name of a network, or of a convolution."""
    batch_size: int
    contestants: tuple[Contestant, ...]
    effort: Effort = Effort()
    quick: Effort | None = None
    """The effort of `minicnn bench --quick`, which leaves out what has none."""
    title: str = ""
    """Stands for the job in the name, where a job is measured in a special way."""

    @property
    def name(self) -> str:
        batch = "" if self.job.startswith("convolution") else f"/{self.batch_size}"
        return f"{self.title or self.job}/{self.case}{batch}"

    @property
    def group(self) -> str:
        """Measurements of a group share their processes: importing TensorFlow for each convolution would take long."""
        return "convolution" if self.job.startswith("convolution") else self.name


@dataclass(frozen=True)
class Bar:
    """A bound on a ratio of medians, ours over theirs."""

    what: str
    measurement: str
    """A measurement's name; with a '*' at the end, all that begin so."""
    against: str
    """Label of a contestant."""
    limit: float
    at_least: bool = False
    """≥ instead of ≤."""
    ours: str = "minicnn"
    over: str = "one"
    """What is made of several measurements: 'worst' or 'geometric mean'. 'gain': (1 thread ÷ all) over the other's."""
    of: int = 1
    """How many measurements it is over; a bar over fewer has no value."""


def cases() -> Any:
    """The module benchmarks/cases.py: of the checkout that this package lies in, or the copy that a wheel carries.

    Raises:
        ValueError: neither is there.
    """
    if CASES in sys.modules:
        return sys.modules[CASES]
    here = Path(__file__)
    for path in (here.parents[2] / "benchmarks" / "cases.py", here.with_name("cases.py")):
        if path.is_file():
            spec = importlib.util.spec_from_file_location(CASES, path)
            module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
            sys.modules[CASES] = module
            spec.loader.exec_module(module)  # type: ignore[union-attr]
            return module
    raise ValueError("The table of benchmarks, benchmarks/cases.py, must lie beside the package or in it.")
