"""Algorithms by name: each holds the kit's properties in a plan, trains like the default, and can be read back."""

import os

import numpy as np
import pytest

from minicnn import Input, config, layers, models, utils
from minicnn.engine import ops
from minicnn.engine.algorithms import REFUSALS, Running
from minicnn.engine.fusion import fuse
from minicnn.engine.parallel import Executor
from minicnn.engine.plan import make_plan
from minicnn.geometry import make_window
from minicnn.testing import check_conv2d
from minicnn.testing.adapters import load
from tests.engine.chains import batch_for, small_convnet

NIGHTLY = os.environ.get("MINICNN_NIGHTLY") == "1"
TARGETS = [f"minicnn:reference:{name}" for name in REFUSALS if name != "direct"]  # direct is the default


@pytest.mark.parametrize(
    "name",
    [
        *TARGETS,
        pytest.param("minicnn:numba:loops", marks=pytest.mark.jitted),
        pytest.param("minicnn:numba:direct", marks=pytest.mark.jitted),
    ],
)
def test_the_kits_properties_hold(name):
    (target,) = load(name, "conv2d")
    report = check_conv2d(target, examples=200 if NIGHTLY else 3)
    assert report.ok, str(report)


def test_a_target_of_an_unknown_algorithm_is_refused():
    with pytest.raises(ValueError, match="must be one of loops, windows"):
        load("minicnn:numba:strassen")


# Training


def net(**options):
    """Two 3×3 convolutions, so that every algorithm applies to both."""
    utils.set_random_seed(0)
    model = models.Sequential(
        [
            Input((10, 9, 2), dtype="float64"),
            layers.Conv2D(4, 3, activation="relu", name="first", dtype="float64"),
            layers.MaxPooling2D(2, dtype="float64"),
            layers.Conv2D(3, 3, padding="same", name="second", dtype="float64"),
            layers.Flatten(dtype="float64"),
            layers.Dense(3, activation="softmax", dtype="float64"),
        ]
    )
    model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy", **options)
    return model


def trained(**options):
    model, rng = net(**options), np.random.default_rng(1)
    x, y = rng.normal(size=(24, 10, 9, 2)), rng.integers(0, 3, 24)
    losses = model.fit(x, y, batch_size=8, epochs=4, shuffle=False, verbose=0).history["loss"]
    return np.array(losses), model.get_weights()


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize("algorithm", REFUSALS)
def test_training_agrees_with_the_default(algorithm, backend):
    expected_losses, expected = trained(backend="reference")
    losses, weights = trained(backend=backend, algorithm=algorithm)
    # Twelve steps of sgd in float64: a rounding of 1e-16 in sums of a hundred terms, times 861 for F(4×4), 1e-12.
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-11)
    for ours, theirs in zip(weights, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("algorithm", ["loops", "direct"])
def test_without_blas_the_threads_change_no_bit(algorithm, monkeypatch):
    chain = small_convnet("float32")
    batch = batch_for(chain, 13, "float32")
    options = {"training": True, "dtype": "float32", "algorithm": algorithm, "gradients": chain.paths}
    results = []
    for threads in (1, 3):
        executor = Executor(make_plan(chain.ops, chain.input_shape, 2, **options), chain.variables)
        monkeypatch.setattr(config, "_num_threads", threads)
        executor.run(chain.params, **batch)
        results.append(executor.gradient.copy())
    np.testing.assert_array_equal(*results)


# What ran


def test_what_runs_can_be_read_back():
    model = net(algorithm={"second": "winograd"})
    assert model.algorithms() == {
        "first": Running("direct", "direct", "direct"),
        "second": Running("winograd", "winograd", "winograd"),
    }
    everywhere = Running("fft", "fft", "fft")
    assert net(algorithm="fft").algorithms() == {"first": everywhere, "second": everywhere}
    x, y = np.zeros((4, 10, 9, 2)), np.zeros(4)
    profile = model.profile(x, y, repeats=1)
    ran = {row.layers: row.algorithms for row in profile.rows if row.algorithms}
    assert ran["second"] == {"forward": "winograd", "dw": "winograd", "dx": "winograd"}
    (line,) = [line for line in str(profile).splitlines() if line.split()[:1] == ["second"]]
    assert "winograd" in line.split()


@pytest.mark.parametrize(
    ("size", "channels", "filters", "pool", "expected"),
    [
        (14, 32, 64, True, Running("winograd kernel", "direct", "direct")),
        (14, 64, 64, False, Running("winograd kernel", "winograd3 kernel", "winograd3 kernel")),
        (5, 64, 64, False, Running("karatsuba kernel", "winograd3 kernel", "winograd3 kernel")),
        (14, 3, 5, False, Running("direct", "direct", "direct")),
    ],
)
def test_the_engines_own_choice_is_told(size, channels, filters, pool, expected):
    window = make_window((size, size), (3, 3))
    chain = [ops.Conv2D(name="conv/linear", parameters=("conv/w",), window=window, filters=filters)]
    chain += [ops.ReLU(name="conv")]
    if pool:
        chain += [ops.MaxPool2D(name="pool", window=make_window((size - 2, size - 2), (2, 2), (2, 2)))]
    plan = make_plan(fuse(chain), (size, size, channels))
    assert len(plan.steps) == 1
    assert plan.algorithms == {"conv": expected}
    reference = make_plan(fuse(chain), (size, size, channels), backend="reference")
    assert reference.algorithms == {"conv": Running("direct", "direct", "direct")}


def test_a_chosen_algorithm_is_not_fused_away():
    model = net(algorithm={"first": "im2col"})
    assert model.algorithms()["first"].forward == "im2col"
    first, *_ = (
        net(algorithm={"first": "im2col"}).profile(np.zeros((2, 10, 9, 2)), np.zeros(2), repeats=1).rows
    )
    assert first.op == "Conv2D"


# Refusals


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        ("strassen", "must be one of 'loops', .* Received 'strassen'"),
        ({"first": "strassen"}, "Received 'strassen'"),
        ({"dense": "fft"}, "convolutions: 'first', 'second'. Received 'dense'"),
    ],
)
def test_unknown_names_are_refused(algorithm, message):
    with pytest.raises(ValueError, match=message):
        net(algorithm=algorithm)


@pytest.mark.parametrize(
    ("options", "algorithm", "reason"),
    [
        ({"kernel_size": 5}, "winograd", "3×3 kernels"),
        ({"kernel_size": 3, "strides": 2}, "winograd4", "stride 1"),
        ({"kernel_size": 3, "strides": 2}, "fft", "thrown away"),
        ({"kernel_size": 3, "groups": 2}, "fft", "too few products"),
    ],
)
def test_an_algorithm_that_does_not_apply_is_refused(options, algorithm, reason):
    model = models.Sequential([Input((9, 9, 4)), layers.Conv2D(6, name="layer", **options)])
    with pytest.raises(ValueError, match=f"Layer 'layer' .*{algorithm}.*{reason}"):
        model.compile(loss="mse", algorithm=algorithm)
    late = models.Sequential([layers.Conv2D(6, name="layer", **options)])
    late.compile(loss="mse", algorithm=algorithm)
    with pytest.raises(ValueError, match=f"Layer 'layer' .*{reason}"):
        late.predict(np.zeros((1, 9, 9, 4)), verbose=0)


def test_a_shape_that_is_not_known_must_be_given():
    model = models.Sequential([Input((None, None, 2)), layers.Conv2D(3, 3)])
    with pytest.raises(ValueError, match="`input_shape` must be known"):
        model.algorithms()
    assert list(model.algorithms((8, 8, 2))) == [model.layers[-1].name]
