"""Weights files: what is written comes back, and nothing else comes back. tests/keras has Keras's side."""

import random
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minicnn.engine.parameters import Variable
from minicnn.errors import DataError
from minicnn.saving.hdf5 import USER_BLOCK_NBYTES
from minicnn.saving.weights import groups, load_weights, save_weights


def layer(kind, *values, name="", layers=None):
    """What saving sees of a layer, or of a model with `layers`; the class name is what counts in the file."""
    self = type(kind, (), {})()
    self.name, self.built = name or kind.lower(), True
    self.variables = [Variable(np.array(value), name=f"v{k}") for k, value in enumerate(values)]
    if layers is not None:
        self.layers, self.optimizer = layers, None
    return self


def net(seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.normal(size=shape).astype(dtype)  # noqa: E731
    inner = layer("Sequential", layers=[layer("Dense", draw(3, 2), draw(2))], name="inner")
    layers = [
        layer("Conv2D", draw(3, 3, 1, 4), draw(4)),
        layer("Flatten"),
        layer("Conv2D", draw(2, 2, 4, 1)),
        inner,
    ]
    return layer("Sequential", layers=layers, name="net")


def values(model):
    return [variable.numpy() for _, _, variables in groups(model) for variable in variables]


def same(model, other):
    return all(a.tobytes() == b.tobytes() for a, b in zip(values(model), values(other), strict=True))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.weights.h5"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_round_trip(path, dtype):
    model, other = net(0, dtype), net(1, dtype)
    save_weights(model, path)
    load_weights(other, str(path))
    assert same(model, other)


@given(st.lists(arrays(np.float32, st.lists(st.integers(1, 4), max_size=4).map(tuple)), max_size=12))
def test_round_trip_of_any_shapes(tmp_path_factory, drawn):
    path = tmp_path_factory.mktemp("any") / "x.weights.h5"
    model = layer("Model", layers=[layer("Dense", *drawn)])
    other = layer("Model", layers=[layer("Dense", *map(np.zeros_like, drawn))])
    save_weights(model, path)
    with pytest.warns() if not all(np.isfinite(a).all() for a in drawn) else pytest.MonkeyPatch.context():
        load_weights(other, path)
    assert same(model, other)


def test_same_weights_same_bytes(path):
    save_weights(net(), path)
    first = path.read_bytes()
    save_weights(net(), path)
    assert path.read_bytes() == first
    with h5py.File(path) as file:  # nor would they in another second
        times = [h5py.h5o.get_info(file.id).mtime]
        file.visititems(lambda name, item: times.append(h5py.h5o.get_info(item.id).mtime))
    assert len(times) > 10 and not any(times)


def test_names_are_by_class_and_trainable_variables_first(path):
    model = net()
    model.layers[0].variables[0].trainable = False
    save_weights(model, path)
    with h5py.File(path) as file:
        names = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        assert names == [
            *("layers/conv2d/vars/0", "layers/conv2d/vars/1", "layers/conv2d_1/vars/0"),
            *("layers/sequential/layers/dense/vars/0", "layers/sequential/layers/dense/vars/1"),
        ]
        assert file["layers/conv2d/vars/0"].shape == (4,)
        assert file["vars"].attrs["name"] == "net"


def test_no_single_flipped_bit_gives_other_weights(path):
    """500 of the file's bits; where the user block's digest and padding are hit, the weights are the same."""
    model, rng = net(), random.Random(0)
    save_weights(model, path)
    content = path.read_bytes()
    refused = 0
    for bit in rng.sample(range(8 * len(content)), 500):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        other = net(1)
        try:
            load_weights(other, path)
        except DataError:
            refused += 1
            assert same(other, net(1))
        else:
            assert bit // 8 < USER_BLOCK_NBYTES
            assert same(other, model)
    assert refused > 400


def test_truncated_anywhere(path):
    save_weights(net(), path)
    content = path.read_bytes()
    for length in [*range(0, len(content), 499), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"net\.weights\.h5"):
            load_weights(net(1), path)


def rewritten(path, change):
    """The file without its digest, as another program would write it, changed."""
    with h5py.File(path) as file:
        arrays = {}
        file.visititems(
            lambda name, item: arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
        change(file)


def replace(name, array):
    def change(file):
        del file[name]
        file[name] = array

    return change


def external_link(file):
    del file["layers/conv2d/vars/1"]
    file["layers/conv2d/vars/1"] = h5py.ExternalLink("other.h5", "/x")


def soft_loop(file):
    del file["layers/conv2d/vars"]
    file["layers/conv2d/vars"] = h5py.SoftLink("/layers/conv2d/vars")


def external_storage(file):
    del file["layers/conv2d/vars/1"]
    file["layers/conv2d/vars"].create_dataset("1", (4,), "f4", external=[("/etc/hostname", 0, 16)])


def virtual(file):
    del file["layers/conv2d/vars/1"]
    other = str(Path(file.filename).with_name("other.h5"))
    with h5py.File(other, "w") as source:
        source["x"] = np.ones(4, "f4")
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(other, "x", (4,))
    file["layers/conv2d/vars"].create_virtual_dataset("1", layout)


def compressed(file):
    del file["layers/conv2d/vars/1"]
    file["layers/conv2d/vars"].create_dataset("1", data=np.random.rand(4).astype("f4"), compression="gzip")


def never_written(file):
    del file["layers/conv2d/vars/1"]
    file["layers/conv2d/vars"].create_dataset("1", (4,), "f4")


def a_group(file):
    del file["layers/conv2d/vars/1"]
    file.create_group("layers/conv2d/vars/1")


def huge(file):
    del file["layers/conv2d/vars/1"]
    file["layers/conv2d/vars"].create_dataset("1", (10**12,), "f4", chunks=(1000,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            replace("layers/conv2d/vars/1", np.zeros(5, "f4")),
            r"shape \(4,\), dtype float32\. Received shape \(5,\)",
        ),
        (replace("layers/conv2d/vars/1", np.zeros((4, 1), "f4")), r"Received shape \(4, 1\)"),
        (replace("layers/conv2d/vars/1", np.zeros(4, "i4")), "dtype int32"),
        (replace("layers/conv2d/vars/1", np.zeros(4, "f8")), r"dtype float32\. Received .* dtype float64"),
        (replace("layers/conv2d/vars/1", np.zeros(4, "f2")), r"dtype float32\. Received .* dtype float16"),
        (replace("layers/conv2d/vars/1", np.zeros(4, ">f4")), r"dtype float32\. Received .* dtype floats"),
        (replace("layers/conv2d/vars/1", np.zeros(4, "c8")), "dtype records"),
        (replace("layers/conv2d/vars/1", b"text"), "must have shape"),
        (lambda file: file.create_group("layers/conv2d/vars/2"), "must hold 2 arrays"),
        (lambda file: file.__delitem__("layers/conv2d/vars/1"), "must hold 2 arrays"),
        (lambda file: file.__delitem__("layers/conv2d"), "no group layers/conv2d/vars"),
        (lambda file: file.__delitem__("layers"), "no group"),
        (lambda file: file.create_group("layers/dense_7"), "layers/dense_7, which the model doesn't have"),
        (a_group, r"layers/conv2d/vars/1 must be an array\. Received a group"),
        (external_link, r"Received a link \(external\)"),
        (soft_loop, r"Received a link \(soft\)"),
        (external_storage, "stored whole and uncompressed"),
        (virtual, "stored whole and uncompressed"),
        (compressed, "stored whole and uncompressed"),
        (never_written, "stored whole and uncompressed"),
        (huge, r"Received shape \(1000000000000,\)"),
    ],
)
def test_refused_files(path, change, message):
    save_weights(net(), path)
    rewritten(path, change)
    other = net(1)
    with pytest.raises(DataError, match=message) as caught:
        load_weights(other, path)
    assert str(path) in str(caught.value) and "'net'" in str(caught.value)
    assert same(other, net(1))


def test_a_file_without_a_digest_loads(path):
    save_weights(net(), path)
    rewritten(path, lambda file: file.create_group("layers/input_layer/vars"))
    other = net(1)
    load_weights(other, path)
    assert same(other, net())


def test_nan_loads_with_a_warning(path):
    model = net()
    model.layers[0].variables[0].array[0] = np.nan
    save_weights(model, path)
    with pytest.warns(UserWarning, match="NaN or infinite weights in 'conv2d'"):
        load_weights(net(1), path)


def test_wrong_calls(path):
    unbuilt = SimpleNamespace(name="m", built=False, layers=[], optimizer=None)
    for function in (save_weights, load_weights):
        with pytest.raises(ValueError, match=r"must end in \.weights\.h5"):
            function(net(), "net.h5")
        with pytest.raises(ValueError, match="'m' must be built"):
            function(unbuilt, path)
    with pytest.raises(FileNotFoundError):
        load_weights(net(), path)
