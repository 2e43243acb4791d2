"""Our reader of HDF5 beside HDF5's own: what h5py writes is read, and no damage has another end than DataError."""

import io
import random

import h5py
import numpy as np
import pytest

from minicnn.errors import DataError
from minicnn.saving.hdf5 import USER_BLOCK_NBYTES, Group, Needed, Reader, write_groups
from minicnn.saving.hdf5_objects import SIGNATURE, open_root, read_header, read_links
from minicnn.saving.hdf5_source import Link

LAYOUTS = ("earliest", "v108", "latest")
MISTAKEN = {"f2": "f4", "f4": "f8", "f8": "f4", "i1": "u1", "i8": "f8", "u4": "i4"}
"""For each dtype that can be read, one that it isn't taken for."""


def written(fill, libver="earliest", **options):
    """A file as h5py writes it, and Keras with it; `fill` gets the h5py.File."""
    content = io.BytesIO()
    with h5py.File(content, "w", libver=libver, **options) as file:
        fill(file)
    return content.getvalue()


def layers(count, attributes=1):
    def fill(file):
        for k in range(count):
            group = file.create_group(f"layers/dense_{k}/vars")
            for j in range(attributes):
                group.attrs[f"name{j}"] = "dense" * 20
            group["0"] = np.full((2, 3), k, "f4")
            group["1"] = np.arange(3, dtype="f8")

    return fill


@pytest.mark.parametrize("libver", LAYOUTS)
@pytest.mark.parametrize("count", [1, 8, 9, 40, 60, 300, 2000])
def test_groups_of_any_size(libver, count):
    """From 9 links on the newer layout has a heap and an index; from 46 and 260 on the indices have levels."""

    def fill(file):
        layers(1)(file)
        for k in range(1, count):
            file[f"layers/dense_{k}"] = file["layers/dense_0"]

    reader = Reader(written(fill, libver))
    assert reader.names("layers") == sorted(f"dense_{k}" for k in range(count))
    first, second = reader.read(f"layers/dense_{count - 1}/vars", [Needed((2, 3)), Needed((3,), "float64")])
    assert first.tolist() == [[0] * 3] * 2 and first.dtype == "f4"
    assert second.tolist() == [0, 1, 2] and second.dtype == "f8"
    assert first.flags.owndata and first.flags.writeable


@pytest.mark.parametrize("libver", LAYOUTS)
@pytest.mark.parametrize("attributes", [0, 3, 30])
def test_headers_that_continue(libver, attributes):
    """30 attributes don't fit into the first block of a header."""
    reader = Reader(written(layers(2, attributes), libver))
    assert reader.names("layers/dense_1/vars") == ["0", "1"]
    assert reader.names("layers/dense_1/none") == reader.names("layers/dense_1/vars/0") == []


@pytest.mark.parametrize("libver", LAYOUTS)
@pytest.mark.parametrize("dtype", MISTAKEN)
@pytest.mark.parametrize("shape", [(), (1,), (3, 2, 1, 4)])
def test_types_and_shapes(libver, dtype, shape):
    array = np.random.default_rng(0).integers(0, 99, shape).astype(dtype)
    content = written(lambda file: file.create_dataset("vars/0", data=array), libver)
    (read,) = Reader(content).read("vars", [Needed(shape, np.dtype(dtype).name)])
    assert read.dtype == array.dtype and read.tobytes() == array.tobytes() and read.shape == shape
    with pytest.raises(DataError, match=r"must have shape .* Received shape"):
        Reader(content).read("vars", [Needed(shape, np.dtype(MISTAKEN[dtype]).name)])
    with pytest.raises(DataError, match=r"must have shape .* Received shape"):
        Reader(content).read("vars", [Needed((*shape, 1), np.dtype(dtype).name)])


