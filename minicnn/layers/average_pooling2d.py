"""Average pooling layer."""

from minicnn.engine import ops
from minicnn.layers.pooling2d import Pooling2D


class AveragePooling2D(Pooling2D):
    """Mean of each window; padding doesn't count."""

    op = ops.AveragePool2D
