"""The long trials of files and kills: 100,000 mutants of each format, as many led by coverage, 200 kills.

    python -m tests.saving.trials run                    # all of them: an hour
    python -m tests.saving.trials run "keras: mutants"   # some
    python -m tests.saving.trials page

``run`` keeps what came of each in ``docs/results/files.json``; ``page`` makes ``docs/files_tried.md`` from it.
"""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer

from tests.saving.mutants import formats

DOCS = Path(__file__).parents[2] / "docs"
RESULTS, PAGE = DOCS / "results" / "files.json", DOCS / "files_tried.md"
MUTANTS, KILLS = 100_000, 200
app = typer.Typer(add_completion=False)


def commands() -> dict[str, list[str]]:
    """The trials by name, each a program that prints a line of JSON at its end."""
    fuzz = [sys.executable, "-m", "tests.saving.mutants"]
    mutants = {f"{kind}: mutants": [*fuzz, kind, str(MUTANTS)] for kind in formats()}
    led = {f"{kind}: led by coverage": [*fuzz, kind, "--atheris", str(MUTANTS)] for kind in formats()}
    kills = [sys.executable, "-m", "tests.callbacks.survivor", "FOLDER", str(KILLS), "0"]
    return mutants | led | {"kills": kills}


def problems(found: dict[str, Any]) -> list[str]:
    """What must not have come of a trial."""
    if "findings" in found:
        return list(found["findings"])
    ended_otherwise = found["trainings"] - found["same"]
    told = [f"{ended_otherwise} trainings ended otherwise"] if ended_otherwise else []
    return told + [f"left behind: {name}" for name in found["left behind"]]


def carry_out(command: Sequence[str]) -> dict[str, Any]:
    """What a trial says.

    Raises:
        RuntimeError: it says nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        words = [folder if word == "FOLDER" else word for word in command]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    if not done.stdout.strip():
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def stored() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return found


@app.command()
def run(names: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Carry out trials, and keep what came of them. The exit status is 1 if something must not have."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    failed = False
    for name in names or commands():
        start = perf_counter()
        found = carry_out(commands()[name])
        took = {"seconds": round(perf_counter() - start, 1)}
        when = {"date": datetime.date.today().isoformat(), "commit": commit}
        kept = stored() | {name: when | took | {"found": found, "problems": problems(found)}}
        RESULTS.write_text(json.dumps({k: kept[k] for k in commands() if k in kept}, indent=1) + "\n")
        failed |= bool(problems(found))
        print(f"{name}: {problems(found) or 'nothing'}, {took['seconds']:.0f} s", flush=True)
    raise typer.Exit(int(failed))


TEXT = """\
# Files and kills, tried at length

What `make nightly` tries of [files from strangers](files.md) and of [trainings that are killed](resuming.md); each of
its runs makes this page anew. A mutant must be refused by a `ValueError` or loaded; anything else, more than a second
of CPU time or more than 300 MB is a finding.

| format | how | mutants | refused | loaded | slowest, s | memory, MB | findings | seconds |
|---|---|---|---|---|---|---|---|---|
{rows}

Run on {dates}, at {commits}.

*Mutants* are drawn by Hypothesis, those of archives half of the time inside a member, with right checksums. *Led by
coverage*: libFuzzer, through atheris, looks for new branches of our readers.
{kills}"""

KILLED = """
{kills} kills by SIGKILL at random moments, {epoch} of them inside an epoch and {save} inside a save, over {trainings}
trainings with Dropout, validation, EarlyStopping and CSVLogger; {same} of the {trainings}, resumed, ended with the
bytes of weights, the history and the log of one that was never interrupted ({seconds:.0f} s, {date}, {commit}).
"""


def markdown(entries: dict[str, Any]) -> str:
    """The page."""
    rows = []
    for name, e in entries.items():
        if ": " in name:
            kind, how = name.split(": ")
            found = e["found"]
            count = found["refused"] + found["loaded"] + len(found["findings"])
            rows.append(
                f"| {kind} | {how} | {count:,} | {found['refused']:,} | {found['loaded']:,} | {found['seconds']} | "
                f"{found['mb']} | {'; '.join(e['problems']) or 'none'} | {e['seconds']:,.0f} |"
            )
    kills = ""
    if "kills" in entries:
        e = entries["kills"]
        found = e["found"]
        kills = KILLED.format(
            kills=KILLS, epoch=found["inside an epoch"], save=found["in a save"], **{k: found[k] for k in
            ("trainings", "same")}, seconds=e["seconds"], date=e["date"], commit=e["commit"],
        )  # fmt: skip
    dates, commits = (
        ", ".join(dict.fromkeys(e[key] for e in entries.values())) for key in ("date", "commit")
    )
    return TEXT.format(rows="\n".join(rows), kills=kills, dates=dates, commits=commits)


@app.command()
def page() -> None:
    """Write the page from the results."""
    PAGE.write_text(markdown(stored()))


if __name__ == "__main__":
    app()
