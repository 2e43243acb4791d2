"""Checkpoints: what goes in comes out, and nothing else is read."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minicnn.errors import DataError
from minicnn.saving.archive import write_archive
from minicnn.saving.checkpoint import (
    ARRAYS,
    DTYPES,
    TREE,
    differences,
    is_plain,
    read_checkpoint,
    write_checkpoint,
)

ARRAYS_OF_ANY_KIND = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | ARRAYS_OF_ANY_KIND
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


def same(a, b):
    if isinstance(a, np.ndarray):
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or (a != a and b != b))


@given(tree=st.dictionaries(st.text(), TREES, max_size=4))
def test_there_and_back(tree, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "c.minicnn"
    write_checkpoint(path, tree)
    first = path.read_bytes()
    assert same(read_checkpoint(path), tree)
    write_checkpoint(path, tree)
    assert path.read_bytes() == first


def test_arrays_are_owned_and_other_layouts_are_equal(tmp_path):
    array = np.arange(12, dtype=">f4").reshape(3, 4).T
    write_checkpoint(tmp_path / "c", {"a": array, "b": (1, np.float32(2))})
    read = read_checkpoint(tmp_path / "c")
    assert (read["a"] == array).all()
    assert read["a"].flags.writeable
    assert read["b"] == [1, np.float32(2)]


@pytest.mark.parametrize(
    "value", [object(), {1: 2}, {"a": print}, np.array(["x"]), np.array([None]), 1j, np.complex64(1), b"raw"]
)
def test_what_is_no_plain_data(value, tmp_path):
    assert not is_plain(value)
    with pytest.raises(TypeError, match="A checkpoint can hold"):
        write_checkpoint(tmp_path / "c", {"it": value})
    assert list(tmp_path.iterdir()) == []


F = {"array": ["float32", [2]]}


@pytest.mark.parametrize(
    ("tree", "blob", "words"),
    [
        ({"dict": {"a": F}}, 7, "an array of 8 bytes must be in arrays.bin"),
        ({"dict": {"a": F}}, 9, "the arrays of the tree and nothing else"),
        ({"dict": {"a": {"array": ["float32", [10**12]]}}}, 8, "an array of 4000000000000 bytes"),
        ({"dict": {"a": {"array": ["float32", [-2]]}}}, 8, "the shape of an array must be"),
        ({"dict": {"a": {"array": ["float32", [True]]}}}, 4, "the shape of an array must be"),
        ({"dict": {"a": {"array": ["float32", [1] * 33]}}}, 4, "the shape of an array must be"),
        ({"dict": {"a": {"array": ["float32", 2]}}}, 8, "the shape of an array must be"),
        ({"dict": {"a": {"array": ["object", [2]]}}}, 8, "a type of number"),
        ({"dict": {"a": {"array": [["float32"], [2]]}}}, 8, "a type of number"),
        ({"dict": {"a": {"array": "float32"}}}, 8, "a type of number"),
        ({"dict": {"a": {"number": "1"}}}, 0, "unknown kind 'number'"),
        ({"dict": {"a": {"number": ["nan"]}}}, 0, "unknown kind 'number'"),
        ({"dict": {"a": {"call": "os.system"}}}, 0, "unknown kind 'call'"),
        ({"dict": {"a": {"array": ["float32", [2]], "dict": {}}}}, 8, "of one kind"),
        ({"dict": []}, 0, "unknown kind 'dict'"),
        (F, 8, "nothing else"),
        ({}, 0, "of one kind"),
        ([1], 0, "must be a JSON object"),
    ],
)
def test_what_is_read_is_what_was_declared(tree, blob, words, tmp_path):
    path = tmp_path / "c.minicnn"
    path.write_bytes(write_archive({TREE: json.dumps(tree).encode(), ARRAYS: bytes(blob)}))
    with pytest.raises(DataError, match=words) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)


@given(data=st.data())
def test_a_damaged_byte_or_a_cut_is_refused(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "c.minicnn"
    tree = {"weights": [np.arange(8, dtype=np.float32)], "epoch": 3}
    write_checkpoint(path, tree)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del content[place:]
    path.write_bytes(content)
    try:
        assert same(read_checkpoint(path), tree)  # a bit that means nothing: a date
    except DataError as error:
        assert str(path) in str(error)


def test_differences():
    saved = {
        "model": {"0": {"class": "Dense", "units": 3}, "1": {"class": "ReLU"}},
        "batch_size": 8,
        "x": "a" * 99,
    }
    own = {"model": {"0": {"class": "Dense", "units": 4}}, "batch_size": 8, "x": "b", "y": [1]}
    assert list(differences(saved, own)) == [
        "model.0.units: 3 in the checkpoint, 4 here",
        "model.1: {'class': 'ReLU'} in the checkpoint, nothing here",
        f"x: {'a' * 76!r:.77}... in the checkpoint, 'b' here",
        "y: nothing in the checkpoint, [1] here",
    ]
    assert list(differences(saved, saved)) == []
