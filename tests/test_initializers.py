"""Initializers: shapes, dtypes, seeds, fans, distributions against theory, bad arguments.

Distributions are judged by statistics whose spread is known. With a fixed seed the outcome is always the same; the
bounds are 5 standard errors wide, so that a right implementation fails for one seed in two million.
"""

from math import erf, sqrt

import numpy as np
import pytest

from minicnn import config, initializers, random
from minicnn.initializers import compute_fans

RANDOM = [
    initializers.GlorotNormal,
    initializers.GlorotUniform,
    initializers.HeNormal,
    initializers.HeUniform,
    initializers.LecunNormal,
    initializers.LecunUniform,
    initializers.RandomNormal,
    initializers.RandomUniform,
    initializers.TruncatedNormal,
    initializers.VarianceScaling,
]
KERNEL = (5, 4, 30, 50)
"""Fan in 600, fan out 1000: transposed axes show."""


def names(cls):
    return cls.__name__


@pytest.mark.parametrize("cls", RANDOM, ids=names)
def test_shape_and_dtype(cls):
    for shape in ((), (0,), (3,), (2, 3), KERNEL):
        values = cls(seed=1)(shape)
        assert values.shape == shape
        assert values.dtype == np.float32
        assert values.flags.writeable
    assert cls(seed=1)(KERNEL, dtype="float64").dtype == np.float64


@pytest.mark.parametrize("cls", RANDOM, ids=names)
def test_the_seed_decides(cls):
    first = cls(seed=3)
    np.testing.assert_array_equal(first(KERNEL), first(KERNEL))
    np.testing.assert_array_equal(first(KERNEL), cls(seed=3)(KERNEL))
    assert (first(KERNEL) != cls(seed=4)(KERNEL)).mean() > 0.99


@pytest.mark.parametrize("cls", RANDOM, ids=names)
def test_without_a_seed_the_global_stream_decides(cls):
    random.reset_stream(5)
    one, other = cls(), cls()
    np.testing.assert_array_equal(one(KERNEL), one(KERNEL))
    assert (one(KERNEL) != other(KERNEL)).mean() > 0.99
    random.reset_stream(5)
    np.testing.assert_array_equal(cls()(KERNEL), one(KERNEL))
    assert one.get_config()["seed"] is None


@pytest.mark.parametrize("cls", RANDOM, ids=names)
def test_both_float_types_have_the_same_values(cls):
    np.testing.assert_array_equal(
        cls(seed=3)(KERNEL), cls(seed=3)(KERNEL, dtype="float64").astype(np.float32)
    )


def test_floatx_is_the_default_dtype():
    config.set_floatx("float64")
    try:
        for cls in (*RANDOM, initializers.Zeros, initializers.Ones, initializers.Constant):
            assert cls()((2,)).dtype == np.float64
    finally:
        config.set_floatx("float32")


def test_constants():
    assert (initializers.Zeros()((2, 3)) == 0).all()
    assert (initializers.Ones()((2, 3)) == 1).all()
    assert (initializers.Constant(2.5)((2, 3)) == 2.5).all()
    assert (initializers.Constant()((2, 3)) == 0).all()


@pytest.mark.parametrize(
    ("shape", "fans"),
    [
        ((), (1, 1)),
        ((7,), (7, 7)),
        ((3, 5), (3, 5)),
        ((3, 3, 1, 32), (9, 288)),
        ((2, 3, 5, 7), (30, 42)),
        ((4, 2, 3), (8, 12)),
    ],
)
def test_fans(shape, fans):
    assert compute_fans(shape) == fans


def test_fans_of_given_axes():
    assert compute_fans((2, 3, 5, 7), input_axes=[0, 3], output_axes=[1]) == (14, 3)
    assert compute_fans((2, 3, 5, 7), input_axes=[0]) == (30, 42)


FAN = {"fan_in": 600, "fan_out": 1000, "fan_avg": 800}
SCALES = {
    "GlorotNormal": (1, "fan_avg"),
    "GlorotUniform": (1, "fan_avg"),
    "HeNormal": (2, "fan_in"),
    "HeUniform": (2, "fan_in"),
    "LecunNormal": (1, "fan_in"),
    "LecunUniform": (1, "fan_in"),
}


@pytest.mark.parametrize("name", SCALES)
def test_variance_and_limits(name):
    scale, mode = SCALES[name]
    variance = scale / FAN[mode]
    values = getattr(initializers, name)(seed=11)(KERNEL, dtype="float64").ravel()
    limit = sqrt(3 * variance) if "Uniform" in name else 2 * sqrt(variance) / initializers.TRUNCATED_STDDEV
    assert limit * 0.999 < np.abs(values).max() <= limit
    check_moments(values, 0, variance)


def check_moments(values, mean, variance):
    n = values.size
    assert abs(values.mean() - mean) < 5 * sqrt(variance / n)
    # The variance of a sample variance is at most (kurtosis − 1)·σ⁴ / n, with kurtosis 3 for the normal.
    assert abs(values.var() - variance) < 5 * variance * sqrt(2 / n)


