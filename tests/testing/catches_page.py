"""The page about planted bugs, made from its measurements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

Bug = dict[str, Any]

INTRO = """\
# Planted bugs: which property catches which

<!-- Made by `python -m tests.testing.catches` from docs/results/planted_bugs.json. Don't edit. -->

The verification kit is tested by **{bugs} wrong implementations**, each right but for one mistake. Each names
the property that ought to catch it. Here is whether it does, and how soon: {seeds} seeds, at most {examples}
examples a property (the default), nothing simplified.

**{always} of {bugs} are caught with every seed** by the property they name.
{rest}
{blind} of them, marked †, were written *blind*: by somebody who had read neither the strategies nor the
checks nor the other bugs. [What the kit made of them at first sight](#the-blind-bugs-at-first-sight) is below.
"""

EXPLANATION = """\
*Caught by* is the property named; *seeds*, with how many of {seeds} seeds it fails; *examples*, the number of
the first failing one, median and largest over those seeds; *also*, how many other properties fail
within 40 examples of seed 0.
"""

FIRST = """\
## The blind bugs at first sight

{date}, kit of commit `{commit}`, seed {seed}, {examples} examples: **{caught} of {count} caught**. This table is
never brought up to date; the ones above are. What was missed changed the kit: groups of up to 17 channels and windows
of up to 272 pixels are drawn, strides are left out, infinities are put into a dense layer's kernel, and the
properties “soft targets” and “small results keep their digits” are new.

"""

PROPERTIES = """\
## What each property is good for

*Named by*: bugs that name it. *Catches*: bugs that it catches with seed 0, within 40 examples where
they name another. *Alone*: those among them that no other property of the op catches so.

"""

END = """\
Measured on {date} at commit `{commit}` in {minutes:.0f} minutes (Python {python}, NumPy {numpy}, Hypothesis
{hypothesis}). To repeat it:

    python -m tests.testing.catches --seeds {seeds} --json docs/results/planted_bugs.json
    python -m tests.testing.catches --json docs/results/planted_bugs.json --markdown docs/planted_bugs.md
"""


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table whose source is aligned too; a column named with a leading ``>`` is set right."""
    names, right = [c.lstrip(">") for c in columns], [c.startswith(">") for c in columns]
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(3, *(len(row[k]) for row in [names, *cells])) for k in range(len(names))]

    def line(row: Sequence[str]) -> str:
        padded = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)]
        return "| " + " | ".join(padded) + " |\n"

    rule = ["-" * (w - 1) + (":" if r else "-") for w, r in zip(widths, right, strict=True)]
    return line(names) + line(rule) + "".join(map(line, cells)) + "\n"


def numbers(bug: Bug) -> list[int]:
    """Examples until the first failure, of the seeds that catch it."""
    return [n for n in bug["first_failing_example"] if n is not None]


def always(bug: Bug) -> bool:
    """Whether every seed catches it."""
    return len(numbers(bug)) == len(bug["first_failing_example"])


def examples(found: Sequence[float]) -> str:
    """Median and largest, or a dash."""
    return f"{median(found):g} / {max(found):g}" if found else "–"


def row(bug: Bug) -> list[object]:
    """A bug's line in the table of its op."""
    caught, seeds = len(numbers(bug)), len(bug["first_failing_example"])
    name = bug["bug"] + (" †" if bug["blind"] else "")
    share = f"{caught} / {seeds}" if caught == seeds else f"**{caught} / {seeds}**"
    also = len(bug["seed_0"].keys() - {bug["caught_by"]})
    return [name, bug["caught_by"], share, examples(numbers(bug)), also]


def by_op(bugs: Sequence[Bug]) -> dict[str, list[Bug]]:
    """The bugs of each op, in the order of their first appearance."""
    out: dict[str, list[Bug]] = {}
    for bug in bugs:
        out.setdefault(bug["op"], []).append(bug)
    return out


def overview(bugs: Sequence[Bug]) -> str:
    """One line an op."""
    rows: list[list[Any]] = []
    for op, of_op in [*by_op(bugs).items(), ("all", list(bugs))]:
        every = [n for bug in of_op for n in numbers(bug)]
        link = f"[{op}](#{op})" if op != "all" else "**all**"
        rows.append([link, len(of_op), sum(map(always, of_op)), examples(every)])
    return table(["op", ">bugs", ">caught by every seed", ">examples, median / max"], rows)


def properties(bugs: Sequence[Bug]) -> str:
    """For each op, its properties with the bugs they catch, best first."""
    rows: list[list[Any]] = []
    for op, of_op in by_op(bugs).items():
        names = dict.fromkeys(n for bug in of_op for n in [bug["caught_by"], *bug["seed_0"]])
        lines: list[list[Any]] = []
        for name in names:
            catches = [bug["seed_0"] for bug in of_op if name in bug["seed_0"]]
            named = sum(bug["caught_by"] == name for bug in of_op)
            lines.append([op, name, named, len(catches), sum(len(c) == 1 for c in catches)])
        rows += sorted(lines, key=lambda line: (-line[3], line[1]))
    return table(["op", "property", ">named by", ">catches", ">alone"], rows)


def first_sight(first: dict[str, Any]) -> str:
    """The blind bugs' first results."""
    results: dict[str, dict[str, int]] = first["first_failing_example"]
    rows = []
    for name, failed in results.items():
        op, bug = name.split(": ", 1)
        soonest = min(failed.items(), key=lambda item: item[1], default=("**missed**", None))
        rows.append([op, bug, soonest[0], soonest[1] or "–", len(failed)])
    caught = sum(bool(failed) for failed in results.values())
    said = {**first, "commit": first["kit"][:7], "caught": caught, "count": len(results)}
    columns = ["op", "bug", "first caught by", ">example", ">properties that fail"]
    return FIRST.format(**said) + table(columns, rows)


def page(data: dict[str, Any], first: dict[str, Any]) -> str:
    """The page, from the measurements and the blind bugs' first results."""
    bugs, seeds = data["bugs"], data["seeds"]
    some_missed = not all(map(always, bugs))
    text = INTRO.format(
        bugs=len(bugs),
        seeds=seeds,
        examples=data["examples"],
        always=sum(map(always, bugs)),
        rest="Those that some seeds miss stand in bold.\n" if some_missed else "",
        blind=sum(b["blind"] for b in bugs),
    )
    text += "\n" + overview(bugs) + EXPLANATION.format(seeds=seeds) + "\n"
    columns = ["bug", "caught by", ">seeds", ">examples", ">also"]
    text += "".join(f"## {op}\n\n" + table(columns, map(row, of_op)) for op, of_op in by_op(bugs).items())
    text += first_sight(first) + PROPERTIES + properties(bugs)
    said = {**data["versions"], "commit": data["commit"][:7], "minutes": data["elapsed_s"] / 60}
    return text + END.format(**said, date=data["date"], seeds=seeds)
