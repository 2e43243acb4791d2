"""The lab: every example's numbers, every variant's gradient, and trainings in small."""

import numpy as np
import pytest

from minicnn import cli
from minicnn.engine import ops
from minicnn.geometry import make_window
from minicnn.study.semantics import (
    NAMES,
    correlation,
    flatten_order,
    get,
    lab,
    pool_padding,
    same_padding,
    ties,
)
from minicnn.study.semantics.confusion import Row, Training
from minicnn.study.semantics.show import page

ALL = [get(name) for name in NAMES]


def arrays_of(name):
    return [np.asarray(shown.values).tolist() for shown in get(name).example().arrays]


def test_correlation():
    assert arrays_of("correlation")[2:] == [[[19, 25], [37, 43]], [[5, 11], [23, 29]]]


def test_same_padding():
    assert arrays_of("same-padding")[1:] == [[[6, 12, 11]], [[3, 9, 15]]]
    assert "give 6 outputs by 'same' and 7 by k//2" in get("same-padding").example().says
    for size in range(3, 9):  # at stride 1 an odd kernel is padded alike
        window = make_window((size, size), (3, 3), padding="same")
        assert same_padding.symmetric(window) == window


def test_pool_padding():
    assert arrays_of("pool-padding")[1:] == [[[-1, -4], [-7, -9]], [[-1, 0], [0, 0]]]


def test_ties():
    assert arrays_of("ties")[1:] == [[[0, 6], [0, 0]], [[0, 6], [6, 6]], [[0, 2], [2, 2]]]


def test_epsilon():
    g, inside, outside = (np.array(a[0]) for a in arrays_of("epsilon"))
    np.testing.assert_allclose(inside, 1e-3 * g / np.sqrt(0.1 * g**2 + 1e-7), rtol=1e-12)
    np.testing.assert_allclose(outside, 1e-3 * g / (np.sqrt(0.1) * g + 1e-7), rtol=1e-12)


def test_flatten_order():
    *_, last, first, _ = arrays_of("flatten-order")
    assert (last, first) == ([list(range(8))], [[0, 2, 4, 6, 1, 3, 5, 7]])
    assert "sums to 168 or 154" in get("flatten-order").example().says
    x, w = np.random.default_rng(0).normal(size=(2, 3, 4, 5)), np.random.default_rng(1).normal(size=(60, 3))
    there = flatten_order.pair_for((3, 4, 5))[0](x)[0] @ w
    np.testing.assert_allclose(x.reshape(2, -1) @ flatten_order.moved(w, (3, 4, 5)), there, rtol=1e-12)


def test_cross_entropy():
    _, loss, clipped, dz, dz_clipped = (np.array(a[0]) for a in arrays_of("cross-entropy"))
    np.testing.assert_allclose(loss, [np.log1p(np.exp(5)), np.log1p(np.exp(15)), 30], rtol=1e-6)
    assert clipped[2] == pytest.approx(-np.log(1e-7), rel=1e-6)
    assert dz[2] == -1 and dz_clipped[2] == 0


# Variants


def pool_op(**options):
    return ops.MaxPool2D(name="pool", window=make_window((5, 4), (2, 2), (2, 2), **options))


def conv_op(window):
    return ops.Conv2D(name="conv", parameters=("w", "b"), window=window, filters=3)


