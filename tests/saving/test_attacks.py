"""Every attack is refused: a ValueError that names file and reason, and nothing else happens. See attacks.py."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minicnn import models
from tests.saving.attacks import ONNX, attacks, keras, weights

LOADERS = {
    ".keras": ("load_model", "convert", "inspect"),
    ".h5": ("load_model",),
    ".weights.h5": ("load_weights", "inspect"),
    ".onnx": ("inspect",),
    ".npz": ("load_data",),
    ".png": ("read_digit",),
    ".checkpoint": ("read_checkpoint",),
    "config.json": ("deserialize",),
    "run/config.json": ("load_run", "convert_run", "inspect_run"),
}
"""Everything that reads such files."""
LOOKS = ("inspect", "inspect_run")
"""They read no weights and compile nothing, so that some attacks don't reach them."""
MAX_SECONDS, MAX_MB, MAX_MESSAGE = 1, 200, 2_000
ATTACKS = attacks()


def loaders_of(file):
    return LOADERS[max((end for end in LOADERS if file.endswith(end)), key=len)]


def results(folder, wanted):
    """What came of it by (attack, loader), each in a folder of its own, all in one watched process; new files."""
    jobs = []
    for k, (name, loader) in enumerate(wanted):
        attack = ATTACKS[name]
        path = folder / str(k) / attack.file
        path.parent.mkdir(parents=True)
        path.write_bytes(attack.make(str(folder / f"canary{k}")))
        if attack.file == "run/config.json":
            (path.parent / "model.weights.h5").write_bytes(weights())
        jobs.append((str(path), loader))
    before = {path for path in folder.rglob("*")}
    (folder / "jobs").write_text(json.dumps(jobs))
    # Coverage would be watched too, and takes its time.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.saving.watched", str(folder / "jobs")],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert len(lines) == len(wanted), f"{wanted[len(lines)]}: {done.stderr[-2000:]}"
    new = {path for path in folder.rglob("*")} - before - {folder / "jobs"}
    found = [
        json.loads(line) | {"folder": str(Path(path).parent)}
        for line, (path, _) in zip(lines, jobs, strict=True)
    ]
    return dict(zip(wanted, found, strict=True)), new


def problems(attack, loader, result):
    """What isn't as it must be, in words."""
    if not result["is_value_error"]:
        if result["error"] or loader not in LOOKS:
            yield f"ended in {result['error']}: {result['message'][:200]}"
    elif loader not in LOOKS and not re.search(attack.words, result["message"]):
        yield f"says only: {result['message'][:200]}"
    elif attack.file != "config.json" and result["folder"] not in result["message"]:
        yield "doesn't name the file"
    if len(result["message"]) > MAX_MESSAGE:
        yield f"says {len(result['message'])} characters"
    if result["events"]:
        yield f"did {result['events']}"
    if result["seconds"] > MAX_SECONDS or result["mb"] > MAX_MB:
        yield f"took {result['seconds']:.2f} s and {result['mb']:.0f} MB"


def test_attacks_are_refused(tmp_path):
    """By whatever reads such files."""
    found, new = results(
        tmp_path, [(name, loader) for name, attack in ATTACKS.items() for loader in loaders_of(attack.file)]
    )
    wrong = {
        (name, loader): list(problems(ATTACKS[name], loader, result))
        for (name, loader), result in found.items()
    }
    assert {which: what for which, what in wrong.items() if what} == {}
    assert new == set()
    refused = {name for (name, _), result in found.items() if result["is_value_error"]}
    assert {f"{name} [m.onnx]" for name in ONNX} <= refused
    looked_at = [result["is_value_error"] for (_, loader), result in found.items() if loader in LOOKS]
    assert sum(looked_at) > len(looked_at) / 2


def test_the_payloads_are_real_and_the_watch_sees_them(tmp_path):
    """A loader that believes everything fires them all: it fails the test before for every one."""
    armed = [name for name, attack in ATTACKS.items() if attack.fires]
    found, new = results(tmp_path, [(name, "naive") for name in armed])
    unseen = {name: result for name, result in found.items() if not result["events"]}
    assert unseen == {}
    assert len([path for path in new if path.name.startswith("canary")]) > 30


def test_what_the_attacks_change_loads(tmp_path):
    """They differ from it in nothing but the attack."""
    path = tmp_path / "m.keras"
    path.write_bytes(keras())
    assert [layer.name for layer in models.load_model(path).layers] == ["dense"]
    (tmp_path / "m.weights.h5").write_bytes(weights())
    models.load_model(path).load_weights(tmp_path / "m.weights.h5")


def test_safe_mode_stays_on(tmp_path):
    path = tmp_path / "m.keras"
    path.write_bytes(keras())
    with pytest.raises(ValueError, match="`safe_mode`; it must be True"):
        models.load_model(path, safe_mode=False)
