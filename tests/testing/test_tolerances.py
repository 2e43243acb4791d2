"""The bounds hold for honest float32 implementations of every algorithm, and are tight enough to matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from minicnn.testing import oracles
from minicnn.testing import strategies as cnn
from minicnn.testing.tolerances import (
    FLOAT32,
    Arithmetic,
    activation_bound,
    average_pooling2d_bound,
    conv2d_backward_bound,
    conv2d_bound,
    conv2d_magnitude,
    crossentropy_backward_bound,
    crossentropy_bound,
    dense_bound,
    is_exact,
    optimizer_bound,
    overflows,
    softmax_backward_bound,
    softmax_bound,
    ulps,
)

GEOMETRIES = cnn.conv_geometries(strided_dilation=True)
FLOATS = {"dtypes": [np.float32], "layouts": ["contiguous"]}


def loops(x, w, b, **options):
    """The oracle's loops in float32: any order is covered by the bound, so this one must be."""
    return oracles.conv2d_forward(x, w, b, dtype=np.float32, **options)


def winograd(x, w, b):
    """F(2×2, 3×3), valid, stride 1, in float32; matrices of Lavin & Gray, §4.1."""
    bt = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], np.float32)
    g = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)
    at = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], np.float32)
    oh, ow = x.shape[1] - 2, x.shape[2] - 2
    x = np.pad(x, ((0, 0), (0, 2), (0, 2), (0, 0)))
    y = np.zeros((x.shape[0], oh + 1, ow + 1, w.shape[3]), np.float32)
    kernel = np.einsum("ap,pqcf,bq->abcf", g, w, g)
    for i in range(0, oh, 2):
        for j in range(0, ow, 2):
            tile = np.einsum("ar,nrsc,bs->nabc", bt, x[:, i : i + 4, j : j + 4], bt)
            product = np.einsum("nabc,abcf->nabf", tile, kernel)
            y[:, i : i + 2, j : j + 2] = np.einsum("ia,nabf,jb->nijf", at, product, at)
    return y[:, :oh, :ow] + b


@given(cnn.conv_cases(GEOMETRIES, values=cnn.FINITE_VALUES, **FLOATS))
def test_float32_loops_stay_within_the_rounding_bound(case: cnn.ConvCase) -> None:
    options = case.geometry.options()
    exact = oracles.conv2d_forward(case.x, case.w, case.b, **options)
    bound = conv2d_bound(case.x, case.w, case.b, **options)
    assert (abs(loops(case.x, case.w, case.b, **options) - exact) <= bound).all()
    gradients = oracles.conv2d_backward(case.dy, case.x, case.w, **options)
    mine = oracles.conv2d_backward(case.dy, case.x, case.w, dtype=np.float32, **options)
    for got, wanted, limit in zip(
        mine, gradients, conv2d_backward_bound(case.dy, case.x, case.w, **options), strict=True
    ):
        assert (abs(got - wanted) <= limit).all()


@given(cnn.conv_cases(GEOMETRIES, values=cnn.EXACT_VALUES, **FLOATS))
def test_exact_mode_is_exact(case: cnn.ConvCase) -> None:
    options = case.geometry.options()
    magnitude = conv2d_magnitude(case.x, case.w, case.b, **options)
    assert is_exact(magnitude, np.float32, case.x, case.w, case.b)
    exact = oracles.conv2d_forward(case.x, case.w, case.b, **options)
    np.testing.assert_array_equal(loops(case.x, case.w, case.b, **options), exact)


WINOGRAD = GEOMETRIES.map(
    lambda g: cnn.ConvGeometry(g.batch, g.height + 9, g.width + 9, g.channels, g.filters, (3, 3))
)


@settings(max_examples=50, deadline=None)
@given(cnn.conv_cases(WINOGRAD, values=["multiples of four"], **FLOATS))
def test_winograd_is_exact_on_multiples_of_four(case: cnn.ConvCase) -> None:
    exact = oracles.conv2d_forward(case.x, case.w, case.b)
    np.testing.assert_array_equal(winograd(case.x, case.w, case.b), exact)


