"""Losses against their formulas in float64, one loss a sample, forward and backward."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.reference import crossentropy, regression
from minicnn.reference.activations import sigmoid_forward
from minicnn.reference.softmax import softmax_forward
from minicnn.testing import oracles, tolerances
from minicnn.testing.strategies import class_cases
from tests.reference.against import arithmetic, assert_exact, assert_within, frozen

# name, kind and whether from logits, as the kit calls them
CROSSENTROPIES = [
    ("softmax_crossentropy", "categorical", True),
    ("sigmoid_crossentropy", "binary", True),
    ("categorical_crossentropy", "categorical", False),
    ("binary_crossentropy", "binary", False),
]


def pair(module, name):
    return getattr(module, f"{name}_forward"), getattr(module, f"{name}_backward")


def targets_of(case, soft):
    """One-hot rows, or rows of any non-negative numbers."""
    if not soft:
        return case.one_hot
    return np.random.default_rng(case.labels.sum()).random(case.one_hot.shape).astype(case.logits.dtype)


@pytest.mark.parametrize(("name", "kind", "from_logits"), CROSSENTROPIES)
@given(case=class_cases(), soft=st.booleans())
def test_crossentropy(name, kind, from_logits, case, soft):
    forward, backward = pair(crossentropy, name)
    t, dloss = targets_of(case, soft), case.sample_weight
    z, rules = case.logits if from_logits else case.probabilities, arithmetic(case.logits)
    options = {"kind": kind, "from_logits": from_logits, "reduction": "none"}
    losses, residuals = forward(*frozen(z, t))
    exact = oracles.crossentropy_forward(t, z, **options)
    bound = tolerances.crossentropy_bound(t, z, arithmetic=rules, **options)
    assert_within(losses, exact, bound, z.dtype)

    (dz,) = backward(*frozen(dloss), residuals)
    assert np.isfinite(dz).all()
    # Next to the clip at 1e-7, rounding decides on which side a probability lies and so whether it learns at all.
    smooth = slice(None) if from_logits else ((z > 1e-6) & (z < 1 - 1e-6)).all(-1)
    if not np.any(smooth):
        return
    z, t, dloss = z[smooth], t[smooth], dloss[smooth]
    exact = oracles.crossentropy_backward(t, z, sample_weight=dloss, **options)
    bound = tolerances.crossentropy_backward_bound(t, z, sample_weight=dloss, arithmetic=rules, **options)
    assert_within(dz[smooth], exact, bound, z.dtype)


@given(class_cases(dtypes=[np.float32]))
def test_from_logits_every_digit_is_right(case):
    """Logarithms of sums are taken in float64 and rounded once: half an ULP, however small the loss."""
    losses, _ = crossentropy.softmax_crossentropy_forward(case.logits, case.one_hot)
    for loss, z, label in zip(losses, case.logits.astype(np.float64), case.labels, strict=True):
        others = np.delete(z, label) - z[label]
        # log(1 + Σ e^others), all terms positive: nothing cancels.
        top = max(0.0, others.max())
        rest = np.exp(others - top).sum()
        exact = np.log1p(rest) if top == 0 else top + np.log(np.exp(-top) + rest)
        assert tolerances.ulps(loss - exact, exact) <= 0.51


@pytest.mark.parametrize(("name", "kind", "from_logits"), CROSSENTROPIES)
@given(case=class_cases(dtypes=[np.float32]), soft=st.booleans())
def test_float32_is_float64_rounded_once(name, kind, from_logits, case, soft):
    """Widening the inputs changes no bit of the result: nothing on the way is rounded to float32."""
    (forward, backward), t, dloss = pair(crossentropy, name), targets_of(case, soft), case.sample_weight
    dloss = dloss / dloss.dtype.type(3)
    z = case.logits if from_logits else case.probabilities
    losses, residuals = forward(z, t)
    exact, exact_residuals = forward(z.astype(np.float64), t.astype(np.float64))
    assert_exact(losses, exact.astype(np.float32), np.float32)
    (dz,) = backward(dloss, residuals)
    (exact,) = backward(dloss.astype(np.float64), exact_residuals)
    assert_exact(dz, exact.astype(np.float32), np.float32)


EVERY_LOSS = [(crossentropy, name) for name, _, _ in CROSSENTROPIES] + [
    (regression, "mean_squared_error"),
    (regression, "mean_absolute_error"),
]


@pytest.mark.parametrize(("module", "name"), EVERY_LOSS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_leading_axis_is_a_batch_axis(module, name, dtype):
    """Predictions of shape (N, H, W, K), one for each pixel say, are N·H·W samples of K."""
    (forward, backward), rng = pair(module, name), np.random.default_rng(0)
    predictions, t = (rng.uniform(0.1, 0.9, (2, 3, 5, 4)).astype(dtype) for _ in range(2))
    dloss = rng.normal(size=(2, 3, 5)).astype(dtype)
    losses, residuals = forward(predictions, t)
    flat, flat_residuals = forward(predictions.reshape(30, 4), t.reshape(30, 4))
    assert_exact(losses, flat.reshape(2, 3, 5), dtype)
    (dz,) = backward(dloss, residuals)
    (flat,) = backward(dloss.reshape(30), flat_residuals)
    assert_exact(dz, flat.reshape(2, 3, 5, 4), dtype)


@given(class_cases(dtypes=[np.float64], scales=(1.0, 5.0)), st.floats(0.01, 100.0))
def test_probabilities_need_not_sum_to_one(case, factor):
    """The loss is that of the shares p / Σp: homogeneous of degree 0, so the gradient is of degree −1."""
    p = np.clip(case.probabilities, 1e-3, 1)
    t, dloss = targets_of(case, True), case.sample_weight
    shares = p / p.sum(-1, keepdims=True)
    losses, residuals = crossentropy.categorical_crossentropy_forward(factor * p, t)
    # Sums of at most a few positive terms, logarithms of shares above 1e-4: 1e3 roundings is generous.
    rtol = 1e3 * 2.0**-53
    np.testing.assert_allclose(losses, -(t * np.log(shares)).sum(-1), rtol=rtol, atol=rtol)
    (dp,) = crossentropy.categorical_crossentropy_backward(dloss, residuals)
    exact = (t.sum(-1, keepdims=True) - t / shares) * dloss[:, None] / (factor * p.sum(-1, keepdims=True))
    # The two terms of the difference may be close.
    atol = rtol * np.abs(t / shares * dloss[:, None] / factor / p.sum(-1, keepdims=True)).max()
    np.testing.assert_allclose(dp, exact, rtol=rtol, atol=atol)


def test_a_clipped_share_is_a_constant():
    """Where the clip acted, the class drops out of the sum, and the others still learn; nothing divides by zero."""
    p, t = np.array([[0.0, 0.5, 1.5]]), np.array([[0.25, 0.5, 0.25]])
    with np.errstate(all="raise"):
        losses, residuals = crossentropy.categorical_crossentropy_forward(p, t)
        (dp,) = crossentropy.categorical_crossentropy_backward(np.array([3.0]), residuals)
    # 4·16 roundings: each number here is made of fewer than 16 operations on numbers near one.
    rtol = 64 * 2.0**-53
    expected = -(0.25 * np.log(1e-7) + 0.5 * np.log(0.25) + 0.25 * np.log(0.75))
    np.testing.assert_allclose(losses, [expected], rtol=rtol)
    # d loss / d share = (0, −2, −1/3), their mean weighted by the shares −3/4, Σp = 2.
    np.testing.assert_allclose(dp, 3 * np.array([[0.75, -1.25, 0.75 - 1 / 3]]) / 2, rtol=rtol)


def test_a_clipped_binary_probability_divides_by_no_zero():
    p, t = np.array([[0.0, 1.0, 0.25]]), np.array([[1.0, 0.0, 0.0]])
    with np.errstate(all="raise"):
        losses, residuals = crossentropy.binary_crossentropy_forward(p, t)
        (dp,) = crossentropy.binary_crossentropy_backward(np.array([3.0]), residuals)
    np.testing.assert_allclose(losses, [-(2 * np.log(1e-7) + np.log(0.75)) / 3], rtol=1e-8)  # as above
    np.testing.assert_array_equal(dp, [[0, 0, 0.25 / (0.25 * 0.75)]])


def test_a_probability_at_the_clip_learns():
    """Keras's clip passes the gradient at its ends: dp at 1e-7 and at 1 − 1e-7, 0 beyond."""
    ends = np.array([1e-7, 1 - 1e-7])
    p = np.stack([np.nextafter(ends, [0, 1]), ends])
    for t in (np.zeros((2, 2)), np.ones((2, 2))):
        _, residuals = crossentropy.binary_crossentropy_forward(p, t)
        (dp,) = crossentropy.binary_crossentropy_backward(np.ones(2), residuals)
        np.testing.assert_array_equal(dp[0], [0, 0])
        np.testing.assert_allclose(dp[1], (ends - t[1]) / (ends * (1 - ends)) / 2, rtol=1e-15)


