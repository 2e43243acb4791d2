"""The one table that drives every benchmark: networks, convolutions, who is measured on what, and the bars.

Read by `minicnn bench` (minicnn/bench/run.py). A new benchmark is a line here.
"""

from dataclasses import replace

from minicnn.bench.neutral import Convolution, Network
from minicnn.bench.table import Bar, Contestant, Effort, Measurement

# Networks


def conv(filters: int, padding: str = "valid") -> tuple[str, dict]:
    return "Conv2D", {"filters": filters, "kernel_size": 3, "padding": padding, "activation": "relu"}


def dense(units: int, activation: str = "relu") -> tuple[str, dict]:
    return "Dense", {"units": units, "activation": activation}


POOL = ("MaxPooling2D", {"pool_size": 2})
FLATTEN = ("Flatten", {})
AVERAGE = ("GlobalAveragePooling2D", {})

BOOK = Network(
    "book",  # F. Chollet, "Deep Learning with Python", section 5.1
    (28, 28, 1),
    (conv(32), POOL, conv(64), POOL, conv(64), FLATTEN, dense(64), dense(10, "softmax")),
    "categorical_crossentropy",
    64,
    data="mnist",
)
IMAGE_SIZES = (20, 40, 56, 112)


def book_at(size: int) -> Network:
    """The book's net for other images."""
    return replace(BOOK, name=f"book_at_{size}", input_shape=(size, size, 1), data="blocks")


NETWORKS = {
    network.name: network
    for network in (
        BOOK,
        replace(
            BOOK, name="book_without_pooling", layers=tuple(layer for layer in BOOK.layers if layer != POOL)
        ),
        Network(
            "cats_and_dogs",
            (150, 150, 3),
            (
                *(layer for filters in (32, 64, 128, 128) for layer in (conv(filters), POOL)),
                *(FLATTEN, dense(512), dense(1, "sigmoid")),
            ),
            "binary_crossentropy",
            20,
        ),
        Network(
            "vgg_blocks",  # the first two blocks of VGG, with the least behind them that can be trained
            (112, 112, 3),
            (
                *(conv(64, "same"), conv(64, "same"), POOL, conv(128, "same"), conv(128, "same"), POOL),
                *(AVERAGE, dense(10, "softmax")),
            ),
            "categorical_crossentropy",
            8,
        ),
        # float32 is denormal below 1.2e-38. Products of these and ordinary numbers stay so through all layers.
        replace(BOOK, name="book_denormal_inputs", input_scale=1e-40),
        replace(BOOK, name="book_denormal_weights", weight_scale=1e-40),
        *(book_at(size) for size in IMAGE_SIZES),
    )
}

# Convolutions: batch size, image size, channels, filters, kernel; then whatever isn't 1 or 'valid'

