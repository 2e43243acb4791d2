"""Running properties: Hypothesis generates and shrinks, this counts, catches and records."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import strategies as st

from minicnn.testing.compare import Mismatch
from minicnn.testing.report import (
    DIFFERS,
    FAILS,
    HOLDS,
    NOT_RUN,
    Failure,
    PropertyResult,
    Report,
    environment,
)
from minicnn.testing.shrinking import array_names, simplify
from minicnn.testing.target import Target, defaulted

EXAMPLES = 200
"""The default number of examples a property, here and on the command line."""


@dataclass(frozen=True)
class Property:
    """One named property.

    ``domain`` says in words what ``inside`` decides for a case; ``cases`` draws inside it by construction.
    ``holds(target, case)`` raises Mismatch, or returns the worst error as a fraction of its bound (or None).
    ``needs`` are options the target must take, "bias", "backward", "subnormals", "kernels of any size",
    "default of" an option, or a dtype's name.  ``explain(target,
    case, mismatch)`` may give terms, and ``patterns`` maps a likely mistake to the result it would give.
    """

    name: str
    domain: str
    cases: Callable[[Target], st.SearchStrategy[Any]]
    holds: Callable[[Target, Any], float | None]
    inside: Callable[[Any], bool] = lambda case: True
    needs: tuple[str, ...] = ()
    terms: Callable[[Target, Any, Mismatch], list[tuple[str, float]]] | None = None
    patterns: dict[str, Callable[[Target, Any, str], Any]] = field(default_factory=dict)

    def missing(self, target: Target) -> list[str]:
        """What the target lacks for this property to be run."""
        have = set(target.options)
        have |= {"backward"} if target.backward is not None else set()
        have |= {"bias"} if target.bias else set()
        have |= set() if target.flush_to_zero else {"subnormals"}
        have |= set() if target.kernel_sizes else {"kernels of any size"}
        have |= {np.dtype(dtype).name for dtype in target.dtypes}
        have |= {f"default of {name}" for name in defaulted(target.forward, sorted(target.options))}
        return [name for name in self.needs if name not in have]


class _Record:
    """What happened while a property ran."""

    def __init__(self) -> None:
        self.examples = 0
        self.worst: float | None = None
        self.first: int | None = None
        self.failing: list[tuple[Any, Mismatch]] = []

    def fail(self, case: Any, mismatch: Mismatch) -> None:
        if self.first is None:
            self.first = self.examples
        # the first few tell likely mistakes apart, the last one is the smallest
        self.failing = [*self.failing[:7], (case, mismatch)]


def evaluate(prop: Property, target: Target, case: Any) -> float | None:
    """Runs one case; whatever the target raises becomes a Mismatch."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return prop.holds(target, case)
    except Mismatch:
        raise
    except Exception as error:
        raise Mismatch(f"raised {type(error).__name__}: {error}", raised=True) from error


def run_property(
    prop: Property, target: Target, *, examples: int = EXAMPLES, seed: int = 0, shrink: bool = True
) -> PropertyResult:
    """Runs one property on one target."""
    result = PropertyResult(prop.name, prop.domain, NOT_RUN)
    missing = prop.missing(target)
    if missing:
        result.note = f"needs {', '.join(missing)}"
        return result
    record = _Record()

    def one(case: Any) -> None:
        if not prop.inside(case):
            raise RuntimeError(f"A case outside the domain of “{prop.name}” was drawn: {case}")
        record.examples += 1
        try:
            worst = evaluate(prop, target, case)
        except Mismatch as mismatch:
            record.fail(case, mismatch)
            raise
        if worst is not None:
            record.worst = max(worst, record.worst or 0.0)

    flaky = _drive(one, prop.cases(target), examples, seed, shrink)
    result.examples, result.worst = record.examples, record.worst
    if not record.failing:
        result.verdict = HOLDS
        return result
    result.verdict, result.examples = FAILS, record.first or 0
    if prop.name in target.differences and not any(m.raised for _, m in record.failing):
        result.verdict, result.note = DIFFERS, target.differences[prop.name]
    result.failure = _describe(prop, target, record, seed, examples, shrink)
    if flaky:
        result.failure.diagnosis.append(
            "the same input fails once and holds once: the result depends on earlier calls (a stale buffer?)"
        )
    return result


