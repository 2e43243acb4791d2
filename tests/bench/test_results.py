"""The file of results: what is written is read; anything else is refused."""

import json
from dataclasses import replace

import pytest

from minicnn.bench import machine, results
from minicnn.bench.session import cpus
from tests.bench.conftest import contest


@pytest.fixture(scope="module")
def run() -> results.Results:
    return results.Results(machine.record(1), (contest("inference", "reference"),), (), quick=True)


def test_results_are_read_as_they_were_written(run, tmp_path):
    verdict = results.Verdict("a bar", "inference/tiny/4", "keras", 0.5, False, 0.25, 0.2, 0.3)
    full = results.Results(run.machine, run.measurements, (verdict,), True)
    results.write(full, tmp_path / "r.json")
    assert results.read(tmp_path / "r.json") == full
    assert full.measurement("inference/tiny/4").series_of("reference").median > 0
    assert full.measurement("inference/tiny/5") is None


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"schema": 1}', '{"schema": 999, "machine": {}}', '{"schema": 1, "machine": {"cpu": 1}}'],
)
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(ValueError, match=r"r\.json must be a file that `minicnn bench --json` has written"):
        results.read(tmp_path / "r.json")


def test_a_field_that_is_missing_is_noticed(run, tmp_path):
    results.write(run, tmp_path / "r.json")
    content = json.loads((tmp_path / "r.json").read_text())
    del content["measurements"][0]["series"][0]["label"]
    (tmp_path / "r.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="label"):
        results.read(tmp_path / "r.json")


def test_the_record_of_a_machine(run):
    record = run.machine
    assert record.cores == len(cpus()) and record.threads == 1 and record.cpu
    assert 0.1 < record.sgemm_gflops["1"] < 1e4 and 0.1 < record.triad_gbytes_s["1"] < 1e3
    assert record.versions["numpy"] and record.blas and record.caches.get("L2 Unified", 1 << 20) >= 1 << 16
    assert not {"hostname", "command", "python_executable"} & set(record.metadata)


def test_a_part_that_is_measured_anew_takes_the_place_of_the_old_one(run):
    [measured] = run.measurements
    assert measured.date and measured.load_average >= 0
    other = replace(measured, name="inference/other/4")
    before = replace(run, measurements=(measured, other), profiles=({"model": "a", "steps": 1},))
    anew = replace(measured, date="later", commit="another")
    after = replace(run, measurements=(anew,), profiles=({"model": "b"},))
    both = results.merged(before, after)
    assert both.measurements == (anew, other)  # each with its own moment
    assert [p["model"] for p in both.profiles] == ["a", "b"]


@pytest.mark.parametrize(
    "changed", [{"cpu": "another"}, {"threads": 7}, {"versions": {"numpy": "0"}}, {"blas": "x"}]
)
def test_parts_from_another_machine_are_refused(run, changed):
    elsewhere = replace(run, machine=replace(run.machine, **changed))
    with pytest.raises(ValueError, match=f"must have the same .*{next(iter(changed))}"):
        results.merged(elsewhere, run)
    with pytest.raises(ValueError, match="quick"):
        results.merged(replace(run, quick=False), run)
