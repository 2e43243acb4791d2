"""Random layers: what is drawn is ours, but the same numbers must move the same pixels.

Each case asks Keras's layer for a transformation that it drew, gives ours the same numbers, and compares matrices and
images. Bounds that hold one number make both draw it.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from minicnn import layers
from minicnn.reference.affine import FILL_MODES, INTERPOLATIONS, Sampling, affine_backward, affine_forward
from minicnn.reference.random_affine import KINDS
from minicnn.testing import strategies
from tests.keras.floats import FLOATX
from tests.keras.running import BACKENDS, examples, in_ours

U32 = 2.0**-24


def skip_what_keras_cannot(name):
    if name == "RandomRotation" and FLOATX == "float64":
        pytest.skip(
            "Keras's RandomRotation on TensorFlow multiplies a float64 angle by a float32 constant, and raises"
        )


def transformed(x, matrices, sampling):
    """Keras's ops.image.affine_transform."""
    padded = np.concatenate([matrices, np.zeros((len(matrices), 2), np.float32)], axis=1)
    return np.array(keras.ops.image.affine_transform(tf.constant(x), padded, **sampling._asdict()))


@examples(100)
@given(
    seed=st.integers(0, 2**31),
    shape=st.tuples(*[st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 3)]),
    fill_mode=st.sampled_from(FILL_MODES),
    interpolation=st.sampled_from(INTERPOLATIONS),
    on_halves=st.booleans(),
)
def test_the_same_matrix_gives_the_same_image(seed, shape, fill_mode, interpolation, on_halves):
    rng = np.random.default_rng(seed)
    x, sampling = rng.normal(size=shape).astype(FLOATX), Sampling(fill_mode, interpolation, 0.75)
    matrices = (
        np.array([1, 0, 0, 0, 1, 0]) + rng.normal(size=(shape[0], 6)) * [0.5, 0.5, 8, 0.5, 0.5, 8]
    ).astype(np.float32)
    if on_halves:
        matrices = np.round(2 * matrices) / np.float32(2)
    theirs = transformed(x, matrices, sampling)
    y, _ = affine_forward(x, matrices, sampling)
    if interpolation == "nearest":
        np.testing.assert_array_equal(y, theirs)
    else:
        # Four products of a pixel and two weights, each rounded thrice, and three sums, in float32 on either side.
        largest = max(0.75, np.abs(x).max())
        assert np.abs(y - theirs).max() <= 2 * 12 * U32 * largest


NUMBERS = {  # Keras's class → its arguments, and how our kind's numbers follow from what it drew
    "RandomTranslation": ({"height_factor": (-0.3, 0.4), "width_factor": (-0.4, 0.2)}, "translation"),
    "RandomRotation": ({"factor": (-0.6, 0.7)}, "rotation"),
    "RandomZoom": ({"height_factor": (-0.5, 0.8), "width_factor": (-0.2, 0.9)}, "zoom"),
    "RandomShear": ({"x_factor": (0.1, 0.8), "y_factor": (0.0, 0.9)}, "shear"),
}


def drawn_by_keras(kind, layer, x):
    """(N, k): the numbers that Keras drew, in our order, and the matrices that it made of them."""
    drawn = layer.get_random_transformation(x, training=True)
    if kind == "translation":
        moved = np.array(drawn["translations"])
        return moved[:, ::-1] / x.shape[1:3], np.array(layer._get_translation_matrix(drawn["translations"]))
    if kind == "rotation":
        return np.array(drawn["angle"])[:, None] / 360, np.array(drawn["rotation_matrix"])
    if kind == "zoom":
        down, across = np.array(drawn["height_zoom"]), np.array(drawn["width_zoom"])
        zooms = np.concatenate([across, down], 1)
        return np.concatenate([down, across], 1) - 1, np.array(layer._get_zoom_matrix(zooms, *x.shape[1:3]))
    factors = np.array(drawn["shear_factor"])
    numbers = np.concatenate([np.zeros((len(x), 1)), factors], 1)
    return numbers, np.array(layer._get_shear_matrix(drawn["shear_factor"]))


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("size", [(8, 8), (28, 20), (1, 5)])
def test_the_same_numbers_give_the_same_matrix(name, size):
    skip_what_keras_cannot(name)
    arguments, kind = NUMBERS[name]
    x = np.zeros((50, *size, 1), np.float32)
    numbers, theirs = drawn_by_keras(kind, getattr(keras.layers, name)(**arguments, seed=3), x)
    ours = KINDS[kind](numbers.astype(np.float64), *size)
    # Numbers, degrees, sine and cosine and about ten operations in float32, on entries up to the image's size.
    assert np.abs(ours - theirs[:, :6]).max() <= 32 * U32 * max(size)


FIXED = {
    "RandomTranslation": ({"height_factor": (0.2, 0.2), "width_factor": (-0.3, -0.3)}, "constant"),
    "RandomRotation": ({"factor": (0.1, 0.1)}, "reflect"),
    "RandomZoom": ({"height_factor": (0.3, 0.3)}, "nearest"),
    "RandomShear": ({"x_factor": (0.0, 0.0), "y_factor": (0.0, 0.0)}, "wrap"),
    "RandomFlip": ({"mode": "horizontal"}, None),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", FIXED)
def test_layers(name, backend):
    """Where nothing is left to chance, whole layers agree; a flip is one of two pictures in either library."""
    skip_what_keras_cannot(name)
    arguments, fill_mode = FIXED[name]
    if fill_mode is not None:
        arguments = {**arguments, "fill_mode": fill_mode}
    x, dy = np.random.default_rng(0).normal(size=(2, 6, 9, 7, 2)).astype(FLOATX)
    theirs = np.array(getattr(keras.layers, name)(**arguments)(x, training=True))
    y, dx, _ = in_ours(getattr(layers, name)(**arguments), x, dy, backend)
    if name == "RandomFlip":
        for picture, flipped in zip((*y, *theirs), (*x, *x), strict=True):
            assert (picture == flipped).all() or (picture == flipped[:, ::-1]).all()
        assert 0 < np.sum((y == x).all((1, 2, 3))) < 6
    else:
        # Positions differ by 1e-6 of the image's nine pixels, so values by that share of a pixel's difference.
        np.testing.assert_allclose(y, theirs, atol=1e-4)
    np.testing.assert_allclose(np.sum(dx * x), np.sum(dy * y), rtol=1e-4, atol=1e-4)


def test_gradient_of_whole_shifts():
    """There TensorFlow's approximate gradient is exact, but for its rounding to float32."""
    x, dy = np.random.default_rng(0).normal(size=(2, 1, 5, 6, 2)).astype(FLOATX)
    matrix, sampling = np.float32([[1, 0, 2, 0, 1, -1]]), Sampling("constant", "bilinear", 0.0)
    with tf.GradientTape() as tape:
        tensor = tf.constant(x)
        tape.watch(tensor)
        y = keras.ops.image.affine_transform(tensor, np.pad(matrix, ((0, 0), (0, 2))), **sampling._asdict())
    theirs = np.array(tape.gradient(y, tensor, output_gradients=tf.constant(dy)))
    (dx,) = affine_backward(dy, affine_forward(x, matrix, sampling)[1])
    np.testing.assert_array_equal(dx.astype(np.float32), theirs.astype(np.float32))


def test_outside_training_both_do_nothing():
    x = strategies.make_array((2, 5, 5, 1), "normal", 0, FLOATX)
    for name, (arguments, _) in FIXED.items():
        for library in (keras.layers, layers):
            np.testing.assert_array_equal(np.array(getattr(library, name)(**arguments)(x, training=False)), x)
