"""An explanation in words and tables: what a terminal and a notebook show in their own ways."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import singledispatch
from typing import TYPE_CHECKING

import numpy as np

from minicnn.study.explaining.steps import Choice, Copy, Curve, Difference, Mean, Share, Step, Sum

if TYPE_CHECKING:
    from minicnn.study.explaining.explain import Explanation

MOST_GROUPS = 64
"""A table of more taps than this says nothing."""

NAMES = {"row": "row", "column": "col"}


@dataclass
class Section:
    title: str
    lines: list[str] = field(default_factory=list)
    columns: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = field(default_factory=list)
    marked: set[int] = field(default_factory=set)
    """Rows that stand out."""
    result: str = ""


def sections(e: Explanation, terms: int | None) -> list[Section]:
    """One section or two for each step, then one for each pool window that the element goes into."""
    found = [section for step in e.steps for section in describe(step, e.dtype, terms)]
    for step in e.after:
        for section in describe(step, e.dtype, terms):
            section.title = f"then {section.title}"
            if isinstance(step, Choice) and step.winner is not None:
                mine = tuple(step.pixels[step.winner].tolist()) == e.index[1:3]
                section.result += "; it is this one" if mine else "; it isn't this one"
            found.append(section)
    return found


def intro(e: Explanation) -> str:
    """'conv2d_1: y[0, 3, 4, 7] = 0.25, of shape (1, 11, 11, 64), float32'."""
    return f"{e.title} = {exact(e.stored)}, of shape {e.shape}, {e.dtype}"


@singledispatch
def describe(step: Step, dtype: str, terms: int | None) -> list[Section]:
    raise TypeError(f"A step of an explanation is needed. Received a {type(step).__name__}.")


@describe.register
def _(step: Sum, dtype: str, terms: int | None) -> list[Section]:
    found = []
    shown, title = _shown(step, terms), f"{step.op}: {_formula(step)}"
    groups = step.group_sums
    if len(shown) < len(step.first) and 1 < len(groups) <= MOST_GROUPS and len(groups) < len(step.first):
        found.append(_tap_section(step, groups, title))
        title = f"the {len(shown)} largest of the {len(step.first)} terms"
    elif len(shown) < len(step.first):
        title += f", the {len(shown)} largest of {len(step.first)} terms"
    section = Section(title)
    section.columns = tuple(NAMES.get(name, name) for name in step.indices) + _factor_names(step)
    for t in shown:
        place = [str(int(index[t])) for index in step.indices.values()]
        if step.is_inside is not None and not step.is_inside[t]:
            section.marked.add(len(section.rows))
        numbers = [step.first[t], *([step.second[t], step.terms[t]] if step.second is not None else [])]
        section.rows.append((*place, *map(short, map(float, numbers))))
    if step.is_inside is not None and not step.is_inside.all():
        outside = int((~step.is_inside).sum())
        section.lines.append(f"{outside} of {len(step.first)} terms lie in the padding, which is 0.")
    section.result = _total(step, dtype)
    return [*found, section]


def _shown(step: Sum, terms: int | None) -> np.ndarray:
    """Positions of the terms to show: all in order if they are few, else the largest, largest first."""
    if terms is None or len(step.first) <= max(terms, 1):
        return np.arange(len(step.first))
    return np.argsort(-np.abs(step.terms), kind="stable")[:terms]


def _tap_section(step: Sum, groups: np.ndarray, title: str) -> Section:
    """One row a tap: the terms of its channels or filters added."""
    names = [name for name in step.indices if name not in ("c", "f")]
    count = len(step.first) // len(groups)
    over = "filters" if "f" in step.indices else "channels"
    section = Section(title, columns=(*(NAMES.get(n, n) for n in names), f"sum over {count} {over}"))
    for t, total in zip(step.starts, groups, strict=True):
        if step.is_inside is not None and not step.is_inside[t]:
            section.marked.add(len(section.rows))
        section.rows.append((*(str(int(step.indices[n][t])) for n in names), short(total)))
    return section


def _factor_names(step: Sum) -> tuple[str, ...]:
    if step.second is None:
        return (step.factors[0],)
    sign = "÷" if step.divides else "·"
    return (*step.factors, f"{step.factors[0]}{sign}{step.factors[1]}")


def _formula(step: Sum) -> str:
    text = "Σ " + _factor_names(step)[-1]
    if step.divisor is not None:
        text += f" ÷ {step.divisor:g}"
    return text + (" + bias" if step.bias is not None else "")


def _total(step: Sum, dtype: str) -> str:
    parts = [f"Σ = {exact(step.sum)}"]
    if step.divisor is not None:
        parts.append(f"÷ {step.divisor:g} = {exact(step.sum / step.divisor)}")
    if step.bias is not None:
        parts.append(f"+ bias {exact(step.bias)} = {exact(step.value)}")
    error = abs(step.value - step.stored)
    return (
        f"{', '.join(parts)}; stored {exact(step.stored)}, {error:.1e} away, "
        f"rounding allows {step.bound(dtype):.1e}"
    )


@describe.register
def _(step: Copy, dtype: str, terms: int | None) -> list[Section]:
    if step.source is None:
        return [Section(f"{step.op}: padding", result=f"a zero of padding: {exact(step.stored)}")]
    return [
        Section(f"{step.op}: moved, not computed", result=f"[{_join(step.source)}] → [{_join(step.index)}]")
    ]


@describe.register
def _(step: Choice, dtype: str, terms: int | None) -> list[Section]:
    section = Section(f"{step.op}: {step.name}[{_join(step.index)}] = max of its window")
    grid = step.values.size <= MOST_GROUPS
    section.columns = ("p", "q", "row", "col", "x", "") if grid else ()
    best = step.values.max() if not np.isnan(step.values).any() else np.nan
    for p, q in np.ndindex(step.values.shape if grid else (0, 0)):
        wins, value = (p, q) == step.winner, step.values[p, q]
        said = "winner" if wins else "tie" if value == best else "padding" if value == -np.inf else ""
        if wins:
            section.marked.add(len(section.rows))
        section.rows.append(
            (str(p), str(q), *map(str, step.pixels[p, q].tolist()), short(float(value)), said)
        )
    if step.ties > 1:
        share = (
            "share its gradient equally"
            if step.winner is None
            else "the first in row-major order gets its gradient"
        )
        section.lines.append(f"{step.ties} pixels have the maximum: {share}.")
    at = (
        ""
        if step.winner is None
        else f" at row {step.pixels[step.winner][0]}, column {step.pixels[step.winner][1]}"
    )
    section.result = f"the maximum is {exact(step.stored)}{at}"
    return [section]


@describe.register
def _(step: Mean, dtype: str, terms: int | None) -> list[Section]:
    inside = int(np.isfinite(step.values).sum())
    return [
        Section(
            f"{step.op}: {step.name}[{_join(step.index)}] = mean of its window",
            result=f"a share of 1/{inside} of {exact(step.stored)}",
        )
    ]


@describe.register
def _(step: Curve, dtype: str, terms: int | None) -> list[Section]:
    if step.dy is None:
        result = f"f({exact(step.input)}) = {exact(step.stored)}, the slope there is {short(step.derivative)}"
    else:
        result = (
            f"at x = {exact(step.input)} the slope is {short(step.derivative)}: "
            f"dx = {exact(step.dy)} · {short(step.derivative)} = {exact(step.stored)}"
        )
    return [Section(f"{step.op}: {'y = f(x)' if step.dy is None else 'dx = dy·f′(x)'}", result=result)]


@describe.register
def _(step: Share, dtype: str, terms: int | None) -> list[Section]:
    section = Section(f"{step.op}: y = exp(z − max z) ÷ Σ exp(z − max z)")
    section.columns = ("k", "z", "exp(z − max z)", "share")
    whole = step.exponentials.sum()
    for k, (z, e) in enumerate(zip(step.logits, step.exponentials, strict=True)):
        section.rows.append((str(k), short(z), short(e), short(e / whole)))
    section.marked = {step.index[-1]}
    section.result = f"{short(step.exponentials[step.index[-1]])} ÷ {short(whole)} = {exact(step.stored)}"
    return [section]


@describe.register
def _(step: Difference, dtype: str, terms: int | None) -> list[Section]:
    result = (
        f"({exact(step.probability)} − {short(step.target)}) · {short(step.seed)} = {exact(step.stored)}: "
        "probability less target, times the gradient by this sample's loss"
    )
    return [Section(f"{step.op}: dz = (p − t)·seed", result=result)]


def short(value: float) -> str:
    """Six digits; a minus that is one."""
    return f"{float(value) + 0.0:.6g}".replace("-", "−")


def exact(value: float) -> str:
    """Nine digits: those that float32 needs to come back."""
    return f"{float(value) + 0.0:.9g}".replace("-", "−")


def _join(index: tuple[int, ...]) -> str:
    return ", ".join(map(str, index))
