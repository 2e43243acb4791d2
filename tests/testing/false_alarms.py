"""Right implementations must pass: runs the checks on frameworks and on both backends with many examples.

    python -m tests.testing.false_alarms run keras --op dense --examples 10000
    python -m tests.testing.false_alarms page

``run`` adds its results to ``docs/results/false_alarms.json``, one entry for each target, and ``page`` makes
``docs/false_alarms.md`` from it.
"""

from __future__ import annotations

import datetime
import json
import subprocess
from pathlib import Path
from time import perf_counter
from typing import Any

import typer

from minicnn.testing import verify
from minicnn.testing.adapters import load
from minicnn.testing.report import DIFFERS, FAILS, HOLDS, NOT_RUN, Report

DOCS = Path(__file__).parents[2] / "docs"
RESULTS, PAGE = DOCS / "results" / "false_alarms.json", DOCS / "false_alarms.md"
app = typer.Typer(add_completion=False)


def entry(report: Report, seconds: float, commit: str) -> dict[str, Any]:
    """What is kept of a report."""
    by = {v: [r for r in report.results if r.verdict == v] for v in (HOLDS, DIFFERS, FAILS, NOT_RUN)}
    held = by[HOLDS]
    # a fixed list of bad calls is exhausted after a few examples
    drawn = [r.examples for r in held if not r.name.startswith("invalid ")]
    worst = max(held, key=lambda r: r.worst or 0.0, default=None)
    return {
        "target": report.target,
        "op": report.op,
        "date": datetime.date.today().isoformat(),
        "commit": commit,
        "seed": report.seed,
        "asked": report.examples,
        "fewest": min(drawn, default=0),
        "total": sum(r.examples for r in report.results),
        "seconds": round(seconds, 1),
        "holds": len(held),
        "fails": {r.name: r.failure.message if r.failure else "" for r in by[FAILS]},
        "differs": {r.name: r.note for r in by[DIFFERS]},
        "not_run": {r.name: r.note for r in by[NOT_RUN]},
        "worst": {"property": worst.name, "share": worst.worst} if worst is not None else None,
        "versions": report.versions,
    }


def stored() -> list[dict[str, Any]]:
    """The results so far."""
    found: list[dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    return found


def keep(new: dict[str, Any]) -> None:
    """Replaces the entry of the same target and op."""
    key = (new["target"], new["op"])
    others = [e for e in stored() if (e["target"], e["op"]) != key]
    every = sorted([*others, new], key=lambda e: (e["target"].split()[0], e["op"], e["target"]))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(every, indent=1, ensure_ascii=False) + "\n")


@app.command()
def run(name: str, op: str | None = None, examples: int = 10_000, seed: int = 0) -> None:
    """Check a target and keep the results."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    failed = False
    for kind in dict.fromkeys(target.op for target in load(name, op)):
        start = perf_counter()
        verification = verify.run(name, kind, examples=examples, seed=seed)
        seconds = (perf_counter() - start) / len(verification.reports)
        for report in verification.reports:
            keep(entry(report, seconds, commit))
            failed |= not report.ok
            print(
                f"{report.target} {report.op}: {'ok' if report.ok else 'FAILS'}, {seconds:.0f} s", flush=True
            )
    raise typer.Exit(int(failed))


def markdown(entries: list[dict[str, Any]]) -> str:
    """The page."""
    rows = []
    for e in entries:
        share = f"{100 * e['worst']['share']:.0f} %" if e["worst"] and e["worst"]["share"] else "exact"
        failing = "; ".join(f"**{k}**" for k in e["fails"]) or "none"
        rows.append(
            f"| {e['target']} | {e['op']} | {e['holds']} | {e['fewest']:,} | {e['total']:,} | {failing} | "
            f"{share} | {e['seconds']:,.0f} | {e['date']}, {e['commit']} |"
        )
    differences = sorted({(e["target"], e["op"], k, v) for e in entries for k, v in e["differs"].items()})
    listed = [f"- {target}, {op}, “{name}”: {why}" for target, op, name, why in differences]
    return TEXT.format(rows="\n".join(rows), differences="\n".join(listed) or "None.")


TEXT = """\
# No false alarms

A check that cries wolf is worth nothing: implementations that are right must pass. These did, with the number of
examples that each property was run on. `python -m tests.testing.false_alarms run TARGET` makes a row, and `make
nightly` makes them all with 10,000 examples a property.

“Examples a property” is the least that any property drew; a strategy with few distinct cases ends earlier.
“Worst” is the largest error as a share of its bound.

| target | op | properties that hold | examples a property | examples in all | fails | worst | seconds | run on |
|---|---|---|---|---|---|---|---|---|
{rows}

## Documented differences

Properties that a target is known not to hold are run all the same and reported as such:

{differences}
"""


@app.command()
def page() -> None:
    """Write the page from the results."""
    PAGE.write_text(markdown(stored()))


if __name__ == "__main__":
    app()
