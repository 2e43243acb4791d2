"""to_categorical and set_random_seed as Keras has them."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import utils
from tests.keras.agreement import assert_same_signature


@given(
    st.sampled_from([(), (1,), (5,), (5, 1), (1, 1), (2, 3), (2, 3, 1), (0,)]),
    st.none() | st.integers(5, 8),
    st.sampled_from(["int64", "uint8", "float32", "bool"]),
    st.integers(0, 2**32 - 1),
)
def test_to_categorical(shape, classes, dtype, seed):
    labels = np.random.default_rng(seed).integers(0, 5, shape).astype(dtype)
    if not labels.size and classes is None:
        for module in (utils, keras.utils):
            with pytest.raises(ValueError):
                module.to_categorical(labels, classes)
        return
    ours, theirs = utils.to_categorical(labels, classes), keras.utils.to_categorical(labels, classes)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("labels", [[0, 1, 7], [0, 1, 3]])
def test_both_refuse_labels_that_are_too_large(labels):
    for module in (utils, keras.utils):
        with pytest.raises((ValueError, IndexError)):
            module.to_categorical(labels, 3)


@pytest.mark.parametrize("name", ["to_categorical", "set_random_seed", "PyDataset", "Progbar"])
def test_arguments(name):
    assert_same_signature(getattr(utils, name), getattr(keras.utils, name))


@pytest.mark.parametrize("seed", ["3", 1.5, None])
def test_both_refuse_seeds(seed):
    for module in (utils, keras.utils):
        with pytest.raises(ValueError, match="integer"):
            module.set_random_seed(seed)


def test_both_seed_numpy():
    drawn = []
    for module in (utils, keras.utils):
        module.set_random_seed(5)
        drawn.append(np.random.random(3).tolist())
    assert drawn[0] == drawn[1]
