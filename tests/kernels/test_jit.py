"""The disk cache of compiled kernels, and running without a compiler. Each test starts processes of its own."""

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import minicnn
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
EVERY_KERNEL = """
import sys
sys.path.insert(0, {root!r})
from tests.kernels import test_convolution as c, test_dense_and_pooling as d, test_optimizers as o
import numpy as np
from minicnn.geometry import make_window
from tests.kernels.cases import ConvCase
case = ConvCase(2, 3, 17, make_window((5, 5), (2, 2), padding="same"), 1, True, np.float32, 0)
wide = ConvCase(1, 20, 5, make_window((4, 4), (2, 2)), 1, True, np.float32, 0)
for one in (case, wide):
    c.test_conv2d_is_exact_on_integers.hypothesis.inner_test(one)
    pool = make_window(one.window.output_size, (2, 2), (2, 2))
    c.test_conv_relu_pool_is_exact_on_integers.hypothesis.inner_test((one, pool))
c.test_conv_relu_is_the_composition.hypothesis.inner_test(case)
d.test_dense_is_exact_on_integers.hypothesis.inner_test((3, 5, 17), np.float32, True, 0)
d.test_max_pooling_equals_the_reference.hypothesis.inner_test(case.window, 1, 3, np.float32, True, 0)
d.test_average_pooling_equals_the_reference.hypothesis.inner_test(case.window, 1, 3, np.float32, 0)
d.test_relu_in_place_and_not.hypothesis.inner_test(5, np.float32, 0)
d.test_softmax_crossentropy.hypothesis.inner_test(2, 3, 1, np.float32, 0)
for step in o.STEPS:
    o.test_a_step_has_the_reference_bits.hypothesis.inner_test(step, 3, np.float32, 0)
o.test_accumulators_are_added_in_order.hypothesis.inner_test(3, 5, 2, 0)
print("all ran")
"""


def start(program: str, cache: Path, root: Path = PACKAGE.parent, **environment: str) -> subprocess.Popen:
    env = os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(root)} | environment
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env=env,
        cwd=root,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
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


def test_every_kernel_runs_without_the_compiler(tmp_path):
    program = EVERY_KERNEL.format(root=str(PACKAGE.parent))
    out, err = finish(start(program, tmp_path, NUMBA_DISABLE_JIT="1"))
    assert out == "all ran"
    assert "compiling" not in err


@pytest.mark.parametrize("module", ["minicnn", "minicnn.geometry", "minicnn.reference.conv2d"])
def test_numba_is_not_imported(module, tmp_path):
    program = f"import {module}, sys; print('numba' in sys.modules)"
    assert finish(start(program, tmp_path))[0] == "False"
