"""Checks of arguments: what passes, what doesn't, and what the message says."""

import numpy as np
import pytest

from minicnn import checks

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("value", [0, 3, np.int8(3), np.uint64(3)])
def test_integers(value):
    assert checks.integer("n", value, 0) == value
    assert type(checks.integer("n", value, 0)) is int


@pytest.mark.parametrize("value", [-1, 1.0, "1", None, True, NAN, np.array([1])])
def test_not_integers(value):
    with pytest.raises(ValueError, match=r"`n` must be an integer of at least 0\. Received n="):
        checks.integer("n", value, 0)


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.5), np.int64(1)])
def test_numbers(value):
    assert checks.number("a", value, 0, 1) == value
    assert type(checks.number("a", value, 0, 1)) is float


@pytest.mark.parametrize("value", [-1e-9, 1.1, NAN, INF, "0", None, True, 1j])
def test_not_numbers(value):
    with pytest.raises(ValueError, match=r"`a` must be a real number in \[0, 1\]\. Received a="):
        checks.number("a", value, 0, 1)


def test_the_bounds_are_named():
    for low, high, words in (
        (-INF, INF, "number"),
        (2, INF, "number of at least 2"),
        (0, 1, r"number in \[0, 1\]"),
    ):
        with pytest.raises(ValueError, match=rf"real {words}\. Received"):
            checks.number("a", NAN, low, high)


def test_optional_numbers():
    assert checks.optional_number("a", None) is None
    assert checks.optional_number("a", 2, 0) == 2
    with pytest.raises(ValueError, match="at least 0"):
        checks.optional_number("a", -1, 0)


def test_choices():
    assert checks.one_of("a", "x", ("x", None)) == "x"
    assert checks.one_of("a", None, ("x", None)) is None
    for value in ("y", [], {}, np.zeros(2), 0):
        with pytest.raises(ValueError, match=r"`a` must be one of 'x', None\. Received a="):
            checks.one_of("a", value, ("x", None))


def test_a_choice_keeps_its_type():
    with pytest.raises(ValueError, match="must be one of 0, 1"):
        checks.one_of("a", True, (0, 1))


def test_only_defaults():
    checks.only_default("SGD", use_ema=(False, False), name=(None, None), factor=(0.5, 0.5))
    with pytest.raises(
        ValueError, match=r"SGD does not implement `use_ema`; it must be False\. Received use_ema=True"
    ):
        checks.only_default("SGD", use_ema=(True, False))
