"""The page that explains surviving mutants: it speaks of lines that are there, and of the totals of the last run."""

import json

import pytest

from tests import mutation


def test_every_explained_survivor_changes_a_line_that_exists():
    survivors = mutation.explained()
    assert survivors
    for survivor in survivors:
        lines = {
            line.strip() for line in (mutation.ROOT / survivor.path).read_text(encoding="utf-8").splitlines()
        }
        missing = set(survivor.before.split("\n")) - lines
        assert not missing, (
            f"{mutation.PAGE.name} explains a mutant of a line that is no longer in {survivor.path}"
        )
        assert survivor.after != survivor.before


def test_a_survivor_of_a_vanished_line_is_noticed(tmp_path, monkeypatch):
    page = tmp_path / "mutation.md"
    page.write_text(
        "```diff\n@@ minicnn/geometry.py:1\n- no such line\n+ none either\n```\n", encoding="utf-8"
    )
    monkeypatch.setattr(mutation, "PAGE", page)
    with pytest.raises(AssertionError, match=r"no longer in minicnn/geometry\.py"):
        test_every_explained_survivor_changes_a_line_that_exists()


def test_the_page_shows_the_totals_of_the_last_run():
    result, page = json.loads(mutation.RESULTS.read_text()), mutation.PAGE.read_text(encoding="utf-8")
    assert result["mutants"] == sum(result[key] for key in ("killed", "survived", "timeouts", "other"))
    assert result["share_killed"] >= mutation.LEAST_SHARE_KILLED
    assert result["other"] == 0
    assert result["survived"] == len(mutation.explained())
    for key in ("mutants", "killed", "timeouts", "survived"):
        assert f"{result[key]:,}" in page
    assert result["date"] in page
