"""Damaged files by the thousand: valid ones of every format, mutated, and loaded in a watched process.

    python -m tests.saving.mutants FORMAT COUNT [SEED]    # drawn by Hypothesis; prints what came of them as JSON
    python -m tests.saving.mutants FORMAT --atheris RUNS  # mutants that coverage of our code leads to

Refused with a ValueError, or loaded: anything else is a finding, and its file is kept; Hypothesis's is the smallest.
"""

import contextlib
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

MAX_SECONDS, MAX_MB = 1, 300
TOKENS = (
    b"\0" * 8,
    b"\xff" * 8,
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
    b"-1",
    b"1e999",
    b"NaN",
    b"[" * 99,
    b'"' * 9,
    b"../",
)


class Format(NamedTuple):
    suffix: str
    valid: bytes
    load: Callable[[Path], Any]


def formats() -> dict[str, Callable[[Path], Format]]:
    """A small valid file of every format, made in the folder given, and what loads it."""
    return {"keras": keras, "weights": weights, "npz": npz, "idx": idx, "png": png, "checkpoint": checkpoint,
            "onnx": onnx}  # fmt: skip


def net() -> Any:
    from minicnn import Input, layers, models

    stack = [Input((4, 4, 1)), layers.Conv2D(1, 2, activation="relu"), layers.Flatten(), layers.Dense(2)]
    model = models.Sequential(stack)
    model.compile("sgd", "mse")
    return model


def keras(folder: Path) -> Format:
    from minicnn import models

    net().save(folder / "m.keras")
    return Format(".keras", (folder / "m.keras").read_bytes(), models.load_model)


def weights(folder: Path) -> Format:
    """Without our digest, which would refuse nearly every mutant."""
    from minicnn.saving.hdf5 import USER_BLOCK_NBYTES

    model = net()
    model.save_weights(folder / "m.weights.h5")
    content = (folder / "m.weights.h5").read_bytes()
    valid = bytes(USER_BLOCK_NBYTES) + content[USER_BLOCK_NBYTES:]
    return Format(".weights.h5", valid, model.load_weights)


def checkpoint(folder: Path) -> Format:
    import numpy as np

    from minicnn.saving.checkpoint import read_checkpoint, write_checkpoint

    path = folder / "m.checkpoint"
    write_checkpoint(
        path, {"identity": {"a": [1, 2.5, None]}, "weights": [np.arange(6.0).reshape(2, 3), np.int64(3)]}
    )
    return Format(".checkpoint", path.read_bytes(), read_checkpoint)


def onnx(folder: Path) -> Format:
    """Which is only looked at."""
    from minicnn.saving.inspection import inspect_file

    net().export(folder / "m.onnx")
    return Format(".onnx", (folder / "m.onnx").read_bytes(), inspect_file)


def npz(folder: Path) -> Format:
    import numpy as np

    from minicnn.datasets import mnist

    images, labels = np.arange(784 * 2, dtype=np.uint8).reshape(2, 28, 28), np.array([1, 2], np.uint8)
    arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    np.savez_compressed(folder / "d.npz", **arrays)
    return Format(".npz", (folder / "d.npz").read_bytes(), mnist.load_data)


def idx(folder: Path) -> Format:
    from minicnn.datasets.idx import read_idx

    return Format(
        "",
        bytes.fromhex("00000803 00000002 00000004 00000004") + bytes(range(32)),
        lambda path: read_idx(path, 3),
    )


def png(folder: Path) -> Format:
    import numpy as np
    from PIL import Image

    from minicnn.digits import read_digit

    picture = np.zeros((20, 16), np.uint8)
    picture[4:16, 7:9] = 255
    Image.fromarray(picture).save(folder / "d.png")
    return Format(".png", (folder / "d.png").read_bytes(), read_digit)


