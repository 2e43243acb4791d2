"""Zip archives: what is written comes back, and whatever zip allows beyond that is refused by name."""

import io
import os
import stat
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.errors import DataError
from minicnn.saving import archive
from minicnn.saving.archive import parse_archive, read_archive, save_time, write_archive

MEMBERS = {"config.json": b"{}", "metadata.json": b'{"a": 1}', "model.weights.h5": bytes(range(256)) * 9}


def zipped(*changed, comment=b"", **options):
    """An archive by Python's zipfile: MEMBERS, then (name or ZipInfo, content) of each further member."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", **options) as file:
        for name, member in [*MEMBERS.items(), *changed]:
            file.writestr(name, member)
        file.comment = comment
    return content.getvalue()


def info(name, mode):
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, mode << 16
    return entry


def patched(where, format, value, content=None):
    """`where` is from the directory's first entry on if positive, from the end record on if negative."""
    content = bytearray(content or write_archive(MEMBERS))
    start = content.index(archive.ENTRY_SIGNATURE)
    struct.pack_into(format, content, start + where if where >= 0 else len(content) + where, value)
    return bytes(content)


def renamed(old, new):
    """Another name of the same length, in the directory and before the member."""
    return write_archive(MEMBERS).replace(old, new)


def renamed_locally(old, new):
    return write_archive(MEMBERS).replace(old, new, 1)


def without(name):
    return write_archive({key: value for key, value in MEMBERS.items() if key != name})


def overlapping():
    """The second entry points at the first one's member, as in D. Fifield's zip bomb."""
    content = bytearray(write_archive(MEMBERS))
    second = content.index(archive.ENTRY_SIGNATURE, content.index(archive.ENTRY_SIGNATURE) + 1)
    struct.pack_into("<I", content, second + 42, 0)
    return bytes(content)


def quine_end(content):
    """A second end record behind the first, with an empty directory: readers disagree which one counts."""
    return content + archive.END.pack(archive.END_SIGNATURE, 0, 0, 0, 0, 0, len(content), 0)


def test_round_trip(tmp_path):
    path = tmp_path / "a.keras"
    path.write_bytes(write_archive(MEMBERS))
    assert read_archive(path) == MEMBERS
    assert os.listdir(tmp_path) == ["a.keras"]


@given(st.dictionaries(st.sampled_from(["a", "b/c", "ä", "m.h5"]), st.binary(max_size=99)))
def test_round_trip_of_any_members(members):
    content = write_archive(members)
    assert parse_archive(content, members, ()) == members
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        assert file.testzip() is None
        assert {name: file.read(name) for name in file.namelist()} == members


def test_what_zipfile_writes_is_read(tmp_path):
    """Keras writes by `zf.open(name, "w")`."""
    with zipfile.ZipFile(tmp_path / "k.keras", "w") as file:
        for name, member in MEMBERS.items():
            with file.open(name, "w") as stream:
                stream.write(member)
    assert read_archive(tmp_path / "k.keras") == MEMBERS