def test_moments_of_the_plain_ones():
    shape = (100_000,)
    check_moments(initializers.RandomNormal(0.3, 0.2, seed=1)(shape, "float64"), 0.3, 0.04)
    check_moments(initializers.RandomUniform(-1, 3, seed=1)(shape, "float64"), 1, 16 / 12)
    truncated = initializers.TruncatedNormal(0.3, 0.2, seed=1)(shape, "float64")
    check_moments(truncated, 0.3, 0.04 * initializers.TRUNCATED_STDDEV**2)
    assert 0.39 < np.abs(truncated - 0.3).max() <= 0.4


def normal_cdf(x):
    return np.vectorize(lambda v: 0.5 * (1 + erf(v / sqrt(2))))(x)


@pytest.mark.parametrize(
    ("make", "cdf"),
    [
        (initializers.RandomNormal(0, 1, seed=2), normal_cdf),
        (initializers.RandomUniform(0, 1, seed=2), lambda x: x),
        (
            initializers.TruncatedNormal(0, 1, seed=2),
            lambda x: (normal_cdf(x) - normal_cdf(-2)) / (1 - 2 * normal_cdf(-2)),
        ),
        (initializers.VarianceScaling(20_000, "fan_in", "untruncated_normal", seed=2), normal_cdf),
    ],
    ids=["normal", "uniform", "truncated", "scaled"],
)
def test_distribution(make, cdf):
    """Kolmogorov and Smirnov: √n·sup|F̂ − F| exceeds 2.5 with probability 2·exp(−2·2.5²) = 7e-6."""
    values = np.sort(make((20_000,), "float64"))
    n = values.size
    expected = cdf(values)
    distance = max(np.max(np.arange(1, n + 1) / n - expected), np.max(expected - np.arange(n) / n))
    assert sqrt(n) * distance < 2.5


def test_truncated_stddev_constant():
    density, inside = np.exp(-2) / sqrt(2 * np.pi), erf(sqrt(2))
    assert abs(initializers.TRUNCATED_STDDEV - sqrt(1 - 4 * density / inside)) < 1e-15


@pytest.mark.parametrize(
    "make",
    [
        lambda: initializers.GlorotUniform(seed=-1),
        lambda: initializers.GlorotUniform(seed=1.5),
        lambda: initializers.GlorotUniform(seed=True),
        lambda: initializers.GlorotUniform(seed="1"),
        lambda: initializers.RandomNormal(stddev=-1),
        lambda: initializers.RandomNormal(mean="0"),
        lambda: initializers.RandomUniform(1, 0),
        lambda: initializers.Constant([1, 2]),
        lambda: initializers.Constant(None),
        lambda: initializers.VarianceScaling(scale=0),
        lambda: initializers.VarianceScaling(mode="fan"),
        lambda: initializers.VarianceScaling(distribution="gamma"),
        lambda: initializers.Zeros()((-1, 2)),
        lambda: initializers.Zeros()((1.5,)),
        lambda: initializers.Zeros()((2,), dtype="int32"),
    ],
)
def test_bad_arguments(make):
    with pytest.raises(ValueError, match=r"must be .*Received"):
        make()


def test_normal_is_truncated_normal():
    assert initializers.VarianceScaling(distribution="Normal").distribution == "truncated_normal"


def test_names():
    for name, cls in (
        ("normal", "RandomNormal"),
        ("uniform", "RandomUniform"),
        ("zero", "Zeros"),
        ("one", "Ones"),
    ):
        assert type(initializers.get(name)) is getattr(initializers, cls)
    assert initializers.get("he_normal").mode == "fan_in"
    assert initializers.he_normal is initializers.HeNormal
    assert initializers.get(None) is None
    assert type(initializers.get(initializers.Ones)) is initializers.Ones


def test_an_array_is_an_initializer():
    array = np.arange(6.0).reshape(2, 3)
    given = initializers.get(array)
    values = given((2, 3))
    np.testing.assert_array_equal(values, array.astype(np.float32))
    values[...] = 0
    assert array[1, 2] == 5
    assert given((2, 3))[1, 2] == 5
    with pytest.raises(ValueError, match=r"have shape \(2, 3\)\. Received shape=\(3, 2\)"):
        given((3, 2))


def test_a_function_is_an_initializer():
    def mine(shape, dtype=None):
        return np.full(shape, 7, dtype)

    assert initializers.get(mine) is mine


def test_clone():
    first = initializers.HeNormal(seed=3)
    np.testing.assert_array_equal(first.clone()((4, 5)), first((4, 5)))
    assert (initializers.HeNormal().clone()((4, 5)) != initializers.HeNormal()((4, 5))).any()


@pytest.mark.parametrize(
    ("cls", "method"), [(initializers.Initializer, "__call__"), (initializers.RandomInitializer, "_draw")]
)
def test_a_base_says_what_it_lacks(cls, method):
    with pytest.raises(NotImplementedError, match=f"{cls.__name__} does not define `{method}`"):
        cls()((2,))
