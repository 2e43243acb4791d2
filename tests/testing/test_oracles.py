"""The oracles against sums done by hand, exact fractions, other formulas, and PyTorch where it is installed.

Keras is compared with in ``tests/keras``.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.testing import oracles
from minicnn.testing import strategies as cnn

# Two float64 sums of at most 5·5·3 products of values below 10 differ by less than 2·75·75·100·2^-53, which
# is 1.3e-10; a mistake moves integers by at least one.
INTEGERS = {"rtol": 0, "atol": 1e-9}
GEOMETRIES = cnn.conv_geometries(strided_dilation=True, max_kernel=3, max_extra=4)


def test_a_convolution_done_by_hand() -> None:
    x = np.arange(9.0).reshape(1, 3, 3, 1)
    w = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(2, 2, 1, 1)
    y = oracles.conv2d_forward(x, w, np.array([0.5]))
    # first window 0 1 / 3 4: 0·1 + 1·2 + 3·3 + 4·4 = 27; cross-correlation, not flipped (which gives 13)
    np.testing.assert_array_equal(y[0, :, :, 0], [[27.5, 37.5], [57.5, 67.5]])


def test_same_padding_puts_the_odd_row_and_column_last() -> None:
    x = np.ones((1, 4, 4, 1))
    w = np.ones((2, 2, 1, 1))
    y = oracles.conv2d_forward(x, w, padding="same")[0, :, :, 0]
    np.testing.assert_array_equal(y, [[4, 4, 4, 2]] * 3 + [[2, 2, 2, 1]])
    stepped = oracles.conv2d_forward(x, np.ones((3, 3, 1, 1)), padding="same", strides=(2, 2))[0, :, :, 0]
    np.testing.assert_array_equal(stepped, [[9, 6], [6, 4]])


@given(cnn.conv_cases(GEOMETRIES, values=["integers", "normal"]))
def test_convolution_equals_padding_then_slicing(case: cnn.ConvCase) -> None:
    g = case.geometry
    x = np.pad(case.x.astype(np.float64), ((0, 0), *g.pads, (0, 0)))
    expected = np.zeros(g.output_shape)
    per_group, filters = g.channels // g.groups, g.filters // g.groups
    for k in range(g.groups):
        images = x[..., k * per_group : (k + 1) * per_group]
        kernels = case.w[..., k * filters : (k + 1) * filters].astype(np.float64)
        for p in range(g.kernel_size[0]):
            for q in range(g.kernel_size[1]):
                rows = slice(p * g.dilation_rate[0], None, g.strides[0])
                columns = slice(q * g.dilation_rate[1], None, g.strides[1])
                part = images[:, rows, columns][:, : g.output_size[0], : g.output_size[1]]
                expected[..., k * filters : (k + 1) * filters] += part @ kernels[p, q]
    got = oracles.conv2d_forward(case.x, case.w, case.b, **g.options())
    np.testing.assert_allclose(got, expected + case.b, **INTEGERS)


@settings(max_examples=30)
@given(cnn.conv_cases(cnn.conv_geometries(max_kernel=2, max_extra=2, max_batch=2), values=["normal"]))
def test_float64_agrees_with_exact_fractions(case: cnn.ConvCase) -> None:
    exact = [np.vectorize(Fraction, otypes=[object])(a.astype(np.float64)) for a in (case.x, case.w, case.b)]
    options = case.geometry.options()
    expected = oracles.conv2d_forward(*exact, dtype=object, **options).astype(np.float64)
    got = oracles.conv2d_forward(case.x, case.w, case.b, **options)
    np.testing.assert_allclose(got, expected, **INTEGERS)


@given(cnn.conv_cases(GEOMETRIES, values=cnn.EXACT_VALUES))
def test_convolution_gradients_satisfy_the_adjoint_identity_exactly(case: cnn.ConvCase) -> None:
    options = case.geometry.options()
    dx, dw, db = oracles.conv2d_backward(case.dy, case.x, case.w, dtype=np.int64, **options)
    y = oracles.conv2d_forward(case.x, case.w, dtype=np.int64, **options)
    inner = (y * case.dy.astype(np.int64)).sum()
    assert inner == (dx * case.x.astype(np.int64)).sum() == (dw * case.w.astype(np.int64)).sum()
    np.testing.assert_array_equal(db, case.dy.astype(np.int64).sum(axis=(0, 1, 2)))


@given(cnn.conv_cases(GEOMETRIES, values=["integers"]), st.data())
def test_the_terms_of_an_element_sum_to_it(case: cnn.ConvCase, data: st.DataObject) -> None:
    index = data.draw(st.tuples(*(st.integers(0, side - 1) for side in case.geometry.output_shape)))
    options = case.geometry.options()
    terms = oracles.conv2d_terms(case.x, case.w, case.b, index, **options)
    assert (
        sum(value for _, value in terms) == oracles.conv2d_forward(case.x, case.w, case.b, **options)[index]
    )


def test_max_pooling_by_hand() -> None:
    x = np.array([[1.0, 3.0, 3.0], [3.0, np.nan, -1.0], [-2.0, -2.0, -5.0]]).reshape(1, 3, 3, 1)
    y = oracles.max_pooling2d_forward(x, pool_size=(2, 2), strides=(1, 1))[0, :, :, 0]
    assert np.isnan(y).all()
    y = oracles.max_pooling2d_forward(x, pool_size=(1, 3))[0, :, 0, 0]
    np.testing.assert_array_equal(y, [3, np.nan, -2])
    where = oracles.max_pooling2d_argmax(x, pool_size=(1, 3))[0, :, 0, 0]
    np.testing.assert_array_equal(where, [1, 4, 6])


def test_padding_takes_no_part_in_pooling() -> None:
    x = np.full((1, 3, 3, 1), -2.0)
    options = {"pool_size": (2, 2), "strides": (2, 2), "padding": "same"}
    assert (oracles.max_pooling2d_forward(x, **options) == -2).all()
    assert (oracles.average_pooling2d_forward(x, **options) == -2).all()
    dx = oracles.average_pooling2d_backward(np.ones((1, 2, 2, 1)), x.shape, **options)[0, :, :, 0]
    np.testing.assert_array_equal(dx, [[0.25, 0.25, 0.5], [0.25, 0.25, 0.5], [0.5, 0.5, 1]])


@given(cnn.pool_cases(values=["ties", "integers", "negative", "distinct"]))
def test_pooling_moves_all_of_the_gradient(case: cnn.PoolCase) -> None:
    options = case.geometry.options()
    for dx in (
        oracles.max_pooling2d_backward(case.dy, case.x, **options),
        oracles.average_pooling2d_backward(case.dy, case.x.shape, **options),
    ):
        np.testing.assert_allclose(dx.sum(axis=(1, 2)), case.dy.sum(axis=(1, 2)), rtol=0, atol=1e-4)


@given(cnn.pool_cases(values=["integers", "normal"]))
def test_average_pooling_satisfies_the_adjoint_identity(case: cnn.PoolCase) -> None:
    options = case.geometry.options()
    y = oracles.average_pooling2d_forward(case.x, **options)
    dx = oracles.average_pooling2d_backward(case.dy, case.x.shape, **options)
    np.testing.assert_allclose((y * case.dy).sum(), (dx * case.x).sum(), **INTEGERS)


@given(cnn.dense_cases(values=cnn.EXACT_VALUES))
def test_dense_is_a_matrix_product(case: cnn.DenseCase) -> None:
    x, w, b, dy = (a.astype(np.int64) for a in (case.x, case.w, case.b, case.dy))
    np.testing.assert_array_equal(oracles.dense_forward(case.x, case.w, case.b), x @ w + b)
    dx, dw, db = oracles.dense_backward(case.dy, case.x, case.w)
    np.testing.assert_array_equal(dx, dy @ w.T)
    np.testing.assert_array_equal(dw, x.T @ dy)
    np.testing.assert_array_equal(db, dy.sum(axis=0))


@given(cnn.array_cases(values=["distinct"]))
def test_flatten_is_row_major_and_goes_back(case: cnn.ArrayCase) -> None:
    y = oracles.flatten_forward(case.x)
    np.testing.assert_array_equal(y, np.ascontiguousarray(case.x).reshape(case.x.shape[0], -1))
    np.testing.assert_array_equal(oracles.flatten_backward(y, case.x.shape), case.x)


@pytest.mark.parametrize("name", oracles.ACTIVATIONS)
def test_derivatives_are_those_of_the_functions(name: str) -> None:
    x, h = np.linspace(-6, 6, 121) + 0.013, 1e-5
    forward = oracles.activation_forward
    slope = (forward(name, x + h) - forward(name, x - h)) / (2 * h)
    # truncation h²/6·max|f'''| ≲ 2e-10 plus rounding 6·2^-53/h ≈ 7e-11
    np.testing.assert_allclose(
        oracles.activation_backward(name, np.ones_like(x), x), slope, rtol=0, atol=1e-9
    )


def test_subgradients_at_kinks() -> None:
    assert oracles.activation_derivative("relu", np.zeros(1)) == (0.0, 1.0)
    assert oracles.activation_derivative("leaky_relu", np.zeros(1), negative_slope=0.1) == (0.1, 1.0)
    assert oracles.activation_derivative("elu", np.zeros(1), alpha=3.0) == (1.0, 3.0)


def test_activations_at_the_ends() -> None:
    x = np.array([-800.0, -40.0, 800.0])
    np.testing.assert_allclose(oracles.activation_forward("sigmoid", x), [0, np.exp(-40), 1], rtol=1e-15)
    np.testing.assert_allclose(oracles.activation_forward("softplus", x), [0, np.exp(-40), 800], rtol=1e-15)
    assert oracles.activation_forward("gelu", np.array([-10.0])) == pytest.approx(-10 * 7.61985302416e-24)
    assert np.isnan(oracles.activation_forward("relu", np.array([np.nan]))).all()


def _numerical(loss, p: np.ndarray) -> np.ndarray:
    out, h = np.zeros_like(p), 1e-6
    for index in np.ndindex(*p.shape):
        up, down = p.copy(), p.copy()
        up[index] += h
        down[index] -= h
        out[index] = (loss(up) - loss(down)) / (2 * h)
    return out


@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size"])
@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("kind", ["categorical", "sparse", "binary"])
def test_crossentropy_gradients(kind: str, from_logits: bool, reduction: str) -> None:
    rng = np.random.default_rng(0)
    p = rng.normal(size=(3, 4)) if from_logits else rng.uniform(0.1, 0.9, size=(3, 4))
    y = {"sparse": rng.integers(0, 4, 3), "categorical": np.eye(4)[[1, 3, 0]], "binary": rng.random((3, 4))}
    options = {"kind": kind, "from_logits": from_logits, "reduction": reduction}
    options["sample_weight"] = np.array([1.0, 2.0, 0.5])
    expected = _numerical(lambda z: oracles.crossentropy_forward(y[kind], z, **options), p)
    got = oracles.crossentropy_backward(y[kind], p, **options)
    # truncation h²/6·f''' ≤ 1e-12/6·2·10³, rounding 10·2^-53/h ≈ 1e-9
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-8)


def test_crossentropy_clips_and_renormalises_as_keras_does() -> None:
    # -log of 1e-7 (clipped), -log of 2/3 (renormalised first), and clipped first for the sparse kind
    one, two = np.array([[1.0, 0.0]]), np.array([[1.0, 2.0]])
    forward = oracles.crossentropy_forward
    assert forward(np.array([[0, 1]]), one) == pytest.approx(-np.log(1e-7))
    assert forward(np.array([[0, 1]]), two) == pytest.approx(np.log(1.5))
    assert forward(np.array([1]), two, kind="sparse") == pytest.approx(np.log(2))
    assert forward(np.array([[1.0, 0.0]]), one, kind="binary") == pytest.approx(1e-7, rel=1e-6)


def test_mean_squared_error_by_hand() -> None:
    y, p = np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([[1.0, 1.0], [0.0, 0.0]])
    assert oracles.mean_squared_error_forward(y, p) == (0.5 + 6.5) / 2
    weights = np.array([2.0, 1.0])
    assert oracles.mean_squared_error_forward(y, p, sample_weight=weights, reduction="sum") == 7.5
    np.testing.assert_array_equal(oracles.mean_squared_error_backward(y, p), [[0.5, 0], [-1, -1.5]])


def test_optimizer_steps_by_hand() -> None:
    w, dw = np.array([1.0]), np.array([3.0])
    w1, state = oracles.sgd(w, dw, learning_rate=0.1, momentum=0.5)
    w2, _ = oracles.sgd(w1, dw, state, learning_rate=0.1, momentum=0.5)
    np.testing.assert_allclose([w1[0], w2[0]], [0.7, 0.25])
    nesterov, _ = oracles.sgd(w, dw, learning_rate=0.1, momentum=0.5, nesterov=True)
    np.testing.assert_allclose(nesterov, [0.55])
    inside, _ = oracles.rmsprop(w, dw, learning_rate=1.0, rho=0.9, epsilon=0.1)
    np.testing.assert_allclose(inside, 1 - 3 / np.sqrt(0.9 + 0.1))
    centered, _ = oracles.rmsprop(w, dw, learning_rate=1.0, rho=0.9, epsilon=0.1, centered=True)
    np.testing.assert_allclose(centered, 1 - 3 / np.sqrt(0.9 - 0.09 + 0.1))
    first, _ = oracles.adam(w, dw, learning_rate=0.1, epsilon=0.0)
    np.testing.assert_allclose(first, 0.9)


@settings(max_examples=60, deadline=None)
@given(cnn.conv_cases(GEOMETRIES, values=["integers", "normal"], layouts=["contiguous"]))
def test_convolution_against_pytorch(case: cnn.ConvCase) -> None:
    torch = pytest.importorskip("torch")
    g = case.geometry
    (top, bottom), (left, right) = g.pads
    x, w, b, dy = (torch.tensor(a.astype(np.float64)) for a in (case.x, case.w, case.b, case.dy))
    for tensor in (x, w, b):
        tensor.requires_grad_()
    padded = torch.nn.functional.pad(x.permute(0, 3, 1, 2), (left, right, top, bottom))
    # PyTorch refuses the gradient of a kernel that is a permuted view ("grad_weight must be contiguous")
    kernel = w.permute(3, 2, 0, 1).contiguous()
    y = torch.nn.functional.conv2d(
        padded, kernel, b, stride=g.strides, dilation=g.dilation_rate, groups=g.groups
    ).permute(0, 2, 3, 1)
    y.backward(dy)
    got = oracles.conv2d_forward(case.x, case.w, case.b, **g.options())
    np.testing.assert_allclose(got, y.detach().numpy(), **INTEGERS)
    for mine, theirs in zip(
        oracles.conv2d_backward(case.dy, case.x, case.w, **g.options()), (x, w, b), strict=True
    ):
        np.testing.assert_allclose(mine, theirs.grad.numpy(), **INTEGERS)
