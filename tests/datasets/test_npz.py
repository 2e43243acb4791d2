"""`read_npz` on damaged and hostile archives."""

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.datasets.npz import read_npz

RANKS = {"x": 2, "y": 1}
ARRAYS = {"x": np.arange(100, dtype=np.uint8).reshape(20, 5), "y": np.arange(3, dtype=np.int32)}


def saved(save=np.savez_compressed) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **ARRAYS)
    return buffer.getvalue()


def archive_of(member: bytes, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive with `member` as x.npy."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("x.npy", member)
    return buffer.getvalue()


def npy(header: str, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header.encode("latin1") + data


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_round_trip(save):
    for key, array in read_npz(saved(save), RANKS, "file").items():
        np.testing.assert_array_equal(array, ARRAYS[key], strict=True)


def test_round_trip_of_header_version_2():
    member = io.BytesIO()
    np.lib.format.write_array(member, ARRAYS["x"], version=(2, 0))
    loaded = read_npz(archive_of(member.getvalue()), {"x": 2}, "file")
    np.testing.assert_array_equal(loaded["x"], ARRAYS["x"], strict=True)


@given(data=st.data(), save=st.sampled_from([np.savez, np.savez_compressed]))
def test_flipped_byte_is_refused_or_changes_nothing(data, save):
    content = bytearray(saved(save))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        loaded = read_npz(bytes(content), RANKS, "the-file.npz")
    except ValueError as error:
        assert "the-file.npz" in str(error)
    else:  # only bytes that carry no data, such as times: the rest is under the CRC
        for key, array in loaded.items():
            np.testing.assert_array_equal(array, ARRAYS[key], strict=True)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_truncation_is_refused(save):
    content = saved(save)
    for length in range(len(content)):
        with pytest.raises(ValueError, match=r"^the-file\.npz must be an \.npz archive"):
            read_npz(content[:length], RANKS, "the-file.npz")


@given(st.binary(max_size=200))
def test_arbitrary_member(member):
    with pytest.raises(ValueError, match=r"^the-file\.npz: x must"):
        read_npz(archive_of(member), {"x": 2}, "the-file.npz")


def header(shape: str, descr: str = "'|u1'", fortran_order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran_order}, 'shape': {shape}}}\n"


BAD_MEMBERS = {
    "shorter than its header says": npy(header("(20, 5)"), bytes(99)),
    "longer than its header says": npy(header("(20, 5)"), bytes(101)),
    "10^12 elements": npy(header("(1000000, 1000000)"), bytes(100)),
    "sizes of 4000 digits": npy(header(f"({'9' * 4000}, {'9' * 4000})"), bytes(100)),
    "sizes of 9000 digits": npy(header(f"({'9' * 9000}, 1)"), bytes(100)),
    "negative sizes": npy(header("(-10, -10)"), bytes(100)),
    "a boolean size": npy(header("(True, 100)"), bytes(100)),
    "a float size": npy(header("(10.0, 10)"), bytes(100)),
    "empty and endless": npy(header("(0, 10**30)".replace("10**30", "1" + "0" * 30))),
    "100 dimensions": npy(header(f"({'1, ' * 100})"), bytes(1)),
    "no dimension": npy(header("()"), bytes(1)),
    "objects": npy(header("(10, 10)", "'|O'"), bytes(800)),
    "no such dtype": npy(header("(10, 10)", "'?!'"), bytes(100)),
    "dtype of size 0": npy(header("(10, 10)", "'|V0'")),
    "a nest of lists": npy("[" * 9000),
    "a chain of signs": npy("-" * 9000 + "1"),
    "an unhashable key": npy("{[]: 1}"),
    "a call": npy("__import__('os').getpid()"),
    "version 3": npy(header("(10, 10)"), bytes(100), b"\3\0\0\0"),
    "no npy": b"hello",
    "nothing": b"",
}


@pytest.mark.parametrize("case", BAD_MEMBERS)
def test_bad_member(case):
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"^the-file\.npz: x must .*Received"):
        read_npz(archive_of(BAD_MEMBERS[case]), {"x": 2}, "the-file.npz")
    _, peak_nbytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Nothing of a declared size was allocated, 10^12 bytes and more.
    # Python's parser takes 6 MB for a literal of 9,000 digits.
    assert peak_nbytes < 16 << 20


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_is_refused(compression):
    with pytest.raises(ValueError, match="must be stored or deflated"):
        read_npz(archive_of(npy(header("(10, 10)"), bytes(100)), compression), {"x": 2}, "file")


def test_declared_size_larger_than_the_archive_can_hold():
    content = archive_of(npy(header("(10, 10)"), bytes(100)))
    place = content.index(b"PK\1\2") + 24  # uncompressed size in the central directory
    forged = content[:place] + struct.pack("<I", 10**9) + content[place + 4 :]
    with pytest.raises(ValueError, match=r"must fit in the archive\. Received 1000000000 bytes declared"):
        read_npz(forged, {"x": 2}, "file")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("damage", ["flip", "end of stream", "short"])
def test_damage_far_behind_the_header(save, damage):
    """The header of a large member is read before the damage is met."""
    buffer = io.BytesIO()
    save(buffer, x=np.random.default_rng(0).integers(0, 8, (1000, 300), np.uint8))
    content = bytearray(buffer.getvalue())
    middle = len(content) // 2
    if damage == "flip":
        content[middle] ^= 1
    elif damage == "end of stream":
        content[middle : middle + 1000] = b"\xff" * 1000  # no deflate block begins so
    else:  # the central directory says that fewer compressed bytes are there
        place = content.index(b"PK\1\2") + 20
        content[place : place + 4] = struct.pack("<I", middle)
    with pytest.raises(ValueError, match=r"^the-file\.npz: x must .*Received"):
        read_npz(bytes(content), {"x": 2}, "the-file.npz")


def test_member_that_ends_behind_the_end_of_the_archive():
    """All declared sizes agree and are no larger than the archive, but the data doesn't start at its first byte."""

    def member(size: int) -> bytes:
        return npy(header(f"(1, {size:9})"), bytes(100))

    overhead = len(member(0)) - 100
    content = bytearray(archive_of(member(0), zipfile.ZIP_STORED))
    content = bytearray(archive_of(member(len(content) - overhead), zipfile.ZIP_STORED))
    place = content.index(b"PK\1\2") + 20
    content[place : place + 8] = struct.pack("<2I", len(content), len(content))
    with pytest.raises(ValueError, match=r"^the-file\.npz: x must be a whole array\. Received"):
        read_npz(bytes(content), {"x": 2}, "the-file.npz")


def test_encrypted_member_is_refused():
    content = bytearray(archive_of(npy(header("(10, 10)"), bytes(100))))
    for magic, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(magic) + offset] |= 1
    with pytest.raises(ValueError, match="encrypted"):
        read_npz(bytes(content), {"x": 2}, "file")
