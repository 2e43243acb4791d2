"""Files that attack whoever loads them. Payloads are real: tests/saving/naive.py, which believes everything, shows it.

The published ones are rebuilt from their advisories: CVE-2024-3660, CVE-2025-1550, -8747, -9905, -9906, -12058,
CVE-2026-0897, -1462, -1669, -12481, -12479 against Keras, CVE-2019-6446 against NumPy.
"""

import base64
import io
import json
import marshal
import pickle
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import h5py
import numpy as np

from minicnn.saving.archive import write_archive

METADATA = b'{"keras_version": "3.15.1", "date_saved": "2026-01-01@00:00:00"}'


class Attack(NamedTuple):
    """A file, made for the place that it attacks."""

    file: str
    """Its name; the suffix says which loaders get it."""
    make: Callable[[str], bytes]
    """Its content, given the path of a file that code in it would create."""
    words: str
    """What the refusal must say, as a regular expression."""
    fires: bool = True
    """Whether a loader that believes everything does harm that is seen at once."""


# Configurations


def layer(module: str | None, class_name: str, config: Any = None, **more: Any) -> dict:
    return {
        "module": module,
        "class_name": class_name,
        "config": config or {},
        "registered_name": None,
    } | more


def dense(**config: Any) -> dict:
    return layer("keras.layers", "Dense", {"name": "dense", "units": 2} | config)


INPUT = layer("keras.layers", "InputLayer", {"name": "input", "batch_shape": [None, 3]})


def sequential(*layers: Any, first: Any = INPUT, **config: Any) -> dict:
    return layer("keras", "Sequential", {"name": "m", "layers": [first, *layers]} | config)


def functional(*layers: dict) -> dict:
    ends = {"input_layers": [["input", 0, 0]], "output_layers": [[layers[-1]["config"]["name"], 0, 0]]}
    start = INPUT | {"name": "input", "inbound_nodes": []}
    return layer(
        "keras.src.models.functional", "Functional", {"name": "m", "layers": [start, *layers]} | ends
    )


def tensor(source: str) -> dict:
    return {"class_name": "__keras_tensor__", "config": {"shape": [None, 3], "keras_history": [source, 0, 0]}}


def function(module: str, name: str) -> dict:
    return {"module": module, "class_name": "function", "config": name, "registered_name": "function"}


def marshalled(canary: str) -> dict:
    """A Lambda layer's function as Keras stores it."""
    code = compile(f"lambda *x: open({canary!r}, 'w').close()", "x", "eval").co_consts[0]
    text = base64.b64encode(marshal.dumps(code)).decode()
    return {"class_name": "__lambda__", "config": {"code": text, "defaults": None, "closure": None}}


def lambda_layer(canary: str) -> dict:
    config = {"name": "l", "function": marshalled(canary), "arguments": {}}
    return layer("keras.layers", "Lambda", config)


def called(module: str, name: str, *arguments: Any) -> dict:
    """CVE-2025-1550: any function of any module, with arguments from the nodes of a functional model."""
    node = {"args": list(arguments), "kwargs": {}}
    config = {"name": "l", "function": function(module, name), "arguments": {}}
    return functional(layer("keras.layers", "Lambda", config, name="l", inbound_nodes=[node]))


def nested(depth: int) -> bytes:
    opening = b'{"module": "keras", "class_name": "Sequential", "config": {"name": "m", "layers": ['
    return opening * depth + b"]}}" * depth


def shared_cycle() -> dict:
    inner = layer("keras.layers", "Dense", {"name": "a", "units": 2}, shared_object_id=1)
    inner["config"]["kernel_initializer"] = {
        "class_name": "Dense",
        "config": inner["config"] | {},
        "shared_object_id": 1,
    }
    return sequential(inner, {"shared_object_id": 1})


