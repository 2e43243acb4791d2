"""The table of planted bugs: each names the property that is expected to catch it.

``MUTANTS`` were written along with the properties.  ``BLIND`` were written without having read the strategies,
the checks or the other bugs; what the kit made of each at first sight stays in ``planted/blind_first.json``.
``MISSED`` are those that no property catches today, ``UNSURE`` those that some seeds miss, each with the reason.
"""

from __future__ import annotations

from tests.testing.planted import blind, conv2d, others, pooling
from tests.testing.planted.mutant import Mutant

MUTANTS: list[Mutant] = [*conv2d.MUTANTS, *pooling.MUTANTS, *others.MUTANTS]
BLIND: list[Mutant] = blind.BLIND
MISSED: dict[str, str] = {
    "channels after the last full pack of eight are dropped": "a group has at most three channels",
    "the winner's place is a signed byte": "a window has at most 16 pixels",
    "strides not given are the pool's height": "strides are always given",
    "inputs of zero are skipped": "NaN and infinities are drawn in x, never in the kernel",
    "soft labels are taken for their likeliest class": "labels are one-hot",
    "elu by exp(x) - 1": "the tolerance takes exp(x) - 1 for a legitimate formula, whose error is absolute",
}
UNSURE: dict[str, str] = {
    "the shift is never negative": "a whole row of logits far enough below zero is rarely drawn",
}
RIGHT = [conv2d.RIGHT, pooling.RIGHT_MAX, pooling.RIGHT_AVERAGE, *others.RIGHT]
