"""Checkpoints of hundreds of small trainings: on a file system in memory, where reaching the disk costs nothing."""

import shutil
import tempfile
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")


@pytest.fixture
def tmp_path(tmp_path):
    if not MEMORY.is_dir():
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="minicnn-", dir=MEMORY))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)  # some trainings remove it
