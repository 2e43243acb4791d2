"""Which property catches which planted bug, and after how many examples.

    python -m tests.testing.catches --seeds 20 --json docs/results/planted_bugs.json
    python -m tests.testing.catches --json docs/results/planted_bugs.json --markdown docs/planted_bugs.md

The first line measures, and goes on where it was stopped; with ``--markdown`` the page is made from the
measurements and nothing is run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from minicnn.testing import CHECKS
from minicnn.testing.report import FAILS, environment
from tests.testing import catches_page
from tests.testing.mutants import BLIND, MUTANTS
from tests.testing.planted.mutant import Mutant

FIRST = Path(__file__).parent / "planted" / "blind_first.json"
EXAMPLES = 200
"""The kit's own default."""
FEW = 40
"""For the other properties: all 200 of each would take hours and say little more."""


def first_failure(mutant: Mutant, seed: int) -> int | None:
    """Number of the first example on which the named property fails; None if it holds."""
    check = CHECKS[mutant.op]
    report = check(mutant.make(), properties=[mutant.caught_by], examples=EXAMPLES, seed=seed, shrink=False)
    result = report[mutant.caught_by]
    return result.examples if result.verdict == FAILS else None


def all_failures(mutant: Mutant, named: int | None) -> dict[str, int]:
    """The properties that fail within a few examples of seed 0, with their first failing one, and the named one."""
    report = CHECKS[mutant.op](mutant.make(), examples=FEW, seed=0, shrink=False)
    found = {result.name: result.examples for result in report.failures}
    return found if named is None else {**found, mutant.caught_by: named}


def measure(mutant: Mutant, seeds: int) -> dict[str, Any]:
    """What the table has to know of one bug."""
    failures = [first_failure(mutant, seed) for seed in range(seeds)]
    return {
        "op": mutant.op,
        "bug": mutant.name,
        "blind": mutant in BLIND,
        "caught_by": mutant.caught_by,
        "first_failing_example": failures,
        "seed_0": all_failures(mutant, failures[0]),
    }


def commit() -> str:
    """The checkout's commit."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def as_json(data: dict[str, Any]) -> str:
    """JSON with one bug a line, so that a difference reads as what it is."""
    head = json.dumps({**data, "bugs": []}, indent=1, ensure_ascii=False)
    bugs = ",\n".join("  " + json.dumps(bug, ensure_ascii=False) for bug in data["bugs"])
    return head.replace('"bugs": []', '"bugs": [\n' + bugs + "\n ]") + "\n"


def measure_all(path: Path, seeds: int) -> None:
    """Measures what ``path`` doesn't hold yet for this commit, and writes after each bug."""
    head = {"commit": commit(), "seeds": seeds, "examples": EXAMPLES, "versions": environment()}
    data: dict[str, Any] = {**head, "date": date.today().isoformat(), "elapsed_s": 0.0, "bugs": []}
    if path.exists():
        stored = json.loads(path.read_text())
        data = stored if {name: stored.get(name) for name in head} == head else data
    known = {(b["op"], b["bug"], b["caught_by"]): b for b in data["bugs"]}
    data["bugs"] = []
    for mutant in [*MUTANTS, *BLIND]:
        start = time.perf_counter()
        bug = known.get((mutant.op, mutant.name, mutant.caught_by)) or measure(mutant, seeds)
        data["bugs"].append(bug)
        data["elapsed_s"] = round(data["elapsed_s"] + time.perf_counter() - start, 1)
        caught = sum(n is not None for n in bug["first_failing_example"])
        print(f"{caught:3d} of {seeds}  {mutant}", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        rest = [b for b in known.values() if b not in data["bugs"]]
        path.write_text(as_json({**data, "bugs": data["bugs"] + rest}))
    path.write_text(as_json(data))


def written(path: Path) -> str:
    """The page made from the measurements in ``path``."""
    return catches_page.page(json.loads(path.read_text()), json.loads(FIRST.read_text()))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args(arguments)
    if given.markdown is None:
        measure_all(given.json, given.seeds)
    else:
        given.markdown.write_text(written(given.json))


if __name__ == "__main__":
    main()
