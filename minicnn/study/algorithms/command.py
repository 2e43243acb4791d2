"""`minicnn algorithms`: measure in a process of one thread, write results.json, report.md and pictures."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from minicnn.engine.peak import THREADS, matmul_gflops
from minicnn.saving.files import write_file
from minicnn.study.algorithms.pictures import draw_all
from minicnn.study.algorithms.report import report
from minicnn.study.algorithms.results import Results


def measure(extent: str, tell: Callable[[str], None] = lambda line: None) -> Results:
    """Run the measurements of `extent` ('full' or 'quick') with one thread; `tell` hears of each.

    Raises:
        OSError: the measuring process failed.
    """
    machine = describe(extent) | {"peak_gflops": matmul_gflops()}
    command = [sys.executable, "-m", "minicnn.study.algorithms.measure", extent]
    records = []
    with subprocess.Popen(
        command, env=os.environ | dict.fromkeys(THREADS, "1"), stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout or ():
            record = json.loads(line)
            records.append(record)
            if record["kind"] == "time":
                tell(progress_line(record))
    if process.returncode:
        raise OSError(f"The measuring process failed with status {process.returncode}.")
    return Results(machine, tuple(records))


def progress_line(record: dict[str, Any]) -> str:
    """What was just timed, in a few words."""
    return (
        f"{record['kernel']}×{record['kernel']}, {record['channels']} channels, {record['algorithm']}: "
        f"forward {1e3 * record['forward_s']:.2f} ms, backward {1e3 * record['backward_s']:.2f} ms"
    )


def describe(extent: str) -> dict[str, Any]:
    """Where and when."""
    return {
        "extent": extent,
        "cpu": _cpu(),
        "versions": {name: version(name) for name in ("numpy", "numba")}
        | {"python": platform.python_version()},
        "date": datetime.now(UTC).date().isoformat(),
        "load_average": round(os.getloadavg()[0], 1),
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def write(results: Results, folder: Path) -> None:
    """results.json, report.md and the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / "results.json", results.to_json().encode())
    write_file(folder / "report.md", report(results).encode())
    draw_all(results, folder)
