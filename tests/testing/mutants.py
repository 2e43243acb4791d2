"""The table of planted bugs: each names the property that is expected to catch it.

``MUTANTS`` were written along with the properties.  ``BLIND`` were written without having read the strategies,
the checks or the other bugs; what the kit made of each at first sight stays in ``planted/blind_first.json``.
"""

from __future__ import annotations

from tests.testing.planted import blind, conv2d, models, others, pooling, rest, rest_images
from tests.testing.planted.mutant import Mutant

MUTANTS: list[Mutant] = [
    *conv2d.MUTANTS,
    *pooling.MUTANTS,
    *others.MUTANTS,
    *models.MUTANTS,
    *rest_images.MUTANTS,
    *rest.MUTANTS,
]
BLIND: list[Mutant] = blind.BLIND
RIGHT = [conv2d.RIGHT, pooling.RIGHT_MAX, pooling.RIGHT_AVERAGE, *others.RIGHT, models.RIGHT]
