"""`python -m minicnn.datasets.build`: packs the originals, deterministically, and nothing else."""

import hashlib
import io
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from minicnn.datasets import build, mnist


def test_pack_is_deterministic_and_reads_back(arrays):
    content = build.pack(arrays)
    assert content == build.pack(arrays)
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        assert archive.files == list(arrays)
        for key, array in arrays.items():
            np.testing.assert_array_equal(archive[key], array, strict=True)


@pytest.mark.parametrize("source", ["embedded", "packed now"])
def test_archive_has_no_time_and_no_system_in_it(arrays, source):
    content = mnist.EMBEDDED.read_bytes() if source == "embedded" else build.pack(arrays)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert (info.create_system, info.external_attr >> 16) == (3, 0o644)


def test_build_writes_what_was_checked(monkeypatch, tmp_path, arrays, write_folder, idx_bytes):
    md5 = {key: hashlib.md5(idx_bytes(array)).hexdigest() for key, array in arrays.items()}
    monkeypatch.setattr(build, "ORIGINAL_MD5", md5)
    out = tmp_path / "out.npz"
    digests = {
        build.build(write_folder(arrays, zipped=zipped, folder=str(zipped)), out) for zipped in (False, True)
    }
    assert digests == {hashlib.sha256(out.read_bytes()).hexdigest()}
    assert out.read_bytes() == build.pack(arrays)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["False", "True", "out.npz"]


def test_a_file_that_is_not_the_original_is_refused(tmp_path, arrays, write_folder):
    folder = write_folder(arrays)
    out = tmp_path / "out.npz"
    with pytest.raises(ValueError, match=f"MD5 {build.ORIGINAL_MD5['x_train']}. Received MD5") as caught:
        build.build(folder, out)
    assert str(folder / "train-images-idx3-ubyte") in str(caught.value)
    assert not out.exists()


def test_command_line(tmp_path):
    command = [
        sys.executable,
        "-m",
        "minicnn.datasets.build",
        str(tmp_path),
        "--out",
        str(tmp_path / "out.npz"),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode != 0 and "must hold the IDX files" in result.stderr


def test_command_line_says_what_it_wrote(monkeypatch, capsys, tmp_path, arrays, write_folder, idx_bytes):
    md5 = {key: hashlib.md5(idx_bytes(array)).hexdigest() for key, array in arrays.items()}
    monkeypatch.setattr(build, "ORIGINAL_MD5", md5)
    out = tmp_path / "out.npz"
    monkeypatch.setattr(
        sys, "argv", ["build", str(write_folder(arrays, zipped=True, folder="idx")), "--out", str(out)]
    )
    build.main()
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"{out}: SHA-256 {digest}"
    assert "mnist.py has another EMBEDDED_SHA256" in second
    monkeypatch.setattr(build, "EMBEDDED_SHA256", digest)
    build.main()
    assert capsys.readouterr().out.splitlines() == [first]