@settings(max_examples=50, deadline=None)
@given(cnn.conv_cases(WINOGRAD, values=["normal", "mixed", "tiny"], **FLOATS))
def test_winograd_stays_within_its_own_bound(case: cnn.ConvCase) -> None:
    exact = oracles.conv2d_forward(case.x, case.w, case.b)
    bound = conv2d_bound(case.x, case.w, case.b, arithmetic=Arithmetic(algorithm="winograd"))
    assert (abs(winograd(case.x, case.w, case.b) - exact) <= bound).all()


def test_winograd_needs_its_own_bound() -> None:
    # a recorded case: a huge pixel under a zero of the kernel costs nothing directly; here it has to cancel
    x = np.ones((1, 4, 4, 1), np.float32)
    x[0, 2, 2, 0] = 1e6
    w, b = np.zeros((3, 3, 1, 1), np.float32), np.zeros(1, np.float32)
    w[0, :2, 0, 0] = 0.3, 0.7
    error = abs(winograd(x, w, b) - oracles.conv2d_forward(x, w, b))
    assert (error > conv2d_bound(x, w, b)).any()
    assert (error <= conv2d_bound(x, w, b, arithmetic=Arithmetic(algorithm="winograd"))).all()


@settings(max_examples=50)
@given(
    cnn.conv_cases(
        cnn.conv_geometries(max_stride=1, max_dilation=1, max_groups=1, paddings=["valid"]), **FLOATS
    )
)
def test_fft_stays_within_its_own_bound(case: cnn.ConvCase) -> None:
    (p, q), (h, v) = case.w.shape[:2], case.x.shape[1:3]
    image = np.fft.rfft2(case.x, s=(h + p, v + q), axes=(1, 2))
    kernel = np.fft.rfft2(case.w[::-1, ::-1], s=(h + p, v + q), axes=(0, 1))
    full = np.fft.irfft2(np.einsum("nhwc,hwcf->nhwf", image, kernel), s=(h + p, v + q), axes=(1, 2))
    y = (full[:, p - 1 : h, q - 1 : v] + case.b).astype(np.float32)
    bound = conv2d_bound(case.x, case.w, case.b, arithmetic=Arithmetic(algorithm="fft"))
    assert (abs(y - oracles.conv2d_forward(case.x, case.w, case.b)) <= bound).all()


def test_the_bound_is_far_below_any_mistake() -> None:
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(s).astype(np.float32) for s in ((2, 8, 8, 3), (3, 3, 3, 4)))
    # 28 terms: γ₂₈ = 1.7e-6 of Σ|x·w|
    ratio = conv2d_bound(x, w) / conv2d_magnitude(x, w)
    assert ratio.min() > 1.6e-6 and ratio.max() < 1.8e-6


def test_flush_to_zero_costs_a_normal_number_a_product() -> None:
    x, w = np.zeros((1, 1, 1, 1), np.float32), np.zeros((1, 1, 1, 1), np.float32)
    flushed = conv2d_bound(x, w, arithmetic=Arithmetic(flush_to_zero=True))
    assert flushed == 2 * 2.0**-126 and conv2d_bound(x, w) == 2 * 2.0**-149


def test_overflow_is_a_class_of_its_own() -> None:
    assert (
        overflows(np.array([1e38]))
        and not overflows(np.array([8e37]))
        and not overflows(np.array([1e38]), np.float64)
    )
    assert overflows(np.array([np.nan]))


def test_exact_mode_wants_integers_below_two_to_the_24() -> None:
    assert is_exact(np.array([2.0**24 - 1]), np.float32, np.array([3.0]))
    assert not is_exact(np.array([2.0**24]), np.float32, np.array([3.0]))
    assert is_exact(np.array([2.0**24]), np.float64, np.array([3.0]))
    assert not is_exact(np.array([1.0]), np.float32, np.array([0.5]))


def test_ulps_counts_last_places() -> None:
    eps = float(np.finfo(np.float32).eps)
    np.testing.assert_array_equal(ulps(np.array([eps, eps, 4 * eps]), np.array([1.0, 1.99, 2.0])), [1, 1, 2])


@given(cnn.dense_cases(values=cnn.FINITE_VALUES, **FLOATS))
def test_dense_in_float32(case: cnn.DenseCase) -> None:
    error = abs(case.x @ case.w + case.b - oracles.dense_forward(case.x, case.w, case.b))
    assert (error <= dense_bound(case.x, case.w, case.b)).all()