def test_a_clipped_probability_learns_nothing():
    one = np.ones(2)
    p, t = np.array([[0.0, 1.0], [1e-9, 1 - 1e-9]]), np.array([[1.0, 0.0], [1.0, 0.0]])
    for name in ("categorical_crossentropy", "binary_crossentropy"):
        forward, backward = pair(crossentropy, name)
        losses, residuals = forward(p, t)
        # Both are −log 1e-7, the binary one a mean of two such terms; 1 − 1e-7 has lost 9 of its 16 digits.
        np.testing.assert_allclose(losses, -np.log(1e-7), rtol=1e-8)
        np.testing.assert_array_equal(backward(one, residuals)[0], 0 * p)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_logits_lose_nothing(dtype):
    z = np.array([[0, -200], [-200, 0], [0, 30], [30, 0], [0, -np.inf]], dtype)
    t = np.array([[1, 0]] * 5, dtype)
    losses, residuals = crossentropy.softmax_crossentropy_forward(z, t)
    assert not np.isnan(residuals.p).any()
    # log(1 + e⁻²⁰⁰) is e⁻²⁰⁰ to the last digit: a logarithm of a clipped probability would give 1e-7.
    expected = [np.exp(-200.0), 200.0, 30.0 + np.log1p(np.exp(-30.0)), np.log1p(np.exp(-30.0)), 0.0]
    np.testing.assert_array_equal(losses, np.array(expected, dtype))
    (dz,) = crossentropy.softmax_crossentropy_backward(np.ones(5, dtype), residuals)
    assert np.isfinite(dz).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("largest", [0, 1, 2])
