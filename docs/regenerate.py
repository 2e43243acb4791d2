"""Quote what commands print in the pages, or say which quotation is stale.

    python docs/regenerate.py            # writes the blocks anew
    python docs/regenerate.py --check    # exit status 1 if one is not what the command prints now
    python docs/regenerate.py --nightly  # those of TensorFlow too, which take minutes
    python docs/regenerate.py --study    # measure algorithms and semantics anew, on a machine that does nothing else

A block is a comment with the command and, after bars, from which line and up to which (without it) to quote,
then fenced text:

    <!-- output of: minicnn verify --target … | until: “linear in x” -->

Versions of Python and its packages are left out; TensorFlow's blocks say `nightly`. The pages of `study` are made whole
from what was measured, docs/results/algorithms.json and semantics.json.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("docs/verification.md", "docs/disagreements.md", "docs/explain.md")
BLOCK = re.compile(r"(<!-- output of: (?P<spec>.*?) -->\n```text\n)(?P<quoted>.*?)(?P<end>```\n)", re.DOTALL)
NIGHTLY = "| nightly"


@cache
def output(command: str) -> str:
    """What a command prints, on whatever status it exits, without what depends on the machine."""
    words = shlex.split(command)
    start = [sys.executable, "-m", "minicnn"] if words[0] == "minicnn" else [sys.executable]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    run = subprocess.run([*start, *words[1:]], cwd=ROOT, env=environment, capture_output=True, text=True)
    if not run.stdout:
        raise RuntimeError(f"{command} printed nothing, and on stderr: {run.stderr}")
    return re.sub(r"; python .*", "", run.stdout)


def quote(spec: str) -> str:
    """The lines that a block's comment asks for."""
    command, *options = [part.strip() for part in spec.split(" | ")]
    lines = output(command).rstrip().split("\n")
    for option in options:
        name, _, text = option.partition(": ")
        if name not in ("from", "until", "nightly"):
            raise ValueError(f"A block takes from, until and nightly. Received {name!r}.")
        if name != "nightly":
            at = next(k for k, line in enumerate(lines) if text in line)
            lines = lines[at:] if name == "from" else lines[:at]
    return "\n".join(lines).rstrip() + "\n"


def renew(text: str, *, nightly: bool) -> str:
    """A page with its blocks as the commands print them now."""

    def block(match: re.Match[str]) -> str:
        if NIGHTLY in match["spec"] and not nightly:
            return match[0]
        return f"{match[1]}{quote(match['spec'])}{match['end']}"

    return BLOCK.sub(block, text)


RESULTS = ROOT / "docs" / "results"
IMAGES = "images/algorithms-"


def measure_study() -> None:
    """Write the results that the pages of `study` are made from, and the pictures."""
    from minicnn.study import semantics
    from minicnn.study.algorithms import command, pictures

    results = command.measure("full", print)
    (RESULTS / "algorithms.json").write_text(results.to_json(), "utf-8")
    pictures.draw_all(results, ROOT / "docs" / "images", "algorithms-")
    trainings = {name: semantics.get(name).train() for name in semantics.NAMES}
    rows = {name: {"rows": training.rows, "says": training.says} for name, training in trainings.items()}
    (RESULTS / "semantics.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", "utf-8")


def algorithms_page() -> str:
    from minicnn.study.algorithms.report import report
    from minicnn.study.algorithms.results import Results

    return report(Results.from_json((RESULTS / "algorithms.json").read_text("utf-8")), IMAGES)


def semantics_page() -> str:
    from minicnn.study import semantics
    from minicnn.study.semantics.confusion import Row, Training
    from minicnn.study.semantics.show import page

    measured = json.loads((RESULTS / "semantics.json").read_text("utf-8"))
    trainings = {
        name: Training(tuple(Row(*row) for row in found["rows"]), found["says"])
        for name, found in measured.items()
    }
    return page([semantics.get(name) for name in semantics.NAMES], trainings)


STUDY: dict[str, Callable[[], str]] = {
    "docs/algorithms.md": algorithms_page,
    "docs/semantics.md": semantics_page,
}
"""Pages that are made whole."""


def pages(*, nightly: bool) -> dict[str, str]:
    """Every page as it should be."""
    quoting = {name: renew((ROOT / name).read_text("utf-8"), nightly=nightly) for name in PAGES}
    return quoting | {name: make() for name, make in STUDY.items()}


def main(arguments: list[str]) -> int:
    sys.path.insert(0, str(ROOT))
    if "--study" in arguments:
        measure_study()
    stale = []
    for name, new in pages(nightly="--nightly" in arguments).items():
        page = ROOT / name
        if not page.exists() or new != page.read_text("utf-8"):
            stale.append(name)
            if "--check" not in arguments:
                page.write_text(new, "utf-8")
    print(f"{'stale' if '--check' in arguments else 'renewed'}: {', '.join(stale) or 'none'}")
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
