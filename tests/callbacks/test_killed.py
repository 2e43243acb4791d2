"""Trainings killed by SIGKILL at random moments, in real processes: see survivor.py."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = 25
"""200 in `tests.saving.trials`."""


@pytest.mark.jitted
def test_killed_at_random_moments_and_ends_the_same(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.callbacks.survivor", tmp_path, str(KILLS), "0"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["same"] == found["trainings"], found
    assert found["left behind"] == [], found
    assert found["inside an epoch"] >= 10, found
    assert found["in a save"] >= 3, found
