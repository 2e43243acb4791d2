"""The frozen corpus of the accuracy table: 1,000 configurations, and the arrays that each of them stands for.

`python benchmarks/accuracy.py --corpus` rewrites the file: the same as long as this one is the same.

A configuration is a geometry, a kind of values and a seed. Its arrays are made anew by NumPy's PCG64 and by exact
operations (scaling by powers of two, one correctly rounded product or sum), never by exp or a long sum, so that they
have the same bits on every machine; "crc" of the file proves it each time they are made.
"""

import hashlib
import json
import zlib
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.testing.geometry import output_size, pad_amounts

FILE = Path(__file__).with_suffix(".json")
SEED = 20261123

Case = dict[str, Any]
Arrays = dict[str, np.ndarray]

COUNTS = {
    "conv2d": 300,
    "conv_relu_pool": 60,
    "dense": 120,
    "average_pool2d": 60,
    "max_pool2d": 60,
    "softmax": 90,
    "categorical_logits": 40,
    "sparse_logits": 30,
    "binary_logits": 40,
    "categorical_probabilities": 30,
    "sparse_probabilities": 20,
    "binary_probabilities": 30,
    "sigmoid": 10,
    "tanh": 10,
    "gelu": 10,
    "silu": 10,
    "softplus": 10,
    "elu": 10,
    "sgd": 20,
    "rmsprop": 20,
    "adam": 20,
}
ACTIVATIONS = ("sigmoid", "tanh", "gelu", "silu", "softplus", "elu")
VALUES = ("normal", "relu", "positive", "offset", "wide")
CHANNELS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
SCALES = (0.01, 0.1, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
BOOK = (
    # image, channels, filters of the three convolutions of the listing, and of its two dense layers
    ((28, 28), 1, 32),
    ((13, 13), 32, 64),
    ((5, 5), 64, 64),
)
BOOK_DENSE = ((576, 64), (64, 10))
MOST_PRODUCTS = 20_000_000
"""Of one random convolution, so that the float64 oracle takes milliseconds."""


# Drawing configurations


def generate() -> list[Case]:
    """All configurations, in the order of COUNTS."""
    rng = np.random.default_rng(SEED)
    cases = []
    for op, count in COUNTS.items():
        draw = globals()[f"_{op}_case"] if f"_{op}_case" in globals() else _draw_of(op)
        for k in range(count):
            case = {"op": op, **draw(rng, k), "seed": int(rng.integers(2**31))}
            cases.append(case | {"crc": crc(case)})
    return cases


def _draw_of(op: str) -> Any:
    if op in ACTIVATIONS:
        return _activation_case
    if op.endswith("_logits"):
        return _logits_case
    if op.endswith("_probabilities"):
        return _probabilities_case
    return _optimizer_case


def _pick(rng: np.random.Generator, items: Any) -> Any:
    return items[int(rng.integers(len(items)))]


def _pair(rng: np.random.Generator, low: int, high: int) -> list[int]:
    return [int(rng.integers(low, high + 1)), int(rng.integers(low, high + 1))]


def _conv2d_case(rng: np.random.Generator, k: int) -> Case:
    if k < 30:
        image, channels, filters = BOOK[k % 3]
        return {
            "x": [(1, 16, 64)[k // 10], *image, channels],
            "filters": filters,
            **_geometry([3, 3], [1, 1], "valid"),
            "values": VALUES[k // 3 % 5],
        }
    while True:
        case = _random_convolution(rng)
        if is_measured(case):
            return case


def _random_convolution(rng: np.random.Generator) -> Case:
    kind = _pick(rng, ("plain",) * 7 + ("grouped", "grouped", "depthwise"))
    groups = {"plain": 1, "grouped": _pick(rng, (2, 3, 4)), "depthwise": _pick(rng, CHANNELS[2:])}[kind]
    channels = groups * (1 if kind == "depthwise" else _pick(rng, CHANNELS))
    filters = groups * (1 if kind == "depthwise" else _pick(rng, CHANNELS))
    strides, dilation = _pick(rng, (([1, 1], [1, 1]), (_pair(rng, 1, 3), [1, 1]), ([1, 1], _pair(rng, 1, 3))))
    return {
        "x": [_pick(rng, (1, 2, 3, 8, 16)), *_pair(rng, 5, 36), channels],
        "filters": filters,
        **_geometry(_pair(rng, 1, 7), strides, _pick(rng, ("valid", "same")), dilation, groups),
        "values": _pick(rng, VALUES),
    }


def _geometry(
    kernel: list[int], strides: list[int], padding: str, dilation: list[int] | None = None, groups: int = 1
) -> Case:
    return {
        "kernel": kernel,
        "strides": strides,
        "padding": padding,
        "dilation": dilation or [1, 1],
        "groups": groups,
    }


def is_measured(case: Case) -> bool:
    """Whether a random convolution fits the corpus: enough terms, few enough products, no known wrong answer.

    TensorFlow 2.21 with oneDNN returns uninitialised memory for strides (1, s > 1) and an output one column wide
    (tests/conftest.py): that is a bug and not an accuracy, and such geometries stay out.
    """
    height, width = output_hw(case)
    if min(height, width) < 1 or max(case["x"][3], case["filters"]) > 128:
        return False
    terms = prod(case["kernel"]) * case["x"][3] // case["groups"]
    products = case["x"][0] * height * width * case["filters"] * terms
    wrong_with_onednn = case["strides"][0] == 1 and case["strides"][1] > 1 and width == 1
    return terms >= 4 and products <= MOST_PRODUCTS and not wrong_with_onednn


def output_hw(case: Case) -> tuple[int, int]:
    """Rows and columns of the output, 0 or less where the window is larger than the image."""
    sides = zip(case["x"][1:3], case["kernel"], case["strides"], case["dilation"], strict=True)
    sizes = []
    for size, kernel, stride, dilation in sides:
        if case["padding"] == "valid" and dilation * (kernel - 1) + 1 > size:
            return 0, 0
        sizes.append(output_size(size, kernel, stride, case["padding"], dilation))
    return sizes[0], sizes[1]


def pads(case: Case) -> list[tuple[int, int]]:
    """((top, bottom), (left, right)) of a case with a window."""
    sides = zip(case["x"][1:3], case["kernel"], case["strides"], case["dilation"], strict=True)
    return [pad_amounts(n, k, s, case["padding"], d) for n, k, s, d in sides]


def _conv_relu_pool_case(rng: np.random.Generator, k: int) -> Case:
    """Stride 1, a 2×2 pool: what fit fuses. The book's first two layers among them."""
    image, channels, filters = BOOK[k % 2]
    padding, kernel = "valid", [3, 3]
    if k >= 20:
        image, channels, filters = _pair(rng, 8, 28), _pick(rng, CHANNELS[:12]), _pick(rng, CHANNELS[:12])
        padding, kernel = _pick(rng, ("valid", "same")), _pair(rng, 1, 5)
    return {
        "x": [(1, 16, 64)[k // 8] if k < 20 else _pick(rng, (1, 4, 8)), *image, channels],
        "filters": filters,
        **_geometry(kernel, [1, 1], padding),
        "values": VALUES[k % 5],
    }


def _dense_case(rng: np.random.Generator, k: int) -> Case:
    if k < 20:
        channels, filters = BOOK_DENSE[k % 2]
        return {"x": [(16, 64)[k // 10], channels], "filters": filters, "values": VALUES[k // 2 % 5]}
    return {
        "x": [_pick(rng, (1, 7, 32, 64, 128)), int(2 ** rng.uniform(2, 12))],
        "filters": int(2 ** rng.uniform(0, 8)),
        "values": _pick(rng, VALUES),
    }


def _average_pool2d_case(rng: np.random.Generator, k: int) -> Case:
    return _pool_case(rng, k, 14)


def _max_pool2d_case(rng: np.random.Generator, k: int) -> Case:
    return _pool_case(rng, k, 4)


def _pool_case(rng: np.random.Generator, k: int, largest: int) -> Case:
    if k < 5:
        image, pool, strides, channels = [26, 26], [2, 2], [2, 2], 32
    else:
        image, pool, channels = _pair(rng, largest, 30), _pair(rng, 2, largest), _pick(rng, CHANNELS[:10])
        strides = _pick(rng, (pool, [1, 1], [2, 2], [3, 2]))
    return {
        "x": [_pick(rng, (1, 2, 5)), *image, channels],
        **_geometry(pool, strides, "valid" if k < 5 else _pick(rng, ("valid", "same"))),
        "values": VALUES[k % 5],
    }


def _softmax_case(rng: np.random.Generator, k: int) -> Case:
    classes = 10 if k < 24 else _pick(rng, (2, 3, 5, 10, 100, 1000))
    return {"x": [64, classes], "scale": SCALES[k % 8]}


def _logits_case(rng: np.random.Generator, k: int) -> Case:
    return {
        "x": [64, _pick(rng, (2, 3, 10, 10, 10, 100))],
        "scale": SCALES[k % 8],
        "targets": _pick(rng, ("certain", "random", "soft")),
    }


def _probabilities_case(rng: np.random.Generator, k: int) -> Case:
    """`extreme`: the smallest power of two that a probability is scaled by."""
    return {
        "x": [64, _pick(rng, (2, 3, 10, 10, 10, 100))],
        "extreme": (0, -4, -12, -20, -24, -40)[k % 6],
        "targets": _pick(rng, ("certain", "random", "soft")),
    }


def _activation_case(rng: np.random.Generator, k: int) -> Case:
    return {"x": [4096], "scale": (0.01, 0.1, 1.0, 3.0, 10.0, 30.0)[k] if k < 6 else "wide"}


def _optimizer_case(rng: np.random.Generator, k: int) -> Case:
    """`step` 1 starts from empty slots; `zero` is a bias that starts at 0, where nothing hides the update."""
    return {
        "x": [4096],
        "step": (1, 1, 2, 10, 1000)[k % 5],
        "weights": ("glorot", "zero", "glorot", "small")[k % 4],
        "learning_rate": _pick(rng, (0.001, 0.01, 0.1)),
        "exponent": -int(rng.integers(0, 16)),
    }


# Arrays


def arrays(case: Case) -> Arrays:
    """The case's float32 arrays (labels are int32) by name: x and, as the op has them, w, b, dy, t, slots."""
    rng = np.random.default_rng(case["seed"])
    op = case["op"]
    if op in ("conv2d", "conv_relu_pool", "dense"):
        return _linear_arrays(case, rng)
    if op in ("average_pool2d", "max_pool2d"):
        x = _numbers(rng, case["x"], case["values"])
        return {"x": x, "dy": _numbers(rng, [case["x"][0], *output_hw(case), case["x"][3]], case["values"])}
    if op == "softmax":
        return {"x": _scaled(rng, case["x"], case["scale"]), "dy": _numbers(rng, case["x"], "normal")}
    if op in ACTIVATIONS:
        return {"x": _scaled(rng, case["x"], case["scale"]), "dy": _numbers(rng, case["x"], "normal")}
    if "_" in op:
        return _loss_arrays(case, rng)
    return _optimizer_arrays(case, rng)


def crc(case: Case) -> int:
    """A checksum of all of a case's arrays."""
    value = 0
    for name, array in sorted(arrays(case).items()):
        value = zlib.crc32(name.encode() + str(array.shape).encode() + array.tobytes(), value)
    return value


def _numbers(rng: np.random.Generator, shape: Any, values: str) -> np.ndarray:
    """normal; relu: half of them 0; positive: nothing cancels; offset: everything does; wide: ten binary orders."""
    if values == "positive":
        return rng.random(shape, np.float32)
    z = rng.standard_normal(shape).astype(np.float32)
    if values == "relu":
        return np.maximum(z, 0)
    if values == "offset":
        return np.float32(1) + z / np.float32(16)
    return np.ldexp(z, rng.integers(-10, 11, shape)).astype(np.float32) if values == "wide" else z


def _scaled(rng: np.random.Generator, shape: Any, scale: float | str) -> np.ndarray:
    z = rng.standard_normal(shape).astype(np.float32)
    if scale == "wide":
        return np.ldexp(z, rng.integers(-20, 6, shape)).astype(np.float32)
    return z * np.float32(scale)


def _linear_arrays(case: Case, rng: np.random.Generator) -> Arrays:
    values, channels, filters = case["values"], case["x"][-1], case["filters"]
    if case["op"] == "dense":
        w_shape, y_shape = [channels, filters], [case["x"][0], filters]
    else:
        w_shape = [*case["kernel"], channels // case["groups"], filters]
        y_shape = [case["x"][0], *output_hw(case), filters]
    if case["op"] == "conv_relu_pool":
        y_shape[1:3] = [size // 2 for size in y_shape[1:3]]
    return {
        "x": _numbers(rng, case["x"], values),
        "w": _numbers(rng, w_shape, "positive" if values == "positive" else "normal"),
        "b": _numbers(rng, [filters], "normal"),
        "dy": _numbers(rng, y_shape, values if values in ("positive", "wide") else "normal"),
    }


def _loss_arrays(case: Case, rng: np.random.Generator) -> Arrays:
    n, classes = case["x"]
    labels = rng.integers(0, classes, n).astype(np.int32)
    one_hot = np.eye(classes, dtype=np.float32)[labels]
    is_binary = case["op"].startswith("binary")
    if is_binary:
        one_hot = rng.integers(0, 2, [n, classes]).astype(np.float32)
    if case["op"].endswith("_logits"):
        x = _scaled(rng, case["x"], case["scale"])
        if case["targets"] == "certain":  # the label's logit leads: the loss is small, as after training
            x = np.where(one_hot > 0, np.abs(x), -np.abs(x)) if is_binary else x
            top = x.max(-1, keepdims=True) + np.float32(case["scale"])
            x = x if is_binary else np.where(one_hot > 0, top, x)
    else:
        x = _probabilities(case, rng, one_hot, is_binary)
    t = one_hot
    if case["targets"] == "soft" and not case["op"].startswith("sparse"):
        # Label smoothing by 1/8 in eighths and halves: exact, and Σt = 1 to the last bit.
        t = one_hot * np.float32(0.875)
        t = t + np.float32(0.0625) if is_binary else np.where(_next(one_hot) > 0, t + np.float32(0.125), t)
    return {"x": x, "t": labels if case["op"].startswith("sparse") else t.astype(np.float32)}


def _next(one_hot: np.ndarray) -> np.ndarray:
    return np.roll(one_hot, 1, axis=-1)


def _probabilities(case: Case, rng: np.random.Generator, one_hot: np.ndarray, is_binary: bool) -> np.ndarray:
    """Shares of which all but one are scaled down by up to 2^extreme: as close to 0 and 1 as float32 gets."""
    n, classes = case["x"]
    small = rng.random([n, classes], np.float32)
    lead = one_hot > 0
    if case["targets"] == "random":  # as often wrong and certain as right and certain
        lead = rng.integers(0, 2, [n, classes]) > 0 if is_binary else rng.permutation(lead)
    exponents = rng.integers(case["extreme"] - 1, 0, [n, classes] if is_binary else [n, 1])
    rest = np.ldexp(small, exponents)
    if is_binary:
        return np.where(lead, 1 - rest, rest).astype(np.float32)
    leading = 1 - np.ldexp(np.float32(1), exponents)
    return np.where(lead, leading, rest / np.float32(classes)).astype(np.float32)


def _optimizer_arrays(case: Case, rng: np.random.Generator) -> Arrays:
    shape = case["x"]
    g = np.ldexp(rng.standard_normal(shape).astype(np.float32), case["exponent"]).astype(np.float32)
    z = rng.standard_normal(shape).astype(np.float32)
    w = {"glorot": z / np.float32(16), "zero": 0 * z, "small": z / np.float32(4096)}[case["weights"]]
    is_first = case["step"] == 1
    noise = rng.standard_normal(shape).astype(np.float32)
    share = rng.random(shape, np.float32)
    first = 0 * g if is_first else np.ldexp(noise, case["exponent"] - 2).astype(np.float32)
    second = 0 * g if is_first else np.ldexp(share, 2 * case["exponent"]).astype(np.float32)
    return {"w": w, "g": g, "first": first, "second": second}


# The file


def load() -> list[Case]:
    return json.loads(FILE.read_text("utf-8"))


def text(cases: list[Case]) -> str:
    """One configuration a line."""
    return "[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n"


def digest() -> str:
    """SHA-256 of the file."""
    return hashlib.sha256(FILE.read_bytes()).hexdigest()