C = Convolution
CONVOLUTIONS = {
    convolution.name: convolution
    for convolution in (
        # the book's three, and 'same' as most nets have it
        C(64, 28, 1, 32, 3),
        C(64, 13, 32, 64, 3),
        C(64, 5, 64, 64, 3),
        C(64, 28, 1, 32, 3, padding="same"),
        C(32, 28, 32, 32, 3, padding="same"),
        C(16, 28, 64, 64, 3, padding="same"),
        C(16, 14, 128, 128, 3, padding="same"),
        C(16, 7, 256, 256, 3, padding="same"),
        # large images
        C(4, 112, 3, 64, 3, padding="same"),
        C(2, 112, 64, 64, 3, padding="same"),
        C(4, 56, 64, 128, 3, padding="same"),
        C(4, 56, 128, 128, 3),
        # kernels of 1 to 7
        C(16, 28, 64, 128, 1),
        C(16, 14, 256, 64, 1),
        C(8, 56, 16, 32, 2),
        C(8, 28, 48, 48, 2, padding="same"),
        C(16, 28, 16, 32, 4),
        C(16, 28, 1, 6, 5, padding="same"),
        C(16, 14, 6, 16, 5),
        C(8, 28, 32, 64, 5, padding="same"),
        C(8, 28, 16, 24, 6),
        C(4, 112, 3, 64, 7, stride=2, padding="same"),
        C(8, 28, 32, 32, 7, padding="same"),
        # strides
        C(16, 28, 64, 128, 3, stride=2, padding="same"),
        C(16, 28, 32, 64, 3, stride=2),
        C(8, 56, 64, 128, 1, stride=2),
        C(8, 56, 16, 32, 3, stride=3),
        C(8, 56, 16, 48, 5, stride=3, padding="same"),
        C(4, 112, 3, 32, 5, stride=2),
        C(8, 28, 32, 32, 2, stride=2),
        # dilation
        C(8, 28, 32, 32, 3, padding="same", dilation=2),
        C(8, 28, 32, 64, 3, dilation=2),
        C(4, 56, 16, 32, 3, padding="same", dilation=3),
        C(8, 28, 16, 16, 5, padding="same", dilation=2),
        # groups, and one channel and filter a group
        C(16, 28, 32, 32, 3, padding="same", groups=4),
        C(16, 14, 128, 128, 3, padding="same", groups=32),
        C(16, 28, 48, 96, 1, groups=3),
        C(16, 28, 32, 32, 3, padding="same", groups=32),
        C(4, 56, 128, 128, 3, padding="same", groups=128),
        C(8, 56, 64, 64, 5, stride=2, padding="same", groups=64),
        # odd numbers of channels and filters
        C(16, 28, 17, 17, 3, padding="same"),
        C(16, 28, 3, 17, 3),
        C(16, 14, 48, 33, 3),
        C(8, 28, 5, 48, 5, padding="same"),
        C(16, 7, 100, 10, 3),
        # one image, many images
        C(1, 28, 32, 64, 3, padding="same"),
        C(1, 112, 3, 32, 3, padding="same"),
        C(1, 7, 256, 256, 3, padding="same"),
        C(256, 14, 8, 16, 3),
        C(1024, 7, 16, 16, 3, padding="same"),
    )
}
QUICK_CONVOLUTIONS = list(CONVOLUTIONS)[1], list(CONVOLUTIONS)[5], list(CONVOLUTIONS)[40]

# Measurements


def peers(*names: str) -> tuple[Contestant, ...]:
    return tuple(Contestant(name) for name in ("minicnn", *names))


QUICK = Effort(rounds=5, steps=32, at_least_s=0.02, slow=False)
FIT = Effort(steps=96)  # the start of `fit` is 2 % of Keras's time then
HEAVY = Effort(rounds=7, steps=32)  # 224 steps in all; a block of 224 would keep 1.2 GB of images in memory
SWEEP_IMAGES = 4096
"""Of 28×28 pixels in a sample of a sweep, or as many pixels: pictures are drawn from sweeps, no bar is held to them."""
CONVOLUTION = Effort(rounds=5, at_least_s=0.05)
BATCH_SIZES = (1, 4, 16, 256, 1024, 4096)
THREADS = (
    Contestant("minicnn", threads=1),
    Contestant("minicnn"),
    Contestant("sgemm", threads=1),
    Contestant("sgemm"),
)


def sweep_effort(batch_size: int, size: int = 28) -> Effort:
    """As many steps as SWEEP_IMAGES give, from 4 to 64."""
    steps = SWEEP_IMAGES * 28**2 // (batch_size * size**2)
    return Effort(rounds=4, steps=min(64, max(4, steps)), slow=False)