def test_the_gradient_of_a_sure_prediction_has_all_its_digits(dtype, largest):
    """p − 1 of a p that is all but 1 would have lost them: −2e⁻³⁰ / (1 + 2e⁻³⁰) for the logit that is 30 ahead."""
    z, t = np.zeros((1, 3), dtype), np.zeros((1, 3), dtype)
    z[0, largest], t[0, largest] = 30, 1
    _, residuals = crossentropy.softmax_crossentropy_forward(z, t)
    (dz,) = crossentropy.softmax_crossentropy_backward(np.ones(1, dtype), residuals)
    small = np.exp(-30.0)
    exact = np.full((1, 3), small / (1 + 2 * small))
    exact[0, largest] = -2 * small / (1 + 2 * small)
    assert_within(dz, exact, 4 * arithmetic(z).u * np.abs(exact), dtype)  # exp, sum, quotient, product
    assert dz.sum() == 0


@given(class_cases())
def test_the_predictions_come_along(case):
    """`fit` feeds its metrics from the residuals of the fused losses."""
    z, t = frozen(case.logits, case.one_hot)
    _, residuals = crossentropy.softmax_crossentropy_forward(z, t)
    # The same quotient with the sum taken in another order.
    assert_within(
        residuals.p, softmax_forward(z.astype(np.float64))[0], 2 * arithmetic(z).gamma(z.shape[1]), z.dtype
    )
    _, residuals = crossentropy.sigmoid_crossentropy_forward(z, t)
    assert_exact(residuals.p, sigmoid_forward(z)[0], z.dtype)


@given(class_cases(scales=(1.0, 0.01, 30.0)), st.booleans())
def test_mean_squared_error(case, soft):
    y, t, dloss, rules = case.logits, targets_of(case, soft), case.sample_weight, arithmetic(case.logits)
    losses, residuals = regression.mean_squared_error_forward(*frozen(y, t))
    wide, k = y.astype(np.float64) - t.astype(np.float64), y.shape[-1]
    exact = np.array([sum(row**2) / k for row in wide])
    # A difference off by u has a square off by 3u; then K − 1 additions and a division.
    assert_within(losses, exact, rules.sum_bound(k + 3, exact), y.dtype)
    (dy,) = regression.mean_squared_error_backward(*frozen(dloss), residuals)
    exact = 2 * wide / k * dloss[:, None]
    assert_within(dy, exact, rules.sum_bound(4, np.abs(exact)), y.dtype)


@given(class_cases(values=["ties", "integers", "normal"], scales=(1.0,)))
def test_mean_absolute_error(case):
    y, t, dloss, rules = case.logits, case.one_hot, case.sample_weight, arithmetic(case.logits)
    losses, residuals = regression.mean_absolute_error_forward(*frozen(y, t))
    wide, k = y.astype(np.float64) - t, y.shape[-1]
    exact = np.array([sum(abs(row)) / k for row in wide])
    assert_within(losses, exact, rules.sum_bound(k + 2, exact), y.dtype)
    (dy,) = regression.mean_absolute_error_backward(*frozen(dloss), residuals)
    exact = np.where(wide > 0, 1, np.where(wide < 0, -1, 0)) * dloss[:, None] / k
    assert_within(dy, exact, rules.sum_bound(2, np.abs(exact)), y.dtype)