BAD = {
    "path traversal": (zipped(("../../x", b"!")), "'../../x'"),
    "traversal in a known name": (zipped(("assets/../config.json", b"!")), "assets/../config.json"),
    "absolute name": (zipped(("/tmp/x", b"!")), "'/tmp/x'"),
    "backslashes": (zipped(("..\\..\\x", b"!")), "x'"),
    "drive": (zipped(("C:\\x", b"!")), "'C:"),
    "name with a zero byte": (renamed(b"metadata.json", b"metadata\0json"), "no other members"),
    "unknown member": (zipped(("assets/x.pkl", b"!")), "'assets/x.pkl'"),
    "pickled weights beside": (zipped(("model.weights.npz", b"\x80\x04.")), "'model.weights.npz'"),
    "name in no encoding": (renamed(b"metadata.json", b"metadata\xffjson"), "ASCII or UTF-8"),
    "folder": (zipped((info("minicnn.json", stat.S_IFDIR | 0o755), b"")), "a link, a folder or a device"),
    "symbolic link": (
        zipped((info("minicnn.json", stat.S_IFLNK | 0o777), b"/etc/passwd")),
        "a link, a folder",
    ),
    "device": (zipped((info("minicnn.json", stat.S_IFBLK | 0o777), b"")), "a link, a folder or a device"),
    "duplicate": (
        write_archive(MEMBERS | {"metadatA.json": b"2"}).replace(b"metadatA", b"metadata"),
        "twice",
    ),
    "bomb by ratio": (
        zipped(("minicnn.json", bytes(1 << 24)), compression=zipfile.ZIP_DEFLATED),
        "uncompressed",
    ),
    "deflated": (zipped(compression=zipfile.ZIP_DEFLATED), "uncompressed"),
    "bzip2": (zipped(compression=zipfile.ZIP_BZIP2), "uncompressed"),
    "lzma": (zipped(compression=zipfile.ZIP_LZMA), "uncompressed"),
    "bomb by overlap": (overlapping(), "without gap or overlap"),
    "bomb by total": (patched(24, "<I", 0xF0000000), "uncompressed"),
    "member longer than the file": (
        patched(24, "<I", 0xF0000000, patched(20, "<I", 0xF0000000)),
        "say the same of",
    ),
    "member missing": (without("model.weights.h5"), "must hold model.weights.h5"),
    "no members": (write_archive({}), "must hold config.json, metadata.json, model.weights.h5"),
    "truncated member": (
        write_archive(MEMBERS).replace(MEMBERS["model.weights.h5"], b"short"),
        "doesn't fit its size",
    ),
    "encrypted": (patched(8, "<H", 1), "must not be encrypted"),
    "encrypted directory": (patched(8, "<H", 1 << 13), "without flags"),
    "data descriptor": (patched(8, "<H", 8), "without flags"),
    "wrong checksum": (write_archive(MEMBERS).replace(b"{}", b"[]"), "'config.json' as it was written"),
    "checksum differs": (patched(16, "<I", 0), "say the same of 'config.json'"),
    "local name differs": (renamed_locally(b"config.json", b"c0nfig.json"), "say the same of 'config.json'"),
    "another disk": (patched(-18, "<H", 1), "in one part"),
    "number of entries": (patched(-12, "<H", 2), "in one part"),
    "a million entries": (patched(-12, "<H", 0xFFFF, patched(-14, "<H", 0xFFFF)), "no more members"),
    "fewer entries": (patched(-12, "<H", 2, patched(-14, "<H", 2)), "nothing else"),
    "directory elsewhere": (patched(-6, "<I", 3), "in one part"),
    "64-bit sizes": (patched(-6, "<I", 0xFFFFFFFF), "in one part"),
    "comment": (zipped(comment=b"!"), "without a comment"),
    "a second end record": (quine_end(write_archive(MEMBERS)), "nothing but its members"),
    "bytes before": (b"#!/bin/sh\n" + write_archive(MEMBERS), "in one part"),
    "bytes behind": (write_archive(MEMBERS) + b"x", "doesn't end as one"),
    "empty": (b"", "cut off"),
    "not a zip": (b"\x89HDF\r\n\x1a\n" * 99, "doesn't end as one"),
}


@pytest.mark.parametrize(("content", "words"), BAD.values(), ids=BAD)
def test_refused(tmp_path, content, words):
    path = tmp_path / "bad.keras"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_archive(path)
    assert words in str(caught.value) and str(path) in str(caught.value)
    assert os.listdir(tmp_path) == ["bad.keras"]


def test_gap(tmp_path):
    """Bytes that no member owns, with all offsets right."""
    content = bytearray(write_archive(MEMBERS))
    directory = content.index(archive.ENTRY_SIGNATURE)
    content[directory:directory] = b"hidden"
    struct.pack_into("<I", content, len(content) - 6, directory + 6)
    with pytest.raises(DataError, match="Received 6 other bytes"):
        parse_archive(bytes(content))


@pytest.mark.parametrize("length", range(0, len(write_archive(MEMBERS)), 101))
def test_truncated(length):
    with pytest.raises(DataError):
        parse_archive(write_archive(MEMBERS)[:length])


def test_every_single_flipped_bit_is_refused_or_harmless():
    content = bytearray(write_archive(MEMBERS | {"model.weights.h5": b"w" * 20}))
    refused = 0
    for bit in range(8 * len(content)):
        content[bit // 8] ^= 1 << bit % 8
        try:
            members = parse_archive(bytes(content))
        except DataError:
            refused += 1
        else:
            assert members == MEMBERS | {"model.weights.h5": b"w" * 20}
        content[bit // 8] ^= 1 << bit % 8
    assert refused > 4 * len(content)


def test_other_than_regular_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(DataError, match="must be a regular file"):
            read_archive(path)
    with pytest.raises(FileNotFoundError):
        read_archive(tmp_path / "none")


def test_too_large(tmp_path):
    with open(tmp_path / "large", "wb") as file:
        file.truncate(archive.MAX_NBYTES + 1)
    with pytest.raises(DataError, match="at most 4294967295 bytes long"):
        read_archive(tmp_path / "large")


@pytest.mark.parametrize(
    ("epoch", "year"),
    [(None, 1980), ("0", 1980), ("1700000000", 2023), ("4400000000", None), ("-1", None), ("x", None)],
)
def test_save_time(monkeypatch, epoch, year):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    if epoch is not None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    if year is None:
        with pytest.raises(ValueError, match="SOURCE_DATE_EPOCH must be"):
            save_time()
    else:
        assert save_time().year == year
        with zipfile.ZipFile(io.BytesIO(write_archive(MEMBERS))) as file:
            assert {entry.date_time[0] for entry in file.infolist()} == {year}


def test_same_members_same_bytes():
    assert write_archive(MEMBERS) == write_archive(dict(MEMBERS))