CONFIGS: dict[str, tuple[Callable[[str], Any], str, bool]] = {
    "CVE-2024-3660: Lambda with code": (lambda c: sequential(lambda_layer(c)), "Lambda", True),
    "CVE-2025-1550: os.system": (lambda c: called("os", "system", f"touch {c}"), "Lambda", True),
    "CVE-2025-1550: builtins.exec": (
        lambda c: called("builtins", "exec", f"open({c!r}, 'w')"),
        "Lambda",
        True,
    ),
    "CVE-2025-8747: get_file": (
        lambda c: called("keras.utils", "get_file", "x.keras", "http://127.0.0.1:9/x.keras"),
        "Lambda",
        True,
    ),
    "CVE-2025-8747: load_model": (
        lambda c: called("keras.models", "load_model", "/tmp/x.keras"),
        "Lambda",
        True,
    ),
    "CVE-2025-9906: enable_unsafe_deserialization": (
        lambda c: sequential(layer("keras.config", "enable_unsafe_deserialization"), lambda_layer(c)),
        "enable_unsafe_deserialization",
        True,
    ),
    "CVE-2025-12058: StringLookup reads a file": (
        lambda c: sequential(
            layer("keras.layers", "StringLookup", {"name": "s", "vocabulary": "/etc/passwd"})
        ),
        "StringLookup",
        True,
    ),
    "CVE-2025-12058: StringLookup fetches": (
        lambda c: sequential(layer("keras.layers", "StringLookup", {"vocabulary": "http://127.0.0.1:9/"})),
        "StringLookup",
        True,
    ),
    "CVE-2026-1462: TFSMLayer": (
        lambda c: sequential(layer("keras.layers", "TFSMLayer", {"name": "t", "filepath": "/tmp/x"})),
        "TFSMLayer",
        True,
    ),
    "CVE-2026-12481: Lambda alone": (lambda_layer, "Lambda", True),
    "CVE-2026-12479: a layer name that leads out": (
        lambda c: sequential(dense(name="../../x")),
        "without '/'",
        False,
    ),
    "os.system as a layer": (
        lambda c: sequential(layer("os", "system", {"command": f"touch {c}"})),
        "system",
        True,
    ),
    "builtins.eval as a layer": (
        lambda c: sequential(layer("builtins", "eval", [f"open({c!r}, 'w')"])),
        "eval",
        True,
    ),
    "subprocess.run": (lambda c: sequential(layer("subprocess", "run", {"args": ["touch", c]})), "run", True),
    "numpy.load": (lambda c: sequential(layer("numpy", "load", {"file": "/etc/passwd"})), "load", True),
    "os.system as the model": (
        lambda c: layer("os", "system", {"command": f"touch {c}"}),
        "system|Sequential",
        True,
    ),
    "Lambda in a wrapper": (
        lambda c: sequential(layer("keras.layers", "TimeDistributed", {"layer": lambda_layer(c)})),
        "TimeDistributed",
        True,
    ),
    "Lambda in an inner model": (lambda c: sequential(sequential(lambda_layer(c))), "Lambda", True),
    "a function as activation": (
        lambda c: sequential(dense(activation=function("os", "abort"))),
        "abort",
        False,
    ),
    "an activation's path": (lambda c: sequential(dense(activation="os.system")), "os.system", False),
    "code as activation": (lambda c: sequential(dense(activation=marshalled(c))), "__lambda__", True),
    "os.system as initializer": (
        lambda c: sequential(dense(kernel_initializer=layer("os", "system", {"command": f"touch {c}"}))),
        "system",
        True,
    ),
    "os.system as data type": (
        lambda c: sequential(dense(dtype=layer("os", "system", {"command": f"touch {c}"}))),
        "dtype",
        True,
    ),
    "os.system as regularizer": (
        lambda c: sequential(dense(kernel_regularizer=layer("os", "system", {"command": f"touch {c}"}))),
        "regularizer|system",
        True,
    ),
    "registered name of Keras's": (
        lambda c: sequential(lambda_layer(c) | {"registered_name": "keras>Dense", "module": None}),
        "Lambda",
        True,
    ),
    "registered name of a function": (
        lambda c: sequential(layer(None, "eval", [f"open({c!r}, 'w')"], registered_name="builtins>eval")),
        "eval",
        False,
    ),
    "registered package": (
        lambda c: sequential(
            layer("os", "system", {"command": f"touch {c}"}, registered_name="keras.layers>Dense")
        ),
        "system",
        True,
    ),
    "a class of another module": (
        lambda c: sequential(layer("minicnn.runs", "net_from_file", {"target": "x"})),
        "net_from_file",
        False,
    ),
    "a module as a class": (lambda c: sequential(layer("keras.layers", "arguments")), "arguments", False),
    "an attribute of a class": (
        lambda c: sequential(layer("keras.layers", "Dense.__init__.__globals__")),
        "__globals__",
        False,
    ),
    "a special method": (lambda c: sequential(layer("keras.layers", "__loader__")), "__loader__", False),
    "a module with a path": (lambda c: sequential(layer("../../tmp/x", "Dense")), r"\.\./\.\./tmp/x", False),
    "bytes": (
        lambda c: sequential(dense(units={"class_name": "__bytes__", "config": {"value": "x"}})),
        "units",
        False,
    ),
    "an array of objects": (
        lambda c: sequential(
            dense(units={"class_name": "__numpy__", "config": {"value": [1], "dtype": "object"}})
        ),
        "units",
        False,
    ),
    "a slice of everything": (
        lambda c: sequential(dense(name={"class_name": "__slice__", "config": {}})),
        "name",
        False,
    ),
    "a shared object that contains itself": (lambda c: shared_cycle(), "class_name|Dense", False),
    "negative units": (lambda c: sequential(dense(units=-1)), "units", False),
    "no units": (lambda c: sequential(dense(units=0)), "units", False),
    "boolean units": (lambda c: sequential(dense(units=True)), "units", False),
    "units as text": (lambda c: sequential(dense(units="2")), "units", False),
    "fractional units": (lambda c: sequential(dense(units=2.5)), "units", False),
    "units as a list": (lambda c: sequential(dense(units=[2])), "units", False),
    "NaN units": (lambda c: sequential(dense(units=float("nan"))), "NaN|units", False),
    "no units at all": (lambda c: sequential(layer("keras.layers", "Dense", {"name": "d"})), "units", False),
    "an input of -1": (
        lambda c: sequential(dense(), first=layer("keras.layers", "InputLayer", {"batch_shape": [None, -1]})),
        "shape",
        False,
    ),
    "an input of text": (
        lambda c: sequential(dense(), first=layer("keras.layers", "InputLayer", {"batch_shape": "abc"})),
        "shape",
        False,
    ),
    "negative Dropout": (lambda c: sequential(layer("keras.layers", "Dropout", {"rate": -1})), "rate", False),
    "duplicate layer names": (lambda c: sequential(dense(), dense()), "dense", False),
    "unknown keys": (lambda c: sequential(dense(evil=1)), "evil", False),
    "a name of 3": (lambda c: sequential(dense(name=3)), "name", False),
    "a name that clears the screen": (lambda c: sequential(dense(name="\x1b[2Jx")), "name", False),
    "layers that aren't": (lambda c: sequential(7, None, "os.system", []), "configuration", False),
    "layers as text": (
        lambda c: layer("keras", "Sequential", {"layers": "os.system"}),
        "configuration|layers",
        False,
    ),
    "no layers": (lambda c: layer("keras", "Sequential", {}), "layers", False),
    "a configuration that is a list": (lambda c: layer("keras", "Sequential", [1]), "dict|list", False),
    "a layer that is its own input": (
        lambda c: functional(
            dense() | {"name": "dense", "inbound_nodes": [{"args": [tensor("dense")], "kwargs": {}}]}
        ),
        "dense",
        False,
    ),
}

