"""Steps of the optimizers against float64 and against their definitions, over several steps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.reference import optimizers as reference
from minicnn.testing import oracles, tolerances
from minicnn.testing.strategies import make_array
from tests.reference.against import assert_exact, assert_within

STEPS = 5
DTYPES = (np.float32, np.float64)


def sgd(w, gradients, learning_rate, momentum=0.0, nesterov=False):
    m = np.zeros_like(w)
    for g in gradients:
        if momentum:
            reference.sgd_momentum_step(w, g, m, learning_rate, momentum, nesterov)
        else:
            reference.sgd_step(w, g, learning_rate)
        yield w


def rmsprop(w, gradients, learning_rate, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False):
    v, m, a = (np.zeros_like(w) for _ in range(3))
    for g in gradients:
        if momentum or centered:
            slots = (v, m if momentum else None, a if centered else None)
            reference.rmsprop_full_step(w, g, slots, learning_rate, rho, momentum, epsilon)
        else:
            reference.rmsprop_step(w, g, v, learning_rate, rho, epsilon)
        yield w


def adam(w, gradients, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    slots = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(gradients, 1):
        reference.adam_step(w, g, slots, t, learning_rate, (beta_1, beta_2), epsilon)
        yield w


# Momenta and β are numbers that float32 holds: in Keras, and so here, some go through float32 on their way.
TABLE = [
    ("sgd", sgd, {"learning_rate": 0.01}),
    ("sgd", sgd, {"learning_rate": 0.1, "momentum": 0.875}),
    ("sgd", sgd, {"learning_rate": 0.1, "momentum": 0.5, "nesterov": True}),
    ("rmsprop", rmsprop, {"learning_rate": 0.001, "rho": 0.875}),
    ("rmsprop", rmsprop, {"learning_rate": 0.01, "rho": 0.5, "epsilon": 1e-3}),
    ("rmsprop", rmsprop, {"learning_rate": 0.001, "rho": 0.875, "momentum": 0.875}),
    ("rmsprop", rmsprop, {"learning_rate": 0.001, "rho": 0.875, "centered": True, "epsilon": 1e-3}),
    ("rmsprop", rmsprop, {"learning_rate": 0.001, "centered": True, "momentum": 0.25, "epsilon": 1e-3}),
    ("adam", adam, {"learning_rate": 0.001, "beta_1": 0.875, "beta_2": 1 - 2.0**-10}),
    ("adam", adam, {"learning_rate": 0.1, "beta_1": 0.5, "beta_2": 0.875, "epsilon": 1e-3}),
]


@pytest.mark.parametrize(("name", "run", "options"), TABLE)
@given(
    dtype=st.sampled_from(DTYPES),
    values=st.sampled_from(["integers", "sparse", "normal", "mixed"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_several_steps(name, run, options, dtype, values, seed):
    w, *gradients = (make_array((3, 4), values, (seed + k) % 2**32, dtype) for k in range(STEPS + 1))
    for g in gradients:
        g.flags.writeable = False
    bounds = tolerances.optimizer_bound(
        name, w, gradients, arithmetic=tolerances.Arithmetic(dtype), **options
    )
    exact, state = w.astype(np.float64), None
    for g, ours, bound in zip(gradients, run(w.copy(), gradients, **options), bounds, strict=True):
        exact, state = oracles.OPTIMIZERS[name](exact, g, state, **options)
        assert_within(ours, exact, bound, dtype)


def test_slots_hold_what_their_names_say():
    """Checkpoints carry them, and Keras reads them: not only their effect on w counts."""
    g, h = np.array([2.0, -4.0]), np.array([-1.0, 3.0])
    w, m = np.zeros(2), np.zeros(2)
    for gradient in (g, h):
        reference.sgd_momentum_step(w, gradient, m, 0.25, 0.5, nesterov=False)
    np.testing.assert_array_equal(m, 0.5 * (-0.25 * g) - 0.25 * h)

    v, m, a = np.zeros(2), np.zeros(2), np.zeros(2)
    for gradient in (g, h):
        reference.rmsprop_full_step(w, gradient, (v, m, a), 0.25, 0.5, 0.5, 1.0)
    np.testing.assert_array_equal(v, 0.25 * g * g + 0.5 * h * h)
    np.testing.assert_array_equal(a, 0.25 * g + 0.5 * h)
    increments = [0.25 * g / np.sqrt(0.5 * g * g - 0.25 * g * g + 1), 0.25 * h / np.sqrt(v - a * a + 1)]
    np.testing.assert_allclose(m, 0.5 * increments[0] + increments[1], rtol=8 * 2.0**-53)  # 8 roundings

    slots = m, v, v_hat = np.zeros(2), np.zeros(2), np.zeros(2)
    for t, gradient in enumerate((g, h), 1):
        reference.amsgrad_step(w, gradient, slots, t, 0.25, (0.5, 0.75), 1.0)
    np.testing.assert_array_equal(m, 0.25 * g + 0.5 * h)
    np.testing.assert_array_equal(v, 0.1875 * g * g + 0.25 * h * h)
    np.testing.assert_array_equal(v_hat, np.maximum(0.25 * g * g, v))


def test_amsgrad_divides_by_the_largest_moment_so_far():
    rng = np.random.default_rng(0)
    w, gradients = (
        rng.normal(size=5),
        rng.normal(size=(8, 5)) * [[2.0], [1], [1], [0.1], [3], [0], [1], [0.5]],
    )
    slots = tuple(np.zeros(5) for _ in range(3))
    exact, m, v, v_hat = w.copy(), 0.0, 0.0, 0.0
    for t, g in enumerate(gradients, 1):
        reference.amsgrad_step(w, g, slots, t, 0.01, (0.75, 0.9375), 1e-7)
        m, v = 0.75 * m + 0.25 * g, 0.9375 * v + 0.0625 * g * g
        v_hat = np.maximum(v_hat, v)
        exact -= 0.01 * np.sqrt(1 - 0.9375**t) / (1 - 0.75**t) * m / (np.sqrt(v_hat) + 1e-7)
    np.testing.assert_allclose(w, exact, rtol=0, atol=8 * 20 * 2.0**-53)  # 8 steps, 20 roundings, |w| near 1
    assert (slots[2] > slots[1]).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_weight_decay(dtype):
    w = np.array([1.0, -2.0, 0.0], dtype)
    reference.weight_decay_step(w, 0.5, 0.25)
    assert_exact(w, np.array([0.875, -1.75, 0.0]), dtype)


def test_clipping_by_value():
    g = np.array([-3.0, -0.5, 0.0, 0.5, 3.0, np.nan, np.inf])
    reference.clip_by_value(g, 1.0)
    np.testing.assert_array_equal(g, [-1, -0.5, 0, 0.5, 1, np.nan, 1])


def test_clipping_by_norm():
    for g, limit, expected in (
        ([3.0, 4.0], 1.0, [0.6, 0.8]),
        ([3.0, 4.0], 10.0, [3.0, 4.0]),
        ([0.0], 1.0, [0.0]),
    ):
        g = np.array(g)
        reference.clip_by_norm(g, limit)
        np.testing.assert_allclose(g, expected, rtol=4 * 2.0**-53)


def test_norms_of_float32_are_summed_in_float64():
    """4096² = 2²⁴ swallows every further 1 of a float32 sum; 1,000 of them are 3e-5 of the norm."""
    g = np.ones(1001, np.float32)
    g[0] = 4096
    exact = g.astype(np.float64) * (2.0 / np.sqrt(2.0**24 + 1000))
    alone, together = g.copy(), g.copy()
    reference.clip_by_norm(alone, 2.0)
    reference.clip_by_global_norm([together], 2.0)
    for ours in (alone, together):
        assert_within(ours, exact, 4 * 2.0**-24 * exact, np.float32)  # norm, product, quotient: 3 roundings


def test_clipping_nothing_is_silent():
    """A norm of 0 or ∞ is a case like any other: no warning, zeros stay zeros."""
    zeros = [np.zeros(3, np.float32), np.zeros((2, 2), np.float32)]
    infinite = np.array([np.inf, 1.0])
    with np.errstate(all="raise"):
        reference.clip_by_norm(zeros[0], 1.0)
        reference.clip_by_global_norm(zeros, 1.0)
        reference.clip_by_global_norm([infinite], 1.0)
    for g in zeros:
        np.testing.assert_array_equal(g, 0 * g)
    assert np.isnan(infinite).all()


def test_clipping_by_the_norm_of_all():
    gradients = [np.array([2.0, 0.0]), np.array([[1.0], [2.0]])]
    reference.clip_by_global_norm(gradients, 1.5)
    np.testing.assert_allclose(gradients[0], [1.0, 0.0], rtol=4 * 2.0**-53)
    np.testing.assert_allclose(gradients[1], [[0.5], [1.0]], rtol=4 * 2.0**-53)
    reference.clip_by_global_norm(gradients, 100.0)
    np.testing.assert_allclose(gradients[0], [1.0, 0.0], rtol=8 * 2.0**-53)
    gradients = [np.array([1.0, np.inf])]
    reference.clip_by_global_norm(gradients, 1.0)
    assert np.isnan(gradients[0]).all()