OTHER_TYPES = {
    "big-endian": (">f4", "floats"),
    "complex": ("<c8", "records"),
    "booleans": ("?", "an enumeration"),
    "text": ("S3", "text"),
    "opaque": ("V4", "opaque data"),
    "text of any length": (h5py.string_dtype(), "objects of any length"),
    "arrays of any length": (h5py.vlen_dtype(np.int32), "objects of any length"),
    "references": (h5py.ref_dtype, "references"),
    "records": ([("a", "f4")], "records"),
}


@pytest.mark.parametrize("libver", LAYOUTS)
@pytest.mark.parametrize(("dtype", "words"), OTHER_TYPES.values(), ids=OTHER_TYPES)
def test_other_types(libver, dtype, words):
    """Nothing that NumPy would need an object for."""
    content = written(lambda file: file.create_dataset("vars/0", (4,), dtype), libver)
    with pytest.raises(DataError, match=rf"must have shape \(4,\).* dtype {words}"):
        Reader(content).read("vars", [Needed((4,))])


def elsewhere(file):
    file.create_dataset("vars/0", (4,), "f4", external=[("/etc/passwd", 0, 16)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    file.create_group("vars").create_virtual_dataset("0", layout)


def created(**options):
    return lambda file: file.create_dataset("vars/0", **({"data": np.arange(4, dtype="f4")} | options))


def linked(link):
    def fill(file):
        file.create_group("vars")["0"] = link

    return fill


STORED = "must be stored whole and uncompressed"
REFUSED = {
    "external storage": (elsewhere, STORED),
    "virtual": (virtual, STORED),
    "external link": (linked(h5py.ExternalLink("/etc/passwd", "/x")), r"a link \(external\)"),
    "soft link": (linked(h5py.SoftLink("/vars")), r"a link \(soft\)"),
    "soft link to itself": (linked(h5py.SoftLink("/vars/0")), r"a link \(soft\)"),
    "gzip": (created(compression="gzip"), STORED),
    "gzip bomb": (
        created(data=None, shape=(1 << 20,), dtype="f4", compression="gzip", fillvalue=0),
        r"\(4,\)",
    ),
    "lzf": (created(compression="lzf"), STORED),
    "shuffle": (created(shuffle=True), STORED),
    "scale and offset": (created(scaleoffset=2), STORED),
    "shuffle and checksum": (created(shuffle=True, fletcher32=True), STORED),
    "several chunks": (created(chunks=(2,)), STORED),
    "several chunks with checksums": (created(chunks=(2,), fletcher32=True), STORED),
    "can grow": (created(maxshape=(None,)), STORED),
    "never written": (created(data=None, shape=(4,), dtype="f4"), STORED),
    "10¹² elements": (created(data=None, shape=(10**12,), dtype="f4", chunks=(1000,)), r"\(1000000000000,\)"),
    "chunks of 4 GB": (created(data=None, shape=(10**9,), dtype="f4", chunks=(10**9,)), r"\(1000000000,\)"),
    "no elements": (created(data=np.zeros((0,), "f4")), r"shape \(0,\)"),
    "a null space": (lambda file: file.create_dataset("vars/0", data=h5py.Empty("f4")), "without a shape"),
    "a group": (lambda file: file.create_group("vars/0"), "must be an array. Received a group"),
    "a named type": (lambda file: file.create_group("vars").__setitem__("0", np.dtype("f4")), "not a whole"),
    "another number": (lambda file: file.create_group("vars"), "must hold 1 arrays"),
}


@pytest.mark.parametrize("libver", LAYOUTS)
@pytest.mark.parametrize(("fill", "words"), REFUSED.values(), ids=REFUSED)
def test_refused(libver, fill, words):
    with pytest.raises(DataError, match=words):
        Reader(written(fill, libver)).read("vars", [Needed((4,))])


@pytest.mark.parametrize("libver", LAYOUTS)
def test_a_hard_link_loop_ends(libver):
    def fill(file):
        group = file.create_group("a")
        group["a"] = group

    reader = Reader(written(fill, libver))
    assert reader.names("/".join("a" * 1000)) == ["a"]


def test_many_groups_with_one_index():
    """The same 15,000 names under 8 headers: little to store, much to read."""

    def fill(file):
        group = file.create_group("0")
        for k in range(15_000):
            group[f"{k:06}"] = h5py.SoftLink("/")

    content = bytearray(written(fill))
    source, root = open_root(memoryview(content))
    start = read_links(source, read_header(source, root))["0"].address
    header = content[start : start + 40]
    whole = bytes(content) + 8 * bytes(header)
    reader = Reader(whole)
    with pytest.raises(DataError, match="more than 100000 groups and arrays"):
        for k in range(8):
            reader._links(Link("hard", len(content) + 40 * k), "x")


@pytest.mark.parametrize("content", [b"", b"x" * 9999, SIGNATURE, b"PK\x03\x04" * 99])
def test_other_files(content):
    with pytest.raises(DataError, match=r"it is not an? (whole )?HDF5 file"):
        Reader(content)


def attempt(content, count):
    """Everything that can be read: None if it is refused, else the arrays."""
    try:
        reader = Reader(content)
        reader.names("layers")
        wanted = [Needed((2, 3)), Needed((3,))]
        return [reader.read(f"layers/dense_{k}/vars", wanted) for k in range(count)]
    except DataError as error:
        assert str(error).startswith(("it ", "layers", "/layers"))
        return None


@pytest.mark.parametrize("libver", LAYOUTS)
@pytest.mark.parametrize("count", [1, 12])
def test_damaged_structures_are_refused_or_read(libver, count):
    """A digest can be made for any content, so the reader must stand damage without one."""
    whole, rng = written(layers(count), libver), random.Random(0)
    refused = 0
    for _ in range(6000 // count if count > 1 else 1500):
        content = bytearray(whole)
        for _ in range(rng.choice([1, 1, 2, 8])):
            start = rng.randrange(len(content))
            damage = rng.choice(
                [b"\xff" * 8, b"\0" * 8, b"\xff", rng.randbytes(1), start.to_bytes(8, "little")]
            )
            content[start : start + len(damage)] = damage
        refused += attempt(bytes(content[: len(whole)]), count) is None
    assert refused > 50


@pytest.mark.parametrize("libver", LAYOUTS)
def test_truncated(libver):
    whole = written(layers(12), libver)
    for length in [*range(0, len(whole) - 4096, 997), *range(4096, len(whole) - 4096, 4096)]:
        assert attempt(whole[:length], 12) is None


@pytest.mark.parametrize("count", [1, 12])
def test_what_is_written(count):
    """Both readers agree on it, and it is the same each time."""
    rng = np.random.default_rng(0)
    groups = [
        Group(f"layers/dense_{k}/vars", "dense", [rng.random((2, 3), np.float32), np.array(3 * k)])
        for k in range(count)
    ]
    content = write_groups(groups)
    assert content == write_groups(groups)
    with h5py.File(io.BytesIO(content)) as file:
        for group in groups:
            arrays = Reader(content).read(group.path, [Needed((2, 3)), Needed((), "int64")])
            assert file[group.path].attrs["name"] == "dense"
            for k, (array, read) in enumerate(zip(group.arrays, arrays, strict=True)):
                assert array.tobytes() == read.tobytes() == file[group.path][str(k)][()].tobytes()


def test_h5py_refuses_what_the_checksums_catch():
    """Keras passes over our digest; HDF5's own checksums still hold in it."""
    content = bytearray(write_groups([Group("vars", "x", [np.arange(99, dtype="f4")])]))
    start = content.index(np.arange(99, dtype="f4").tobytes())
    content[start + 40] ^= 1
    with h5py.File(io.BytesIO(content)) as file, pytest.raises(OSError, match=r"checksum|Can't"):
        file["vars/0"][()]
    with pytest.raises(DataError, match="the digest differs"):
        Reader(bytes(content))
    content[:USER_BLOCK_NBYTES] = bytes(USER_BLOCK_NBYTES)
    Reader(bytes(content))