SIZES: dict[str, tuple[Callable[[str], Any], str]] = {
    "an input of 40 dimensions": (
        lambda c: sequential(
            dense(), first=layer("keras.layers", "InputLayer", {"batch_shape": [None, *[1] * 40]})
        ),
        "shape|dimension|rank",
    ),
    "30 levels": (lambda c: nested(30), "InputLayer|layer|64"),
    "10,000 levels": (lambda c: nested(10_000), "64 levels|something else"),
    "10⁹ units": (lambda c: sequential(dense(units=10**9)), "shape"),
    "10¹⁸ units": (lambda c: sequential(dense(units=10**18)), "shape"),
    "10³⁰ units": (lambda c: sequential(dense(units=10**30)), "shape|units"),
    "an input of 10⁹": (
        lambda c: sequential(
            dense(), first=layer("keras.layers", "InputLayer", {"batch_shape": [None, 10**9]})
        ),
        "shape",
    ),
    "a kernel of 10⁹": (
        lambda c: sequential(
            layer("keras.layers", "Conv2D", {"filters": 4, "kernel_size": [10**5, 10**4], "padding": "same"}),
            first=layer("keras.layers", "InputLayer", {"batch_shape": [None, 8, 8, 1]}),
        ),
        "shape|doesn't have",
    ),
    "padding of 10⁹": (
        lambda c: sequential(
            layer("keras.layers", "ZeroPadding2D", {"padding": [10**9, 10**9]}),
            layer("keras.layers", "Flatten"),
            dense(),
            first=layer("keras.layers", "InputLayer", {"batch_shape": [None, 8, 8, 1]}),
        ),
        "shape",
    ),
}
"""For loaders of files: what a configuration declares and the file doesn't hold must not be allocated."""