@given(cnn.pool_cases(values=cnn.FINITE_VALUES, **FLOATS))
def test_average_pooling_in_float32(case: cnn.PoolCase) -> None:
    options = case.geometry.options()
    y = oracles.average_pooling2d_forward(case.x, dtype=np.float32, **options)
    error = abs(y - oracles.average_pooling2d_forward(case.x, **options))
    assert (error <= average_pooling2d_bound(case.x, **options)).all()


ONE = np.float32(1)
FORMULAS = {
    "sigmoid": lambda x: ONE / (ONE + np.exp(-x)),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x > 0, x, np.exp(np.minimum(x, 0)) - ONE),
    "leaky_relu": lambda x: np.where(x > 0, x, np.float32(0.2) * x),
    "silu": lambda x: x / (ONE + np.exp(-x)),
    "softplus": lambda x: np.maximum(x, 0) + np.log(ONE + np.exp(-abs(x))),
    "relu": lambda x: np.maximum(x, 0),
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.filterwarnings("ignore:overflow")
def test_textbook_activations_in_float32(name: str) -> None:
    x = np.concatenate([np.linspace(-90, 90, 2001), np.linspace(-3, 3, 2001), [1e-30, -1e-40]]).astype(
        np.float32
    )
    error = abs(FORMULAS[name](x) - oracles.activation_forward(name, x))
    bound = activation_bound(name, x)
    assert (error <= bound).all()
    assert (bound <= 1e-6 * np.maximum(abs(x), 1)).all()


@given(cnn.class_cases(dtypes=[np.float32]))
def test_softmax_and_crossentropy_in_float32(case: cnn.ClassCase) -> None:
    x = np.ascontiguousarray(case.logits)
    z = x - x.max(axis=-1, keepdims=True)
    e = np.exp(z)
    y = e / e.sum(axis=-1, keepdims=True)
    assert (abs(y - oracles.softmax_forward(x)) <= softmax_bound(x)).all()
    dy = case.one_hot - np.float32(0.25)
    dx = y * (dy - (dy * y).sum(axis=-1, keepdims=True))
    assert (abs(dx - oracles.softmax_backward(dy, x)) <= softmax_backward_bound(dy, x)).all()
    loss = (np.log(e.sum(axis=-1)) - z[np.arange(len(z)), case.labels]).mean()
    options = {"kind": "sparse", "from_logits": True}
    error = abs(loss - oracles.crossentropy_forward(case.labels, x, **options))
    assert error <= crossentropy_bound(case.labels, x, **options)
    gradient = (y - case.one_hot) / np.float32(len(x))
    error = abs(gradient - oracles.crossentropy_backward(case.labels, x, **options))
    assert (error <= crossentropy_backward_bound(case.labels, x, **options)).all()


@given(cnn.class_cases(dtypes=[np.float32]))
def test_crossentropy_from_probabilities_in_float32(case: cnn.ClassCase) -> None:
    p, t, eps = case.probabilities, case.one_hot, np.float32(1e-7)
    q = np.clip(p / p.sum(axis=-1, keepdims=True), eps, ONE - eps)
    error = abs(-(t * np.log(q)).sum(axis=-1).mean() - oracles.crossentropy_forward(t, p))
    assert error <= crossentropy_bound(t, p)
    q = np.clip(p, eps, ONE - eps)
    loss = -(t * np.log(q) + (ONE - t) * np.log(ONE - q)).mean(axis=-1).mean()
    error = abs(loss - oracles.crossentropy_forward(t, p, kind="binary"))
    assert error <= crossentropy_bound(t, p, kind="binary")


