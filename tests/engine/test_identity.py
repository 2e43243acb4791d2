"""Bits don't depend on threads, on the run, or on the rest of the batch: properties of drawn nets, numba backend.

Chunks are forced to be small, so that a batch of a few images has a ragged last chunk, fewer chunks than threads or
more chunks than gradient accumulators; and so are the slices in which gradients are added and weights updated.
"""

from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn import config, layers, models
from minicnn.engine import parallel, slices
from minicnn.engine import plan as plan_module
from minicnn.geometry import make_window
from minicnn.naming import reset_names

pytestmark = pytest.mark.jitted  # a dozen trainings an example

THREADS = (1, 2, 3, 8)
# Six trainings an example.
FEWER = settings(max_examples=max(1, settings().max_examples * 3 // 10))
CLASSES = 3
ACTIVATIONS = [
    "linear",
    "relu",
    "sigmoid",
    "tanh",
    "elu",
    "leaky_relu",
    "gelu",
    "silu",
    "softplus",
    "softmax",
]
OPTIMIZERS = {
    "SGD": {"momentum": 0.9, "nesterov": True, "learning_rate": 0.1},
    "RMSprop": {"momentum": 0.5, "centered": True},
    "Adam": {"amsgrad": True},
    "AdamW": {"global_clipnorm": 0.5},
}

seeds = st.integers(0, 2**31 - 1)
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
paddings = st.sampled_from(["valid", "same"])
activations = st.sampled_from(["relu", *ACTIVATIONS])


def made(name, **arguments):
    """A strategy for (name of a layer class, its arguments)."""
    return st.tuples(st.just(name), st.fixed_dictionaries(arguments))


IMAGE_LAYERS = st.one_of(
    # The three that fusion joins come first: shrinking keeps them together.
    made("Conv2D", filters=st.integers(1, 9), kernel_size=pairs, padding=paddings, activation=activations),
    made("MaxPooling2D", pool_size=pairs, padding=paddings),
    made("ReLU"),
    made("Conv2D", filters=st.integers(1, 9), kernel_size=pairs, padding=paddings, strides=pairs),
    made("Conv2D", filters=st.integers(1, 4), kernel_size=pairs, padding=paddings, dilation_rate=pairs),
    made("MaxPooling2D", pool_size=pairs, strides=pairs, padding=paddings),
    made("AveragePooling2D", pool_size=pairs, strides=pairs, padding=paddings),
    made("ZeroPadding2D", padding=st.integers(0, 2)),
    made("Dropout", rate=st.sampled_from([0.2, 0.5]), seed=seeds),
    made("RandomRotation", factor=st.just(0.2), seed=seeds),
    made("RandomFlip", seed=seeds),
    made("Activation", activation=activations),
    made("Rescaling", scale=st.just(0.3), offset=st.just(0.1)),
    made("Softmax", axis=st.sampled_from([-1, 1])),
)
ENDS = st.sampled_from(["Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D"])
VECTOR_LAYERS = st.one_of(
    made("Dense", units=st.integers(1, 33), activation=activations),
    made("Dropout", rate=st.sampled_from([0.2, 0.5]), seed=seeds),
)


class Net(NamedTuple):
    shape: tuple[int, int, int]
    stack: list[tuple[str, dict]]
    optimizer: str
    seed: int


def output_size(size, arguments):
    window = arguments.get("kernel_size") or arguments["pool_size"]
    strides = arguments.get("strides") or (window if "pool_size" in arguments else (1, 1))
    dilation = arguments.get("dilation_rate", (1, 1))
    return make_window(size, window, strides, arguments["padding"], dilation).output_size


@st.composite
def nets(draw):
    """Chains that fit: windows larger than what is left of the image are padded 'same'."""
    shape = draw(st.tuples(st.integers(2, 11), st.integers(2, 11), st.integers(1, 3)))
    images, vectors = draw(st.lists(IMAGE_LAYERS, max_size=4)), draw(st.lists(VECTOR_LAYERS, max_size=2))
    stack = [*images, (draw(ENDS), {}), *vectors]
    size = shape[:2]
    for name, arguments in stack:
        if name == "ZeroPadding2D":
            size = tuple(side + 2 * arguments["padding"] for side in size)
        elif "padding" in arguments:
            arguments["padding"] = "same" if min(size) < 7 else arguments["padding"]
            size = output_size(size, arguments)
    return Net(shape, stack, draw(st.sampled_from(list(OPTIMIZERS))), draw(seeds))


def build(net):
    """A fresh model: the seed says what its weights are."""
    reset_names()  # they are counted from the start again
    stack = [getattr(layers, name)(**arguments) for name, arguments in net.stack]
    model = models.Sequential([minicnn.Input(net.shape), *stack, layers.Dense(CLASSES, activation="softmax")])
    rng = np.random.default_rng(net.seed)
    model.set_weights([rng.normal(0, 0.5, w.shape) for w in model.weights])
    optimizer = getattr(minicnn.optimizers, net.optimizer)(**OPTIMIZERS[net.optimizer])
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def data_for(net, n):
    rng = np.random.default_rng(net.seed)
    x = rng.normal(size=(n, *net.shape)).astype(config.floatx())
    return x, rng.integers(0, CLASSES, n)


def trained(net, x, y, steps, count):
    """Everything that `steps` steps on `count` threads leave: losses, weights, slots, predictions."""
    config.set_num_threads(count)
    model = build(net)
    losses = [np.float64(model.train_on_batch(x, y)) for _ in range(steps)]
    gradients = model.gradients(x, y, wants=("weights", "input"))
    return {
        "losses": np.array(losses),
        **{w.path: w.numpy() for w in model.weights},
        **{v.path: v.numpy() for v in model.optimizer.variables},
        **{f"gradient of {path}": g for path, g in gradients.weights.items()},
        "gradient of the input": gradients.input,
        "predictions": model.predict(x, verbose=0),
    }


def assert_same_bits(results, expected, label):
    assert results.keys() == expected.keys()
    for name, array in expected.items():
        assert results[name].dtype == array.dtype
        assert results[name].tobytes() == array.tobytes(), f"{label}: {name}"


@contextmanager
def setting(dtype, chunk_bytes, slice_size, large_nbytes=plan_module.LARGE_NBYTES):
    """Float type, bytes in a chunk, elements in a slice, and what is a large weight."""
    number, floatx = config.num_threads(), config.floatx()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_module, "CHUNK_BYTES", chunk_bytes)
        patch.setattr(plan_module, "LARGE_NBYTES", large_nbytes)
        patch.setattr(slices, "LEAST", slice_size)
        patch.setattr(parallel, "DEFERRED_SLICE", slice_size)
        config.set_floatx(dtype)
        plan_module._make_plan.cache_clear()
        try:
            yield
        finally:
            plan_module._make_plan.cache_clear()
            config.set_floatx(floatx)
            config.set_num_threads(number)


dtypes = st.sampled_from(["float32", "float64"])
chunks = st.sampled_from([0, 1 << 12, 1 << 14, plan_module.CHUNK_BYTES])  # 0: one image each
slice_sizes = st.sampled_from([64, 1 << 16])


@FEWER
@given(
    net=nets(),
    n=st.integers(1, 23),
    steps=st.integers(1, 3),
    dtype=dtypes,
    chunk_bytes=chunks,
    slice_size=slice_sizes,
    large_nbytes=st.sampled_from([plan_module.LARGE_NBYTES, 64]),
)
def test_training_gives_the_same_bits_on_any_number_of_threads_and_in_every_run(
    net, n, steps, dtype, chunk_bytes, slice_size, large_nbytes
):
    with setting(dtype, chunk_bytes, slice_size, large_nbytes):
        x, y = data_for(net, n)
        expected = trained(net, x, y, steps, THREADS[0])
        for count in (*THREADS[1:], 2, 1):
            assert_same_bits(trained(net, x.copy(), y, steps, count), expected, f"{count} threads")


@given(
    net=nets(),
    n=st.integers(1, 23),
    dtype=dtypes,
    chunk_bytes=chunks,
    batch_size=st.integers(1, 25),
    count=st.sampled_from(THREADS),
    data=st.data(),
)
def test_predictions_have_the_same_bits_for_any_part_of_a_batch(
    net, n, dtype, chunk_bytes, batch_size, count, data
):
    part = data.draw(st.lists(st.integers(0, n - 1), min_size=1, unique=True))
    with setting(dtype, chunk_bytes, 1 << 16):
        config.set_num_threads(count)
        model = build(net)
        x, _ = data_for(net, n)
        whole = model.predict(x, batch_size=n, verbose=0)
        assert model.predict(x[part], batch_size=batch_size, verbose=0).tobytes() == whole[part].tobytes()
        assert model(x[part]).tobytes() == whole[part].tobytes()
