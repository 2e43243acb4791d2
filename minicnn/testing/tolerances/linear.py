"""Rounding bounds of the linear ops: convolution (direct, Winograd, FFT), dense, pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.testing import oracles
from minicnn.testing.oracles.convolution import ConvGradients
from minicnn.testing.oracles.dense import DenseGradients
from minicnn.testing.tolerances.arithmetic import FLOAT32, Arithmetic

Array = np.ndarray[Any, Any]


def _float64(*arrays: Array | None) -> list[Array]:
    return [np.abs(np.asarray(a, dtype=np.float64)) for a in arrays if a is not None]


def conv2d_magnitude(x: Array, w: Array, b: Array | None = None, **options: Any) -> Array:
    """``Σ|x·w| + |b|`` for every output element: what exact mode and the bound are measured by."""
    return oracles.conv2d_forward(*_float64(x, w, b), **options)


def conv2d_backward_magnitude(dy: Array, x: Array, w: Array, **options: Any) -> ConvGradients:
    """The same for dx, dw, db: Σ|dy·w|, Σ|dy·x|, Σ|dy|."""
    return oracles.conv2d_backward(*_float64(dy, x, w), **options)


def conv2d_bound(
    x: Array, w: Array, b: Array | None = None, *, arithmetic: Arithmetic = FLOAT32, **options: Any
) -> Array:
    """Elementwise bound on the error of a convolution; n = P·Q·C/groups products and one bias."""
    if arithmetic.algorithm == "winograd" and _winograd_applies(w, options):
        return _winograd_bound(x, w, b, arithmetic, options)
    if arithmetic.algorithm == "fft":
        return _fft_bound(x, w, b, arithmetic, options)
    n = int(np.prod(w.shape[:3])) + 1
    return arithmetic.sum_bound(n, conv2d_magnitude(x, w, b, **options))


def conv2d_backward_bound(
    dy: Array, x: Array, w: Array, *, arithmetic: Arithmetic = FLOAT32, **options: Any
) -> ConvGradients:
    """Elementwise bounds on dx (P·Q·F/groups products), dw and db (N·OH·OW terms)."""
    dx, dw, db = conv2d_backward_magnitude(dy, x, w, **options)
    in_dx = w.shape[0] * w.shape[1] * (w.shape[3] // options.get("groups", 1))
    in_dw = int(np.prod(dy.shape[:3]))
    bound = arithmetic.sum_bound
    if arithmetic.algorithm != "direct":
        # a transform spreads the rounding of an image's largest element; 36 as in _winograd_bound
        dx, dw = np.full_like(dx, 36 * dx.sum()), np.full_like(dw, 36 * dw.sum())
    return ConvGradients(bound(in_dx, dx), bound(in_dw, dw), bound(in_dw, db))


def _winograd_applies(w: Array, options: dict[str, Any]) -> bool:
    pairs = (options.get("strides", (1, 1)), options.get("dilation_rate", (1, 1)))
    return w.shape[:2] == (3, 3) and all(tuple(pair) == (1, 1) for pair in pairs)


def _winograd_bound(
    x: Array, w: Array, b: Array | None, arithmetic: Arithmetic, options: dict[str, Any]
) -> Array:
    """Bound for F(2×2, 3×3): ``γ · 36 · Σ_c max|x_c| · Σ_pq |w_pqc|`` with the maximum over the tile.

    From |Aᵀ|(|G||w||Gᵀ| ∘ |Bᵀ||x||B|)|A| (matrices in Lavin & Gray 2016, §4.1; error analysis as in
    Barabasz et al. 2020, §3): absolute row sums are 2 for Bᵀ (4 in 2D), 3 for Aᵀ (9 in 2D), and entries of G
    are at most 1.  The tile is not known to us, so the maximum is over all pixels that a 4×4 tile with this
    output in it can touch.
    """
    groups = options.get("groups", 1)
    (per_group, filters), spread = (w.shape[2], w.shape[3] // groups), 4
    magnitude = conv2d_magnitude(x, w, b, **options)
    out = np.zeros_like(magnitude)
    image, kernel = _float64(x, w)
    pad = 1 if options.get("padding", "valid") == "same" else 0
    for i in range(out.shape[1]):
        for j in range(out.shape[2]):
            top, left = max(i - pad - 1, 0), max(j - pad - 1, 0)
            tile = image[:, top : i - pad + spread, left : j - pad + spread].max(axis=(1, 2))
            for f in range(out.shape[3]):
                g = f // filters
                mine = tile[:, g * per_group : (g + 1) * per_group]
                out[:, i, j, f] = (mine * kernel[..., f].sum(axis=(0, 1))).sum(axis=1)
    bias = 0.0 if b is None else np.abs(np.asarray(b, dtype=np.float64))
    # depth of the computation: 2+2 additions in each transform of x, 2+2 (+2 halvings) of w, C, 2+2, bias
    return arithmetic.sum_bound(per_group + 16, 36.0 * out + bias)


def _fft_bound(x: Array, w: Array, b: Array | None, arithmetic: Arithmetic, options: dict[str, Any]) -> Array:
    """Bound for convolution by FFT: ``γ_{c log₂ L} · Σ_c ‖x_c‖₂·‖w_c‖₂``, one for all outputs of an image.

    Higham, §24.1, Theorem 24.2: a transform of length L has relative error about γ_{7 log₂ L} in the 2-norm;
    two forward transforms, one product, one inverse, C additions.
    """
    groups = options.get("groups", 1)
    per_group, filters = w.shape[2], w.shape[3] // groups
    image, kernel = _float64(x, w)
    y = conv2d_magnitude(x, w, b, **options)
    length = (x.shape[1] + w.shape[0] * 4) * (x.shape[2] + w.shape[1] * 4)
    image_norms, kernel_norms = np.sqrt((image**2).sum(axis=(1, 2))), np.sqrt((kernel**2).sum(axis=(0, 1)))
    for f in range(w.shape[3]):
        g = f // filters
        mine = image_norms[:, g * per_group : (g + 1) * per_group]
        y[..., f] = (mine * kernel_norms[:, f]).sum(axis=1)[:, None, None] + (
            0 if b is None else abs(float(b[f]))
        )
    return arithmetic.sum_bound(21 * np.log2(2 * length) + per_group + 4, y)


def dense_bound(x: Array, w: Array, b: Array | None = None, *, arithmetic: Arithmetic = FLOAT32) -> Array:
    """Elementwise bound on ``x @ w + b``: K products and a bias."""
    return arithmetic.sum_bound(w.shape[0] + 1, oracles.dense_forward(*_float64(x, w, b)))


def dense_backward_bound(
    dy: Array, x: Array, w: Array, *, arithmetic: Arithmetic = FLOAT32
) -> DenseGradients:
    """Elementwise bounds on dx (M products), dw and db (N terms)."""
    dx, dw, db = oracles.dense_backward(*_float64(dy, x, w))
    bound = arithmetic.sum_bound
    return DenseGradients(bound(w.shape[1], dx), bound(x.shape[0], dw), bound(x.shape[0], db))


def average_pooling2d_bound(x: Array, *, arithmetic: Arithmetic = FLOAT32, **options: Any) -> Array:
    """Elementwise bound on a window's mean: its sum, a division or a rounded reciprocal and a product."""
    n = int(np.prod(options["pool_size"])) + 2
    return arithmetic.sum_bound(n, oracles.average_pooling2d_forward(*_float64(x), **options))


def pooling2d_backward_bound(
    dy: Array, x: Array, *, kind: str, arithmetic: Arithmetic = FLOAT32, **options: Any
) -> Array:
    """Elementwise bound on dx of max or average pooling: as many terms as windows can share a pixel."""
    (magnitude,) = _float64(dy)
    if kind == "max":
        spread = oracles.max_pooling2d_backward(magnitude, x, **options)
    else:
        spread = oracles.average_pooling2d_backward(magnitude, x.shape, **options)
    n = int(np.prod(options["pool_size"])) + 2
    return arithmetic.sum_bound(n, spread)
