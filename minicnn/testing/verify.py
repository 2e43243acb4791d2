"""Verifying a target by name: what ``minicnn verify`` runs."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn.testing.adapters import load
from minicnn.testing.checks import CHECKS
from minicnn.testing.plugin import PROPERTIES
from minicnn.testing.report import DIFFERS, PropertyResult, Report
from minicnn.testing.runner import EXAMPLES
from minicnn.testing.target import Target

if TYPE_CHECKING:
    from rich.console import Group

Progress = Callable[[Report, PropertyResult], None]

PACKAGES: dict[str, tuple[str, ...]] = {
    "keras": ("keras", "tensorflow"),
    "torch": ("torch",),
    "jax": ("jax",),
    "onnxruntime": ("onnxruntime", "onnx"),
    "scipy": ("scipy",),
    "minicnn:numba": ("numba",),
}
"""What to install for a target."""


@dataclass
class Verification:
    """The reports of all of a target's ops."""

    target: str
    reports: list[Report] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything holds, documented differences apart."""
        return bool(self.reports) and all(report.ok for report in self.reports)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "target": self.target,
            "ok": self.ok,
            "reports": [json.loads(r.to_json()) for r in self.reports],
        }

    def to_json(self) -> str:
        """The reports as JSON."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False)

    def to_html(self) -> str:
        """The reports as one page, with the failures drawn."""
        from minicnn.testing.html import as_html

        page: str = as_html(self.target, self.reports)
        return page

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.reports))

    def __rich__(self) -> Group:
        from rich.console import Group as RichGroup

        from minicnn.testing.render import as_renderable

        return RichGroup(*(as_renderable(report) for report in self.reports))


def run(
    target: str,
    op: str | None = None,
    *,
    examples: int = EXAMPLES,
    seed: int = 0,
    properties: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Runs the checks of one op, or of all that the target has.

    ``target`` is a name that ``adapters.load`` knows or ``FILE.py:function``; ``op`` is as ``plan`` takes it.
    ``progress`` is called with the report so far and each result.  Raises what ``plan`` raises.
    """
    verification = Verification(target)
    for one, names in plan(target, op, properties):
        so_far = Report(one.name, one.op, seed, examples)
        tell = None if progress is None else _teller(progress, so_far)
        report = check(target, one, names, examples=examples, seed=seed, progress=tell)
        verification.reports.append(report)
    return verification


def plan(
    target: str, op: str | None = None, properties: Sequence[str] | None = None
) -> list[tuple[Target, list[str]]]:
    """What there is to run: each op of the target with the names of its properties.

    ``op`` may carry what it needs to know after a colon: ``activation:relu``, ``optimizer:adam``,
    ``crossentropy:sparse``, and ``crossentropy:sparse:from_logits``.  A function from a file is a ``conv2d``
    unless ``op`` says otherwise.  Raises ValueError for an unknown target, op or property, FileNotFoundError,
    ImportError if the framework is missing.
    """
    chosen = _load(target, op)
    known = {name for one in chosen for name in _names(one)}
    unknown = [name for name in properties or () if name not in known]
    if unknown:
        listed = "; ".join(dict.fromkeys(name for one in chosen for name in _names(one)))
        raise ValueError(f"Properties must be among: {listed}. Received: {'; '.join(unknown)}")
    wanted = known if properties is None else set(properties)
    pairs = [(one, [name for name in _names(one) if name in wanted]) for one in chosen]
    return [(one, names) for one, names in pairs if names]


def check(
    target: str,
    one: Target,
    names: Sequence[str],
    *,
    examples: int = EXAMPLES,
    seed: int = 0,
    progress: Callable[[PropertyResult], None] | None = None,
) -> Report:
    """Runs the named properties of one op; its failures say which command line runs them again."""
    options: dict[str, Any] = {"examples": examples, "seed": seed, "properties": names, "progress": progress}
    report = CHECKS[one.op](one, **options)
    report.notes += [
        f"declared to differ in “{name}”, which didn't show in these examples: {reason}"
        for name, reason in one.differences.items()
        if name in names and report[name].verdict != DIFFERS
    ]
    for result in report.results:
        if result.failure is not None:
            result.failure.reproduce = command(target, _spelt(one), result.name, report)
    return report


def command(target: str, op: str, name: str, report: Report) -> str:
    """The command line that runs one property again."""
    words = ["minicnn", "verify", "--target", target, "--op", op, "--property", name]
    return " ".join(map(_quoted, [*words, "--seed", str(report.seed), "--examples", str(report.examples)]))


def _quoted(word: str) -> str:
    """``shlex.quote``, but readable around an apostrophe."""
    return f'"{word}"' if "'" in word and not set('"$`\\!') & set(word) else shlex.quote(word)


def write(
    verification: Verification,
    *,
    html: str | os.PathLike[str] | None = None,
    json_path: str | os.PathLike[str] | None = None,
) -> None:
    """Writes the reports to files, each whole or not at all.  Raises OSError."""
    if html is not None:
        _write_file(Path(html), verification.to_html())
    if json_path is not None:
        _write_file(Path(json_path), verification.to_json() + "\n")


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raises OSError if a file can't be written there: to be asked before the work, not after it."""
    file = Path(path)
    if file.is_dir():
        raise IsADirectoryError(f"{file} must be a file. It is a folder.")
    if not file.parent.is_dir():
        raise FileNotFoundError(f"The folder of {file} must exist. There is no {file.parent}.")
    if not os.access(file.parent, os.W_OK):
        raise PermissionError(f"The folder {file.parent} can't be written.")


def _write_file(target: Path, content: str) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(content, encoding="utf-8")
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _load(target: str, op: str | None) -> list[Target]:
    """The targets of an op, spelt with or without what follows a colon."""
    needed = PACKAGES.get(target, ())
    install = f"pip install {' '.join(needed)}"
    if target == "minicnn:numba" and find_spec("numba") is None:
        raise ImportError(f"The target {target} needs numba, which isn't installed: {install}")
    try:
        targets = load(target, op if ".py:" in target else None)
    except ImportError as error:
        missing = error.name.partition(".")[0] if error.name else ""
        what = f"{missing}, which isn't installed" if missing and find_spec(missing) is None else str(error)
        raise ImportError(f"The target {target} needs {what}: {install}", name=error.name) from error
    chosen = [one for one in targets if op is None or f"{_spelt(one)}:".startswith(f"{op}:")]
    if not chosen:
        ops = ", ".join(dict.fromkeys(map(_spelt, targets)))
        raise ValueError(f"{target} has targets for {ops}. Received: op={op!r}")
    return chosen


def _spelt(one: Target) -> str:
    """The target's op with what it needs to know: ``activation:relu``."""
    detail = one.parameters.get("name") or one.parameters.get("kind")
    parts = [one.op, *([detail] if detail else [])]
    return ":".join([*parts, *(["from_logits"] if one.parameters.get("from_logits") else [])])


def _names(one: Target) -> list[str]:
    return [prop.name for prop in PROPERTIES[one.op]]


def _teller(progress: Progress, so_far: Report) -> Callable[[PropertyResult], None]:
    def tell(result: PropertyResult) -> None:
        so_far.results.append(result)
        progress(so_far, result)

    return tell
