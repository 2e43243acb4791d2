"""`mnist.load_data`: the embedded data is the original; any other source is right, or one clear error."""

import gzip
import hashlib
import os
import shutil
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from minicnn.datasets import mnist

# Published MD5s of the unpacked IDX files.
ORIGINAL_MD5 = {
    "x_train": "6bbc9ace898e44ae57da46a324031adb",
    "y_train": "a25bea736e30d166cdddb491f175f624",
    "x_test": "2646ac647ad5339dbf082846283269ea",
    "y_test": "27ae3e4e09519cfbb04c329615203637",
}


def by_key(data) -> dict[str, np.ndarray]:
    (x_train, y_train), (x_test, y_test) = data
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def assert_loads(path, arrays) -> None:
    loaded = by_key(mnist.load_data(path))
    for key, array in arrays.items():
        np.testing.assert_array_equal(loaded[key], array, strict=True)
        assert loaded[key].flags.c_contiguous and loaded[key].flags.owndata and loaded[key].flags.writeable


# The embedded data


@pytest.fixture(scope="module")
def embedded() -> dict[str, np.ndarray]:
    return by_key(mnist.load_data())


@pytest.mark.parametrize("key", ORIGINAL_MD5)
def test_embedded_arrays_are_the_original_idx_files(embedded, key, idx_bytes):
    assert hashlib.md5(idx_bytes(embedded[key])).hexdigest() == ORIGINAL_MD5[key]


def test_embedded_arrays_are_the_callers_own(embedded):
    (x_train, y_train), _ = mnist.load_data()
    x_train[:], y_train[:] = 0, 0
    assert embedded["x_train"].any() and embedded["y_train"].any()
    assert by_key(mnist.load_data())["x_train"].any()


def test_embedded_file_loads_as_a_foreign_one_and_with_numpy(embedded):
    assert_loads(mnist.EMBEDDED, embedded)
    with np.load(mnist.EMBEDDED, allow_pickle=False) as archive:
        assert archive.files == ["x_train", "y_train", "x_test", "y_test"]
        np.testing.assert_array_equal(archive["y_test"], embedded["y_test"], strict=True)


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "another"])
def test_a_damaged_embedded_file_is_refused(monkeypatch, tmp_path, arrays, damage):
    copy = tmp_path / "mnist.npz"
    shutil.copy(mnist.EMBEDDED, copy)
    monkeypatch.setattr(mnist, "EMBEDDED", copy)
    mnist.load_data()  # the copy itself is fine
    content = bytearray(copy.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    copy.write_bytes({"flip": content, "truncate": content[:-1], "empty": b"", "another": b""}[damage])
    if damage == "another":
        np.savez(copy, **arrays)
    with pytest.raises(ValueError, match="SHA-256") as caught:
        mnist.load_data()
    assert str(copy) in str(caught.value) and mnist.EMBEDDED_SHA256 in str(caught.value)


# Other sources that are right


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    "rename",
    [
        pytest.param(lambda name: name, id="fashion"),
        pytest.param(lambda name: name.replace("-idx", ".idx"), id="dot"),
        pytest.param(lambda name: name.replace("t10k", "test"), id="test"),
        pytest.param(lambda name: "emnist-letters-" + name.replace("t10k", "test"), id="emnist"),
    ],
)
def test_folder_of_idx_files(write_folder, arrays, rename, zipped):
    folder = write_folder(arrays, rename, zipped)
    assert_loads(folder, arrays)
    assert_loads(str(folder), arrays)


def test_idx_is_not_transposed(write_folder, arrays):
    assert by_key(mnist.load_data(write_folder(arrays, lambda name: "emnist-digits-" + name)))[
        "x_train"
    ].shape == (
        5,
        3,
        4,
    )


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, arrays, save):
    save(tmp_path / "other.npz", **arrays, extra=np.array(["left", "alone"], object))
    assert_loads(tmp_path / "other.npz", arrays)


def test_npz_in_fortran_order_and_with_other_integers(tmp_path, arrays):
    stored = dict(arrays, x_train=np.asfortranarray(arrays["x_train"]), y_test=arrays["y_test"].astype(">i8"))
    np.savez(tmp_path / "other.npz", **stored)
    assert_loads(tmp_path / "other.npz", dict(arrays, y_test=arrays["y_test"].astype(np.int64)))


def test_unpacked_file_is_taken_before_its_gz(write_folder, arrays):
    write_folder({key: array * 0 for key, array in arrays.items()}, zipped=True)
    assert_loads(write_folder(arrays), arrays)


def test_hidden_files_are_no_set_of_their_own(write_folder, arrays):
    folder = write_folder(arrays, lambda name: "emnist-letters-" + name)
    (folder / "._emnist-letters-train-images-idx3-ubyte").write_bytes(b"AppleDouble")
    assert_loads(folder, arrays)


