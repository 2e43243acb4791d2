"""Numbers as a report prints them."""

from collections.abc import Mapping, Sequence

import numpy as np


def percent(share: float) -> str:
    return f"{share:.2%}"


def count(number: float) -> str:
    """1,234,567 as 1.23 million, small numbers in full."""
    return f"{number / 1e6:.2f} million" if number >= 1e6 else f"{number:,.0f}"


def nbytes(number: float) -> str:
    return f"{number / 1024:,.0f} KiB" if number < 1 << 20 else f"{number / (1 << 20):,.1f} MiB"


def span(values: Sequence[int]) -> str:
    """The least and the largest, or the one number that they all are."""
    least, largest = min(values), max(values)
    return f"{least:,}" if least == largest else f"{least:,} to {largest:,}"


def mean_and_range(values: Sequence[float]) -> str:
    """The mean in percent; of several, the least and the largest too."""
    mean = f"{np.mean(values):.2%}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.2%} to {max(values):.2%})"


def best(numbers: Mapping[str, float]) -> str:
    """The name of the largest."""
    return max(numbers, key=numbers.__getitem__)


def apart(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether every value of one lies above every value of the other."""
    return min(a) > max(b) or min(b) > max(a)


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table, its first row the header."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
