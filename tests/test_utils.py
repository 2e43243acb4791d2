"""to_categorical, set_random_seed, PyDataset."""

import random as python_random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import initializers, random, utils


@given(st.lists(st.integers(0, 6), min_size=1, max_size=20), st.integers(7, 9) | st.none())
def test_to_categorical(labels, classes):
    encoded = utils.to_categorical(labels, classes)
    assert encoded.shape == (len(labels), classes or max(labels) + 1)
    assert encoded.dtype == np.float64
    np.testing.assert_array_equal(encoded.argmax(-1), labels)
    assert (encoded.sum(-1) == 1).all()
    assert ((encoded == 0) | (encoded == 1)).all()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((), (3,)),
        ((4,), (4, 3)),
        ((4, 1), (4, 3)),
        ((1,), (1, 3)),
        ((2, 4), (2, 4, 3)),
        ((2, 4, 1), (2, 4, 3)),
    ],
)
def test_shapes(shape, expected):
    assert utils.to_categorical(np.full(shape, 2)).shape == expected


def test_no_labels():
    assert utils.to_categorical([], 3).shape == (0, 3)
    with pytest.raises(ValueError, match="num_classes"):
        utils.to_categorical([])


@pytest.mark.parametrize(
    ("labels", "classes", "error", "message"),
    [
        ([0, 3], 3, ValueError, r"0 … 2 for 3 classes\. Received a label 3"),
        ([0, -1], 3, ValueError, "Received a label -1"),
        ([0, -1], None, ValueError, "Received a label -1"),
        ([0, 0.5], 3, ValueError, r"Received a label 0\.5"),
        ([0, np.nan], 3, ValueError, "Received a label nan"),
        ([0, np.inf], None, ValueError, r"must be integers\. Received a label inf"),
        ([0, 1], 2.5, ValueError, "num_classes"),
        ([0, 1], -2, ValueError, "num_classes"),
        (["0"], 3, TypeError, "numbers"),
        ([1j], 3, TypeError, "numbers"),
    ],
)
def test_labels_that_do_not_fit(labels, classes, error, message):
    with pytest.raises(error, match=message):
        utils.to_categorical(labels, classes)


def test_seeding():
    def draw():
        utils.set_random_seed(3)
        return (
            random.next_seed(),
            python_random.random(),
            np.random.random(),
            initializers.HeNormal()((2,)).tolist(),
        )

    assert draw() == draw()
    first = draw()
    utils.set_random_seed(4)
    assert random.next_seed() != first[0]


@pytest.mark.parametrize("seed", [-1, 1.5, "1", None, True, 2**32])
def test_seeds_that_make_no_sense(seed):
    with pytest.raises(ValueError, match="`seed` must be an integer"):
        utils.set_random_seed(seed)


def test_dataset():
    class Own(utils.PyDataset):
        def __init__(self):
            pass  # a subclass may forget its base

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return index * 10

    own = Own()
    assert (own.num_batches, list(own)) == (3, [0, 10, 20])
    assert (own.workers, own.use_multiprocessing, own.max_queue_size) == (1, False, 10)
    own.on_epoch_begin()
    own.on_epoch_end()
    for arguments in ({"workers": 0}, {"max_queue_size": 1.5}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            utils.PyDataset(**arguments)


def test_a_dataset_without_its_methods():
    bare = utils.PyDataset(workers=2)
    for method, call in (("__len__", lambda: bare.num_batches), ("__getitem__", lambda: bare[0])):
        with pytest.raises(NotImplementedError, match=f"PyDataset does not define `{method}`"):
            call()
