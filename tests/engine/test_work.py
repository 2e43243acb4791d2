"""Multiply-adds: exact on nets counted by hand, and against loops that count every single product."""

from itertools import product

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from minicnn.engine import ops, work
from minicnn.engine.fusion import fuse
from minicnn.engine.plan import make_plan
from minicnn.engine.work import Passes
from minicnn.geometry import Window, make_window


def conv(window: Window, filters: int = 1, groups: int = 1, name: str = "conv") -> ops.Conv2D:
    return ops.Conv2D(name=name, parameters=(f"{name}/k",), window=window, filters=filters, groups=groups)


def pool(image: tuple[int, int], size: tuple[int, int] = (2, 2), name: str = "pool") -> ops.MaxPool2D:
    return ops.MaxPool2D(name=name, window=make_window(image, size, size))


def dense(units: int, name: str) -> ops.Dense:
    return ops.Dense(name=name, parameters=(f"{name}/k",), units=units)


def book_net() -> list[ops.Op]:
    return [
        conv(make_window((28, 28), (3, 3)), 32, name="conv1"),
        ops.ReLU(name="relu1"),
        pool((26, 26), name="pool1"),
        conv(make_window((13, 13), (3, 3)), 64, name="conv2"),
        ops.ReLU(name="relu2"),
        pool((11, 11), name="pool2"),
        conv(make_window((5, 5), (3, 3)), 64, name="conv3"),
        ops.ReLU(name="relu3"),
        ops.Reshape(name="flat", shape=(576,)),
        dense(64, "dense1"),
        ops.ReLU(name="relu4"),
        dense(10, "dense2"),
        ops.SoftmaxCrossEntropy(name="loss"),
    ]


def plan_of(chain, input_shape, **options):
    paths = [path for op in chain for path in op.parameters]
    return make_plan(fuse(chain), input_shape, training=True, gradients=paths, **options)


def test_the_books_net():
    """26²·9·32 + 11²·288·64 + 3²·576·64 + 576·64 + 64·10 forward and for dw; for dx all but the first."""
    works = work.count(plan_of(book_net(), (28, 28, 1)))
    assert [w.dense.forward for w in works] == [194_688, 2_230_272, 331_776, 0, 36_864, 640, 0]
    assert all(w.dense == Passes(*[w.dense.forward] * 3) for w in works[1:])
    assert works[0].dense == Passes(194_688, 194_688, 0)
    assert sum(sum(w.dense) for w in works) == 3 * 2_794_240 - 194_688 == 8_188_032


def test_what_the_books_net_needs():
    """The second pool discards a row and a column of 11, so that of conv1's pooled 13² only 12² are ever read."""
    conv1, conv2, conv3, *_ = works = work.count(plan_of(book_net(), (28, 28, 1)))
    assert conv1.needed == Passes(24 * 24 * 9 * 32, 12 * 12 * 9 * 32, 0)
    assert conv2.needed == Passes(10 * 10 * 288 * 64, *[5 * 5 * 288 * 64] * 2)
    assert conv3.needed == conv3.dense
    assert sum(sum(w.needed) for w in works) == 4_080_000


def test_a_batch_is_as_many_times_the_work():
    one, many = (work.count(plan_of(book_net(), (28, 28, 1)), n) for n in (1, 7))
    for a, b in zip(one, many, strict=True):
        assert [7 * v for v in (*a.dense, *a.needed)] == [*b.dense, *b.needed]


def test_bytes_by_hand():
    """(4, 4, 2) through 3 filters of 3×3, float32, three samples: x 32, w 54, y 12 elements."""
    chain = [
        conv(make_window((4, 4), (3, 3)), 3, name="a"),
        ops.Tanh(name="t"),
        conv(make_window((2, 2), (1, 1)), 5, name="b"),
    ]
    first, middle, last = work.count(plan_of(chain, (4, 4, 2)), 3)
    assert first.nbytes == Passes(4 * (3 * 32 + 54 + 3 * 12), 4 * (3 * 32 + 54 + 3 * 12), 0)
    assert middle.nbytes.forward == 4 * 3 * (12 + 12) and middle.nbytes.dw == 0
    assert last.nbytes == Passes(*[4 * (3 * 12 + 15 + 3 * 20)] * 3)


