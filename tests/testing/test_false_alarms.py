"""The page of right implementations: made from the stored results, which hold no failure."""

import numpy as np
import pytest

from minicnn.testing import Target, check_flatten
from tests.testing import false_alarms
from tests.testing.false_alarms import PAGE, entry, markdown, stored

REQUIRED = {"keras (tensorflow)", "torch", "scipy", "minicnn:reference", "minicnn:numba"}


def test_the_page_is_made_from_the_results() -> None:
    assert PAGE.read_text() == markdown(stored())


def test_every_required_target_is_there_with_10000_examples_an_op_and_no_failure() -> None:
    entries = stored()
    assert {name for name in REQUIRED if any(e["target"].startswith(name) for e in entries)} == REQUIRED
    for op in {(e["target"].split()[0], e["op"]) for e in entries}:
        mine = [e for e in entries if (e["target"].split()[0], e["op"]) == op]
        assert not any(e["fails"] for e in mine), op
        assert sum(e["total"] for e in mine) >= 10_000, op


@pytest.mark.parametrize("wrong", [False, True])
def test_an_entry_says_what_failed(wrong: bool) -> None:
    target = Target("mine", "flatten", lambda x: x.reshape(len(x), -1) + np.float32(wrong))
    found = entry(check_flatten(target, examples=20, shrink=False), 1.5, "abc")
    assert bool(found["fails"]) == wrong
    assert found["holds"] == (2 if wrong else 3) and found["fewest"] == 20
    assert ("**equals the oracle**" in markdown([found])) == wrong


def test_a_second_run_replaces_the_first(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(false_alarms, "RESULTS", tmp_path / "results" / "x.json")
    for seconds in (1.0, 2.0):
        false_alarms.keep(entry(check_flatten(lambda x: x.reshape(len(x), -1), examples=3), seconds, "abc"))
    assert [e["seconds"] for e in stored()] == [2.0]