PAIRS = {
    "true convolution": (correlation.pair(conv_op(make_window((5, 4), (3, 2)))), True),
    "symmetric padding": (
        same_padding.pair(conv_op(make_window((6, 4), (3, 3), (2, 2), "same"))),
        True,
    ),
    "zero-padded pool": (pool_padding.pair(pool_op(padding="same")), False),
    "ties shared": (ties.shared(pool_op()), False),
    "ties to all": (ties.to_all(pool_op()), False),
    "flatten": (flatten_order.pair_for((5, 4, 2)), False),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_variants_backward_pass_is_its_gradient(name):
    """Central differences in float64; where nothing ties, all rules agree with the derivative."""
    (forward, backward), has_weights = PAIRS[name]
    rng = np.random.default_rng(3)
    size = (6, 4) if name == "symmetric padding" else (5, 4)
    kernel = (3, 2) if name == "true convolution" else (3, 3)
    arrays = [rng.normal(size=(2, *size, 2)) - 0.5]
    if has_weights:
        arrays += [rng.normal(size=(*kernel, 2, 3)), rng.normal(size=3)]
    y, residuals = forward(*arrays)
    dy = rng.normal(size=y.shape)
    for k, gradient in enumerate(backward(dy, residuals)):
        step = 1e-6 * rng.normal(size=gradient.shape)
        ends = [
            (forward(*(a + sign * step if i == k else a for i, a in enumerate(arrays)))[0] * dy).sum()
            for sign in (1, -1)
        ]
        # a step of 1e-6 moves no maximum here; what rounds is the difference of two sums of about 10
        assert (ends[0] - ends[1]) / 2 == pytest.approx((gradient * step).sum(), rel=1e-7)


def test_a_variant_stands_in_the_plan_and_nowhere_else():
    model = lab.build(correlation.net, {ops.Conv2D: correlation.pair})
    chain = model.lower_layers((28, 28, 1))
    assert [type(op).__name__ for op in chain][:2] == ["Custom", "ReLU"]
    assert model.backend == "reference" and not model.fuses
    plain = lab.build(correlation.net)
    x = lab.digits().x[:2]
    kernel, *rest = plain.get_weights()
    model.set_weights([correlation.turned(kernel), *rest])
    np.testing.assert_allclose(model.predict(x, verbose=0), plain.predict(x, verbose=0), rtol=1e-5)


# Trainings


@pytest.fixture
def few(monkeypatch):
    data = lab.digits()
    small = lab.Data(data.x[:256], data.y[:256], data.test_x[:100], data.test_y[:100])
    monkeypatch.setattr(lab, "digits", lambda: small)


@pytest.mark.parametrize("name", NAMES)
def test_a_training_tells_what_the_example_does(name, few):
    rows = get(name).train().rows
    assert all(np.isfinite(row.loss) and 0 <= row.accuracy <= 1 for row in rows)
    losses = [row.loss for row in rows]
    if name == "correlation":  # kernels turned: the same net, up to rounding in float32 over 16 steps
        assert losses[2] == pytest.approx(losses[0], rel=1e-5) and losses[1] > losses[0] + 0.01
        assert losses[3] == pytest.approx(losses[0], rel=1e-3)
    elif name == "flatten-order":
        assert losses[2] == pytest.approx(losses[0], rel=1e-5) and losses[1] > losses[0] + 0.1
    elif name == "cross-entropy":  # the same mathematics while nothing is clipped
        assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    elif name == "ties":  # windows that tie are black: only the bias sees where their gradient went
        assert losses[1] == pytest.approx(losses[0], rel=1e-3) and losses[2] != pytest.approx(
            losses[0], rel=1e-3
        )
    else:
        assert len({f"{loss:.6f}" for loss in losses}) == len(losses)


# Pages and commands


def test_sources_are_threads():
    for one in ALL:
        assert len(one.sources) >= 3
        for source in one.sources:
            assert source.url == f"https://github.com/{source.repository}/issues/{source.number}"
            assert source.title and source.repository.count("/") == 1


def test_a_page_has_every_example_and_training():
    training = Training((Row("trained", 0.1234, 0.5),), "What was seen.")
    text = page(ALL, dict.fromkeys(NAMES, training))
    for one in ALL:
        assert f"## {one.name}" in text and one.example().says in text and one.sources[0].url in text
    assert text.count("| trained | 0.1234 | 50.0 % |") == len(ALL)


def test_commands(few, capsys):
    assert cli.run(["semantics"]) == 0
    listed = capsys.readouterr().out
    assert all(f"{name}  " in listed and get(name).sources[0].url in listed for name in NAMES)
    assert "y[i,j]" in listed  # and not taken for the markup of a style
    for one in ALL:
        assert cli.run(["semantics", one.name, "--no-training"]) == 0
        shown = capsys.readouterr().out
        assert all(source.url in shown for source in one.sources) and "A training run" not in shown
    assert cli.run(["semantics", "ties"]) == 0
    assert "A training run" in capsys.readouterr().out
    assert cli.run(["semantics", "padding"]) == 2
    assert "must be one of correlation" in capsys.readouterr().err
