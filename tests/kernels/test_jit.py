"""The disk cache of compiled kernels, and running without a compiler. Most tests start processes of their own."""

import os
import shutil
import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn.geometry import make_window
from minicnn.kernels import _jit

PACKAGE = Path(minicnn.__file__).parent
# A kernel whose helpers live in other files, and compile fast.
PROGRAM = """
import numpy as np
from minicnn.kernels.dense import dense_forward
x, w, b, y = np.ones((2, 3), "f"), np.ones((3, 2), "f"), np.full(2, 5, "f"), np.empty((2, 2), "f")
dense_forward(x, w, b, y)
print(y.ravel().tolist())
"""


def start(
    program: str,
    cache: Path,
    root: Path = PACKAGE.parent,
    stderr: int = subprocess.PIPE,
    **environment: str,
) -> subprocess.Popen:
    own = {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(root), "NUMBA_DISABLE_JIT": "0"}
    env = os.environ | own | environment
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env=env,
        cwd=root,
        text=True,
        stdout=subprocess.PIPE,
        stderr=stderr,
    )


def finish(process: subprocess.Popen) -> tuple[str, str]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out.strip(), err


def test_two_processes_share_a_cold_cache_and_the_next_loads_it(tmp_path):
    both = [start(PROGRAM, tmp_path), start(PROGRAM, tmp_path)]
    for out, err in map(finish, both):
        assert out == "[8.0, 8.0, 8.0, 8.0]"
        assert err.count("compiling its kernels") == 1
    out, err = finish(start(PROGRAM, tmp_path))
    assert out == "[8.0, 8.0, 8.0, 8.0]"
    assert "compiling" not in err


@pytest.mark.jitted
def test_a_terminal_shows_which_kernel_is_being_compiled(tmp_path):
    """A terminal gets the kernel's name and then an empty line in its place; a pipe gets the announcement alone."""
    leader, follower = os.openpty()
    process = start(PROGRAM, tmp_path, stderr=follower)
    os.close(follower)
    shown = b""
    with suppress(OSError):  # the end of a terminal
        while part := os.read(leader, 1024):
            shown += part
    os.close(leader)
    assert finish(process)[0] == "[8.0, 8.0, 8.0, 8.0]"
    announced, *lines = shown.decode().replace("\r\n", "\n").split("\r\x1b[K")
    assert "compiling its kernels" in announced
    assert lines == ["compiling dense_forward …", ""]
    assert "\x1b" not in finish(start(PROGRAM, tmp_path / "other"))[1]


@pytest.mark.jitted  # two cold compilations more
def test_an_edited_helper_is_noticed(tmp_path):
    """The helper lies in another file than the kernel, where Numba's own cache wouldn't look."""
    shutil.copytree(PACKAGE, tmp_path / "minicnn", ignore=shutil.ignore_patterns("__pycache__", "*.npz"))
    before = finish(start(PROGRAM, tmp_path / "cache", tmp_path))[0]
    helper = tmp_path / "minicnn" / "kernels" / "_tile.py"
    source = helper.read_text()
    assert source.count("if b.size > 0:") == 1
    helper.write_text(source.replace("if b.size > 0:", "if b.size > 999:"))
    after = finish(start(PROGRAM, tmp_path / "cache", tmp_path))[0]
    assert (before, after) == ("[8.0, 8.0, 8.0, 8.0]", "[3.0, 3.0, 3.0, 3.0]")


def test_without_a_writable_folder_kernels_run_uncached_with_one_warning(monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(self)

    monkeypatch.setattr(Path, "mkdir", refuse)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert _jit.cache_folder.__wrapped__() is None
    assert [warning.category for warning in caught] == [RuntimeWarning]
    assert "NUMBA_CACHE_DIR" in str(caught[0].message)
    monkeypatch.setattr(_jit, "cache_folder", lambda: None)

    @_jit.kernel
    def twice(x):
        return x + x

    assert twice(np.float32(2)) == 4


@pytest.mark.jitted  # without the compiler that file runs anyway
def test_every_kernel_runs_without_the_compiler(tmp_path):
    tests = str(Path(__file__).with_name("test_every_kernel.py"))
    program = f"import pytest, sys; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', {tests!r}]))"
    out, err = finish(start(program, tmp_path, NUMBA_DISABLE_JIT="1"))
    assert " passed" in out
    assert "compiling" not in err
    assert not list(tmp_path.rglob("*.nbi"))


@pytest.mark.parametrize("module", ["minicnn", "minicnn.geometry", "minicnn.reference.conv2d"])
def test_numba_is_not_imported(module, tmp_path):
    program = f"import {module}, sys; print('numba' in sys.modules)"
    assert finish(start(program, tmp_path))[0] == "False"


@pytest.mark.jitted
def test_a_kernel_of_windows_gives_its_result_past_the_dispatcher_too():
    def rows_are_many(x, window):
        return x.size > window.output_size[0]

    many, window = _jit.kernel(rows_are_many), make_window((4, 4), (2, 2))
    for dtype in (np.float32, np.float64):
        assert [many(np.zeros(size, dtype), window) for size in (5, 5, 2, 2)] == [True, True, False, False]
    assert len(many.signatures) == 2
