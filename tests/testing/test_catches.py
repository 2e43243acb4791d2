"""The page about planted bugs says what was measured, of the bugs that there are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.testing import catches, catches_page
from tests.testing.mutants import BLIND, MUTANTS

DOCS = Path(__file__).parents[2] / "docs"
MEASURED = DOCS / "results" / "planted_bugs.json"


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(MEASURED.read_text())
    return loaded


def test_the_page_is_made_from_the_measurements() -> None:
    assert (DOCS / "planted_bugs.md").read_text() == catches.written(MEASURED)


def test_the_measurements_cover_exactly_the_bugs_there_are(data: dict[str, Any]) -> None:
    measured = [(bug["op"], bug["bug"], bug["caught_by"], bug["blind"]) for bug in data["bugs"]]
    assert measured == [(m.op, m.name, m.caught_by, m in BLIND) for m in [*MUTANTS, *BLIND]]


def test_twenty_seeds_were_taken_at_the_default_number_of_examples(data: dict[str, Any]) -> None:
    assert (data["seeds"], data["examples"]) == (20, catches.EXAMPLES)
    for bug in data["bugs"]:
        assert len(bug["first_failing_example"]) == 20
        assert all(1 <= n <= 200 for n in catches_page.numbers(bug))


def test_every_seed_catches_every_bug(data: dict[str, Any]) -> None:
    assert [bug["bug"] for bug in data["bugs"] if not catches_page.always(bug)] == []


def test_a_bug_is_measured_by_what_its_property_says() -> None:
    mutant = next(m for m in BLIND if m.op == "optimizer")
    measured = catches.measure(mutant, 2)
    assert catches_page.always(measured)
    assert measured["seed_0"][mutant.caught_by] == measured["first_failing_example"][0]


def test_a_missed_bug_stands_in_bold() -> None:
    bug = dict(
        op="dense", bug="b", blind=True, caught_by="p", first_failing_example=[None, 3], seed_0={"q": 1}
    )
    assert catches_page.row(bug) == ["b †", "p", "**1 / 2**", "3 / 3", 1]
