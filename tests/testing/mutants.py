"""The table of planted bugs: each names the property that is expected to catch it.

``MUTANTS`` were written along with the properties.  ``BLIND`` is for bugs written by somebody who has not
read ``minicnn/testing/strategies``, after it was frozen; the first result of each is recorded beside it.
"""

from __future__ import annotations

from tests.testing.planted import conv2d, others, pooling
from tests.testing.planted.mutant import Mutant

MUTANTS: list[Mutant] = [*conv2d.MUTANTS, *pooling.MUTANTS, *others.MUTANTS]
BLIND: list[Mutant] = []
RIGHT = [conv2d.RIGHT, pooling.RIGHT_MAX, pooling.RIGHT_AVERAGE, *others.RIGHT]