MEASUREMENTS = (
    Measurement(
        "train_step",
        "book",
        64,
        (
            *peers("keras", "torch", "sgemm"),
            Contestant("jax", most_steps=16),
            Contestant("reference", most_steps=8, in_quick=False),
        ),
        FIT,
        quick=QUICK,
    ),
    Measurement("inference", "book", 256, peers("onnxruntime", "keras", "torch", "jax"), quick=QUICK),
    Measurement("inference", "book", 1, peers("onnxruntime", "keras", "torch", "jax"), quick=QUICK),
    Measurement("train_step", "book", 64, THREADS, FIT, title="scaling"),
    Measurement(
        "train_step",
        "book",
        64,
        tuple(
            Contestant(peer, busy=busy) for peer in ("minicnn", "torch", "keras") for busy in (False, True)
        ),
        replace(FIT, slow=False),
        title="busy",
    ),
    Measurement("first_step", "book", 64, peers("keras")),
    Measurement("memory", "book", 64, peers("keras"), Effort(rounds=3)),  # it hardly varies
    *(
        Measurement("train_step", name, size, (*peers("keras"), Contestant("torch", most_steps=8)), HEAVY)
        for name, size in (("book_without_pooling", 64), ("cats_and_dogs", 20), ("vgg_blocks", 8))
    ),
    *(
        Measurement(
            f"convolution_{job}", name, convolution.batch_size, peers("keras", "torch"), CONVOLUTION, quick
        )
        for name, convolution in CONVOLUTIONS.items()
        for quick in [QUICK if name in QUICK_CONVOLUTIONS else None]
        for job in ("forward", "both")
    ),
    Measurement("inference", "book_denormal_inputs", 256, peers("torch")),
    Measurement("inference", "book_denormal_weights", 256, peers("torch")),
    Measurement("train_step", "book_denormal_inputs", 64, peers("torch"), HEAVY),
    *(
        Measurement("train_step", "book", size, peers("keras", "torch"), sweep_effort(size))
        for size in BATCH_SIZES
    ),
    *(
        Measurement("train_step", book_at(size).name, 64, peers("keras", "torch"), sweep_effort(64, size))
        for size in IMAGE_SIZES
    ),
)

PROFILES = "book", "cats_and_dogs", "vgg_blocks"
"""Networks that a whole run profiles layer by layer."""

# Bars: what was promised before anything was measured. None may be loosened; a missed one is shown.

STEP = "training step"
BARS = (
    Bar(f"{STEP}, book's net, batch 64", "train_step/book/64", "keras", 0.20),
    Bar(f"{STEP}, book's net, batch 64", "train_step/book/64", "torch", 0.27),
    Bar(f"{STEP}, book's net: against its dense work at sgemm's rate", "train_step/book/64", "sgemm", 0.65),
    Bar("inference, book's net, batch 256", "inference/book/256", "onnxruntime", 0.80),
    Bar("one image a call", "inference/book/1", "onnxruntime", 1.0),
    Bar(
        f"{STEP}: gain of all threads over one, against sgemm's gain",
        "scaling/book/64",
        "sgemm",
        0.95,
        at_least=True,
        over="gain",
    ),
    Bar(
        f"{STEP} while another process keeps a core busy, against its quiet time",
        "busy/book/64",
        "minicnn",
        2.2,
        ours="minicnn, one core busy",
    ),
    Bar("process start to the end of the first training step", "first_step/book/64", "keras", 0.25),
    Bar("peak memory of `minicnn train`, one epoch", "memory/book/64", "keras", 0.3),
    Bar(f"{STEP}, book's net without pooling", "train_step/book_without_pooling/64", "keras", 0.5),
    Bar(f"{STEP}, 150×150×3, four blocks, batch 20", "train_step/cats_and_dogs/20", "keras", 0.4),
    Bar(f"{STEP}, VGG's first two blocks at 112×112", "train_step/vgg_blocks/8", "keras", 0.8),
    *(
        Bar(
            f"{len(CONVOLUTIONS)} convolutions, {what}: {over}",
            f"convolution_{job}/*",
            "keras",
            limit,
            over=over,
            of=len(CONVOLUTIONS),
        )
        for job, what in (("forward", "forward"), ("both", "forward and backward"))
        for over, limit in (("worst", 1.5), ("geometric mean", 1.0))
    ),
    Bar("denormal images, inference", "inference/book_denormal_inputs/256", "torch", 1.0),
    Bar("denormal weights, inference", "inference/book_denormal_weights/256", "torch", 1.0),
    Bar(f"denormal images, {STEP}", "train_step/book_denormal_inputs/64", "torch", 1.0),
)
