"""Quote what commands print in the pages, or say which quotation is stale.

    python docs/regenerate.py            # writes the blocks anew
    python docs/regenerate.py --check    # exit status 1 if one is not what the command prints now
    python docs/regenerate.py --nightly  # those of TensorFlow too, which take minutes

A block is a comment with the command and, after bars, from which line and up to which (without it) to quote,
then fenced text:

    <!-- output of: minicnn verify --target … | until: “linear in x” -->

Versions of Python and its packages are left out; TensorFlow's blocks say `nightly`.
"""

import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("docs/verification.md", "docs/disagreements.md")
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


def main(arguments: list[str]) -> int:
    stale = []
    for name in PAGES:
        page = ROOT / name
        old = page.read_text("utf-8")
        new = renew(old, nightly="--nightly" in arguments)
        if new != old:
            stale.append(name)
            if "--check" not in arguments:
                page.write_text(new, "utf-8")
    print(f"{'stale' if '--check' in arguments else 'renewed'}: {', '.join(stale) or 'none'}")
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
