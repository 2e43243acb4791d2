"""The generated images: repeatable, balanced, and told apart by nothing but the shape."""

import numpy as np
import pytest

from minicnn.datasets import shapes


def test_what_comes():
    (x, y), (x_test, y_test) = shapes.load_data(60, 13, size=32)
    assert x.shape == (60, 32, 32, 3) and x_test.shape == (13, 32, 32, 3)
    assert x.dtype == y.dtype == x_test.dtype == y_test.dtype == np.uint8
    np.testing.assert_array_equal(np.bincount(y), [10] * len(shapes.CLASSES))
    assert set(np.bincount(y_test)) <= {2, 3}


def test_the_seed_decides_and_the_splits_differ():
    (x, y), (x_test, _) = shapes.load_data(40, 40, seed=1)
    (again, labels), _ = shapes.load_data(40, 7, seed=1)
    np.testing.assert_array_equal(x, again)
    np.testing.assert_array_equal(y, labels)
    assert (x != shapes.load_data(40, 1, seed=2)[0][0]).any()
    assert not any((x[n] == x_test).all((1, 2, 3)).any() for n in range(40))


def test_every_shape_covers_the_area_that_its_formula_gives():
    """Of a disc of radius 1: π; ring π(1 − 0.56²); square 1.56²; triangle 3√3·0.55²; cross, star by hand."""
    axis = (np.arange(600, dtype=np.float32) - 299.5) / 250
    x, y = np.meshgrid(axis, axis)
    inner = 0.36 / np.cos(
        np.pi / 5
    )  # radius of the star's inner corners; its points lie 0.36 / cos(2π/5) out
    star = 5 * inner * 0.36 / np.cos(2 * np.pi / 5) * np.sin(np.pi / 5)
    expected = {
        "disc": np.pi,
        "ring": np.pi * (1 - 0.56**2),
        "square": 1.56**2,
        "triangle": 3 * np.sqrt(3) * 0.55**2,
        "cross": 2 * 0.56 * 1.9 - 0.56**2,
        "star": star,
    }
    for name, shape in zip(shapes.CLASSES, shapes.SHAPES, strict=True):
        area = np.count_nonzero(shape(x[None], y[None]) > 0) / 250**2
        assert area == pytest.approx(expected[name], rel=0.01), name  # of a hundred thousand pixels


def test_colours_do_not_tell_the_classes():
    """Mean colours of the classes differ by less than five standard deviations of such a mean."""
    (x, y), _ = shapes.load_data(600, 1, size=16)
    mean = x.mean((1, 2))
    for label in range(len(shapes.CLASSES)):
        own = mean[y == label]
        assert (np.abs(own.mean(0) - mean.mean(0)) < 5 * mean.std(0) / np.sqrt(len(own))).all()


@pytest.mark.parametrize(
    "arguments", [{"train": 0}, {"test": 1.5}, {"size": 8}, {"seed": -1}, {"train": True}]
)
def test_refuses(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=rf"`{name}` must be an integer of at least .* Received {name}="):
        shapes.load_data(**arguments)