def system(canary: str) -> dict:
    return layer("os", "system", {"command": f"touch {canary}"})


def trained(**config: Any) -> dict:
    return {"optimizer": "sgd", "loss": "mse"} | config


COMPILED: dict[str, tuple[Callable[[str], Any], str, bool]] = {
    "os.system as optimizer": (lambda c: trained(optimizer=system(c)), "system", True),
    "os.system as loss": (lambda c: trained(loss=system(c)), "system", True),
    "os.system as metric": (lambda c: trained(metrics=[system(c)]), "system", True),
    "os.system as weighted metric": (lambda c: trained(weighted_metrics=[system(c)]), "system", True),
    "os.system as schedule": (
        lambda c: trained(optimizer=layer("keras.optimizers", "SGD", {"learning_rate": system(c)})),
        "system|learning_rate",
        True,
    ),
    "a function as loss": (lambda c: trained(loss=function("os", "abort")), "abort", False),
    "code as loss": (lambda c: trained(loss=marshalled(c)), "__lambda__", True),
    "a path as loss": (lambda c: trained(loss="builtins.eval"), "builtins.eval", False),
    "a negative rate": (
        lambda c: trained(optimizer=layer("keras.optimizers", "SGD", {"learning_rate": -1.0})),
        "learning_rate",
        False,
    ),
    "unknown settings": (lambda c: trained(evil=1), "evil", False),
    "a list": (lambda c: [1], "training configuration", False),
}

OPTIONS: dict[str, tuple[bytes, str]] = {
    "a seed that isn't": (b'{"seeds": 7}', "minicnn.json must hold minicnn's options"),
    "another algorithm": (b'{"algorithm": {"dense": "os.system"}}', "algorithm"),
    "another backend": (b'{"backend": "os.system"}', "backend"),
    "16 MB": (b'{"fuse": "' + b"x" * (15 << 20) + b'"}', "minicnn.json must hold minicnn's options"),
    "a list": (b"[]", "minicnn.json must be a JSON object"),
}


# Archives and weights


def weights(fill: Callable[[h5py.File], Any] | None = None) -> bytes:
    """A weights file as Keras writes it, for GOOD."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        group = file.create_group("layers/dense/vars")
        group["0"], group["1"] = np.zeros((3, 2), "f4"), np.zeros(2, "f4")
        if fill:
            fill(group)
    return content.getvalue()


GOOD = sequential(dense())


def keras(config: Any = GOOD, h5: bytes | None = None, **more: bytes) -> bytes:
    content = config if isinstance(config, bytes) else json.dumps(config).encode()
    members = {"metadata.json": METADATA, "config.json": content, "model.weights.h5": h5 or weights()}
    return write_archive(members | more)


def replaced(**options: Any) -> Callable[[h5py.Group], None]:
    def fill(group: h5py.Group) -> None:
        del group["1"]
        group.create_dataset("1", **options)

    return fill


def linked(link: Any) -> Callable[[h5py.Group], None]:
    def fill(group: h5py.Group) -> None:
        del group["1"]
        group["1"] = link

    return fill


def virtual(group: h5py.Group) -> None:
    del group["1"]
    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (2,))
    group.create_virtual_dataset("1", layout)


def many_links(group: h5py.Group) -> None:
    for k in range(21_000):
        group.file["layers"][f"x{k}"] = h5py.SoftLink("/")


HDF5: dict[str, tuple[Callable[[h5py.Group], Any], str, bool]] = {
    "CVE-2026-0897: a shape of 10¹²": (
        replaced(shape=(10**6, 10**6), dtype="f4", chunks=(100, 100)),
        "shape",
        False,
    ),
    "CVE-2026-1669: external storage": (
        replaced(shape=(2,), dtype="f4", external=[("/etc/passwd", 0, 8)]),
        "stored whole",
        True,
    ),
    "an external link": (linked(h5py.ExternalLink("/etc/passwd", "/x")), "external", True),
    "a soft link to itself": (linked(h5py.SoftLink("/layers/dense/vars/1")), "soft", False),
    "a virtual data set": (virtual, "stored whole", True),
    "a gzip bomb": (replaced(shape=(1 << 26,), dtype="f4", compression="gzip", fillvalue=0), "shape", False),
    "a gzip bomb of the right shape": (
        replaced(data=np.zeros(2, "f4"), compression="gzip"),
        "stored whole",
        False,
    ),
    "a chunk of 4 GB": (
        replaced(shape=(2,), maxshape=(None,), dtype="f4", chunks=(1 << 29,)),
        "stored whole",
        False,
    ),
    "objects": (replaced(shape=(2,), dtype=h5py.string_dtype()), "objects", False),
    "another type": (replaced(data=np.zeros(2, "i8")), "dtype int64", False),
    "another shape": (replaced(data=np.zeros((2, 1), "f4")), "shape", False),
    "21,000 links": (many_links, "more than 20000", False),
}


def evil_pickle(canary: str) -> bytes:
    class Evil:
        def __reduce__(self) -> tuple:
            return open, (canary, "w")

    return pickle.dumps(Evil())


def pickled_array(canary: str) -> bytes:
    """An .npy file of objects: its data is a pickle."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header = header.ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + evil_pickle(canary)


