"""Max pooling layer."""

from minicnn.engine import ops
from minicnn.layers.pooling2d import Pooling2D


class MaxPooling2D(Pooling2D):
    """Maximum of each window; padding counts as −∞, ties go to the first maximum in row-major order."""

    op = ops.MaxPool2D
