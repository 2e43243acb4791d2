"""Files are there whole or not at all: with every call failing in turn, and on real disks that are full."""

import errno
import os
import re
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from minicnn import Input, callbacks, layers, models, saving
from minicnn.saving import files
from minicnn.saving.checkpoint import read_checkpoint, write_checkpoint
from minicnn.saving.files import remove_leftovers, write_file


def test_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    for content in (b"first", b""):
        write_file(path, content)
        assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["a.json"]


def fill_up(path):
    with open(path, "wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def small_net():
    return models.Sequential([Input((3,)), layers.Dense(2)])


SAVES = {
    "a.bin": lambda path: write_file(path, b"new" * 1000),
    "a.weights.h5": lambda path: saving.save_weights(small_net(), path),
    "a.minicnn": lambda path: write_checkpoint(path, {"new": [1, 2, 3]}),
}
CALLS = ("open", "write", "fsync", "close", "replace", "unlink")


class Faults:
    """The module `os` as `saving.files` sees it; the call of the given number fails, and a written part is short."""

    def __init__(self, fails_at, code):
        self.fails_at, self.code, self.calls = fails_at, code, []

    def __getattr__(self, name):
        real = getattr(os, name)
        if name not in CALLS:
            return real

        def call(*arguments):
            self.calls.append(name)
            if len(self.calls) - 1 == self.fails_at:
                if name == "close":
                    real(*arguments)
                raise OSError(self.code, os.strerror(self.code))
            if name == "write":
                return real(arguments[0], arguments[1][:700])
            return real(*arguments)

        return call


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("name", SAVES)
def test_every_call_of_a_save_fails_in_turn(name, code, tmp_path, monkeypatch):
    """An error means that the old file is as it was; without one the new one is whole. No other file stays."""
    path = tmp_path / name
    failed = []
    for k in range(100):
        path.write_bytes(b"old")
        faults = Faults(k, code)
        monkeypatch.setattr(files, "os", faults)
        try:
            SAVES[name](path)
        except OSError as error:
            assert error.errno == code
            assert str(path) in str(error)
            assert path.read_bytes() == b"old"
            failed.append(faults.calls[k])
        else:
            assert path.read_bytes() != b"old"
        assert os.listdir(tmp_path) == [name]
        if len(faults.calls) <= k:
            break
    else:
        pytest.fail("it never came to its end")
    assert {"open", "write", "fsync", "close", "replace"} <= set(failed)


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
    with pytest.raises(FileNotFoundError, match="missing"):
        write_file(tmp_path / "missing" / "a", b"")


def test_leftovers(tmp_path):
    """Those of processes that are gone are removed, and nothing else."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    gone = tmp_path / f".a.minicnn.{ended.pid}-1.tmp"
    others = [
        f".a.minicnn.{os.getpid()}-1.tmp",
        ".a.minicnn.tmp",
        f".b.minicnn.{ended.pid}-1.tmp",
        "a.minicnn",
    ]
    others += [".a.minicnn.1-1.tmp"]
    for name in (gone.name, *others):
        (tmp_path / name).write_bytes(b"part")
    remove_leftovers(tmp_path / "a.minicnn")
    assert sorted(os.listdir(tmp_path)) == sorted(others)
    remove_leftovers(tmp_path / "missing" / "a")


# For real


def test_a_file_that_may_not_grow(tmp_path):
    """RLIMIT_FSIZE: the kernel refuses the write."""
    path = tmp_path / "a.minicnn"
    write_checkpoint(path, {"epoch": 1})
    old = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match=re.escape(str(path))) as caught:
            write_checkpoint(path, {"text": "x" * 200_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["a.minicnn"]


@pytest.fixture
def disk(tmp_path):
    """A file system of 64 KiB in memory; a function that makes it read-only."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
    if os.getuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs root, to mount a file system")
    yield folder, lambda: subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_and_a_read_only_one(disk):
    folder, make_read_only = disk
    path = folder / "a.minicnn"
    write_checkpoint(path, {"epoch": 1})
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        write_checkpoint(path, {"text": "x" * 200_000})
    assert os.listdir(folder) == ["a.minicnn"]
    make_read_only()
    with pytest.raises(OSError, match=f"Read-only file system: '{path}'"):
        write_checkpoint(path, {"epoch": 2})
    assert read_checkpoint(path) == {"epoch": 1}


def test_a_disk_that_fills_up_while_training(disk):
    """The training ends with the error, and goes on from the last checkpoint when there is room again."""
    folder, _ = disk
    x, y = [[1.0, 2.0, 3.0]] * 8, [[1.0, 0.0]] * 8

    def fit(fill_at=None):
        model = small_net()
        model.compile("adam", "mse", backend="reference")
        fill = callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: epoch == fill_at and fill_up(folder / "big")
        )
        fill.get_state = lambda: None
        backup = callbacks.BackupAndRestore(folder / "backup")
        return model.fit(x, y, epochs=4, verbose=0, callbacks=[backup, fill]).epoch

    with pytest.raises(OSError, match="No space left on device"):
        fit(fill_at=2)
    assert os.listdir(folder / "backup") == ["checkpoint.minicnn"]
    (folder / "big").unlink()
    assert fit() == [0, 1, 2, 3]
