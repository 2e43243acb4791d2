"""Oracles: every op as the slowest and plainest loop that is surely right, in float64 or exact arithmetic.

They share no code with the rest of the package, nor with the strategies.  Images are NHWC ``(N, H, W, C)``,
kernels ``(P, Q, C // groups, F)``.  ``dtype=np.int64`` (or ``object`` with ``fractions.Fraction`` elements)
makes them exact; the default is float64.  Nothing is validated: they are asked legal questions only.
"""

from minicnn.testing.oracles.activations import (
    ACTIVATIONS,
    activation_backward,
    activation_derivative,
    activation_forward,
    softmax_backward,
    softmax_forward,
)
from minicnn.testing.oracles.convolution import (
    conv2d_backward,
    conv2d_forward,
    conv2d_terms,
    conv_windows,
)
from minicnn.testing.oracles.dense import (
    dense_backward,
    dense_forward,
    flatten_backward,
    flatten_forward,
)
from minicnn.testing.oracles.losses import (
    crossentropy_backward,
    crossentropy_forward,
    mean_squared_error_backward,
    mean_squared_error_forward,
)
from minicnn.testing.oracles.optimizers import OPTIMIZERS, adam, rmsprop, sgd
from minicnn.testing.oracles.pooling import (
    average_pooling2d_backward,
    average_pooling2d_forward,
    global_average_pooling2d_backward,
    global_average_pooling2d_forward,
    global_max_pooling2d_backward,
    global_max_pooling2d_forward,
    max_pooling2d_argmax,
    max_pooling2d_backward,
    max_pooling2d_forward,
    pool_windows,
)

__all__ = [
    "ACTIVATIONS",
    "OPTIMIZERS",
    "activation_backward",
    "activation_derivative",
    "activation_forward",
    "adam",
    "average_pooling2d_backward",
    "average_pooling2d_forward",
    "conv2d_backward",
    "conv2d_forward",
    "conv2d_terms",
    "conv_windows",
    "crossentropy_backward",
    "crossentropy_forward",
    "dense_backward",
    "dense_forward",
    "flatten_backward",
    "flatten_forward",
    "global_average_pooling2d_backward",
    "global_average_pooling2d_forward",
    "global_max_pooling2d_backward",
    "global_max_pooling2d_forward",
    "max_pooling2d_argmax",
    "max_pooling2d_backward",
    "max_pooling2d_forward",
    "mean_squared_error_backward",
    "mean_squared_error_forward",
    "pool_windows",
    "rmsprop",
    "sgd",
    "softmax_backward",
    "softmax_forward",
]
