"""The record of a machine; `python -m minicnn.bench.machine` measures its speed with the threads that it is given."""

import json
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from minicnn.bench.results import Machine
from minicnn.bench.session import ROOT, cpus, environment, pin

PACKAGES = (
    "numpy",
    "numba",
    "llvmlite",
    "keras",
    "tensorflow",
    "torch",
    "jax",
    "jaxlib",
    "onnx",
    "onnxruntime",
    "pyperf",
)
ABOUT_THE_MACHINE = (
    "aslr",
    "cpu_affinity",
    "cpu_config",
    "cpu_count",
    "cpu_freq",
    "cpu_model_name",
    "cpu_temp",
    "perf_version",
    "platform",
    "python_compiler",
    "python_version",
    "runnable_threads",
    "timer",
)
"""Of what pyperf collects; not the host's name, paths or command lines."""
SGEMM_SIZE, SGEMM_REPEATS = 2048, 6
TRIAD_NUMBERS, TRIAD_BLOCK, TRIAD_REPEATS = 1 << 23, 1 << 12, 5


def record(threads: int) -> Machine:
    """Everything about here and now; measures for some seconds."""
    now = moment()
    speeds = {str(count): speed_with(count) for count in sorted({1, threads})}
    return Machine(
        cpu=cpu_model(),
        caches=caches(),
        cores=len(cpus()),
        threads=threads,
        blas=blas(),
        versions={"python": platform.python_version()} | versions(),
        sgemm_gflops={count: speed["sgemm_gflops"] for count, speed in speeds.items()},
        triad_gbytes_s={count: speed["triad_gbytes_s"] for count, speed in speeds.items()},
        metadata=pyperf_metadata(),
        **now,
    )


def moment() -> dict[str, Any]:
    """What changes from one measurement to the next."""
    return {
        "load_average": os.getloadavg()[0],
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


def caches() -> dict[str, int]:
    """Bytes of each cache of the first core."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        found[f"L{level} {kind}"] = int(size.rstrip("KM")) * (1 << (20 if size.endswith("M") else 10))
    return found


def blas() -> str:
    about = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{about.get('name')} {about.get('version')}"


def versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """Of the checkout, with a '+' if files of the package or its benchmarks differ from it; '' outside one."""
    try:
        head = git("rev-parse", "HEAD")
        return head + ("+" if git("status", "--porcelain", "--", "minicnn", "benchmarks/cases.py") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def pyperf_metadata() -> dict[str, Any]:
    try:
        import pyperf
    except ImportError:
        return {}
    collected = pyperf.Run([1.0], collect_metadata=True).get_metadata()
    return {name: collected[name] for name in ABOUT_THE_MACHINE if name in collected}


def speed_with(threads: int) -> dict[str, float]:
    """Rates in a process of its own, because a BLAS counts its threads once."""
    done = subprocess.run(
        [sys.executable, "-m", "minicnn.bench.machine", str(threads)],
        env=environment(threads),
        preexec_fn=lambda: pin(threads),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def sgemm_gflops() -> float:
    """The best of some square float32 products."""
    a = np.random.default_rng(0).random((SGEMM_SIZE, SGEMM_SIZE), np.float32)
    out = np.matmul(a, a)
    return 2 * SGEMM_SIZE**3 / best(lambda: np.matmul(a, a, out=out), SGEMM_REPEATS) / 1e9


def triad_gbytes_s(threads: int) -> float:
    """a ← b + s·c over 64 MiB arrays of float64 (J. D. McCalpin, STREAM), the best of some.

    NumPy has no fused one: the product of a block stays in the first cache, so that memory sees three arrays.
    """
    a, b, c = (np.ones(TRIAD_NUMBERS) for _ in range(3))

    def part(thread: int) -> None:
        scratch = np.empty(TRIAD_BLOCK)
        share = TRIAD_NUMBERS // threads
        for first in range(thread * share, (thread + 1) * share, TRIAD_BLOCK):
            block = slice(first, first + TRIAD_BLOCK)
            np.multiply(c[block], 3.0, out=scratch)
            np.add(b[block], scratch, out=a[block])

    with ThreadPoolExecutor(threads) as pool:
        seconds = best(lambda: list(pool.map(part, range(threads))), TRIAD_REPEATS)
    return 3 * a.nbytes / seconds / 1e9


def best(function: Any, repeats: int) -> float:
    """Least seconds of a call."""
    seconds = []
    for _ in range(repeats):
        start = perf_counter()
        function()
        seconds.append(perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    print(json.dumps({"sgemm_gflops": sgemm_gflops(), "triad_gbytes_s": triad_gbytes_s(int(sys.argv[1]))}))
