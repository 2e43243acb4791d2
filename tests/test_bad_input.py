"""Bad input to the public API: each is refused, says what must hold and what came; one to a model changes no weight."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from minicnn import (
    Input,
    activations,
    callbacks,
    config,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    utils,
)
from minicnn.datasets import mnist
from minicnn.datasets.idx import read_idx
from minicnn.digits import read_digit

RNG = np.random.default_rng(0)
X = RNG.random((12, 8, 8, 1)).astype("float32")
ONE_HOT = np.eye(3, dtype="float32")[RNG.integers(0, 3, 12)]
LABELS = ONE_HOT.argmax(-1)


def small_net():
    return models.Sequential(
        [
            Input((8, 8, 1)),
            layers.Conv2D(2, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def fitted(loss="categorical_crossentropy", **compile_options):
    def make(x=X, y=ONE_HOT, **options):
        def work(model):
            model.compile("rmsprop", loss, **compile_options)
            model.fit(x, y, verbose=0, **options)

        return work

    return make


fit = fitted()
sparse_fit = fitted("sparse_categorical_crossentropy")
with_nan, with_infinity = X.copy(), X.copy()
with_nan[7, 2, 3, 0] = np.nan
with_infinity[0, 0, 0, 0] = -np.inf


def compiled(**options):
    return lambda model: model.compile(**options)


def add_after_compile(model):
    model.compile("sgd", "categorical_crossentropy")
    model.add(layers.Dense(3))
    model.fit(X, ONE_HOT, verbose=0)


BAD = {
    "lengths": (fit(y=ONE_HOT[:5]), ValueError, "same number of examples", "x: 12, y: 5"),
    "weights' length": (fit(sample_weight=np.ones(4)), ValueError, "same number of examples", "4"),
    "rank": (fit(x=X.reshape(12, 64)), ValueError, "(None, 8, 8, 1)", "(None, 64)"),
    "channels": (fit(x=np.repeat(X, 3, -1)), ValueError, "(None, 8, 8, 1)", "(None, 8, 8, 3)"),
    "image size": (fit(x=X[:, :7]), ValueError, "(None, 8, 8, 1)", "(None, 7, 8, 1)"),
    "label too large": (sparse_fit(y=LABELS + 2), ValueError, "0 … 2", "4"),
    "negative label": (sparse_fit(y=LABELS - 1), ValueError, "0 … 2", "-1"),
    "one-hot for sparse": (sparse_fit(), ValueError, "integer label", "(12, 3)"),
    "labels for one-hot": (fit(y=LABELS), ValueError, "predictions' shape", "(12,)"),
    "classes": (fit(y=np.eye(4)[LABELS]), ValueError, "predictions' shape", "(12, 4)"),
    "no targets": (fit(y=None), ValueError, "`y` must be given", "None"),
    "NaN": (fit(x=with_nan), ValueError, "`x` must be finite", "(7, 2, 3, 0)"),
    "infinity": (fit(x=with_infinity), ValueError, "`x` must be finite", "-inf"),
    "NaN in y": (fit(y=ONE_HOT * np.nan), ValueError, "`y` must be finite", "nan"),
    "complex": (fit(x=X.astype(complex)), TypeError, "real numbers", "complex128"),
    "objects": (fit(x=X.astype(object)), TypeError, "real numbers", "object"),
    "strings": (fit(x=np.full(X.shape, "a")), TypeError, "real numbers", "<U1"),
    "empty": (fit(x=X[:0], y=ONE_HOT[:0]), ValueError, "at least one example", "(0, 8, 8, 1)"),
    "no x": (fit(x=None), ValueError, "`x`", "None"),
    "batch_size 0": (fit(batch_size=0), ValueError, "`batch_size`", "batch_size=0"),
    "batch_size 2.5": (fit(batch_size=2.5), ValueError, "`batch_size`", "batch_size=2.5"),
    "epochs 0": (fit(epochs=0), ValueError, "`epochs`", "epochs=0"),
    "validation_split": (fit(validation_split=1.5), ValueError, "`validation_split`", "1.5"),
    "validation data": (fit(validation_data=(X, ONE_HOT[:3])), ValueError, "same number of examples", "y: 3"),
    "class and sample weight": (
        fit(class_weight={0: 2.0}, sample_weight=np.ones(12)), ValueError, "`class_weight` and `sample_weight`", "",
    ),
    "optimizer": (compiled(optimizer="rmspop"), ValueError, "Unknown optimizer", "rmspop"),
    "loss": (compiled(loss="crossentropy"), ValueError, "Unknown loss", "crossentropy"),
    "metric": (compiled(loss="mse", metrics=["acuracy"]), ValueError, "Unknown metric", "acuracy"),
    "backend": (compiled(loss="mse", backend="cuda"), ValueError, "`backend` must be one of", "cuda"),
    "loss_weights": (compiled(loss="mse", loss_weights=[1.0]), ValueError, "`loss_weights`", "[1.0]"),
    "fit before compile": (lambda m: m.fit(X, ONE_HOT), ValueError, "compile()", "fit()"),
    "evaluate before compile": (lambda m: m.evaluate(X, ONE_HOT), ValueError, "compile()", "evaluate()"),
    "no loss": (fitted(None)(), ValueError, "without a loss", ""),
    "layer added after compile": (add_after_compile, ValueError, "have changed since", "compile()"),
    "number of weights": (lambda m: m.set_weights(m.get_weights()[:-1]), ValueError, "4 weights", "Received 3"),
    "shape of a weight": (
        lambda m: m.set_weights([w.T for w in m.get_weights()]), ValueError, "(3, 3, 1, 2)", "(2, 1, 3, 3)",
    ),
    "gradients of no layer": (
        lambda m: (m.compile(loss="categorical_crossentropy"), m.gradients(X, ONE_HOT, wants=("convv",))),
        ValueError, "No layer is named 'convv'", "dense",
    ),
    "predict strings": (lambda m: m.predict(np.full(X.shape, "a"), verbose=0), TypeError, "real numbers", "<U1"),
    "predict rank": (lambda m: m.predict(X[0, 0, 0], verbose=0), ValueError, "(None, 8, 8, 1)", ""),
}  # fmt: skip


@pytest.mark.parametrize("work, kind, expected, received", BAD.values(), ids=BAD)
def test_is_refused(work, kind, expected, received):
    model = small_net()
    before = model.get_weights()
    with pytest.raises(kind) as caught:
        work(model)
    assert expected in str(caught.value)
    assert received in str(caught.value)
    for old, new in zip(before, model.get_weights(), strict=False):
        np.testing.assert_array_equal(old, new)


LAYERS = {
    "kernel larger than the image": (lambda: layers.Conv2D(2, 9)(X), "must fit into the image", "(8, 8)"),
    "pool larger than the image": (lambda: layers.MaxPooling2D(9)(X), "must fit into the image", "(9, 9)"),
    "groups don't divide the channels": (
        lambda: layers.Conv2D(4, 3, groups=2)(X),
        "multiple of groups=2",
        "1 channels",
    ),
    "groups don't divide the filters": (
        lambda: layers.Conv2D(3, 3, groups=2),
        "multiple of `groups`",
        "filters=3",
    ),
    "padding": (lambda: layers.Conv2D(3, 3, padding="full"), "`padding` must be one of", "full"),
    "strides and dilation": (
        lambda: layers.Conv2D(3, 3, strides=2, dilation_rate=2),
        "can't be combined",
        "strides=2",
    ),
    "activation": (lambda: layers.Dense(3, activation="rely"), "Unknown activation", "rely"),
    "initializer": (lambda: layers.Dense(3, kernel_initializer="xavier"), "Unknown initializer", "xavier"),
    "units": (lambda: layers.Dense(0), "`units`", "units=0"),
    "filters": (lambda: layers.Conv2D(True, 3), "`filters`", "True"),
    "kernel size": (lambda: layers.Conv2D(3, (3, 3, 3)), "two positive integers", "(3, 3, 3)"),
    "rate": (lambda: layers.Dropout(1.5), "`rate`", "1.5"),
    "data format": (lambda: layers.Flatten(data_format="first"), "`data_format`", "first"),
    "regularizer": (lambda: layers.Dense(3, kernel_regularizer="l3"), "Unknown regularizer", "l3"),
    "unknown argument": (lambda: layers.Dense(3, unit=4), "no such arguments", "unit"),
    "input shape": (lambda: Input((3, -1)), "positive integers or None", "(3, -1)"),
    "dtype": (lambda: layers.Dense(3, dtype="float16"), "`dtype` must be one of", "float16"),
}


@pytest.mark.parametrize("work, expected, received", LAYERS.values(), ids=LAYERS)
def test_layer_is_refused(work, expected, received):
    with pytest.raises(ValueError) as caught:
        work()
    assert expected in str(caught.value)
    assert received in str(caught.value)


def file(name, content):
    """A call of `work` with a file of that content."""

    def decorate(work):
        def call(folder):
            path = folder / name
            path.write_bytes(content)
            return work(path)

        return call

    return decorate


def saved(work):
    def call(folder):
        small_net().save_weights(folder / "m.weights.h5")
        return work(folder / "m.weights.h5")

    return call


other_net = models.Sequential([Input((3,)), layers.Dense(2, name="wide")])
TARGETS, GUESSES = np.eye(3)[[0, 1]], np.full((2, 3), 1 / 3)

ELSEWHERE = {
    "loss of two shapes": (
        lambda _: losses.MeanSquaredError()(TARGETS, GUESSES[:, :2]),
        ValueError,
        "shape",
        "(2, 2)",
    ),
    "labels as one-hot": (
        lambda _: losses.CategoricalCrossentropy()([0, 1], GUESSES),
        ValueError,
        "shape",
        "(2,)",
    ),
    "label beyond the classes": (
        lambda _: losses.SparseCategoricalCrossentropy()([0, 3], GUESSES),
        ValueError,
        "0 … 2",
        "3",
    ),
    "reduction": (lambda _: losses.MeanSquaredError(reduction="total"), ValueError, "`reduction`", "total"),
    "label smoothing": (
        lambda _: losses.CategoricalCrossentropy(label_smoothing=2),
        ValueError,
        "smoothing",
        "2",
    ),
    "loss by name": (lambda _: losses.get("mean_square"), ValueError, "Unknown loss", "mean_square"),
    "loss of nothing": (lambda _: losses.get(3), ValueError, "interpret", "3"),
    "loss's configuration": (
        lambda _: losses.deserialize({"class_name": 3}),
        ValueError,
        "'class_name'",
        "3",
    ),
    "loss from elsewhere": (
        lambda _: losses.deserialize({"module": "os", "class_name": "system", "config": {}}),
        ValueError,
        "system",
        "os",
    ),
    "metric by name": (lambda _: metrics.get("acc2"), ValueError, "Unknown metric", "acc2"),
    "k of top-k": (lambda _: metrics.TopKCategoricalAccuracy(k=0), ValueError, "`k`", "k=0"),
    "learning rate": (lambda _: optimizers.SGD(learning_rate=-1), ValueError, "learning_rate", "-1"),
    "learning rate as text": (
        lambda _: optimizers.SGD(learning_rate="fast"),
        ValueError,
        "learning_rate",
        "fast",
    ),
    "momentum": (lambda _: optimizers.SGD(momentum=2), ValueError, "momentum", "2"),
    "beta": (lambda _: optimizers.Adam(beta_1=1.5), ValueError, "beta_1", "1.5"),
    "epsilon": (lambda _: optimizers.RMSprop(epsilon=-1e-7), ValueError, "epsilon", "-1e-07"),
    "optimizer by name": (lambda _: optimizers.get("adm"), ValueError, "Unknown optimizer", "adm"),
    "unknown argument of an optimizer": (lambda _: optimizers.SGD(speed=2), TypeError, "speed", ""),
    "activation by name": (lambda _: activations.get("rely"), ValueError, "Unknown activation", "rely"),
    "initializer's range": (lambda _: initializers.RandomUniform(1, "x"), ValueError, "maxval", "x"),
    "initializer's seed": (lambda _: initializers.RandomNormal(seed="x"), ValueError, "seed", "x"),
    "float type": (lambda _: config.set_floatx("float8"), ValueError, "float", "float8"),
    "threads": (lambda _: config.set_num_threads(0), ValueError, "thread", "0"),
    "one-hot of a negative": (lambda _: utils.to_categorical([-1], 3), ValueError, "0 … 2", "-1"),
    "one-hot of too many": (lambda _: utils.to_categorical([3], 2), ValueError, "2", "3"),
    "seed": (lambda _: utils.set_random_seed(-1), ValueError, "`seed`", "-1"),
    "a layer twice": (
        lambda _: models.Sequential([layers.Dense(2, name="a"), layers.Dense(2, name="a")]),
        ValueError,
        "name",
        "a",
    ),
    "not a layer": (lambda _: models.Sequential([3]), ValueError, "layer", "3"),
    "a layer's index": (lambda _: small_net().get_layer(index=9), ValueError, "index", "9"),
    "a name with a slash": (lambda _: layers.Dense(2, name="../x"), ValueError, "without '/'", "../x"),
    "data that isn't there": (
        lambda folder: mnist.load_data(folder / "x.npz"),
        FileNotFoundError,
        "x.npz",
        "",
    ),
    "data that is text": (file("d.npz", b"text")(mnist.load_data), ValueError, ".npz archive", "d.npz"),
    "an empty folder of data": (mnist.load_data, FileNotFoundError, "IDX files", "train-images-idx3-ubyte"),
    "IDX of another type": (
        file("x", bytes.fromhex("00000d03") + bytes(12))(lambda path: read_idx(path, 3)),
        ValueError,
        "0x00000803",
        "0x00000d03",
    ),
    "IDX cut off": (file("x", b"\0\0")(lambda path: read_idx(path, 3)), ValueError, "16 bytes", "2 bytes"),
    "IDX too short": (
        file("x", bytes.fromhex("00000801 00000009 01"))(lambda path: read_idx(path, 1)),
        ValueError,
        "17 bytes",
        "9 bytes",
    ),
    "IDX too long": (
        file("x", bytes.fromhex("00000801 00000001 0101"))(lambda path: read_idx(path, 1)),
        ValueError,
        "9 bytes",
        "10 bytes",
    ),
    "IDX of nothing": (
        file("x", bytes.fromhex("00000801 00000000"))(lambda path: read_idx(path, 1)),
        ValueError,
        "one element",
        "(0,)",
    ),
    "IDX of 2⁹⁶": (
        file("x", bytes.fromhex("00000803" + "ffffffff" * 3))(lambda path: read_idx(path, 3)),
        ValueError,
        "bytes",
        "4294967295",
    ),
    "a picture that is text": (file("d.png", b"text")(read_digit), ValueError, "must be a picture", "d.png"),
    "a blank picture": (
        file("d.pgm", b"P5 9 9 255\n" + bytes(81))(read_digit),
        ValueError,
        "must show a digit",
        "9×9",
    ),
    "a model by another name": (
        lambda folder: small_net().save(folder / "m.h5"),
        ValueError,
        "must end in .keras",
        "m.h5",
    ),
    "weights by another name": (
        lambda folder: small_net().save_weights(folder / "m.h5"),
        ValueError,
        "must end in .weights.h5",
        "m.h5",
    ),
    "no such model": (lambda folder: models.load_model(folder / "m.keras"), FileNotFoundError, "m.keras", ""),
    "a folder as a model": (
        lambda folder: ((folder / "m.keras").mkdir(), models.load_model(folder / "m.keras")),
        ValueError,
        "regular file",
        "m.keras",
    ),
    "unsafe loading": (
        lambda folder: models.load_model(folder / "m.keras", safe_mode=False),
        ValueError,
        "`safe_mode`",
        "False",
    ),
    "weights that are text": (
        file("m.weights.h5", b"text")(other_net.load_weights),
        ValueError,
        "HDF5",
        "m.weights.h5",
    ),
    "weights of another model": (saved(other_net.load_weights), ValueError, "layers/conv2d", "m.weights.h5"),
    "weights of an unbuilt model": (
        lambda folder: models.Sequential([layers.Dense(2)]).save_weights(folder / "m.weights.h5"),
        ValueError,
        "built",
        "",
    ),
    "a folder that isn't": (
        lambda folder: small_net().save_weights(folder / "none" / "m.weights.h5"),
        FileNotFoundError,
        "none",
        "",
    ),
}
"""Losses, metrics, optimizers, settings, callbacks, data and files. The command line's are in test_cli.py."""


