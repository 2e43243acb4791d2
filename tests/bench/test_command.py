"""`minicnn bench`: the table of cases is sound, names are found or refused, files are written."""

import json

import pytest

from minicnn import cli
from minicnn.bench import command, peers, results, table
from minicnn.bench.run import REFERENCE

CASES = table.cases()
NAMES = [m.name for m in CASES.MEASUREMENTS]


def test_the_table_of_cases_is_sound():
    assert len(set(NAMES)) == len(NAMES)
    assert len(CASES.CONVOLUTIONS) >= 40
    for measurement in CASES.MEASUREMENTS:
        assert command.case_of(CASES, measurement).input_shape
        assert {c.peer for c in measurement.contestants} <= set(peers.NAMES)
        if measurement.name in {bar.measurement for bar in CASES.BARS} and measurement.job == "train_step":
            effort = measurement.effort
            assert effort.steps * effort.samples * effort.rounds >= 200


def test_every_bar_is_about_something_that_is_measured():
    for bar in CASES.BARS:
        matching = [
            m
            for m in CASES.MEASUREMENTS
            if m.name == bar.measurement
            or (bar.measurement[-1] == "*" and m.name.startswith(bar.measurement[:-1]))
        ]
        assert matching, bar
        for measurement in matching:
            labels = {contestant.label for contestant in measurement.contestants}
            assert {bar.ours, bar.against} <= labels, bar


def test_convolutions_are_of_every_kind():
    convolutions = CASES.CONVOLUTIONS.values()
    for field, wanted in {
        "kernel": set(range(1, 8)),
        "stride": {1, 2, 3},
        "dilation": {1, 2, 3},
        "padding": {"valid", "same"},
    }.items():
        assert {getattr(c, field) for c in convolutions} == wanted
    assert {17, 48} <= {c.filters for c in convolutions}
    assert {1, 256} <= {c.channels for c in convolutions} and {7, 112} <= {c.size for c in convolutions}
    assert any(1 < c.groups < c.channels for c in convolutions) and any(
        c.groups == c.channels for c in convolutions
    )
    assert not any(c.stride > 1 and c.dilation > 1 for c in convolutions)  # Keras refuses these


def test_names_choose_measurements():
    def chosen(*only, quick=False):
        return [m.name for m in command.select(CASES.MEASUREMENTS, quick, only, ())]

    assert chosen("train_step/book/64") == ["train_step/book/64"]
    assert set(chosen("train_step/book")) == {name for name in NAMES if name.startswith("train_step/book/")}
    assert len(chosen("convolution_both")) == len(CASES.CONVOLUTIONS)
    assert 0 < len(chosen(quick=True)) < len(chosen()) == len(NAMES)
    [only_keras] = command.select(CASES.MEASUREMENTS, False, ["train_step/book/64"], ["keras"])
    assert [c.peer for c in only_keras.contestants] == ["minicnn", "keras", "sgemm"]


def test_a_part_of_the_bars_is_judged_for_a_part_of_the_run():
    assert command.bars_for(CASES.BARS, CASES.MEASUREMENTS, is_part=False) == list(CASES.BARS)
    inference = command.select(CASES.MEASUREMENTS, True, ["inference"], ())
    assert [b.measurement for b in command.bars_for(CASES.BARS, inference, is_part=True)] == [
        "inference/book/256",
        "inference/book/1",
    ]


def test_one_number_from_start_to_file(tmp_path, capsys):
    out = tmp_path / "out.json"
    arguments = ["bench", "--quick", "--only", "inference/book/1", "--peers", REFERENCE, "--threads", "1"]
    assert cli.run([*arguments, "--json", str(out)]) == 0
    done = results.read(out)
    [measured] = done.measurements
    assert done.quick and measured.name == "inference/book/1"
    assert measured.series_of("minicnn").status == results.OK
    assert "one image a call" in " ".join(capsys.readouterr().out.split())
    assert cli.run(["bench", "--compare", str(out), str(out)]) == 0
    assert "1.000" in capsys.readouterr().out
    arguments[arguments.index("inference/book/1")] = "inference/book/256"
    assert cli.run([*arguments, "--json", str(out), "--update"]) == 0
    both = results.read(out)
    assert [m.name for m in both.measurements] == ["inference/book/1", "inference/book/256"]
    assert both.measurements[0] == measured
    assert sum(verdict.measurement in NAMES for verdict in both.verdicts) >= 2


def test_when_ours_is_wrong_the_status_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("minicnn.bench.run.disagreement", lambda answers, expected, tolerances: "y differs")
    assert (
        cli.run(["bench", "--quick", "--only", "inference/book/1", "--peers", REFERENCE, "--threads", "1"])
        == 1
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "train"], "--only must name a measurement"),
        (["--quick", "--only", "train_step/vgg_blocks"], "--only must name a measurement"),
        (["--peers", "mxnet"], "--peers must be among minicnn"),
        (["--threads", "0"], "--threads"),
        (["--threads", "1000"], "--threads must be at most"),
        (["--json", "FOLDER"], "--json must be a file"),
        (["--update"], "--update must come with --json"),
        (["--json", "FOLDER/no/such.json"], "must exist"),
        (["--pictures", "FILE/pictures"], "FILE"),
        (["--compare", "FILE", "FILE"], "must be a file that `minicnn bench --json` has written"),
        (["--model", "no_such.py:function"], "no file no_such.py"),
    ],
)
def test_bad_options_are_one_line_and_status_2(tmp_path, capsys, arguments, message):
    (tmp_path / "FILE").write_text(json.dumps({}))
    spelt = [a.replace("FOLDER", str(tmp_path)).replace("FILE", str(tmp_path / "FILE")) for a in arguments]
    assert cli.run(["bench", *spelt]) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and message in errors


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write everywhere
    assert cli.run(["bench", "--json", str(tmp_path / "out.json")]) == 2
    assert "can't be written" in capsys.readouterr().err
