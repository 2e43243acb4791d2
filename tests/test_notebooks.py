"""The notebooks run from the first cell to the last, and what they claim holds: their cells assert it."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

DOCS = Path(__file__).parents[1] / "docs"
NOTEBOOKS = sorted(DOCS.glob("*.ipynb"))


def run(path):
    """Execute it as a reader would, in a process of its own: Jupyter's client loads ipykernel, by whose presence the
    progress bar tells a notebook.
    """
    command = [sys.executable, "-m", "jupyter", "execute", "--timeout=300", str(path)]
    return subprocess.run(command, capture_output=True, text=True)


def test_there_are_two():
    assert [path.stem for path in NOTEBOOKS] == ["listing", "tutorial"]


@pytest.mark.jitted
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(path):
    done = run(path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_are_kept_without_outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    assert all(
        not cell.outputs and cell.execution_count is None for cell in cells if cell.cell_type == "code"
    )


@pytest.mark.parametrize(
    ("claim", "wrong"),
    [
        ("assert products.sum() == 6", "assert products.sum() == 7"),
        ("assert width(28, 3, stride=2) == 13", "assert width(28, 3, stride=2) == 14"),
        ("[0, 0, 0, 20],", "[0, 0, 20, 0],"),
        ("reversed(notes)", "reversed([n for n in notes if n[0] is not relu_backward])"),
        ("np.full(64, 1 / 64)", "np.full(64, 1 / 63)"),
    ],
)
def test_a_wrong_claim_is_noticed(claim, wrong, tmp_path):
    notebook = nbformat.read(DOCS / "tutorial.ipynb", as_version=4)
    end = next(k for k, cell in enumerate(notebook.cells) if claim in cell.source)
    notebook.cells[end].source = notebook.cells[end].source.replace(claim, wrong)
    del notebook.cells[end + 1 :]
    nbformat.write(notebook, tmp_path / "wrong.ipynb")
    done = run(tmp_path / "wrong.ipynb")
    assert done.returncode != 0
    assert "AssertionError" in done.stderr
