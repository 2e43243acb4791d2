"""Whole models in .keras files: what is saved comes back, and nothing else. tests/keras has Keras's side."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import Input, layers, losses, metrics, models, optimizers
from minicnn.errors import DataError
from minicnn.saving.archive import parse_archive, write_archive
from minicnn.saving.keras_file import CONFIG, METADATA, OPTIONS, WEIGHTS, model_to_bytes
from tests.saving.drawn import nets

OWN = (Input, layers, models)
OPTIMIZERS = [
    optimizers.SGD(0.05, name="sgd"),
    optimizers.SGD(0.05, momentum=0.9, nesterov=True, clipnorm=1.0),
    optimizers.RMSprop(momentum=0.5, centered=True),
    optimizers.Adam(amsgrad=True, clipvalue=0.5),
    optimizers.AdamW(weight_decay=0.01, global_clipnorm=2.0),
]


def compiled(model, optimizer):
    model.compile(
        optimizers.deserialize(optimizers.serialize(optimizer)), "mse", metrics=["mae"], backend="reference"
    )
    return model


def data(rng):
    return rng.normal(size=(4, 8, 8, 2)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32)


def through_bytes(model, tmp_path, **options):
    path = tmp_path / "model.keras"
    model.save(path)
    return models.load_model(path, **options)


def assert_same(a, b):
    for x, y in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(x, y)
    assert a.compiled == b.compiled
    if a.compiled:
        for v, w in zip(a.optimizer.variables, b.optimizer.variables, strict=True):
            np.testing.assert_array_equal(v.numpy(), w.numpy())


@given(net=nets(), optimizer=st.sampled_from(OPTIMIZERS), steps=st.integers(0, 2), seed=st.integers(0, 99))
def test_a_loaded_model_is_the_saved_one(tmp_path_factory, net, optimizer, steps, seed):
    """Weights, state, bytes; and training goes on as it would have, with the same bits, Dropout included."""
    x, y = data(np.random.default_rng(seed))
    model = net.build(*OWN)
    if steps:
        compiled(model, optimizer)
    for _ in range(steps):
        model.train_on_batch(x, y)
    other = through_bytes(model, tmp_path_factory.mktemp("any"))
    assert_same(model, other)
    assert other.get_config() == model.get_config()
    assert model_to_bytes(other) == model_to_bytes(model)
    np.testing.assert_array_equal(model(x), other(x))
    if steps:
        assert [model.train_on_batch(x, y) for _ in range(2)] == [
            other.train_on_batch(x, y) for _ in range(2)
        ]
        assert_same(model, other)


def small(**options):
    model = models.Sequential(
        [Input((3,)), layers.Dense(4, name="d"), layers.Dropout(0.5, name="drop")], name="net"
    )
    model.compile("adam", "mse", **options)
    return model


@pytest.mark.parametrize("algorithm", [None, "winograd", {"second": "im2col"}])
def test_the_algorithm_of_each_layer(algorithm, tmp_path):
    convolutions = [layers.Conv2D(4, 3, name=name) for name in ("first", "second")]
    model = models.Sequential([Input((9, 9, 1)), *convolutions, layers.Flatten(), layers.Dense(2)])
    model.compile("adam", "mse", algorithm=algorithm)
    other = through_bytes(model, tmp_path)
    assert other.algorithm == algorithm
    assert other.algorithms() == model.algorithms()


def test_how_it_was_compiled(tmp_path):
    given = {
        "optimizer": optimizers.SGD(0.1, momentum=0.5),
        "loss": losses.BinaryCrossentropy(label_smoothing=0.1),
        "metrics": ["accuracy", metrics.TopKCategoricalAccuracy(2), metrics.mean_squared_error],
        "weighted_metrics": [metrics.MeanAbsoluteError],
        "steps_per_execution": 3,
    }
    model = models.Sequential([Input((3,)), layers.Dense(4)])
    assert model.get_compile_config() == {}
    model.compile(**given, backend="reference", fuse=False)
    other = through_bytes(model, tmp_path)
    assert other.get_compile_config() == model.get_compile_config()
    assert list(other.get_compile_config()) == [
        *(
            "optimizer",
            "loss",
            "loss_weights",
            "metrics",
            "weighted_metrics",
            "run_eagerly",
            "steps_per_execution",
        ),
        "jit_compile",
    ]
    assert (other.backend, other.fuses, other.steps_per_execution) == ("reference", False, 3)
    assert not other.optimizer.built
    third = models.Sequential.from_config(model.get_config())
    third.compile_from_config(model.get_compile_config())
    assert third.optimizer.built
    assert not through_bytes(model, tmp_path, compile=False).compiled


class Halve(layers.Layer):
    def lower(self, shape):
        return layers.Rescaling(0.5, name=self.name).lower(shape)


def worst(y_true, y_pred):
    return np.abs(y_true - y_pred).max(-1)


def test_objects_of_ones_own(tmp_path):
    model = models.Sequential([Input((3,)), Halve(name="h"), layers.Dense(1)])
    model.compile("sgd", "mse", metrics=[worst])
    model.save(tmp_path / "own.keras")
    with pytest.raises(DataError, match=r"Layer 'h' \(Halve\): Unknown class 'Halve'"):
        models.load_model(tmp_path / "own.keras")
    with pytest.raises(DataError, match=r"own\.keras.*training configuration.*worst.*compile=False"):
        models.load_model(tmp_path / "own.keras", {"Halve": Halve})
    other = models.load_model(tmp_path / "own.keras", {"Halve": Halve, "worst": worst})
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(other(x), model(x))
    assert list(other.test_on_batch(x, np.ones((2, 1)), return_dict=True)) == ["loss", "worst"]


def test_unbuilt(tmp_path):
    model = models.Sequential([layers.Dense(2)])
    with pytest.warns(UserWarning, match="is not built"):
        model.save(tmp_path / "unbuilt.keras")
    assert not models.load_model(tmp_path / "unbuilt.keras").built


def test_frozen_after_compile(tmp_path):
    model = small()
    model.train_on_batch(np.ones((2, 3)), np.ones((2, 4)))
    model.layers[0].trainable = False
    with pytest.warns(UserWarning, match=r"'adam\w*' is not loaded: it has 2 variables, the saved one 6"):
        other = through_bytes(model, tmp_path)
    assert other.optimizer.iterations.numpy() == 0


def test_weights_files_carry_the_optimizer_too(tmp_path):
    path = tmp_path / "w.weights.h5"
    model, other, plain = small(), small(), models.Sequential.from_config(small().get_config())
    model.train_on_batch(np.ones((2, 3)), np.ones((2, 4)))
    model.save_weights(path)
    other.load_weights(path)
    assert_same(model, other)
    plain.load_weights(path)
    np.testing.assert_array_equal(plain.get_weights()[0], model.get_weights()[0])
    with pytest.raises(FileExistsError, match=r"w\.weights\.h5"):
        model.save_weights(path, overwrite=False)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, p: m.save(p / "m.h5"), "`filepath` must end in .keras. Received filepath="),
        (
            lambda m, p: m.save(p / "m.keras", zipped=False),
            "`zipped` must be None or True. Received zipped=False",
        ),
        (lambda m, p: m.save(p / "m.keras", save_format="h5"), "no such arguments. Received save_format"),
        (lambda m, p: models.load_model(p / "m.h5"), "`filepath` must end in .keras"),
        (lambda m, p: models.load_model(p / "m.keras", safe_mode=False), "`safe_mode`; it must be True"),
        (
            lambda m, p: m.save_weights(p / "a.weights.h5", max_shard_size=1.0),
            "`max_shard_size`; it must be None",
        ),
        (
            lambda m, p: m.load_weights(p / "a.weights.h5", skip_mismatch=True),
            "`skip_mismatch`; it must be False",
        ),
        (lambda m, p: m.compile_from_config({"loss": "mse", "speed": 3}), "compile has no arguments 'speed'"),
    ],
)
def test_wrong_calls(call, message, tmp_path):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(small(), tmp_path)
    assert not list(tmp_path.iterdir())


def edited(change, tmp_path, name=CONFIG):
    """A saved model, one of its JSON members changed."""
    members = parse_archive(model_to_bytes(small()))
    content = json.loads(members[name])
    members[name] = json.dumps(change(content) or content).encode()
    path = tmp_path / "edited.keras"
    path.write_bytes(write_archive(members))
    return path


def dense(config):
    return config["config"]["layers"][1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: dense(c).update(class_name="LSTM"), "Layer 'd' (LSTM): Unknown class 'LSTM'"),
        (lambda c: dense(c)["config"].update(kernel_constraint={}), "Layer 'd' (Dense): Dense does not implement `ke"),
        (lambda c: dense(c)["config"].update(units=10**9), "must have shape (3, 1000000000)"),
        (lambda c: dense(c)["config"].update(units=10**30), "no memory for an array of shape (3, 10000000"),
        (lambda c: dense(c)["config"].update(units=True), "`units` must be an integer of at least 1"),
        (lambda c: dense(c)["config"].update(name="../../x"), "without '/'"),
        (lambda c: dense(c)["config"].update(speed=3), "Layer 'd' (Dense): Dense has no such arguments"),
        (lambda c: dense(c)["config"].update(dtype="float64"), "All layers of a model must have one dtype"),
        (lambda c: c["config"].__delitem__("layers"), "Sequential can't be made from the configuration"),
        (lambda c: c["config"].update(layers=3), "Sequential can't be made from the configuration"),
        (lambda c: c.update(class_name="Dense", module="keras.layers"), "Dense"),
        (lambda c: c.update(dense(c)), "config.json must describe a model. Received a Dense."),
        (lambda c: c["compile_config"].update(optimizer="lion"), "Unknown optimizer: 'lion'"),
        (lambda c: c["compile_config"].update(loss_weights=[1]), "`loss_weights`; it must be None"),
        (lambda c: c["compile_config"]["optimizer"]["config"].update(use_ema=True), "does not implement `use_ema`"),
        (lambda c: c.update(compile_config=[1]), "With compile=False it loads without."),
    ],
)  # fmt: skip
def test_what_minicnn_does_not_have_is_named(change, message, tmp_path):
    path = edited(change, tmp_path)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        models.load_model(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda o: o.update(backend="gpu"),
        lambda o: o.update(fuse=3),
        lambda o: o.update(algorithm=3),
        lambda o: o.update(algorithm="os.system"),
        lambda o: o.update(algorithm={"drop": ["direct"]}),
        lambda o: o.update(algorithm={"no such layer": "direct"}),
        lambda o: o.update(seeds=3),
        lambda o: o["seeds"].update(drop=-1),
        lambda o: o["seeds"].update(drop="x"),
    ],
)
def test_wrong_options(change, tmp_path):
    with pytest.raises(DataError, match=r"edited\.keras"):
        models.load_model(edited(change, tmp_path, OPTIONS))


def test_members_and_metadata(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    members = parse_archive(model_to_bytes(small()))
    assert list(members) == [METADATA, CONFIG, OPTIONS, WEIGHTS]
    assert json.loads(members[METADATA])["date_saved"] == "2001-09-09@01:46:40"
