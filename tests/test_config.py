"""Settings take what they document and refuse the rest."""

import os

import numpy as np
import pytest

from minicnn import backend, config
from minicnn.naming import unique_name


@pytest.fixture(autouse=True)
def restored():
    yield
    config.set_floatx("float32")
    config.set_epsilon(1e-7)
    config.set_image_data_format("channels_last")
    config.set_num_threads(None)


def test_defaults():
    assert (config.floatx(), config.epsilon(), config.image_data_format()) == (
        "float32",
        1e-7,
        "channels_last",
    )
    assert config.check_finite is True


@pytest.mark.parametrize(
    ("setter", "getter", "value", "expected"),
    [
        (config.set_floatx, config.floatx, "float64", "float64"),
        (config.set_epsilon, config.epsilon, 1e-5, 1e-5),
        (config.set_epsilon, config.epsilon, np.float32(0.25), 0.25),
        (config.set_image_data_format, config.image_data_format, "CHANNELS_FIRST", "channels_first"),
        (config.set_num_threads, config.num_threads, np.int64(3), 3),
    ],
)
def test_what_is_set_is_what_is_got(setter, getter, value, expected):
    setter(value)
    assert getter() == expected
    assert type(getter()) is type(expected)


@pytest.mark.parametrize(
    ("setter", "getter", "values"),
    [
        (config.set_floatx, config.floatx, ["float16", "double", np.float32, None, 32, ["float32"]]),
        (
            config.set_epsilon,
            config.epsilon,
            [0, -1e-7, 0.5, 2, float("nan"), float("inf"), "1e-7", None, True],
        ),
        (config.set_image_data_format, config.image_data_format, ["NHWC", "", None, 1]),
        (config.set_num_threads, config.num_threads, [0, -1, 1.5, "2", True, float("nan")]),
    ],
)
def test_invalid_values_are_refused_and_change_nothing(setter, getter, values):
    before = getter()
    for value in values:
        with pytest.raises(ValueError, match="Received"):
            setter(value)
        assert getter() == before


def test_threads_are_the_cpus_this_process_may_use():
    assert config.num_threads() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    "value", ["float64", np.float64, np.dtype("float64"), np.dtype(">f8").newbyteorder("=")]
)
def test_dtypes_are_named(value):
    assert config.standardize_dtype(value) == "float64"


def test_no_dtype_means_floatx():
    assert config.standardize_dtype(None) == "float32"
    config.set_floatx("float64")
    assert config.standardize_dtype(None) == "float64"


@pytest.mark.parametrize("value", ["float16", "int32", np.int32, 32, "", [], np.dtype("complex64")])
def test_other_dtypes_are_refused(value):
    with pytest.raises(ValueError, match="dtype"):
        config.standardize_dtype(value)


def test_backend_has_the_same_settings():
    backend.set_floatx("float64")
    assert config.floatx() == backend.floatx() == "float64"


def test_clear_session_numbers_names_anew():
    backend.clear_session(free_memory=False)
    assert [unique_name("Dense"), unique_name("Dense")] == ["dense", "dense_1"]
    backend.clear_session()
    assert unique_name("Dense") == "dense"


@pytest.mark.parametrize(("cpus", "threads"), [(7, 7), (None, 1)])
def test_threads_where_a_process_has_no_affinity(monkeypatch, cpus, threads):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: cpus)
    assert config.num_threads() == threads
