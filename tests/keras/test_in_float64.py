"""The comparisons that follow the process's float type, once more in float64."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.keras.floats import FLOATX

FILES = (
    "test_fit.py",
    "test_keras_file.py",
    "test_layer_gradients.py",
    "test_random_layers.py",
    "test_simple_layers.py",
)


@pytest.mark.skipif(FLOATX != "float32", reason="this is the process it would start")
def test_in_float64(pytestconfig):
    folder = Path(__file__).parent
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *(str(folder / f) for f in FILES),
    ]
    profile = pytestconfig.getoption("--hypothesis-profile")
    if profile not in (None, "default"):
        command.append(f"--hypothesis-profile={profile}")
    done = subprocess.run(
        command,
        cwd=folder.parents[1],
        env=os.environ | {"MINICNN_TEST_FLOATX": "float64"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
