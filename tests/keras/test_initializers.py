"""Initializers: Keras's arguments, configurations and distributions. The bits are their own."""

from math import sqrt

import keras
import numpy as np
import pytest

from minicnn import initializers
from tests.keras.agreement import assert_same_signature

NAMES = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
]
RANDOM = [name for name in NAMES if name not in ("Constant", "Ones", "Zeros")]
SHAPES = [(3, 3, 8, 40), (90, 50), (3000,), (4, 10, 70), (5, 4, 3, 2, 20)]


@pytest.mark.parametrize("name", NAMES)
def test_arguments_and_configurations(name):
    ours, theirs = getattr(initializers, name), getattr(keras.initializers, name)
    assert_same_signature(ours, theirs)
    assert initializers.serialize(ours()) == keras.initializers.serialize(theirs())
    for source, target in ((initializers, keras.initializers), (keras.initializers, initializers)):
        config = source.serialize(getattr(source, name)())
        assert target.serialize(target.deserialize(config)) == config


def test_string_identifiers():
    for name in initializers.registry._names:
        if name.lower() == "constant":  # Keras fails on it with a KeyError
            continue
        assert type(initializers.get(name)).__name__ == type(keras.initializers.get(name)).__name__
    for module in (initializers, keras.initializers):
        for wrong in ("nope", "GLOROT_UNIFORM", 3):
            with pytest.raises(ValueError, match="nitializer"):
                module.get(wrong)


@pytest.mark.parametrize("name", ["Zeros", "Ones", "Constant"])
def test_constants(name):
    # A value that float32 holds: TensorFlow rounds it to that first, in float64 too.
    arguments = {"value": 0.375} if name == "Constant" else {}
    for dtype in ("float32", "float64"):
        values = [
            np.array(getattr(m, name)(**arguments)((2, 3), dtype=dtype))
            for m in (initializers, keras.initializers)
        ]
        np.testing.assert_array_equal(*values)
        assert values[0].dtype == values[1].dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", RANDOM)
def test_distribution(name, shape, dtype):
    """Two samples of one distribution: √(nm/(n+m))·sup|F̂ − Ĝ| exceeds 2.5 with probability 2·exp(−2·2.5²) = 7e-6.

    (Kolmogorov and Smirnov; asymptotic, from n = 2000 on. The seeds are fixed: the outcome is always the same.)
    """
    ours = getattr(initializers, name)(seed=5)(shape, dtype=dtype)
    theirs = np.array(getattr(keras.initializers, name)(seed=5)(shape, dtype=dtype))
    assert ours.dtype == theirs.dtype
    ours, theirs = (np.sort(array.ravel()).astype(np.float64) for array in (ours, theirs))
    n = ours.size
    assert n >= 2000
    both = np.concatenate([ours, theirs])
    distance = np.abs(np.searchsorted(ours, both, "right") - np.searchsorted(theirs, both, "right")).max() / n
    assert sqrt(n / 2) * distance < 2.5
    # The scale to 5 standard errors: each sample variance is known to √(2/n), relatively, or better.
    assert abs(ours.var() / theirs.var() - 1) < 5 * sqrt(2) * sqrt(2 / n)


@pytest.mark.parametrize(
    "arguments",
    [
        {"mode": "fan_out"},
        {"mode": "fan_avg", "distribution": "uniform"},
        {"scale": 3.0, "distribution": "untruncated_normal"},
        {"distribution": "normal", "input_axes": [0, 3], "output_axes": [2]},
    ],
)
def test_scaling(arguments):
    shape = (3, 4, 20, 30)
    theirs = np.array(keras.initializers.VarianceScaling(**arguments, seed=1)(shape, dtype="float64"))
    ours = initializers.VarianceScaling(**arguments, seed=1)(shape, dtype="float64")
    # As above: 7200 elements each.
    assert abs(ours.var() / theirs.var() - 1) < 5 * sqrt(2) * sqrt(2 / ours.size)
    if arguments.get("distribution") == "uniform":
        assert (
            abs(np.abs(ours).max() / np.abs(theirs).max() - 1) < 0.005
        )  # the largest of 7200 is 1/7200 off the limit
    config = initializers.VarianceScaling(**arguments).get_config()
    assert config == keras.initializers.VarianceScaling(**arguments).get_config()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("VarianceScaling", {"scale": 0.0}),
        ("VarianceScaling", {"mode": "fan"}),
        ("VarianceScaling", {"distribution": "gamma"}),
        ("GlorotUniform", {"seed": "3"}),
        ("GlorotUniform", {"seed": 1.5}),
    ],
)
def test_both_refuse(name, arguments):
    for module in (initializers, keras.initializers):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            getattr(module, name)(**arguments)
