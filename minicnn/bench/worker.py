"""One peer in a process of its own: `python -m minicnn.bench.worker PEER`, a line of JSON in, a line of JSON out.

    {"do": "build", "job": "train_step", "case": {…}, "batch_size": 64, "steps": 224, "folder": "/tmp/…", "slow": true}
      → {"variants": [{"variant": "fit", "answers": "/tmp/….npz", "first_call_s": 0.4}, {"variant": …, "error": …}]}
    {"do": "choose", "variants": ["fit"], "at_least_s": 0.1} → {"variant": "fit", "trials": {"fit": 0.0042}}
    {"do": "sample", "number": 3}                            → {"seconds": [0.0041, 0.0040, 0.0042]}

Whatever goes wrong is {"error": "…"}. The end of the input ends the process.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import Any

import numpy as np

from minicnn.bench import peers
from minicnn.bench.neutral import Convolution, from_dict

TRIALS = 2
"""Samples of each variant of a short job before the fastest is chosen; the best one counts."""


@dataclass
class Ready:
    """A job that has run once."""

    job: peers.Job
    repeats: int = 1

    def sample(self) -> float:
        """Seconds a unit."""
        self.job.prepare()
        start = perf_counter()
        for _ in range(self.repeats):
            self.job.run()
        return (perf_counter() - start) / (self.repeats * self.job.units)


class Worker:
    """Answers requests for one peer."""

    def __init__(self, peer: ModuleType) -> None:
        self.peer = peer
        self.ready: dict[str, Ready] = {}
        self.chosen: Ready | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        do = request.pop("do")
        if do not in ("build", "choose", "sample"):
            raise ValueError(f"A worker builds, chooses or samples. Received {do!r}.")
        return getattr(self, do)(**request)

    def build(
        self, job: str, case: dict[str, Any], batch_size: int, steps: int, folder: str, slow: bool
    ) -> dict[str, Any]:
        """Make every variant of a job (`slow`: also those that compile long) and let it run once.

        Its answers go to a file.
        """
        self.ready, self.chosen = {}, None  # what was built before is let go
        neutral, function = from_dict(case), getattr(self.peer, job, None)
        if function is None:
            raise ValueError(f"{self.peer.__name__} has no {job}")
        arguments = (neutral,) if isinstance(neutral, Convolution) else (neutral, batch_size, steps)
        left_out = () if slow else getattr(self.peer, "SLOW", ())
        return {
            "variants": [
                {"variant": variant} | self._made(variant, make, Path(folder))
                for variant, make in function(*arguments).items()
                if not any(word in variant for word in left_out)
            ]
        }

    def _made(self, variant: str, make: Callable[[], peers.Job], folder: Path) -> dict[str, Any]:
        start = perf_counter()
        try:
            job = make()
            answers = job.answers()
            job.prepare()
            job.run()
        except (
            Exception
        ) as error:  # whatever a library raises: this variant is out, and the reason is reported
            return {"error": one_line(error)}
        first_call_s = perf_counter() - start
        path = folder / f"{os.getpid()}-{len(self.ready)}.npz"
        np.savez(path, **answers)  # type: ignore[arg-type]
        self.ready[variant] = Ready(job)
        return {"answers": str(path), "first_call_s": first_call_s}

    def choose(self, variants: list[str], at_least_s: float) -> dict[str, Any]:
        """Keep the fastest of `variants`, repeated so often that a sample takes `at_least_s`."""
        trials = {}
        for variant in variants:
            ready = self.ready[variant]
            trials[variant] = ready.sample()
            ready.repeats = max(1, ceil(at_least_s / max(trials[variant] * ready.job.units, 1e-9)))
            if ready.repeats > 1:  # a single short call says little
                trials[variant] = min(ready.sample() for _ in range(TRIALS))
        best = min(trials, key=trials.__getitem__)
        self.chosen, self.ready = self.ready[best], {}
        return {"variant": best, "trials": trials}

    def sample(self, number: int) -> dict[str, Any]:
        if self.chosen is None:
            raise ValueError("Nothing has been chosen yet.")
        return {"seconds": [self.chosen.sample() for _ in range(number)]}


def one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def main() -> None:
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints must not look like a reply
    worker = Worker(peers.load(sys.argv[1]))
    print(json.dumps({"ready": True}), file=replies)
    for line in sys.stdin:
        try:
            reply = worker.answer(json.loads(line))
        except Exception as error:  # reported to the parent, who knows what to do
            reply = {"error": one_line(error)}
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(reply), file=replies)


if __name__ == "__main__":
    main()