def test_folders_hidden_files_and_other_sets_do_not_confuse(write_folder, arrays):
    write_folder({key: array * 0 for key, array in arrays.items()}, lambda name: "emnist-letters-" + name)
    folder = write_folder(arrays)
    (folder / "._train-images-idx3-ubyte").write_bytes(b"AppleDouble")
    (folder / "other-train-images-idx3-ubyte").mkdir()
    (folder / "train-images.idx3-ubyte").mkdir()
    assert_loads(folder, arrays)


# Sources that are missing or unclear


@pytest.mark.parametrize("path", ["absent", "absent.npz"])
def test_missing_path(tmp_path, path):
    with pytest.raises(FileNotFoundError, match=path):
        mnist.load_data(tmp_path / path)


@pytest.mark.parametrize("path", [0, 1.5, b"mnist.npz", ["mnist.npz"]])
def test_path_of_another_type(path):
    with pytest.raises(TypeError, match="`path` must be"):
        mnist.load_data(path)


def test_folder_without_idx_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="train-images-idx3-ubyte") as caught:
        mnist.load_data(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("prefix", ["", "emnist-letters-"])
@pytest.mark.parametrize("key", ["x_train", "y_train", "x_test", "y_test"])
def test_folder_with_one_file_missing(write_folder, arrays, key, prefix):
    del arrays[key]
    folder = write_folder(arrays, lambda name: prefix + name)
    kind = f"{'images-idx3' if key[0] == 'x' else 'labels-idx1'}-ubyte"
    split = "train" if key.endswith("train") else "t10k"
    with pytest.raises(FileNotFoundError, match=f"{prefix}{split}-{kind}") as caught:
        mnist.load_data(folder)
    assert str(folder) in str(caught.value)


def test_folder_of_several_sets(write_folder, arrays):
    write_folder(arrays, lambda name: "emnist-letters-" + name)
    folder = write_folder(arrays, lambda name: "emnist-digits-" + name)
    with pytest.raises(ValueError, match=r"one data set\. Received several: emnist-digits, emnist-letters"):
        mnist.load_data(folder)


def test_folder_with_two_files_for_one_part(write_folder, arrays):
    write_folder(arrays, lambda name: name.replace("t10k", "test"))
    with pytest.raises(
        ValueError, match=r"one file like t10k-images-idx3-ubyte\. Received several: .*test-images"
    ):
        mnist.load_data(write_folder(arrays))


# Folders with one bad file. Each change is (what must be in the message, function of the file's bytes).

HEADER_OF_X = struct.pack(">4I", 0x803, 5, 3, 4)
IDX_DAMAGE = {
    "empty": ("header of 16 bytes. Received 0", lambda b: b""),
    "part of a header": ("header of 16 bytes. Received 15", lambda b: b[:15]),
    "magic number": ("0x00000803 .*Received 0x01000803", lambda b: b"\1" + b[1:]),
    "labels for images": (
        "0x00000803 .*Received 0x00000801",
        lambda b: struct.pack(">2I", 0x801, 20) + bytes(20),
    ),
    "signed bytes": ("0x00000803 .*Received 0x00000903", lambda b: b[:2] + b"\x09" + b[3:]),
    "little-endian": ("0x00000803 .*Received 0x03080000", lambda b: b[3::-1] + b[4:]),
    "not IDX": ("0x00000803", lambda b: b"<!DOCTYPE html><html></html>"),
    "no images": ("at least one element", lambda b: struct.pack(">4I", 0x803, 0, 3, 4)),
    "no rows": ("at least one element", lambda b: struct.pack(">4I", 0x803, 5, 0, 4)),
    "a byte missing": ("must h.*76 bytes|60 bytes", lambda b: b[:-1]),
    "all data missing": ("must h.*76 bytes|60 bytes", lambda b: b[:16]),
    "a byte too many": ("must h.*76 bytes|60 bytes", lambda b: b + b"\0"),
    "10^12 elements": ("1000000000016 bytes", lambda b: struct.pack(">4I", 0x803, *[10**4] * 3) + b[16:]),
    "most elements": (
        f"{16 + (2**32 - 1) ** 3} bytes",
        lambda b: struct.pack(">4I", 0x803, *[2**32 - 1] * 3),
    ),
    "fewer images than labels": (
        "4 images and 5 labels",
        lambda b: struct.pack(">4I", 0x803, 4, 3, 4) + b[16:64],
    ),
    "other size than in test": (
        r"\(3, 4\) and \(4, 3\)",
        lambda b: struct.pack(">4I", 0x803, 5, 4, 3) + b[16:],
    ),
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("damage", IDX_DAMAGE)
def test_damaged_idx_file(write_folder, arrays, idx_bytes, damage, zipped):
    folder = write_folder(arrays, zipped=zipped)
    file = folder / f"train-images-idx3-ubyte{'.gz' if zipped else ''}"
    message, change = IDX_DAMAGE[damage]
    content = change(idx_bytes(arrays["x_train"]))
    file.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(ValueError, match=message) as caught:
        mnist.load_data(folder)
    assert str(file) in str(caught.value)
    assert "Received" in str(caught.value)


def test_gzip_is_seen_from_the_content_not_the_name(write_folder, arrays, idx_bytes):
    folder = write_folder(arrays, zipped=True)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(idx_bytes(arrays["x_train"]))
    assert_loads(folder, arrays)


GZIP_DAMAGE = {
    "truncated": lambda b: b[:-1],
    "half": lambda b: b[: len(b) // 2],
    "only its magic number": lambda b: b[:2],
    "checksum": lambda b: b[:-8] + bytes([b[-8] ^ 1]) + b[-7:],
    "length": lambda b: b[:-1] + b"\1",
    "data": lambda b: b[:20] + b"\xff\xff" + b[22:],
    "garbage behind": lambda b: b + b"garbage",
}


@pytest.mark.parametrize("damage", GZIP_DAMAGE)
def test_damaged_gzip(write_folder, arrays, damage):
    folder = write_folder(arrays, zipped=True)
    file = folder / "t10k-labels-idx1-ubyte.gz"
    file.write_bytes(GZIP_DAMAGE[damage](file.read_bytes()))
    with pytest.raises(ValueError, match=r"must be a whole gzip file\. Received") as caught:
        mnist.load_data(folder)
    assert str(file) in str(caught.value)


# Bad .npz files. What is wrong with the bytes themselves is in test_npz.py.

NPZ_DAMAGE = {
    "key missing": ("Missing: y_test. Received: x_test, x_train, y_train", lambda a: a.pop("y_test")),
    "float images": (
        "x_train must hold images of dtype uint8",
        lambda a: a.update(x_train=a["x_train"] / 255),
    ),
    "int16 images": (
        "x_test must hold images of dtype uint8",
        lambda a: a.update(x_test=a["x_test"].astype("i2")),
    ),
    "float labels": (
        "y_train must hold labels that are integers",
        lambda a: a.update(y_train=a["y_train"] * 1.0),
    ),
    "bool labels": (
        "y_train must hold labels that are integers",
        lambda a: a.update(y_train=a["y_train"] > 4),
    ),
    "negative labels": (
        "y_test must hold .*from 0 up.*smallest -1",
        lambda a: a.update(y_test=np.array([3, -1], np.int16)),
    ),
    "one-hot labels": (
        r"y_train must have 1 dimension.*\(5, 10\)",
        lambda a: a.update(y_train=np.eye(10)[a["y_train"]]),
    ),
    "flat images": (
        r"x_train must have 3 dimension.*\(5, 12\)",
        lambda a: a.update(x_train=a["x_train"].reshape(5, 12)),
    ),
    "a label missing": ("5 images and 4 labels", lambda a: a.update(y_train=a["y_train"][:4])),
    "no images": (r"x_test must .*\(0, 3, 4\)", lambda a: a.update(x_test=a["x_test"][:0])),
    "other size in test": (r"\(3, 3\) and \(3, 4\)", lambda a: a.update(x_test=a["x_test"][:, :, :3])),
    "strings": ("y_train must hold numbers", lambda a: a.update(y_train=a["y_train"].astype(str))),
    "complex": ("x_train must hold numbers", lambda a: a.update(x_train=a["x_train"] * 1j)),
    "dates": ("y_train must hold numbers", lambda a: a.update(y_train=a["y_train"].astype("m8[s]"))),
    "records": ("x_train must hold numbers", lambda a: a.update(x_train=a["x_train"].view([("a", "u1")]))),
}


@pytest.mark.parametrize("damage", NPZ_DAMAGE)
def test_npz_with_other_arrays(tmp_path, arrays, damage):
    message, change = NPZ_DAMAGE[damage]
    change(arrays)
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(ValueError, match=message) as caught:
        mnist.load_data(tmp_path / "other.npz")
    assert str(tmp_path / "other.npz") in str(caught.value)


class Bomb:
    """Makes a folder when unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self):
        return os.mkdir, (str(self.place),)


def test_nothing_is_unpickled(tmp_path, arrays):
    arrays["y_test"] = np.array([Bomb(tmp_path / "bang")], object)
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(ValueError, match="y_test must hold numbers; nothing is unpickled"):
        mnist.load_data(tmp_path / "other.npz")
    assert not (tmp_path / "bang").exists()


@pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY", b"<!DOCTYPE html>", HEADER_OF_X + bytes(60)])
def test_a_file_that_is_no_npz(tmp_path, content):
    file = tmp_path / "other.npz"
    file.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"must be an \.npz archive .*Received a file that begins with"
    ) as caught:
        mnist.load_data(file)
    assert str(file) in str(caught.value)


def test_declared_sizes_cost_no_memory(write_folder, arrays):
    folder = write_folder(arrays)
    zipped = write_folder(arrays, zipped=True, folder="zipped")
    huge = struct.pack(">4I", 0x803, *[10**4] * 3) + bytes(1000)
    (folder / "train-images-idx3-ubyte").write_bytes(huge)
    (zipped / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(huge))
    for place in (folder, zipped):
        tracemalloc.start()
        with pytest.raises(ValueError, match="1000000000016 bytes"):
            mnist.load_data(place)
        _, peak_nbytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak_nbytes < 1 << 20  # an allocation of the declared size would be a terabyte
