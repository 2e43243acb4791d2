"""What a user meets first: a light import, an honest README."""

import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

import minicnn

ROOT = Path(__file__).parents[1]

LIGHT_IMPORT = """
import sys
from time import perf_counter
import numpy
start = perf_counter()
IMPORTS
seconds = perf_counter() - start
heavy = "numba matplotlib h5py mpi4py hypothesis tensorflow keras torch PIL rich typer"
print([name for name in heavy.split() if name in sys.modules])
print(f"{seconds:.3f} s beyond import numpy", file=sys.stderr)
"""


@pytest.mark.parametrize(
    "imports",
    [
        "import minicnn",
        "from minicnn import layers, models, Input\n"
        "from minicnn.datasets import mnist\n"
        "from minicnn.utils import to_categorical",
    ],
    ids=["package", "listing"],
)
def test_import_loads_nothing_heavy(imports):
    code = LIGHT_IMPORT.replace("IMPORTS", imports)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    print(done.stderr)  # a figure to look at (pytest -s); a busy machine must not fail a test
    assert done.stdout.strip() == "[]"


def test_the_numbers_in_the_readme_are_those_of_the_results():
    spec = importlib.util.spec_from_file_location("readme", ROOT / "benchmarks" / "readme.py")
    readme = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(readme)
    if not readme.RESULTS.exists():
        pytest.fail("benchmarks/results/main_job.json is missing; run benchmarks/main_job.py")
    text = readme.README.read_text("utf-8")
    numbers = json.loads(readme.RESULTS.read_text("utf-8"))
    assert readme.updated(text, numbers, readme.bench_results()) == text, "run benchmarks/readme.py"


def test_readme_has_the_commands_and_pictures_that_exist():
    text = (ROOT / "README.md").read_text("utf-8")
    targets = (ROOT / "Makefile").read_text("utf-8")
    for target in ("train", "test"):
        assert f"make {target}" in text and f"\n{target}:" in targets
    for link in [part.split(")")[0] for part in text.split("](")[1:]]:
        assert link.startswith("https://") or (ROOT / link).exists(), link


def test_names_are_found_when_they_are_asked_for():
    assert minicnn.layers.Dense is importlib.import_module("minicnn.layers").Dense
    assert minicnn.Input is minicnn.layers.Input
    assert set(minicnn.__all__) <= set(dir(minicnn))
    with pytest.raises(AttributeError, match="module 'minicnn' has no attribute 'torch'"):
        _ = minicnn.torch


def test_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "minicnn", "--help"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0
    assert "train" in done.stdout
