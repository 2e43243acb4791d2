"""``parametrize_with_checks``: one pytest case for each target and property, as scikit-learn has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minicnn.testing.checks import CHECKS
from minicnn.testing.checks.activation import ACTIVATION_PROPERTIES, SOFTMAX_PROPERTIES
from minicnn.testing.checks.conv2d import PROPERTIES as CONV2D
from minicnn.testing.checks.crossentropy import PROPERTIES as CROSSENTROPY
from minicnn.testing.checks.dense import DENSE_PROPERTIES, FLATTEN_PROPERTIES
from minicnn.testing.checks.model import PROPERTIES as MODEL
from minicnn.testing.checks.optimizer import PROPERTIES as OPTIMIZER
from minicnn.testing.checks.pooling import AVERAGE_PROPERTIES, MAX_PROPERTIES
from minicnn.testing.report import NOT_RUN
from minicnn.testing.target import Target

PROPERTIES = {
    "conv2d": CONV2D,
    "max_pooling2d": MAX_PROPERTIES,
    "average_pooling2d": AVERAGE_PROPERTIES,
    "dense": DENSE_PROPERTIES,
    "flatten": FLATTEN_PROPERTIES,
    "activation": ACTIVATION_PROPERTIES,
    "softmax": SOFTMAX_PROPERTIES,
    "crossentropy": CROSSENTROPY,
    "optimizer": OPTIMIZER,
    "model": MODEL,
}
"""Op → its properties."""


def parametrize_with_checks(targets: Sequence[Target], **options: Any) -> Any:
    """A pytest decorator: the test gets ``target`` and ``check``, and calls ``check(target)``.

        @parametrize_with_checks([Target("mine", "conv2d", my_conv2d, options=frozenset({"strides"}))])
        def test_my_layers(target, check):
            check(target)

    ``check`` raises AssertionError with the report if the property fails, and skips if the target lacks what
    the property needs.  ``options`` go to the ``check_*`` function (``examples``, ``seed``, …).  Needs
    pytest.
    """
    import pytest

    cases = [
        pytest.param(
            target, _check(target.op, prop.name, options), id=f"{target.name}-{target.op}-{prop.name}"
        )
        for target in targets
        for prop in PROPERTIES[target.op]
    ]
    return pytest.mark.parametrize(("target", "check"), cases)


def _check(op: str, name: str, options: dict[str, Any]) -> Callable[[Target], None]:
    def check(target: Target) -> None:
        import pytest

        report = CHECKS[op](target, properties=[name], **options)
        if report[name].verdict == NOT_RUN:
            pytest.skip(report[name].note)
        report.raise_if_failed()

    return check