def npy(descr: str, shape: str, data: bytes = b"") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n" + data


def archive(*members: tuple[Any, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as file:
        for name, member in members:
            file.writestr(name, member)
    return content.getvalue()


def npz(x_train: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    label = npy("'|u1'", "(1,)", b"\0")
    image = npy("'|u1'", "(1, 28, 28)", bytes(784))
    members = {"x_train": x_train, "y_train": label, "x_test": image, "y_test": label}
    return archive(*((f"{name}.npy", member) for name, member in members.items()), method=method)


def zip_of(*extra: tuple[Any, bytes]) -> bytes:
    good = (
        ("metadata.json", METADATA),
        ("config.json", json.dumps(GOOD).encode()),
        ("model.weights.h5", weights()),
    )
    return archive(*good, *extra)


def symbolic_link(target: str) -> tuple[zipfile.ZipInfo, bytes]:
    entry = zipfile.ZipInfo("minicnn.json")
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return entry, target.encode()


def legacy_h5(canary: str) -> bytes:
    """CVE-2025-9905: Keras's old format, for which it ignored `safe_mode`."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.attrs["model_config"] = json.dumps(sequential(lambda_layer(canary)))
    return content.getvalue()


FILES: dict[str, Attack] = {
    "zip: a name that leads out": Attack(
        "m.keras", lambda c: zip_of((f"../../../../../..{c}", b"!")), "no more members|no other members"
    ),
    "zip: an absolute name": Attack(
        "m.keras", lambda c: zip_of((c, b"!")), "no more members|no other members"
    ),
    "zip: assets that lead out": Attack(
        "m.keras",
        lambda c: zip_of((f"assets/../../../../../../..{c}", b"!")),
        "no more members|no other members",
    ),
    "zip: a link": Attack("m.keras", lambda c: zip_of(symbolic_link(c)), "a link", False),
    "zip: a pickle beside": Attack(
        "m.keras",
        lambda c: zip_of(("model.weights.npz", npz(pickled_array(c)))),
        "no more members|no other members",
    ),
    "zip: a bomb": Attack(
        "m.keras",
        lambda c: archive(("config.json", bytes(1 << 28)), ("model.weights.h5", b""), method=8),
        "uncompressed",
        False,
    ),
    "JSON: 16 MiB of brackets": Attack(
        "m.keras", lambda c: keras(b"[" * (16 << 20)), "at most 500000 values", False
    ),
    "JSON: 16 MiB of numbers": Attack(
        "m.keras", lambda c: keras(b"[" + b"1," * (8 << 20) + b"1]"), "at most", False
    ),
    "JSON: 10,001 layers": Attack(
        "m.keras", lambda c: keras(sequential(*[dense()] * 10_001)), "10000 layers", False
    ),
    "CVE-2025-9905: the old format": Attack("m.h5", legacy_h5, r"must end in \.keras"),
    "CVE-2025-9905: the old format renamed": Attack("m.keras", legacy_h5, "zip archive"),
    "CVE-2025-9905: as weights": Attack("m.weights.h5", legacy_h5, "no group"),
    "a pickle as a model": Attack("m.keras", evil_pickle, "zip archive"),
    "a pickle as weights": Attack("m.weights.h5", evil_pickle, "not an HDF5 file"),
    "CVE-2019-6446: a pickle in .npz": Attack(
        "d.npz", lambda c: npz(pickled_array(c)), "nothing is unpickled"
    ),
    "CVE-2019-6446: a pickle as .npz": Attack("d.npz", evil_pickle, "npz|IDX"),
    "npz: a header that is code": Attack(
        "d.npz", lambda c: npz(npy(f"open({c!r}, 'w')", "(1,)")), "bad one", False
    ),
    "npz: 10¹⁸ images": Attack("d.npz", lambda c: npz(npy("'|u1'", f"({10**18}, 28, 28)")), "x_train", False),
    "npz: a negative size": Attack("d.npz", lambda c: npz(npy("'|u1'", "(-1, 28, 28)")), "x_train", False),
    "npz: sizes whose product overflows": Attack(
        "d.npz", lambda c: npz(npy("'|u1'", f"({2**32}, {2**32}, 1)")), "x_train", False
    ),
    "npz: no images": Attack("d.npz", lambda c: npz(npy("'|u1'", "(0, 28, 28)")), "none of size 0", False),
    "npz: trailing bytes": Attack(
        "d.npz", lambda c: npz(npy("'|u1'", "(1, 28, 28)", bytes(785))), "x_train", False
    ),
    "npz: a bomb": Attack(
        "d.npz", lambda c: npz(npy("'|u1'", "(1, 28, 28)", bytes(1 << 28)), method=8), "x_train", False
    ),
    "npz: complex numbers": Attack(
        "d.npz", lambda c: npz(npy("'<c8'", "(1, 28, 28)", bytes(8 * 784))), "numbers", False
    ),
    "npz: a header of 60,000 brackets": Attack(
        "d.npz", lambda c: npz(npy("(" * 60_000, "(1,)")), "bad one", False
    ),
    "image: a bomb": Attack("d.png", lambda c: png(50_000, 50_000), "pixels|picture", False),
    "image: a header of 2³¹": Attack("d.png", lambda c: png(2**31 - 1, 2**31 - 1), "pixels|picture", False),
    "image: no pixels": Attack("d.png", lambda c: png(0, 0), "picture", False),
    "image: a text chunk bomb": Attack("d.png", lambda c: png(28, 28, text=1 << 28), "digit|picture", False),
    "image: a pickle": Attack("d.png", evil_pickle, "picture"),
    "image: PostScript": Attack(
        "d.png",
        lambda c: f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n({c}) (w) file\n".encode(),
        "picture",
        False,
    ),
    "image: SVG": Attack(
        "d.png", lambda c: b'<svg><image href="http://127.0.0.1:9/"/></svg>', "picture", False
    ),
    "image: empty": Attack("d.png", lambda c: b"", "picture", False),
}


def checkpoint(tree: bytes, arrays: bytes = b"") -> Callable[[str], bytes]:
    return lambda c: write_archive({"checkpoint.json": tree, "arrays.bin": arrays})


CHECKPOINTS: dict[str, tuple[Callable[[str], bytes], str]] = {
    "a pickle": (evil_pickle, "zip archive"),
    "a model": (lambda c: keras(), "members"),
    "a pickle for arrays": (lambda c: checkpoint(b'{"dict": {}}', evil_pickle(c))(c), "nothing else"),
    "an object": (checkpoint(b'{"os.system": "x"}'), "unknown kind 'os.system'"),
    "an array of objects": (checkpoint(b'{"array": ["object", [1]]}', bytes(8)), "a type of number"),
    "an array of 10\u00b9\u2078": (checkpoint(b'{"array": ["float32", [1000000000000000000]]}'), "cut off"),
    "an array of 0 times 10\u00b3\u2070": (
        checkpoint(b'{"dict": {"x": {"array": ["int8", [0, 1%s]]}}}' % (b"0" * 30)),
        "shape",
    ),
    "a negative size": (checkpoint(b'{"array": ["int8", [-1]]}'), "integers"),
    "a size of 4,000 digits": (checkpoint(b'{"array": ["int8", [%s]]}' % (b"9" * 4000)), "integers"),
    "10,000 levels": (checkpoint(b'{"dict":' * 10_000 + b"{}" + b"}" * 10_000), "64 levels"),
    "no tree": (checkpoint(b"[]"), "JSON object"),
    "a number": (checkpoint(b'{"number": "nan"}'), "nothing else"),
}


def onnx_model(**tensor: Any) -> bytes:
    """A model of one node and one constant, whatever is said of the constant."""
    from onnx import TensorProto, helper

    stored = TensorProto(name="w", data_type=TensorProto.FLOAT, **tensor)
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["x"])], "g", [value], [value], [stored])
    return helper.make_model(graph).SerializeToString()


def outside(canary: str) -> bytes:
    from onnx import StringStringEntryProto

    place = [StringStringEntryProto(key="location", value="/etc/passwd")]
    return onnx_model(dims=[2], data_location=1, external_data=place)


ONNX: dict[str, tuple[Callable[[str], bytes], str]] = {
    "a pickle": (evil_pickle, "ONNX"),
    "empty": (lambda c: b"", "no nodes"),
    "truncated": (lambda c: onnx_model(dims=[2], float_data=[1, 2])[:-9], "ONNX"),
    "10,000 levels": (lambda c: b"\x3a\x0a" * 10_000, "ONNX"),
}
ONNX_HARMLESS = {
    "10¹⁸ numbers that it doesn't hold": lambda c: onnx_model(dims=[10**9, 10**9]),
    "a constant outside": outside,
    "a name that isn't UTF-8": lambda c: onnx_model(dims=[2]).replace(b"N", b"\xff"),  # found by a mutant
}
"""What is said is shown, and nothing of it is followed."""


def png(width: int, height: int, text: int = 0) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes((width + 1) * height if width < 99 else 10**6))
    note = chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(text))) if text else b""
    header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + note + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def attacks() -> dict[str, Attack]:
    """All of them, by name; a configuration comes as a model, alone, and in the folder of a training run."""
    table = dict(FILES)
    for name, (make, words, fires) in CONFIGS.items():
        model = make("x")
        is_chain = isinstance(model, dict) and model["class_name"] == "Sequential"
        for file in ("m.keras", "config.json", "run/config.json")[: 3 if is_chain else 2]:
            table[f"{name} [{file}]"] = Attack(file, _configured(make, file), words, fires)
    for name, (make, words) in SIZES.items():
        for file in ("m.keras", "run/config.json"):
            table[f"{name} [{file}]"] = Attack(file, _configured(make, file), words, False)
    for name, (make, words, fires) in COMPILED.items():
        attack = Attack(
            "m.keras", lambda c, make=make: keras(GOOD | {"compile_config": make(c)}), words, fires
        )
        table[f"{name} [compiled]"] = attack
    for name, (options, words) in OPTIONS.items():
        table[f"{name} [minicnn.json]"] = Attack(
            "m.keras", lambda c, o=options: keras(**{"minicnn.json": o}), words, False
        )
    for name, (make, words) in CHECKPOINTS.items():
        table[f"{name} [checkpoint]"] = Attack("m.checkpoint", make, words, name == "a pickle")
    for name, (content, words) in ONNX.items():
        table[f"{name} [m.onnx]"] = Attack("m.onnx", content, words, False)
    for name, content in ONNX_HARMLESS.items():
        table[f"{name} [m.onnx]"] = Attack("m.onnx", content, "", False)
    for name, (fill, words, fires) in HDF5.items():
        table[f"{name} [m.keras]"] = Attack(
            "m.keras", lambda c, fill=fill: keras(h5=weights(fill)), words, fires
        )
        table[f"{name} [m.weights.h5]"] = Attack(
            "m.weights.h5", lambda c, fill=fill: weights(fill), words, fires
        )
    return table


def _configured(make: Callable[[str], Any], file: str) -> Callable[[str], bytes]:
    def content(canary: str) -> bytes:
        config = make(canary)
        if file == "m.keras":
            return keras(config)
        if file == "config.json":
            return config if isinstance(config, bytes) else json.dumps(config).encode()
        model = config if isinstance(config, bytes) else json.dumps(config["config"]).encode()
        return b'{"minicnn": "0", "training": {}, "model": ' + model + b"}"

    return content
