"""`make mutation`: every operator, number, argument and string of `reference/` and `geometry.py` wrong once.

mutmut makes the mutants and runs the tests of the reference against each. Afterwards three things must hold: every
mutant was run, 90 % were killed, and each survivor is explained in docs/mutation.md. Writes docs/results/mutation.json.
"""

import ast
import datetime
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "mutation"
PAGE = ROOT / "docs" / "mutation.md"
RESULTS = ROOT / "docs" / "results" / "mutation.json"
LEAST_SHARE_KILLED = 0.9


class Mutation(NamedTuple):
    """One changed place: lines without their indentation, joined by newlines where there are several."""

    path: str
    before: str
    after: str


def explained() -> list[Mutation]:
    """The survivors of docs/mutation.md: in its diff blocks `@@ path:line`, then lines with - and with +."""
    text = PAGE.read_text(encoding="utf-8")
    entries = re.findall(r"^@@ (\S+):\d+\n((?:[-+].*\n)+)", text, re.MULTILINE)
    return [Mutation(path, *sides(lines.splitlines())) for path, lines in entries]


def sides(diff: list[str]) -> tuple[str, str]:
    """What a diff removes and what it adds."""
    removed, added = ("\n".join(line[1:].strip() for line in diff if line[0] == sign) for sign in "-+")
    return removed, added


def copy_sources() -> None:
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    for name in ("minicnn", "tests"):
        shutil.copytree(ROOT / name, WORK / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", WORK)
    # mutmut leaves decorated functions alone; a property made after its class is none. Lines keep their numbers.
    geometry = WORK / "minicnn" / "geometry.py"
    text = geometry.read_text(encoding="utf-8")
    names = re.findall(r"    @property\n    def (\w+)", text)
    text = text.replace("    @property\n", "\n")
    text += "".join(f"\n\nWindow.{name} = property(Window.{name})\n" for name in names)
    geometry.write_text(text, encoding="utf-8")


def run_mutmut(*arguments: str) -> str:
    # Nothing but the mutated copy may be found under the package's name.
    environment = {**os.environ, "PYTHONPATH": ""}
    command = [sys.executable, "-m", "mutmut", *arguments]
    quiet = arguments[0] != "run"
    done = subprocess.run(command, cwd=WORK, env=environment, check=True, text=True, capture_output=quiet)
    return done.stdout or ""


def statuses() -> dict[str, str]:
    """Name of each mutant → "killed", "survived", "timeout", …"""
    lines = run_mutmut("results", "--all", "true").splitlines()
    return {
        name.strip(): status.strip() for name, _, status in (line.rpartition(":") for line in lines) if name
    }


def survivor(name: str) -> tuple[Mutation, int]:
    """What mutant `name` changes, and in which line."""
    lines = run_mutmut("show", name).splitlines()
    path = next(line[4:] for line in lines if line.startswith("--- "))
    changed = [line for line in lines if re.match(r"[-+](?![-+]{2} )", line)]
    mutation = Mutation(path, *sides(changed))
    function = re.search(r"[.ǁ](?:x_)?(\w+)__mutmut_\d+$", name)[1]
    source = (ROOT / path).read_text(encoding="utf-8")
    node = next(
        n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef) and n.name == function
    )
    first = mutation.before.split("\n")[0]
    for number, line in enumerate(source.splitlines(), 1):
        if number >= node.lineno and line.strip() == first:
            return mutation, number
    raise ValueError(f"{path} must hold the line that {name} changes. Received {first!r}.")


def as_diff(mutation: Mutation, line: int) -> Iterator[str]:
    yield f"@@ {mutation.path}:{line}"
    for sign, text in (("-", mutation.before), ("+", mutation.after)):
        yield from (f"{sign} {part}" for part in text.split("\n") if part)


def totals(status_of: dict[str, str], elapsed_s: float) -> dict:
    modules: dict[str, Counter] = {}
    for name, status in status_of.items():
        module = re.match(r"(.+?)\.(?:x_|xǁ)", name)[1]
        modules.setdefault(module, Counter())[status] += 1
    count = Counter(status_of.values())
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "command": "make mutation",
        "tool": "mutmut",
        "versions": {name: version(name) for name in ("mutmut", "hypothesis", "numpy", "pytest")}
        | {"python": platform.python_version()},
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": commit.stdout.strip() or None,
        "seconds": round(elapsed_s),
        "mutants": len(status_of),
        "killed": count["killed"],
        "survived": count["survived"],
        "timeouts": count["timeout"],
        "other": len(status_of) - count["killed"] - count["survived"] - count["timeout"],
        "share_killed": round(count["killed"] / len(status_of), 4),
        "modules": {module: dict(sorted(modules[module].items())) for module in sorted(modules)},
    }


def main() -> int:
    start = time.monotonic()
    copy_sources()
    run_mutmut("run", "--max-children", os.environ.get("MUTATION_PROCESSES", "1"))
    status_of = statuses()
    result = totals(status_of, time.monotonic() - start)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")

    known = set(explained()) if PAGE.exists() else set()
    survivors = [survivor(name) for name, status in status_of.items() if status == "survived"]
    unexplained = [(mutation, line) for mutation, line in survivors if mutation not in known]
    for mutation, line in unexplained:
        print(*as_diff(mutation, line), sep="\n", end="\n\n")
    for mutation in sorted(known - {mutation for mutation, _ in survivors}):
        print(f"Killed by now, and still in {PAGE.name}:", *as_diff(mutation, 0), sep="\n", end="\n\n")
    print(
        f"{result['mutants']} mutants: {result['killed']} killed ({result['share_killed']:.1%}), "
        f"{result['timeouts']} timeouts, {result['survived']} survived, {len(unexplained)} of them unexplained; "
        f"{result['other']} not decided."
    )
    return int(bool(unexplained or result["other"] or result["share_killed"] < LEAST_SHARE_KILLED))


if __name__ == "__main__":
    sys.exit(main())