def test_a_fused_pool_keeps_one_byte_for_each_winner_and_never_moves_the_map():
    chain = [conv(make_window((6, 6), (3, 3)), 3), ops.ReLU(name="relu"), pool((4, 4))]
    (fused,) = work.count(plan_of(chain, (6, 6, 1)), 2)
    pooled = 2 * 2 * 3
    assert fused.nbytes.forward == 2 * 36 * 4 + 27 * 4 + 2 * pooled * (4 + 1)
    assert fused.nbytes.dw == 2 * 36 * 4 + 27 * 4 + 2 * pooled * (4 + 4 + 1)  # dy, y and the winners


def test_nothing_is_counted_that_nobody_wants():
    chain = [conv(make_window((5, 5), (3, 3)), name="a"), conv(make_window((3, 3), (3, 3)), name="b")]
    frozen = make_plan(chain, (5, 5, 1), training=True, gradients=["b/k"])
    a, b = work.count(frozen)
    assert a.dense == a.needed == Passes(81, 0, 0)
    assert b.dense == b.needed == Passes(9, 9, 0)


def test_an_intermediate_that_is_kept_is_needed_whole():
    chain = [conv(make_window((7, 7), (3, 3))), pool((5, 5))]
    (cut, _), (whole, _) = (
        work.count(make_plan(chain, (7, 7, 1), intermediates=names)) for names in ([], ["conv"])
    )
    assert (cut.needed.forward, whole.needed.forward) == (4 * 4 * 9, 5 * 5 * 9)


@pytest.mark.parametrize(
    ("between", "rows", "columns"),
    [
        ([ops.ZeroPad2D(name="pad", pads=((1, 0), (0, 1)))], 3, 4),  # 6×6, of which the pool reads 4×4
        ([ops.Transpose(name="t", axes=(1, 0, 2))], 4, 4),
        ([ops.Softmax(name="s")], 4, 4),  # along the channels of each position
        ([ops.Tanh(name="h"), ops.Identity(name="i")], 4, 4),
    ],
    ids=["padding", "transposed", "softmax", "elementwise"],
)
def test_what_is_read_is_followed_through_other_ops(between, rows, columns):
    chain = [conv(make_window((7, 7), (3, 3))), *between]
    shape = (7, 7, 1)
    for op in chain:
        shape = op.output_shape(shape)
    last = ops.MaxPool2D(name="pool", window=make_window(shape[:2], (4, 4), (4, 4)))
    assert work.count(make_plan([*chain, last], (7, 7, 1)))[0].needed.forward == rows * columns * 9


def test_a_transpose_takes_rows_to_columns():
    chain = [conv(make_window((9, 6), (1, 1))), ops.Transpose(name="t", axes=(1, 0, 2)), pool((6, 9), (6, 2))]
    assert work.count(make_plan(chain, (9, 6, 1)))[0].needed.forward == 8 * 6


def test_a_transpose_need_not_be_its_own_inverse():
    turn = ops.Transpose(name="t", axes=(1, 2, 0))  # (9, 6, 4) → (6, 4, 9)
    chain = [conv(make_window((9, 6), (1, 1)), 4), turn, pool((6, 4), (4, 2))]
    assert work.count(make_plan(chain, (9, 6, 1)))[0].needed.forward == 9 * 4 * 4


# Against loops


