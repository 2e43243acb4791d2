"""Rounding bounds of the linear ops: convolution (direct, Winograd, FFT), dense, pooling."""

from __future__ import annotations

from typing import Any, NamedTuple

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
    if arithmetic.algorithm in _WINOGRAD and _winograd_applies(w, options):
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
        return _transformed_bound(dy, x, w, arithmetic, (in_dx, in_dw))._replace(db=bound(in_dw, db))
    return ConvGradients(bound(in_dx, dx), bound(in_dw, dw), bound(in_dw, db))


def _transformed_bound(
    dy: Array, x: Array, w: Array, arithmetic: Arithmetic, terms: tuple[int, int]
) -> ConvGradients:
    """Bounds on dx and dw, sums of so many terms, by an algorithm that transforms; one group.  db is left empty.

    A transform mixes all numbers of its tile or image.  By Cauchy and Schwarz both kinds stay below the norms over
    an image: dx_c: Σ_f ‖dy_f‖₂·‖w_cf‖₁, dw_cf: Σ_n ‖x_c‖₂·‖dy_f‖₂, times the factors of Winograd's matrices.
    """
    dy_size, x_size = (np.sqrt((a**2).sum(axis=(1, 2))) for a in _float64(dy, x))
    (kernel,) = _float64(w)
    dx = np.broadcast_to(np.einsum("nf,pqcf->nc", dy_size, kernel)[:, None, None, :], x.shape)
    dw = np.broadcast_to(np.einsum("nc,nf->cf", x_size, dy_size), w.shape)
    if arithmetic.algorithm == "fft":
        length = (x.shape[1] + w.shape[0] * 4) * (x.shape[2] + w.shape[1] * 4)
        factors, depth = (1.0, 1.0), 21 * float(np.log2(2 * length)) + 4
    else:
        transforms = _WINOGRAD[arithmetic.algorithm]
        factors, depth = (transforms.factor_of_dx, transforms.factor_of_dw), transforms.depth
    in_dx, in_dw = (
        arithmetic.sum_bound(n + depth, factor * size)
        + factor * arithmetic.eta * (n + depth + float(dy_size.sum()))
        for n, factor, size in zip(terms, factors, (dx, dw), strict=True)
    )
    return ConvGradients(in_dx, in_dw, np.empty(0))


class _Winograd(NamedTuple):
    """What the bound of F(m×m, 3×3) needs: the tile's outputs along an axis, and two numbers of its matrices."""

    outputs: int
    factor: float
    """At least the square of the largest number in |Aᵀ|·(|G| ∘ (|Bᵀ|·1)), the sum along one axis."""
    factor_of_dx: float
    """The same of |B|·(|G| ∘ (|A|·1))."""
    factor_of_dw: float
    """The same of |G|ᵀ·((|Bᵀ|·1) ∘ (|A|·1)), twice: a pixel lies in up to four tiles."""
    depth: int
    """Roundings on the way of a number through the transforms and back, the bias included."""


_WINOGRAD = {
    "winograd": _Winograd(2, 36.0, 36.0, 72.0, 16),
    "winograd4": _Winograd(4, 861.0, 374.0, 5690.0, 36),
}
"""The factors follow from Lavin & Gray's matrices: tests/testing/test_tolerances.py works them out."""


def _winograd_applies(w: Array, options: dict[str, Any]) -> bool:
    pairs = (options.get("strides", (1, 1)), options.get("dilation_rate", (1, 1)))
    return w.shape[:2] == (3, 3) and all(tuple(pair) == (1, 1) for pair in pairs)


def _winograd_bound(
    x: Array, w: Array, b: Array | None, arithmetic: Arithmetic, options: dict[str, Any]
) -> Array:
    """Bound for F(m×m, 3×3): ``γ · factor · Σ_c max|x_c| · Σ_pq |w_pqc|`` with the maximum over the tile.

    From |Aᵀ|(|G||w||Gᵀ| ∘ |Bᵀ||x||B|)|A| (matrices in Lavin & Gray 2016, §4.1 and §4.3; error analysis as in
    Barabasz et al. 2020, §3).  The tile is not known to us, so the maximum is over all pixels that a tile with
    this output in it can touch.
    """
    groups, algorithm = options.get("groups", 1), _WINOGRAD[arithmetic.algorithm]
    (per_group, filters), before = (w.shape[2], w.shape[3] // groups), algorithm.outputs - 1
    spread = algorithm.outputs + 2
    magnitude = conv2d_magnitude(x, w, b, **options)
    out, largest = np.zeros_like(magnitude), np.zeros_like(magnitude)
    image, kernel = _float64(x, w)
    pad = 1 if options.get("padding", "valid") == "same" else 0
    for i in range(out.shape[1]):
        for j in range(out.shape[2]):
            top, left = max(i - pad - before, 0), max(j - pad - before, 0)
            tile = image[:, top : i - pad + spread, left : j - pad + spread].max(axis=(1, 2))
            for f in range(out.shape[3]):
                g = f // filters
                mine = tile[:, g * per_group : (g + 1) * per_group]
                out[:, i, j, f] = (mine * kernel[..., f].sum(axis=(0, 1))).sum(axis=1)
                largest[:, i, j, f] = mine.sum(axis=1)
    bias = 0.0 if b is None else np.abs(np.asarray(b, dtype=np.float64))
    terms = per_group + algorithm.depth
    # what underflows in a product, or in G w Gᵀ before it is multiplied by pixels, is scaled like the rest
    underflow = algorithm.factor * arithmetic.eta * (terms + largest)
    return arithmetic.sum_bound(terms, algorithm.factor * out + bias) + underflow


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