def mutate(content: bytes, rng: random.Random) -> bytes:
    """One to eight changes: bits, bytes, numbers, pieces left out, doubled or put elsewhere, an end cut off."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4, 8])):
        start = rng.randrange(len(changed) or 1)
        end = start + rng.choice([1, 4, 16, 64])
        kind = rng.randrange(8)
        if kind == 0 and changed:
            changed[start] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[start : start + 1] = rng.randbytes(1)
        elif kind == 2:
            token = rng.choice(TOKENS)
            changed[start : start + len(token)] = token
        elif kind == 3:
            changed[start:start] = rng.choice(TOKENS)
        elif kind == 4:
            del changed[start:end]
        elif kind == 5:
            changed[start:start] = changed[start:end]
        elif kind == 6:
            other = rng.randrange(len(changed) or 1)
            changed[start:end] = changed[other : other + end - start]
        elif rng.random() < 0.2:
            del changed[start:]
    return bytes(changed)


def sealed(kind: str, content: bytes, rng: random.Random) -> bytes:
    """A mutant; half of the archives are mutated inside their members, so that their checksums are right."""
    if kind not in ("keras", "checkpoint") or rng.random() < 0.5:
        return mutate(content, rng)
    from minicnn.saving.archive import OPTIONAL, REQUIRED, parse_archive, write_archive

    members = parse_archive(content, (), {*REQUIRED, *OPTIONAL, "checkpoint.json", "arrays.bin"})
    name = rng.choice(sorted(members))
    return write_archive(members | {name: mutate(members[name], rng)})


class Trial:
    """Loads mutants of one format and remembers what must not happen."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.format = kind, formats()[kind](folder)
        self.path = folder / f"mutant{self.format.suffix}"
        self.counts = {"refused": 0, "loaded": 0}
        self.slowest = 0.0
        self.findings: list[str] = []
        self.format.load(self._write(self.format.valid))  # what is imported once
        self.base_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def _write(self, content: bytes) -> Path:
        self.path.write_bytes(content)
        return self.path

    def run(self, content: bytes) -> None:
        path = self._write(content)
        start = time.process_time()
        signal.alarm(30)
        try:
            self.format.load(path)
            self.counts["loaded"] += 1
        except ValueError:
            self.counts["refused"] += 1
        except BaseException as error:
            self._find(f"{type(error).__name__}: {error}", content)
        signal.alarm(0)
        seconds = time.process_time() - start
        self.slowest = max(self.slowest, seconds)
        if seconds > MAX_SECONDS:
            self._find(f"{seconds:.1f} s", content)

    def _find(self, what: str, content: bytes) -> None:
        kept = Path(tempfile.gettempdir()) / f"mutant-{self.kind}{self.format.suffix}"
        kept.write_bytes(content)
        self.findings = [f"{what[:200]} ({kept})"]

    def result(self) -> dict[str, Any]:
        mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - self.base_mb
        if mb > MAX_MB:
            self.findings.append(f"{mb:.0f} MB")
        return self.counts | {"seconds": round(self.slowest, 3), "mb": round(mb), "findings": self.findings}


def too_long(*arguments: Any) -> None:
    raise TimeoutError("longer than 30 s")


def main() -> None:
    kind, count, *rest = sys.argv[1:]
    warnings.simplefilter("ignore")  # NaN weights
    signal.signal(signal.SIGALRM, too_long)
    with tempfile.TemporaryDirectory() as folder:
        if count == "--atheris":
            explore(kind, Path(folder), int(rest[0]))
            return
        trial = Trial(kind, Path(folder))
        draw(trial, int(count), int(rest[0]) if rest else 0)
        print(json.dumps(trial.result()))


def draw(trial: Trial, count: int, seed: int) -> None:
    """Try ``count`` mutants that Hypothesis draws, and the smaller ones that it makes of the first that is a finding.

    A thousand at a time: what Hypothesis remembers of its draws would count as the loader's memory.
    """
    for start in range(0, count, 1_000):

        @hypothesis.seed(f"{trial.kind} {seed} {start}")
        @settings(
            max_examples=min(1_000, count - start),
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(st.randoms(use_true_random=False))
        def one(rng: random.Random) -> None:
            trial.findings = []
            trial.run(sealed(trial.kind, trial.format.valid, rng))
            assert not trial.findings

        with contextlib.suppress(AssertionError, hypothesis.errors.Flaky):
            one()
        if trial.findings:
            return


def explore(kind: str, folder: Path, runs: int) -> None:
    """Let libFuzzer look for new branches of our readers; it begins with the valid file, and any finding ends it."""
    import atheris

    with atheris.instrument_imports(
        include=["minicnn.saving", "minicnn.datasets", "minicnn.digits", "minicnn.registry"]
    ):
        trial = Trial(kind, folder)
    corpus = folder / "corpus"
    corpus.mkdir()
    (corpus / "valid").write_bytes(trial.format.valid)

    def one(data: bytes) -> None:
        trial.run(data)
        if trial.findings:
            print(json.dumps(trial.result()), flush=True)
            os._exit(1)
        if sum(trial.counts.values()) >= runs:
            print(json.dumps(trial.result()), flush=True)
            os._exit(0)

    atheris.Setup([sys.argv[0], f"-runs={2 * runs}", "-verbosity=0", str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
