"""The verification kit: finds the bug in anybody's implementation of a convolutional net's layers.

    from minicnn.testing import check_conv2d
    print(check_conv2d(my_conv2d))

It needs NumPy and Hypothesis and nothing else of this package.

``strategies`` draw geometries and arrays, ``oracles`` are brute-force answers, ``tolerances`` derive what
rounding may cost, and each ``check_*`` runs a set of named properties and returns a ``Report``.
``verify.run`` does it for a framework by name, ``parametrize_with_checks`` for pytest.
"""

from minicnn.testing import oracles, strategies, tolerances
from minicnn.testing.checks import (
    CHECKS,
    ModelUnderTest,
    check_activation,
    check_average_pooling2d,
    check_conv2d,
    check_crossentropy,
    check_dense,
    check_flatten,
    check_max_pooling2d,
    check_model,
    check_optimizer,
    check_softmax,
)
from minicnn.testing.plugin import parametrize_with_checks
from minicnn.testing.report import Failure, PropertyResult, Report
from minicnn.testing.target import Target

__all__ = [
    "CHECKS",
    "Failure",
    "ModelUnderTest",
    "PropertyResult",
    "Report",
    "Target",
    "check_activation",
    "check_average_pooling2d",
    "check_conv2d",
    "check_crossentropy",
    "check_dense",
    "check_flatten",
    "check_max_pooling2d",
    "check_model",
    "check_optimizer",
    "check_softmax",
    "oracles",
    "parametrize_with_checks",
    "strategies",
    "tolerances",
]
