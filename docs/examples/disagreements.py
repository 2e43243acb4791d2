"""Where frameworks disagree with each other or with the mathematics, each in a few lines.

    python docs/examples/disagreements.py            # the names
    python docs/examples/disagreements.py NAME       # one of them, in a fresh process

What they printed, and with which versions, is in docs/disagreements.md.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from math import erf

import numpy as np

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


def with_and_without_onednn(code: str) -> None:
    """TensorFlow reads the switch once a process."""
    for onednn in "10":
        environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": onednn}
        run = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        print(f"TF_ENABLE_ONEDNN_OPTS={onednn}: {run.stdout.strip()}")


def onednn_one_column() -> None:
    """TensorFlow's Conv2D with oneDNN leaves elements of y unwritten."""
    with_and_without_onednn(
        "import numpy as np, tensorflow as tf\n"
        "x, w = np.ones((2, 3, 2, 1), 'f'), np.ones((1, 2, 1, 1), 'f')\n"
        "y = tf.nn.conv2d(x, w, strides=(1, 3), padding='VALID')\n"
        "print('elements that are not 2:', np.flatnonzero(y.numpy() != 2), 'of', y.shape)"
    )


def channels_first() -> None:
    """TensorFlow's CPU Conv2D takes no NCHW; Keras compiles grouped convolutions by XLA, which does."""
    import keras

    x = np.arange(2 * 4 * 5 * 6, dtype=np.float32).reshape(2, 4, 5, 6) % 7 - 3
    for groups in (1, 2):
        first = keras.layers.Conv2D(4, (2, 3), padding="same", groups=groups, data_format="channels_first")
        last = keras.layers.Conv2D(4, (2, 3), padding="same", groups=groups)
        first.build(x.shape)
        last.build((2, 5, 6, 4))
        last.set_weights(first.get_weights())
        try:
            got = np.moveaxis(np.asarray(first(x)), 1, -1)
        except Exception as error:
            print(f"groups={groups}: {type(error).__name__}")
            continue
        wanted = np.asarray(last(np.moveaxis(x, 1, -1)))
        print(f"groups={groups}: largest difference from channels_last {np.abs(got - wanted).max():.1e}")


