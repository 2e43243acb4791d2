"""SciPy: ``signal.correlate2d`` by the definition, ``signal.fftconvolve`` through FFT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special
from scipy.signal import correlate2d, fftconvolve

from minicnn.testing.target import Target

Array = np.ndarray[Any, Any]
VALID = "SciPy's mode='same' centres even kernels the other way; only 'valid' is checked"


def _conv(one: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    def forward(x: Array, kernel: Array, bias: Array | None = None) -> Array:
        if kernel.shape[2] != x.shape[3] or kernel.shape[0] > x.shape[1] or kernel.shape[1] > x.shape[2]:
            # correlate2d swaps its arguments when the kernel is the larger one
            raise ValueError(f"a kernel of shape {kernel.shape} on images of shape {x.shape}")
        images = []
        for image in x:
            maps = [
                sum(one(image[..., c], kernel[:, :, c, f]) for c in range(x.shape[3]))
                for f in range(kernel.shape[3])
            ]
            images.append(np.stack(maps, axis=-1))
        y = np.stack(images)
        return y if bias is None else y + bias

    return forward


def targets() -> list[Target]:
    """SciPy's targets: forward passes only."""
    direct = _conv(lambda image, kernel: np.asarray(correlate2d(image, kernel, mode="valid")))
    fft = _conv(lambda image, kernel: np.asarray(fftconvolve(image, kernel[::-1, ::-1], mode="valid")))
    hidden = {"no NaN or infinity is hidden": "an FFT spreads one NaN over the whole image"}
    scaling: dict[str, Any] = {"algorithm": "fft", "differences": hidden}
    return [
        Target("scipy correlate2d", "conv2d", direct, notes=(VALID,)),
        Target("scipy fftconvolve", "conv2d", fft, notes=(VALID,), **scaling),
        Target("scipy", "softmax", lambda x: special.softmax(x, axis=-1)),
        Target("scipy expit", "activation", special.expit, parameters={"name": "sigmoid"}),
    ]