def step32(name, w, dw, state, **o):
    """One step with every operation rounded to float32."""
    f = np.float32
    o = {k: f(v) if isinstance(v, float) else v for k, v in o.items()}
    lr = o["learning_rate"]
    if name == "sgd":
        v = o["momentum"] * state.get("v", np.zeros_like(w)) - lr * dw
        return w + (o["momentum"] * v - lr * dw if o["nesterov"] else v), {"v": v}
    if name == "rmsprop":
        v = o["rho"] * state.get("v", np.zeros_like(w)) + (ONE - o["rho"]) * dw * dw
        a = o["rho"] * state.get("a", np.zeros_like(w)) + (ONE - o["rho"]) * dw
        d = v - a * a + o["epsilon"] if o["centered"] else v + o["epsilon"]
        m = o["momentum"] * state.get("m", np.zeros_like(w)) + lr * dw / np.sqrt(d)
        return w - m, {"v": v, "a": a, "m": m}
    t = state.get("t", 0) + 1
    m = state.get("m", np.zeros_like(w))
    v = state.get("v", np.zeros_like(w))
    m, v = m + (dw - m) * (ONE - o["beta_1"]), v + (dw * dw - v) * (ONE - o["beta_2"])
    alpha = lr * np.sqrt(ONE - o["beta_2"] ** f(t)) / (ONE - o["beta_1"] ** f(t))
    return w - m * alpha / (np.sqrt(v) + o["epsilon"]), {"t": t, "m": m, "v": v}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sgd", {"learning_rate": 0.125, "momentum": 0.875, "nesterov": False}),
        ("sgd", {"learning_rate": 0.125, "momentum": 0.875, "nesterov": True}),
        ("rmsprop", {"rho": 0.875, "momentum": 0.5, "epsilon": 2.0**-20, "centered": True}),
        ("rmsprop", {"rho": 0.875, "momentum": 0.0, "epsilon": 2.0**-20, "centered": False}),
        ("adam", {"beta_1": 0.875, "beta_2": 1 - 2.0**-10, "epsilon": 2.0**-20}),
    ],
)
def test_optimizers_in_float32(name: str, options: dict, seed: int) -> None:
    rng = np.random.default_rng(seed)
    options = {"learning_rate": 2.0**-7, **options}
    gradients = [rng.standard_normal(50).astype(np.float32) for _ in range(5)]
    w = rng.standard_normal(50).astype(np.float32)
    bounds = optimizer_bound(name, w, gradients, arithmetic=FLOAT32, **options)
    exact, mine, state, state32 = w, w, None, {}
    for dw, bound in zip(gradients, bounds, strict=True):
        exact, state = oracles.OPTIMIZERS[name](exact, dw, state, **options)
        mine, state32 = step32(name, mine, dw, state32, **options)
        assert mine.dtype == np.float32
        assert (abs(mine - exact) <= bound).all()
        # Worth having: at most 2^-10 of what one step may move.  Centered is excepted: v - a² cancels.
        assert options.get("centered") or (bound <= 2.0**-10).all()


def test_the_factors_of_winograds_bounds_follow_from_its_matrices() -> None:
    """Lavin & Gray's F(4×4, 3×3), made from its points, and what sizes it multiplies and adds along one axis."""
    from math import prod

    from minicnn.testing.tolerances.linear import _WINOGRAD

    for name, points, least in (
        ("winograd", (0, 1, -1), 16.0),
        ("winograd4", (0, 1, -1, 2, -2), (88 / 3) ** 2),
    ):
        outputs, n = _WINOGRAD[name].outputs, len(points) + 1
        powers = np.array([[abs(p) ** k for k in range(n)] for p in points], float)
        a = np.vstack([powers[:, :outputs], np.eye(outputs)[-1]])
        scales = [prod(abs(p - q) for q in points if q != p) for p in points]
        g = np.vstack([powers[:, :3] / np.array(scales)[:, None], np.eye(3)[-1]])
        b = np.zeros((n, n))
        for k, p in enumerate(points):
            b[: n - 1, k] = abs(np.poly([q for q in points if q != p])[::-1])
        b[:, -1] = abs(np.poly(points)[::-1])
        forward = np.einsum("ai,a,ap->ip", a, b.sum(0), g).max() ** 2
        dx = np.einsum("ka,a,ap->kp", b, a.sum(1), g).max() ** 2
        dw = 2 * np.einsum("ap,a,a->p", g, b.sum(0), a.sum(1)).max() ** 2
        assert forward == pytest.approx(least)
        assert forward <= _WINOGRAD[name].factor
        assert dx <= _WINOGRAD[name].factor_of_dx and dw <= _WINOGRAD[name].factor_of_dw
