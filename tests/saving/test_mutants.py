"""Damaged files of every format are refused or harmless: 2,000 of each, see mutants.py; more in trials.py."""

import json
import os
import subprocess
import sys

import pytest

from minicnn.errors import DataError
from minicnn.saving.archive import parse_archive
from minicnn.saving.hdf5 import Reader
from minicnn.saving.weights import read_weights
from tests.saving import mutants, trials

COUNT = 2_000


def result(*arguments):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.saving.mutants", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.stdout, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("kind", mutants.formats())
def test_mutants(kind):
    found = result(kind, str(COUNT))
    assert found["findings"] == []
    assert found["refused"] + found["loaded"] == COUNT
    # An ONNX file has no checksums, and most of it is values that are never looked at.
    assert found["refused"] > COUNT * (0.05 if kind == "onnx" else 0.5)


def test_the_page_of_the_long_trials_is_what_came_of_them():
    entries = trials.stored()
    assert trials.PAGE.read_text() == trials.markdown(entries)
    assert set(entries) <= set(trials.commands())


def test_what_must_not_come_of_a_trial_is_told():
    assert trials.problems({"findings": ["KeyError: 'x' (mutant-idx-0)"]}) == ["KeyError: 'x' (mutant-idx-0)"]
    good = {"trainings": 9, "same": 9, "left behind": []}
    assert trials.problems(good) == []
    assert trials.problems(good | {"same": 8, "left behind": ["x.tmp"]}) == [
        "1 trainings ended otherwise",
        "left behind: x.tmp",
    ]


def test_a_loader_that_crashes_is_found(tmp_path, monkeypatch):
    """A loader with a bug for some mutants: another exception, and a second of work."""

    def load(path):
        content = path.read_bytes()
        if len(content) < 40:
            raise KeyError("planted")
        if content[20] > 200:
            sum(range(3 * 10**6))

    monkeypatch.setattr(mutants, "idx", lambda folder: mutants.Format("", bytes(64), load))
    monkeypatch.setattr(mutants, "MAX_SECONDS", 0.01)
    monkeypatch.setattr(mutants.tempfile, "tempdir", str(tmp_path))
    trial = mutants.Trial("idx", tmp_path)
    trial.run(bytes(64))
    assert trial.findings == []
    trial.run(b"\xff" * 64)
    assert " s (" in trial.findings[0]
    monkeypatch.undo()
    monkeypatch.setattr(mutants.tempfile, "tempdir", str(tmp_path))
    mutants.draw(trial, 500, 0)
    assert "planted" in trial.findings[0]
    assert (tmp_path / "mutant-idx").read_bytes() == b""  # the smallest: its end cut off, at the start


def test_every_flipped_bit_of_a_model_is_refused_or_harmless(tmp_path):
    """All of them, one at a time. What `load_model` makes follows from the members: the same, or none."""
    mutants.net().save(tmp_path / "m.keras")
    check_flips((tmp_path / "m.keras").read_bytes(), parse_archive)


def test_every_flipped_bit_of_weights_is_refused_or_harmless(tmp_path):
    model = mutants.net()
    model.save_weights(tmp_path / "m.weights.h5")

    def read(content):
        return [(stored.owner, stored.array.tobytes()) for stored in read_weights(model, Reader(content))]

    check_flips((tmp_path / "m.weights.h5").read_bytes(), read)


def check_flips(whole, read):
    expected, refused = read(whole), 0
    content = bytearray(whole)
    for bit in range(8 * len(content)):
        content[bit // 8] ^= 1 << bit % 8
        try:
            assert read(bytes(content)) == expected, bit
        except DataError:
            refused += 1
        content[bit // 8] ^= 1 << bit % 8
    assert refused > 4 * len(content)