def torch_1x1_stride_2() -> None:
    """The gradient of a 1×1 convolution with stride 2, over sizes, dtypes and memory formats."""
    code = (
        "import itertools, torch\n"
        "sizes = itertools.product((1, 2, 3), (1, 2, 4, 17), (1, 2, 4, 33), (1, 2, 3, 5, 8))\n"
        "formats = (torch.contiguous_format, torch.channels_last)\n"
        "count = 0\n"
        "for (n, c, f, h), dtype, a, b in itertools.product(sizes, (torch.float32, torch.float64), formats, formats):\n"
        "    x = torch.ones(n, c, h, h, dtype=dtype).to(memory_format=a).requires_grad_()\n"
        "    w = torch.ones(f, c, 1, 1, dtype=dtype).to(memory_format=b).requires_grad_()\n"
        "    y = torch.nn.functional.conv2d(x, w, stride=2)\n"
        "    dx, dw = torch.autograd.grad(y, (x, w), torch.ones_like(y))\n"
        "    assert (dx[:, :, ::2, ::2] == f).all() and (dw == n * ((h + 1) // 2) ** 2).all()\n"
        "    count += 1\n"
        "print(count, 'gradients, all right')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    print(f"exit status {run.returncode}: {run.stdout.strip() or run.stderr.strip()[-200:]}")


def float32_constants() -> None:
    """Python floats become float32 in TensorFlow before they meet float64 tensors."""
    import keras
    import tensorflow as tf

    keras.config.set_floatx("float64")
    w = keras.Variable(np.zeros(1), dtype="float64")
    sgd = keras.optimizers.SGD(learning_rate=1.0, momentum=0.9)
    sgd.build([w])
    sgd.apply([tf.constant([1.0], tf.float64)], [w])  # velocity −1
    sgd.apply([tf.constant([0.0], tf.float64)], [w])  # velocity −momentum
    print(
        f"momentum 0.9 was {-1 - float(w.numpy()[0]):.17f}, float32(0.9) is {np.float64(np.float32(0.9)):.17f}"
    )
    got = float(keras.activations.gelu(tf.constant([2.0], tf.float64))[0])
    half = float(np.float32(0.5**0.5))
    print(f"gelu(2) is off by {got - (1 + erf(2**0.5)):.1e}")
    print(f"with √½ rounded to float32 it would be by {erf(2 * half) - erf(2**0.5):.1e}")
    slope = float(keras.activations.leaky_relu(tf.constant([-1.0], tf.float64), 0.1)[0])
    print(f"leaky_relu(−1, slope 0.1) = {slope:.17f}")


def max_pool_nan() -> None:
    """A maximum that starts at the lowest finite number drops NaN and lifts −inf."""
    from minicnn.testing.adapters import load

    for name in ("keras", "onnxruntime", "torch", "jax"):
        try:
            (pool,) = load(name, "max_pooling2d")
        except ImportError:
            continue
        pairs = ((np.nan, np.nan), (-np.inf, -np.inf), (np.nan, -2), (-2, np.nan))
        images = [np.array(pair, np.float32).reshape(1, 1, 2, 1) for pair in pairs]
        maxima = [
            float(np.ravel(pool.run(x, pool_size=(1, 2), strides=(1, 2), padding="valid"))[0]) for x in images
        ]
        print(f"{name}: " + ", ".join(f"max{pair} = {y:.4g}" for pair, y in zip(pairs, maxima, strict=True)))


def softmax_nan() -> None:
    """A row with a NaN has no softmax: all of it is NaN, but not with oneDNN."""
    with_and_without_onednn(
        "import numpy as np, tensorflow as tf\n"
        "row = np.array([[0, 1, 2, 3, 4, 5, 6, 7, 8, np.nan]], 'f')\n"
        "print(tf.nn.softmax(row).numpy().ravel())"
    )


def clip_and_normalise() -> None:
    """Sparse and categorical cross-entropy of the same probabilities, which don't sum to one."""
    import keras

    p = np.array([[0.25, 1e-9]], np.float64)
    sparse = keras.losses.SparseCategoricalCrossentropy(dtype="float64")(np.array([1]), p)
    categorical = keras.losses.CategoricalCrossentropy(dtype="float64")(np.array([[0.0, 1.0]]), p)
    clipped = np.clip(p, 1e-7, 1 - 1e-7)[0]
    normalised = np.clip(p / p.sum(), 1e-7, 1 - 1e-7)[0]
    print(f"categorical {float(categorical):.6f}: normalised, then clipped is {-np.log(normalised[1]):.6f}")
    print(
        f"sparse      {float(sparse):.6f}: clipped, then normalised is {-np.log(clipped[1] / clipped.sum()):.6f}"
    )


def weights_are_views() -> None:
    """Whether the arrays that `get_weights()` returned change when training goes on."""
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    kept = model.get_weights()
    before = [w.copy() for w in kept]
    model.train_on_batch(np.ones((8, 4), np.float32), np.ones((8, 3), np.float32))
    changed = [bool((w != b).any()) for w, b in zip(kept, before, strict=True)]
    print(f"arrays that get_weights() returned before the step, changed by it: {changed}")


def subnormals() -> None:
    """Products below the smallest normal number."""
    import tensorflow as tf

    x, w = np.full((1, 1, 1, 1), 1e-30, np.float32), np.full((1, 1, 1, 1), 1e-10, np.float32)
    print(f"NumPy:        1e-30 · 1e-10 = {x.ravel()[0] * w.ravel()[0]}")
    print(f"tf.multiply:  {float(tf.multiply(x, w)[0, 0, 0, 0])}")
    print(f"tf.nn.conv2d: {float(tf.nn.conv2d(x, w, 1, 'VALID')[0, 0, 0, 0])}")
    try:
        import torch
    except ImportError:
        return
    print(f"torch conv2d: {float(torch.nn.functional.conv2d(torch.from_numpy(x), torch.from_numpy(w)))}")


CASES: dict[str, Callable[[], None]] = {
    f.__name__: f
    for f in (
        *(
            onednn_one_column,
            channels_first,
            torch_1x1_stride_2,
            float32_constants,
            max_pool_nan,
            softmax_nan,
        ),
        *(clip_and_normalise, weights_are_views, subnormals),
    )
}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in CASES:
        sys.exit(f"One of {', '.join(CASES)}")
    CASES[sys.argv[1]]()