def _drive(
    one: Callable[[Any], None], cases: st.SearchStrategy[Any], examples: int, seed: int, shrink: bool
) -> bool:
    """Lets Hypothesis run the test; returns whether it found the outcome to be unrepeatable."""
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    quiet = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=phases,
        verbosity=Verbosity.quiet,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        derandomize=False,
    )
    test = hypothesis.seed(seed)(quiet(hypothesis.given(cases)(one)))
    try:
        test()
    except Mismatch:
        return False
    except (hypothesis.errors.Flaky, BaseExceptionGroup):
        return True
    return False


def _describe(
    prop: Property, target: Target, record: _Record, seed: int, examples: int, shrink: bool
) -> Failure:
    case, mismatch = record.failing[-1]
    if shrink:
        case, mismatch = _simplified(prop, target, case, mismatch)
    failure = Failure(mismatch.message, label=mismatch.label, index=mismatch.index)
    geometry = getattr(case, "geometry", None)
    failure.geometry = geometry.to_dict() if geometry is not None else {}
    for name in array_names(case):
        if name == "dy" and "backward" not in prop.needs:
            continue
        failure.arrays[name] = getattr(case, name).tolist()
        failure.dtypes[name] = str(getattr(case, name).dtype)
    failure.got = None if mismatch.got is None else np.asarray(mismatch.got).tolist()
    failure.expected = None if mismatch.expected is None else np.asarray(mismatch.expected).tolist()
    if prop.terms is not None and mismatch.index is not None:
        failure.terms = prop.terms(target, case, mismatch)
    failure.diagnosis = _diagnose(prop, target, [*record.failing, (case, mismatch)])
    failure.reproduce = (
        f"check_{target.op}({target.name.split(':')[-1]}, properties=[{prop.name!r}], "
        f"seed={seed}, examples={examples})"
    )
    return failure


def _simplified(prop: Property, target: Target, case: Any, mismatch: Mismatch) -> tuple[Any, Mismatch]:
    last = [mismatch]

    def fails(candidate: Any) -> bool:
        if not prop.inside(candidate):
            return False
        try:
            evaluate(prop, target, candidate)
        except Mismatch as again:
            if (again.label, again.got is None) == (mismatch.label, mismatch.got is None):
                last[0] = again
                return True
        return False

    simpler = simplify(case, array_names(case), fails)
    return simpler, last[0]


def _diagnose(prop: Property, target: Target, failing: Sequence[tuple[Any, Mismatch]]) -> list[str]:
    """The mistakes that explain every recorded failure to the last bit of the comparison."""
    out = []
    for text, imitate in prop.patterns.items():
        verdicts = [_imitates(imitate, target, case, mismatch) for case, mismatch in failing]
        if all(v is not False for v in verdicts) and any(verdicts):
            out.append(text)
    return out


def _imitates(imitate: Any, target: Target, case: Any, mismatch: Mismatch) -> bool | None:
    """Whether the mistake gives what the target gave; None where it has nothing to say."""
    if mismatch.got is None:
        return None
    try:
        with np.errstate(all="ignore"):
            wrong = imitate(target, case, mismatch.label)
    except Exception:
        return False
    if wrong is None:
        return None
    wrong, got = np.asarray(wrong), np.asarray(mismatch.got)
    if wrong.shape != got.shape:
        return False
    scale = float(np.max(np.abs(wrong), initial=0.0))
    # a diagnosis is a hint: 2^-12 of the largest element tells mistakes apart and forgives rounding
    return bool(np.allclose(wrong, got, rtol=0, atol=2.0**-12 * scale, equal_nan=True))


def run_properties(
    properties: Iterable[Property],
    target: Target,
    *,
    examples: int = EXAMPLES,
    seed: int = 0,
    only: Sequence[str] | None = None,
    shrink: bool = True,
    stop_at_first: bool = False,
    progress: Callable[[PropertyResult], None] | None = None,
) -> Report:
    """Runs the properties, all or the named ones, and gathers the report.

    ``progress`` is called with each result as it comes.  Raises ValueError for an unknown name in ``only``.
    """
    chosen = list(properties)
    unknown = set(only or ()) - {p.name for p in chosen}
    if unknown:
        known = "; ".join(p.name for p in chosen)
        raise ValueError(f"`properties` must be names among: {known}. Received: {sorted(unknown)}")
    report = Report(target.name, target.op, seed, examples, versions=environment())
    report.notes = [*target.narrowed(), *target.notes]
    for prop in chosen:
        if only is not None and prop.name not in only:
            continue
        result = run_property(prop, target, examples=examples, seed=seed, shrink=shrink)
        report.results.append(result)
        if progress is not None:
            progress(result)
        if stop_at_first and result.verdict == FAILS:
            break
    return report


__all__ = ["EXAMPLES", "Property", "evaluate", "run_properties", "run_property"]
