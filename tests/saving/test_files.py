"""Files are there whole or not at all."""

import os
from pathlib import Path

import pytest

from minicnn.saving.files import write_file


def test_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    for content in (b"first", b""):
        write_file(path, content)
        assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_failure_keeps_the_old_file(tmp_path, monkeypatch, call):
    path = tmp_path / "a.json"
    write_file(path, b"old")

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space left"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_the_old_file_is_there_until_the_new_one_is_on_disk(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_file(path, b"old")
    seen = []
    replace = os.replace

    def watch(source, target):
        seen.append((path.read_bytes(), Path(source).read_bytes()))
        replace(source, target)

    monkeypatch.setattr(os, "replace", watch)
    write_file(path, b"new")
    assert seen == [(b"old", b"new")]


def test_no_such_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_file(tmp_path / "missing" / "a", b"")
