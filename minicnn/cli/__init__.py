"""The `minicnn` command. Bad input is one line on stderr and exit status 2.

A module here holds the commands of one kind; importing it adds them to `app`, in the order in which help shows them.
"""

import os
import sys

import typer

from minicnn.cli import train as train  # isort: skip
from minicnn.cli import files as files  # isort: skip
from minicnn.cli import verify as verify  # isort: skip
from minicnn.cli import bench as bench  # isort: skip
from minicnn.cli import study as study  # isort: skip
from minicnn.cli import algorithms as algorithms  # isort: skip
from minicnn.cli import semantics as semantics  # isort: skip
from minicnn.cli import explain as explain  # isort: skip
from minicnn.cli.app import app


def run(arguments: list[str]) -> int:
    """Carry out a command line and return the exit status."""
    try:
        return app(arguments or ["--help"], prog_name="minicnn", standalone_mode=False) or 0
    except (KeyboardInterrupt, typer.Abort):
        print("minicnn: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        # Typer's own errors are Click's, vendored in some versions: they have a message for the user.
        expected = hasattr(error, "format_message") or isinstance(error, ValueError | TypeError | OSError)
        if not expected or os.environ.get("MINICNN_TRACEBACK"):
            raise
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        print(f"minicnn: {' '.join(message.split())}", file=sys.stderr)
        return 2


def main() -> None:
    sys.exit(run(sys.argv[1:]))