@pytest.mark.parametrize("work, kind, expected, received", ELSEWHERE.values(), ids=ELSEWHERE)
def test_elsewhere_is_refused(work, kind, expected, received, tmp_path):
    with pytest.raises(kind) as caught:
        work(tmp_path)
    assert expected in str(caught.value)
    assert received in str(caught.value)


class Interrupt(callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            raise KeyboardInterrupt


def test_an_interrupted_fit_leaves_a_usable_model():
    model = small_net()
    model.compile("rmsprop", "categorical_crossentropy")
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, ONE_HOT, batch_size=2, verbose=0, callbacks=[Interrupt()])
    assert int(model.optimizer.iterations.numpy()) == 2
    model.fit(X, ONE_HOT, batch_size=2, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 8
    assert np.isfinite(model.predict(X, verbose=0)).all()


def test_a_real_interrupt_leaves_a_usable_model():
    script = textwrap.dedent(
        """
        import signal
        import numpy as np
        from minicnn import Input, layers, models
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        x, y = np.random.rand(4000, 12, 12, 1), np.eye(3)[np.random.randint(0, 3, 4000)]
        model = models.Sequential([Input((12, 12, 1)), layers.Conv2D(8, 3, activation="relu"), layers.Flatten(),
                                   layers.Dense(3, activation="softmax")])
        model.compile("rmsprop", "categorical_crossentropy")
        model.fit(x[:64], y[:64], verbose=0)
        try:
            print("ready", flush=True)
            model.fit(x, y, epochs=10_000, batch_size=8, verbose=0)
        except KeyboardInterrupt:
            model.fit(x[:64], y[:64], verbose=0)
            print("usable", np.isfinite(model.predict(x[:9], verbose=0)).all(), flush=True)
        """
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert output == "usable True\n"
    assert process.returncode == 0
