"""ReLU. Contract: reference.activations. Arrays are C-contiguous, of any shape, float32 or float64."""

import numpy as np

from minicnn.kernels._jit import kernel


@kernel
def relu_forward(x: np.ndarray, y: np.ndarray) -> None:
    """y, overwritten = max(x, 0); NaN stays NaN. y may be x."""
    source, target = x.reshape(-1), y.reshape(-1)
    for k in range(source.size):
        value = source[k]
        target[k] = x.dtype.type(0) if value <= 0 else value


@kernel
def relu_backward(dy: np.ndarray, y: np.ndarray, dx: np.ndarray) -> None:
    """dx, overwritten = dy where y > 0, else 0. dx may be dy."""
    gradient, output, target = dy.reshape(-1), y.reshape(-1), dx.reshape(-1)
    for k in range(target.size):
        value = gradient[k]  # read in any case, so that the loop has no branch
        target[k] = value if output[k] > 0 else dy.dtype.type(0)
