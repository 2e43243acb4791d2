"""`read_idx` on mutated files: one ValueError that names the file, or an array of the same shape."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.datasets.idx import read_idx

IMAGES = np.random.default_rng(1).integers(0, 256, (3, 4, 2), np.uint8)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("idx") / "train-images-idx3-ubyte"


@given(data=st.data())
def test_flipped_byte(file, idx_bytes, data):
    content = bytearray(idx_bytes(IMAGES))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    try:
        array = read_idx(file, 3)
    except ValueError as error:
        assert str(file) in str(error)
    else:
        assert array.shape == IMAGES.shape and np.count_nonzero(array != IMAGES) == 1


@given(data=st.data())
def test_flipped_byte_of_a_gzip_file(file, idx_bytes, data):
    content = bytearray(gzip.compress(idx_bytes(IMAGES), mtime=0))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    try:
        array = read_idx(file, 3)
    except ValueError as error:
        assert str(file) in str(error)
    else:  # only bytes that carry no data, such as the time: the rest is under the CRC
        np.testing.assert_array_equal(array, IMAGES, strict=True)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_every_truncation_is_refused(file, idx_bytes, pack):
    content = pack(idx_bytes(IMAGES))
    for length in range(len(content)):
        file.write_bytes(content[:length])
        with pytest.raises(ValueError) as caught:
            read_idx(file, 3)
        assert str(file) in str(caught.value), length


@given(tail=st.binary(min_size=1, max_size=20))
def test_every_trailing_byte_is_refused(file, idx_bytes, tail):
    file.write_bytes(idx_bytes(IMAGES) + tail)
    with pytest.raises(ValueError, match="must have 40 bytes"):
        read_idx(file, 3)


@given(content=st.binary(max_size=60) | st.binary(max_size=40).map(lambda tail: b"\0\0\x08\3" + tail))
def test_arbitrary_bytes(file, content):
    file.write_bytes(content)
    try:
        array = read_idx(file, 3)
    except ValueError as error:
        assert str(file) in str(error)
    else:
        assert array.nbytes == len(content) - 16


def test_a_gzip_file_of_several_members(file, idx_bytes):
    content = idx_bytes(IMAGES)
    file.write_bytes(gzip.compress(content[:7]) + gzip.compress(content[7:]))
    np.testing.assert_array_equal(read_idx(file, 3), IMAGES, strict=True)


def test_a_highly_compressible_file_is_not_refused(file, idx_bytes):
    blank = np.zeros((1000, 28, 28), np.uint8)
    file.write_bytes(gzip.compress(idx_bytes(blank)))
    np.testing.assert_array_equal(read_idx(file, 3), blank, strict=True)


def test_missing_file(file):
    with pytest.raises(FileNotFoundError, match="absent"):
        read_idx(file.with_name("absent"), 3)
