"""How exact every op is: ours, Keras's on TensorFlow and PyTorch's on one frozen corpus. See docs/accuracy.md.

python benchmarks/accuracy.py               # measure all in processes of their own; about 10 minutes on 2 cores
python benchmarks/accuracy.py numba torch   # measure these anew, and keep the others' results
python benchmarks/accuracy.py --markdown    # rewrite docs/accuracy.md from results/accuracy.json
python benchmarks/accuracy.py --check       # exit status 1 if docs/accuracy.md is stale
python benchmarks/accuracy.py --corpus      # rewrite accuracy_corpus.json, which should change nothing
"""

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from math import inf
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import accuracy_corpus as corpus  # noqa: E402
from benchmarks.accuracy_page import page  # noqa: E402

PAGE = ROOT / "docs" / "accuracy.md"
RESULTS = Path(__file__).with_name("results") / "accuracy.json"
TARGETS = ("numba", "reference", "keras", "torch")
PACKAGES = {
    "numba": ("numpy", "numba"),
    "reference": ("numpy",),
    "keras": ("keras", "tensorflow"),
    "torch": ("torch",),
}


# One target in this process


def measure(target: str) -> list[dict]:
    """For each case {result: (largest error, mean error)}, three digits."""
    import numpy as np

    from benchmarks.accuracy_oracles import exact_results, judge, prepared
    from benchmarks.accuracy_targets import make_target

    run, rules, measured = make_target(target), "torch" if target == "torch" else "keras", []
    for case in corpus.load():
        data = prepared(case)
        with np.errstate(all="ignore"):
            results = run(case, data)
            errors = {e.name: judge(e, results[e.name]) for e in exact_results(case, data, rules)}
        measured.append({name: [_digits(error) for error in pair] for name, pair in errors.items()})
    return measured


def _digits(error: float) -> float | None:
    """Three digits; None for infinity, which JSON lacks."""
    return float(f"{error:.3g}") if error < inf else None


# All of them


def in_process(target: str) -> dict:
    """Measure one target in a new process, with the environment that its users have by default."""
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    done = subprocess.run(
        [sys.executable, __file__, "--one", target],
        env=environment | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
    )
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "corpus": corpus.digest(),
        "versions": {name: version(name) for name in PACKAGES[target]},
        "errors": json.loads(done.stdout.splitlines()[-1]),
    }


def machine() -> dict:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "cpu": names[0] if names else platform.processor(),
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
    }


def save(results: dict) -> None:
    """One line for each case of each target."""
    lines = []
    for name, target in results["targets"].items():
        head = json.dumps({k: v for k, v in target.items() if k != "errors"})[1:-1]
        errors = ",\n".join(json.dumps(case) for case in target["errors"])
        lines.append(f'"{name}": {{{head}, "errors": [\n{errors}\n]}}')
    text = f'{{"machine": {json.dumps(results["machine"])}, "targets": {{\n' + ",\n".join(lines) + "\n}}\n"
    RESULTS.write_text(text, "utf-8")


def measure_all(targets: list[str]) -> None:
    """Measure these targets, or all, and keep the other results; saved after each."""
    for target in targets or TARGETS:
        measured = in_process(target)
        results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {"targets": {}}
        results["machine"] = machine()
        results["targets"][target] = measured
        save(results)


def current_page() -> str:
    """The page as the committed results make it."""
    return page(corpus.load(), json.loads(RESULTS.read_text("utf-8")))


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--one"]:
        print(json.dumps(measure(arguments[1])))
    elif arguments == ["--markdown"]:
        PAGE.write_text(current_page(), "utf-8")
    elif arguments == ["--check"]:
        return int(PAGE.read_text("utf-8") != current_page())
    elif arguments == ["--corpus"]:
        corpus.FILE.write_text(corpus.text(corpus.generate()), "utf-8")
    else:
        measure_all(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
