"""The checks: each takes an implementation and returns a Report on a set of named properties."""

from collections.abc import Callable

from minicnn.testing.checks.activation import check_activation, check_softmax
from minicnn.testing.checks.conv2d import check_conv2d
from minicnn.testing.checks.crossentropy import check_crossentropy
from minicnn.testing.checks.dense import check_dense, check_flatten
from minicnn.testing.checks.model import ModelUnderTest, check_model
from minicnn.testing.checks.optimizer import check_optimizer
from minicnn.testing.checks.pooling import check_average_pooling2d, check_max_pooling2d
from minicnn.testing.report import Report

CHECKS: dict[str, Callable[..., Report]] = {
    "conv2d": check_conv2d,
    "max_pooling2d": check_max_pooling2d,
    "average_pooling2d": check_average_pooling2d,
    "dense": check_dense,
    "flatten": check_flatten,
    "activation": check_activation,
    "softmax": check_softmax,
    "crossentropy": check_crossentropy,
    "optimizer": check_optimizer,
    "model": check_model,
}
"""Op → its check."""

__all__ = [
    "CHECKS",
    "ModelUnderTest",
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
]
