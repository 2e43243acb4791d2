"""Saved pictures: deterministic, whole or not there, and drawn without touching anybody's pyplot."""

import os
import stat
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import matplotlib
import numpy as np
import pytest

from minicnn.viz import confusion_matrix, history_curves, misclassified, save

Y_TRUE = np.arange(40) % 10
Y_PRED = np.where(np.arange(40) % 7, Y_TRUE, (Y_TRUE + 1) % 10)


def picture(kind: str):
    if kind == "history":
        return history_curves({"loss": [0.3, 0.2], "val_loss": [0.25, 0.22], "accuracy": [0.8, 0.9]})[
            0
        ].figure
    if kind == "confusion":
        return confusion_matrix(Y_TRUE, Y_PRED).figure
    images = np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8)
    return misclassified(images, Y_TRUE, Y_PRED, np.full((40, 10), 0.1))[0].figure


KINDS = ["history", "confusion", "misclassified"]


@pytest.mark.parametrize("kind", KINDS)
def test_same_picture_same_bytes(tmp_path, kind):
    save(picture(kind), tmp_path / "a.png")
    save(picture(kind), str(tmp_path / "b.png"))
    first = (tmp_path / "a.png").read_bytes()
    assert first == (tmp_path / "b.png").read_bytes()
    assert first.startswith(b"\x89PNG\r\n\x1a\n")
    assert sorted(os.listdir(tmp_path)) == ["a.png", "b.png"]


def test_no_text_and_no_time_in_the_file(tmp_path):
    save(picture("confusion"), tmp_path / "a.png")
    content, place, chunks = (tmp_path / "a.png").read_bytes(), 8, set()
    while place < len(content):
        length, name = struct.unpack_from(">I4s", content, place)
        chunks.add(name)
        place += 12 + length
    assert chunks == {b"IHDR", b"pHYs", b"IDAT", b"IEND"}


def test_threads_draw_the_same_as_one_after_the_other(tmp_path):
    def draw(job: int) -> bytes:
        path = tmp_path / f"{job}.png"
        save(picture(KINDS[job % 3]), path)
        return path.read_bytes()

    alone = [draw(job) for job in range(3)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(draw, range(12))) == alone * 4


def test_many_threads_writing_one_path_leave_a_whole_picture(tmp_path, monkeypatch):
    figures = [picture("history") for _ in range(6)]
    save(picture("history"), tmp_path / "alone.png")
    everybody, rename = threading.Barrier(len(figures)), os.replace

    def rename_together(source, target):
        everybody.wait(60)
        rename(source, target)

    monkeypatch.setattr(os, "replace", rename_together)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda figure: save(figure, tmp_path / "shared.png"), figures))
    assert (tmp_path / "shared.png").read_bytes() == (tmp_path / "alone.png").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["alone.png", "shared.png"]


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    target = tmp_path / "a.png"
    target.write_bytes(b"old")

    def refuse(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        save(picture("history"), target)
    assert os.listdir(tmp_path) == ["a.png"] and target.read_bytes() == b"old"


def test_an_existing_file_is_replaced_and_readable_as_any_other(tmp_path):
    target, plain = tmp_path / "a.png", tmp_path / "plain"
    target.write_bytes(b"old")
    plain.write_bytes(b"")
    save(picture("history"), target)
    assert target.read_bytes() != b"old"
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        save(picture("history"), tmp_path / "absent" / "a.png")


@pytest.mark.parametrize("name", ["a.pdf", "a", "png"])
def test_other_formats_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"must end in \.png"):
        save(picture("history"), tmp_path / name)
    assert not os.listdir(tmp_path)


def test_settings_of_the_user_are_left_alone():
    before = dict(matplotlib.rcParams)
    for kind in KINDS:
        picture(kind)
    assert dict(matplotlib.rcParams) == before


def test_matplotlib_comes_with_the_first_picture_and_pyplot_never(tmp_path):
    code = (
        "import sys, minicnn.viz as viz\n"
        "assert not any(name.startswith('matplotlib') for name in sys.modules)\n"
        "viz.save(viz.confusion_matrix([0, 1], [0, 1]).figure, sys.argv[1])\n"
        "viz.save(viz.history_curves({'loss': [1.0]})[0].figure, sys.argv[1])\n"
        "assert 'matplotlib.figure' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "MPLBACKEND")}
    command = [sys.executable, "-c", code, str(tmp_path / "a.png")]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
