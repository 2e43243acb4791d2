"""Exported models: what ONNX Runtime computes from the file is what `predict` computes."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from onnx.reference import ReferenceEvaluator

from minicnn import Input, Model, layers, models, ops, runs
from tests.saving.drawn import INPUT_SHAPE, nets

OWN = (Input, layers, models)


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def assert_same_outputs(model, path, x, eps=2e-6):
    """Within a few hundred roundings of the largest output; nets of this size sum at most 600 terms a layer."""
    model.export(path)
    onnx.checker.check_model(path, full_check=True)
    found = session(path).run(None, {"input": x})
    expected = model.predict(x, verbose=0)
    for a, b in zip(found, expected if isinstance(expected, list) else [expected], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=100 * eps * max(1, np.abs(b).max()))


@given(net=nets())
def test_any_net(net, tmp_path_factory):
    x = np.random.default_rng(0).normal(size=(3, *INPUT_SHAPE)).astype(np.float32)
    assert_same_outputs(net.build(*OWN), str(tmp_path_factory.mktemp("any") / "m.onnx"), x)


def first(kind, *arguments, **more):
    return getattr(layers, kind)(*arguments, data_format="channels_first", **more)


@pytest.mark.parametrize(
    "stack",
    [
        [layers.Conv2D(6, 3, padding="same", dilation_rate=2, groups=3, activation="relu")],
        [layers.Conv2D(6, (4, 3), strides=(3, 2), padding="same"), layers.Conv2D(2, 2, strides=3)],
        [layers.MaxPooling2D(3, strides=2, padding="same"), layers.AveragePooling2D(3, strides=2, padding="same")],
        [layers.MaxPooling2D((2, 5), strides=(2, 3)), layers.GlobalMaxPooling2D(keepdims=True)],
        [layers.ReLU(max_value=1.5, negative_slope=0.1, threshold=0.25), layers.Activation("elu")],
        [layers.Activation("leaky_relu"), layers.Activation("gelu"), layers.Softmax(axis=2)],
        [layers.Rescaling([1.0, 2.0, 3.0], [0.0, -1.0, 1.0]), layers.Dense(4), layers.Softmax()],
        [layers.Conv2D(3, 2), layers.Rescaling([1.0, 2.0, 3.0], 0.5), layers.GlobalAveragePooling2D()],
        [layers.ZeroPadding2D(((2, 1), (0, 3))), layers.Dropout(0.9), layers.Flatten(), layers.Dense(2)],
        [first("Conv2D", 4, 3), first("MaxPooling2D", 2), first("Flatten"), layers.Dense(3)],
        [first("ZeroPadding2D", 1), first("Conv2D", 4, 3, activation="softmax"), first("GlobalMaxPooling2D")],
    ],
    ids=lambda stack: "-".join(type(layer).__name__ for layer in stack),
)  # fmt: skip
def test_every_layer(stack, tmp_path):
    # Large enough for exp of it to be infinite in single elements.
    x = np.random.default_rng(1).normal(size=(2, 9, 10, 3), scale=3).astype(np.float32)
    x[0, 0, 0, 0] = 100
    if getattr(stack[0], "data_format", "") == "channels_first":
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    model = models.Sequential([Input(x.shape[1:]), *stack])
    assert_same_outputs(model, str(tmp_path / "m.onnx"), x)


def test_the_book_s_net_and_its_activations(tmp_path):
    net = runs.book_net()
    x = np.random.default_rng(2).uniform(size=(5, 28, 28, 1)).astype(np.float32)
    path = str(tmp_path / "net.onnx")
    assert_same_outputs(net, path, x)
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert kinds.count("Transpose") == 2  # before the first convolution, before Flatten
    first_bytes = (tmp_path / "net.onnx").read_bytes()
    net.export(path)
    assert (tmp_path / "net.onnx").read_bytes() == first_bytes
    taps = Model(net.inputs, [net.layers[1].output, net.layers[3].output])
    assert_same_outputs(taps, path, x)


def test_float64(tmp_path):
    """ONNX Runtime convolves in float32 alone; ONNX's own evaluator in either type."""
    stack = [layers.Conv2D(2, 2, activation="elu", dtype="float64"), layers.Flatten(dtype="float64")]
    model = models.Sequential([Input((4, 4, 1), dtype="float64"), *stack])
    model.export(tmp_path / "m.onnx")
    x = np.random.default_rng(3).normal(size=(2, 4, 4, 1))
    (found,) = ReferenceEvaluator(str(tmp_path / "m.onnx")).run(None, {"input": x})
    np.testing.assert_allclose(found, model(x), rtol=0, atol=1e-14)  # a hundred roundings


class Square(layers.Layer):
    def lower(self, shape):
        return (ops.op("exported_square", self.name, shape),)


def test_refused(tmp_path):
    path = tmp_path / "m.onnx"
    ops.register("exported_square", lambda x: (x * x, x), lambda dy, x: (2 * x * dy,))
    small = models.Sequential([Input((3,)), Square(name="sq")])
    with pytest.raises(ValueError, match=r"Layer 'sq' can't be exported: Custom has no ONNX form"):
        small.export(path)
    with pytest.raises(ValueError, match=r"`format`; it must be 'onnx'"):
        small.export(path, format="tf_saved_model")
    with pytest.raises(ValueError, match="must be built"):
        models.Sequential([layers.Dense(2)]).export(path)
    with pytest.raises(ValueError, match="must know the size of its images"):
        models.Sequential([Input((None, None, 3)), layers.Conv2D(2, 2)]).export(path)
    assert not path.exists()