@st.composite
def windows(draw, image: tuple[int, int] | None = None, plain: bool = False) -> Window:
    """Windows of 1 to 3 taps, strides and dilations; `plain` ones have stride 1, no dilation, and fit a pool of 2×2."""
    image = image or draw(st.tuples(*[st.integers(4 if plain else 1, 8)] * 2))
    padding, axes = draw(st.sampled_from(["same", "valid"])), []
    for size in image:
        kernel = draw(st.integers(1, 3 if padding == "same" else min(3, size)))
        largest = 3 if padding == "same" or kernel == 1 else min(3, (size - 1) // (kernel - 1))
        stride, dilation = (1, 1) if plain else (draw(st.integers(1, 3)), draw(st.integers(1, largest)))
        axes.append((kernel, stride, dilation))
    kernel_size, strides, dilations = zip(*axes, strict=True)
    return make_window(image, kernel_size, strides, padding, dilations)


def lies_inside(window: Window, i: int, j: int, p: int, q: int) -> bool:
    row = i * window.strides[0] + p * window.dilation[0] - window.pads_before[0]
    column = j * window.strides[1] + q * window.dilation[1] - window.pads_before[1]
    return 0 <= row < window.image_size[0] and 0 <= column < window.image_size[1]


def taps(window: Window):
    return product(range(window.kernel_size[0]), range(window.kernel_size[1]))


def positions(window: Window):
    return product(range(window.output_size[0]), range(window.output_size[1]))


@given(windows(), st.integers(1, 3), st.integers(1, 2), st.integers(1, 3))
def test_every_product_of_a_convolution(window, groups, filters_per_group, channels_per_group):
    """Dense counts every tap, needed those inside the image, for every output and every channel of its group."""
    filters, channels = groups * filters_per_group, groups * channels_per_group
    plan = make_plan(
        [conv(window, filters, groups, name="a")],
        (*window.image_size, channels),
        training=True,
        gradients=["a/k"],
        value_gradients=["input"],
    )
    every = inside = 0
    for (i, j), (p, q) in product(positions(window), taps(window)):
        for f in range(filters):
            for c in range(channels):
                if c // channels_per_group == f // filters_per_group:
                    every += 1
                    inside += lies_inside(window, i, j, p, q)
    (counted,) = work.count(plan)
    assert counted.dense == Passes(every, every, every)
    assert counted.needed == Passes(inside, inside, inside)


@given(windows(), st.data())
def test_every_product_that_somebody_reads(window, data):
    """Two convolutions in a row: forward, the first needs the positions that the second's taps lie on."""
    reader = data.draw(windows(window.output_size))
    plan = make_plan([conv(window, name="a"), conv(reader, name="b")], (*window.image_size, 1))
    read = set()
    for (i, j), (p, q) in product(positions(reader), taps(reader)):
        if lies_inside(reader, i, j, p, q):
            read.add(
                (
                    i * reader.strides[0] + p * reader.dilation[0] - reader.pads_before[0],
                    j * reader.strides[1] + q * reader.dilation[1] - reader.pads_before[1],
                )
            )
    needed = sum(lies_inside(window, i, j, p, q) for (i, j), (p, q) in product(read, taps(window)))
    assert work.count(plan)[0].needed.forward == needed


@given(windows(), st.integers(0, 2**32 - 1))
def test_every_product_of_given_gradients(window, seed):
    """With the number of non-zero gradients at each position, dw and dx are exact."""
    passed = np.random.default_rng(seed).integers(0, 5, window.output_size)
    plan = make_plan([conv(window, 4, name="a")], (*window.image_size, 3), gradients=["a/k"], training=True)
    (counted,) = work.count(plan, 2, [passed])
    expected = sum(
        3 * passed[i, j]
        for (i, j), (p, q) in product(positions(window), taps(window))
        if lies_inside(window, i, j, p, q)
    )
    assert counted.needed.dw == expected and counted.needed.dx == 0


@given(windows(plain=True))
def test_a_pool_bounds_the_gradients_by_one_for_each_window(window):
    """Without data: each window's winner is where the most taps lie inside the image."""
    pooling = make_window(window.output_size, (2, 2), (2, 2))
    plan = plan_of(
        [conv(window, 2), ops.ReLU(name="r"), ops.MaxPool2D(name="p", window=pooling)],
        (*window.image_size, 3),
    )
    assert len(plan.steps) == 1
    expected = sum(
        max(
            sum(lies_inside(window, 2 * i + a, 2 * j + b, p, q) for p, q in taps(window))
            for a, b in product((0, 1), (0, 1))
        )
        for i, j in positions(pooling)
    )
    (counted,) = work.count(plan)
    assert counted.needed.dw == 2 * 3 * expected
