"""What the accuracy table compares with: every op in float64 or long double, sharing no code with the package.

Sums of products are taken in float64, whose rounding is 2⁻²⁹ of float32's. Whatever has an exponential or a logarithm
is taken in long double (64 bits of mantissa on x86) in forms that don't cancel.

An error is divided by `Exact.unit`: u·Σ|x||w| for sums of products, u·(|w| + |Δw|) for optimizer steps, where |Δw| is
the change with every term positive (u = 2⁻²⁴), and for everything else the distance between float32 numbers at the
exact result rounded to float32 (one ULP).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.accuracy_corpus import Arrays, Case, arrays, output_hw, pads

U = 2.0**-24
TINY = float(np.finfo(np.float32).tiny)
EPSILON = np.longdouble(1e-7)
"""Keras's clip of probabilities (keras/src/backend/config.py)."""

wide = np.float64
long = np.longdouble


class Exact(NamedTuple):
    """One exact result and how far from it counts as one unit."""

    name: str
    value: np.ndarray
    unit: np.ndarray
    judged: np.ndarray | bool = True
    """Where results are compared."""


def judge(exact: Exact, result: np.ndarray) -> tuple[float, float]:
    """(largest error, mean error) in units; infinity where the result isn't a number."""
    if np.shape(result) != exact.value.shape:
        raise ValueError(f"{exact.name}: shape {np.shape(result)} instead of {exact.value.shape}.")
    error = np.abs(np.asarray(result, exact.value.dtype) - exact.value)
    with np.errstate(divide="ignore", invalid="ignore"):
        units = np.where(error == 0, 0, error / exact.unit)[np.broadcast_to(exact.judged, error.shape)]
    units = np.where(np.isnan(units), np.inf, units)
    return float(units.max(initial=0)), float(units.mean()) if units.size else 0.0


def prepared(case: Case) -> Arrays:
    """The case's arrays; for conv_relu_pool dy is 0 where rounding may decide which element is the maximum."""
    data = arrays(case)
    if case["op"] == "conv_relu_pool":
        data["dy"] = np.where(_windows(case, data)[2], np.float32(0), data["dy"])
    return data


def exact_results(case: Case, data: Arrays, rules: str = "keras") -> list[Exact]:
    """All results of a case. `rules`, 'keras' or 'torch': where an optimizer's ε stands and what its slots hold."""
    op = case["op"]
    if op in OPTIMIZERS:
        step, data = OPTIMIZERS[op], {name: array.astype(long) for name, array in data.items()}
        size = step(case, {name: np.abs(array) for name, array in data.items()}, 1, rules)
        return [Exact("step", step(case, data, -1, rules), U * size)]
    if op.endswith(("_logits", "_probabilities")):
        return _loss(case, data)
    if op in ACTIVATIONS:
        value, slope = ACTIVATIONS[op](data["x"].astype(long))
        return [_in_ulps("forward", value), _in_ulps("dx", slope * data["dy"])]
    return ORACLES[op](case, data)


def _in_ulps(name: str, value: np.ndarray, judged: np.ndarray | bool = True) -> Exact:
    """Subnormal results are left out: TensorFlow makes them 0 by design, and an ULP is no measure for them."""
    with np.errstate(over="ignore", under="ignore"):
        unit = np.spacing(np.abs(value).astype(np.float32)).astype(wide)
    return Exact(name, value, unit, judged & ((np.abs(value) >= TINY) | (value == 0)))


# Sums of products


def _padded(case: Case, x: np.ndarray) -> np.ndarray:
    return np.pad(x, ((0, 0), *pads(case), (0, 0)))


def _taps(case: Case) -> list[tuple[int, int, slice, slice]]:
    (rows, columns), (sh, sw), (dh, dw) = output_hw(case), case["strides"], case["dilation"]
    return [
        (p, q, slice(p * dh, p * dh + (rows - 1) * sh + 1, sh), slice(q * dw, q * dw + (columns - 1) * sw + 1, sw))
        for p in range(case["kernel"][0])
        for q in range(case["kernel"][1])
    ]  # fmt: skip


def _by_group(x: np.ndarray, groups: int) -> np.ndarray:
    """(…, G·C) as (G, rows, C)."""
    return np.moveaxis(x.reshape(-1, groups, x.shape[-1] // groups), 1, 0)


def _from_groups(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.moveaxis(x, 0, 1).reshape(shape)


def convolve(case: Case, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """(N, OH, OW, F), without bias."""
    padded, groups = _padded(case, x), case["groups"]
    shape = (len(x), *output_hw(case), w.shape[-1])
    y = np.zeros(shape)
    for p, q, rows, columns in _taps(case):
        y += _from_groups(_by_group(padded[:, rows, columns], groups) @ _by_group(w[p, q], groups), shape)
    return y


def convolve_gradients(case: Case, dy: np.ndarray, x: np.ndarray, w: np.ndarray) -> dict[str, np.ndarray]:
    """dx, dw, db."""
    padded, groups, dw = _padded(case, x), case["groups"], np.zeros(w.shape)
    dx, by_group = np.zeros(padded.shape), _by_group(dy, groups)
    for p, q, rows, columns in _taps(case):
        patch = padded[:, rows, columns]
        # (G, C, rows) @ (G, rows, F) → (G, C, F); then filters of all groups side by side
        product = np.swapaxes(_by_group(patch, groups), 1, 2) @ by_group
        dw[p, q] = _from_groups(product, dw.shape[2:])
        back = by_group @ np.swapaxes(_by_group(w[p, q], groups), 1, 2)
        dx[:, rows, columns] += _from_groups(back, patch.shape)
    (top, _), (left, _) = pads(case)
    inside = dx[:, top : top + x.shape[1], left : left + x.shape[2]]
    return {"dx": inside, "dw": dw, "db": dy.sum((0, 1, 2))}


def _sums(exact: dict[str, np.ndarray], magnitudes: dict[str, np.ndarray]) -> list[Exact]:
    return [Exact(name, exact[name], U * magnitudes[name]) for name in exact]


def _conv2d(case: Case, data: Arrays) -> list[Exact]:
    x, w, b, dy = (data[name].astype(wide) for name in ("x", "w", "b", "dy"))
    exact = {"forward": convolve(case, x, w) + b} | convolve_gradients(case, dy, x, w)
    x, w, b, dy = map(np.abs, (x, w, b, dy))
    return _sums(exact, {"forward": convolve(case, x, w) + b} | convolve_gradients(case, dy, x, w))


def _windows(case: Case, data: Arrays) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(outputs, Σ|x||w| + |b|) by 2×2 windows, (N, OH, OW, F, 4); and which windows have no certain maximum.

    Certain: above all others and above ReLU's 0 by 64 units, more than any of the implementations is off by.
    """
    x, w, b = (data[name].astype(wide) for name in ("x", "w", "b"))
    z, size = (
        _in_windows(convolve(case, x, w) + b),
        _in_windows(convolve(case, abs(x), abs(w)) + abs(b)),
    )
    ordered, margin = np.sort(z, -1), 64 * U * size.max(-1)
    top, second = ordered[..., -1], np.maximum(ordered[..., -2], 0)
    return z, size, ((top > -margin) & (top - second < margin))


def _in_windows(z: np.ndarray) -> np.ndarray:
    n, rows, columns, filters = z.shape
    z = z[:, : rows // 2 * 2, : columns // 2 * 2].reshape(n, rows // 2, 2, columns // 2, 2, filters)
    return z.transpose(0, 1, 3, 5, 2, 4).reshape(n, rows // 2, columns // 2, filters, 4)


def _conv_relu_pool(case: Case, data: Arrays) -> list[Exact]:
    z, size, uncertain = _windows(case, data)
    x, w, dy = (data[name].astype(wide) for name in ("x", "w", "dy"))
    if np.any(dy[uncertain]):
        raise ValueError("dy must be 0 where the maximum is uncertain: call `prepared`.")
    dz = _routed(z, dy * (z.max(-1) > 0), output_hw(case))
    exact = {"forward": np.maximum(z.max(-1), 0)} | convolve_gradients(case, dz, x, w)
    magnitudes = {"forward": size.max(-1)} | convolve_gradients(case, abs(dz), abs(x), abs(w))
    return _sums(exact, magnitudes)


def _routed(z: np.ndarray, dy: np.ndarray, output: tuple[int, int]) -> np.ndarray:
    """dz (N, rows, columns, F): dy at the maximum of its 2×2 window, 0 elsewhere."""
    n, rows, columns, filters = dy.shape
    windows = dy[..., None] * (np.arange(4) == z.argmax(-1)[..., None])
    windows = windows.reshape(n, rows, columns, filters, 2, 2).transpose(0, 1, 4, 2, 5, 3)
    dz = np.zeros((n, *output, filters))
    dz[:, : 2 * rows, : 2 * columns] = windows.reshape(n, 2 * rows, 2 * columns, filters)
    return dz


def _dense(case: Case, data: Arrays) -> list[Exact]:
    def results(x: np.ndarray, w: np.ndarray, b: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
        return {"forward": x @ w + b, "dx": dy @ w.T, "dw": x.T @ dy, "db": dy.sum(0)}

    values = [data[name].astype(wide) for name in ("x", "w", "b", "dy")]
    return _sums(results(*values), results(*map(np.abs, values)))


def _average_pool2d(case: Case, data: Arrays) -> list[Exact]:
    inside, count = _padded(case, np.ones((1, *case["x"][1:3], 1))), 0
    for _, _, rows, columns in _taps(case):
        count = count + inside[:, rows, columns]

    def results(x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
        padded, share = _padded(case, x), dy / count
        total, dx = np.zeros(dy.shape), np.zeros(padded.shape)
        for _, _, rows, columns in _taps(case):
            total += padded[:, rows, columns]
            dx[:, rows, columns] += share
        (top, _), (left, _) = pads(case)
        return {
            "forward": total / count,
            "dx": dx[:, top : top + x.shape[1], left : left + x.shape[2]],
        }

    values = [data[name].astype(wide) for name in ("x", "dy")]
    return _sums(results(*values), results(*map(np.abs, values)))


def _max_pool2d(case: Case, data: Arrays) -> list[Exact]:
    """The first of equal maxima in row-major order receives dy; the unit of dx is u·Σ|dy|."""
    x, dy = data["x"].astype(wide), data["dy"].astype(wide)
    padded = np.pad(x, ((0, 0), *pads(case), (0, 0)), constant_values=-np.inf)
    taps = _taps(case)
    stacked = np.stack([padded[:, rows, columns] for _, _, rows, columns in taps])
    winner = stacked.argmax(0)

    def gradient(dy: np.ndarray) -> np.ndarray:
        dx = np.zeros(padded.shape)
        for k, (_, _, rows, columns) in enumerate(taps):
            dx[:, rows, columns] += np.where(winner == k, dy, 0)
        (top, _), (left, _) = pads(case)
        return dx[:, top : top + x.shape[1], left : left + x.shape[2]]

    forward = stacked.max(0)
    return [Exact("forward", forward, U * np.abs(forward)), Exact("dx", gradient(dy), U * gradient(abs(dy)))]


# Softmax and losses


def _shares(z: np.ndarray) -> np.ndarray:
    exponentials = np.exp(z - z.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def _softmax(case: Case, data: Arrays) -> list[Exact]:
    """dz = p·(dy − Σ p·dy), with dy taken relative to that of the largest share, whose part would cancel."""
    p, dy = _shares(data["x"].astype(long)), data["dy"].astype(long)
    top = np.take_along_axis(dy, p.argmax(-1)[:, None], -1)
    relative = dy - top
    dz = p * (relative - (p * relative).sum(-1, keepdims=True))
    return [_in_ulps("forward", p), _in_ulps("dx", dz)]


def _loss(case: Case, data: Arrays) -> list[Exact]:
    x, t = data["x"].astype(long), data["t"]
    kind, _, form = case["op"].partition("_")
    t = np.eye(x.shape[-1], dtype=long)[t] if kind == "sparse" else t.astype(long)
    table = {
        ("binary", "logits"): _binary_logits,
        ("binary", "probabilities"): _binary_probabilities,
        ("categorical", "logits"): _categorical_logits,
        ("categorical", "probabilities"): _categorical_probabilities,
        ("sparse", "probabilities"): _sparse_probabilities,
    }
    return table["categorical" if kind == "sparse" and form == "logits" else kind, form](x, t)


def _categorical_logits(z: np.ndarray, t: np.ndarray) -> list[Exact]:
    """loss = Σ t·log Σ exp(z_j − z);  dz_k = Σ_j (p_k·t_j − t_k·p_j): nothing cancels with one-hot targets."""
    top = z.max(-1, keepdims=True)
    is_top = np.arange(z.shape[-1]) == z.argmax(-1)[:, None]
    log_sum = np.log1p(np.where(is_top, 0, np.exp(z - top)).sum(-1, keepdims=True))
    loss = np.where(t > 0, t * (log_sum - (z - top)), 0).sum(-1)
    p = _shares(z)
    products = p[:, :, None] * t[:, None, :]
    dz = (products - products.transpose(0, 2, 1)).sum(-1)
    return [_in_ulps("forward", loss), _in_ulps("dx", dz)]


def _sigmoid(z: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, small) / (1 + small)


def _binary_logits(z: np.ndarray, t: np.ndarray) -> list[Exact]:
    """loss = mean of t·log(1 + e^−z) + (1 − t)·log(1 + e^z);  dz = ((1 − t)·σ(z) − t·σ(−z)) / K."""
    each = t * _softplus(-z)[0] + (1 - t) * _softplus(z)[0]
    dz = ((1 - t) * _sigmoid(z) - t * _sigmoid(-z)) / z.shape[-1]
    return [_in_ulps("forward", each.mean(-1)), _in_ulps("dx", dz)]


def _categorical_probabilities(p: np.ndarray, t: np.ndarray) -> list[Exact]:
    """loss = −Σ t·log clip(p / Σp, ε, 1 − ε), by log1p near 1; dp through all of it, away from the clip's edges."""
    total = p.sum(-1, keepdims=True)
    share, rest = p / total, np.stack([np.delete(p, k, -1).sum(-1) for k in range(p.shape[-1])], -1) / total
    loss = -(t * _clipped_log(share, rest)).sum(-1)
    dshare = np.where((share >= EPSILON) & (rest >= EPSILON), -t / np.maximum(share, EPSILON), 0)
    # dshare_k − Σ_j dshare_j·share_j with 1 − share_k = rest_k
    product = dshare * share
    others = np.stack([np.delete(product, k, -1).sum(-1) for k in range(p.shape[-1])], -1)
    dp = (dshare * rest - others) / total
    certain = ~_is_near_the_clip(share, rest).any(-1, keepdims=True)
    return [_in_ulps("forward", loss), _in_ulps("dx", dp, certain)]


def _sparse_probabilities(p: np.ndarray, t: np.ndarray) -> list[Exact]:
    """loss = −log(q / Σq) of the label's class, q = clip(p, ε, 1 − ε): Keras clips first and then divides.

    Only the loss: this form trains no model of ours, and near 1 − ε the digits that float32 lacks decide Σq.
    """
    q = np.clip(p, EPSILON, 1 - EPSILON)
    own = (q * t).sum(-1)
    others = np.where(t > 0, 0, q).sum(-1)
    # −log(own / (own + others))
    return [_in_ulps("forward", np.log1p(others / own))]


def _binary_probabilities(p: np.ndarray, t: np.ndarray) -> list[Exact]:
    rest = 1 - p
    each = -(t * _clipped_log(p, rest) + (1 - t) * _clipped_log(rest, p))
    inside = (p >= EPSILON) & (rest >= EPSILON)
    safe_p, safe_rest = np.where(inside, p, 1), np.where(inside, rest, 1)
    dp = np.where(inside, (1 - t) / safe_rest - t / safe_p, 0) / p.shape[-1]
    return [_in_ulps("forward", each.mean(-1)), _in_ulps("dx", dp, ~_is_near_the_clip(p, rest))]


def _clipped_log(p: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """log clip(p, ε, 1 − ε) with rest = 1 − p."""
    p, rest = np.maximum(p, EPSILON), np.maximum(rest, EPSILON)
    return np.where(p > 0.5, np.log1p(-np.minimum(rest, 0.5)), np.log(p))


def _is_near_the_clip(p: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Where float32 can't tell on which side p lies: within two of its steps of 1 − ε, or a few ULP of ε."""
    return (np.abs(rest - EPSILON) < 2 * 2**-23) | (np.abs(p - EPSILON) < 1e-5 * EPSILON)


# Activations: (value, derivative)


def _softplus(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), _sigmoid(x)


def _sigmoid_pair(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return _sigmoid(x), _sigmoid(x) * _sigmoid(-x)


def _tanh(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    small = np.exp(-2 * np.abs(x))
    return np.copysign(-np.expm1(-2 * np.abs(x)) / (1 + small), x), 4 * small / (1 + small) ** 2


def _silu(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x * _sigmoid(x), _sigmoid(x) * (1 + x * _sigmoid(-x))


def _elu(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    below = np.minimum(x, 0)
    return np.where(x > 0, x, np.expm1(below)), np.exp(below)


def _gelu(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x·Φ(x), Φ by the C library's complementary error function in float64, which is accurate in the tail too."""
    from math import erfc

    cdf = np.array([erfc(-float(value) / 2**0.5) / 2 for value in x], long)
    density = np.exp(-x * x / 2) / np.sqrt(2 * long(np.pi))
    return x * cdf, cdf + x * density


ACTIVATIONS: dict[str, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    "sigmoid": _sigmoid_pair,
    "tanh": _tanh,
    "gelu": _gelu,
    "silu": _silu,
    "softplus": _softplus,
    "elu": _elu,
}


# Optimizers: w − change by each framework's own documented formula; with `sign` 1, w + change

MOMENTUM, RHO, BETAS, ADAM_EPSILON = 0.9, 0.9, (0.9, 0.999), 1e-7


def _sgd(case: Case, a: dict[str, np.ndarray], sign: int, rules: str) -> np.ndarray:
    """Keras: m ← μ·m − η·g, w ← w + m. PyTorch: m ← μ·m + g, w ← w − η·m."""
    rate, mu = long(case["learning_rate"]), long(MOMENTUM)
    if rules == "keras":
        return a["w"] + mu * a["first"] + sign * rate * a["g"]
    return a["w"] + sign * rate * (mu * a["first"] + a["g"])


def _rmsprop(case: Case, a: dict[str, np.ndarray], sign: int, rules: str) -> np.ndarray:
    """ε inside the root (Keras) or outside (PyTorch)."""
    v = long(RHO) * a["second"] + (1 - long(RHO)) * a["g"] ** 2
    epsilon = long(ADAM_EPSILON)
    root = np.sqrt(v + epsilon) if rules == "keras" else np.sqrt(v) + epsilon
    return a["w"] + sign * long(case["learning_rate"]) * a["g"] / root


def _adam(case: Case, a: dict[str, np.ndarray], sign: int, rules: str) -> np.ndarray:
    """Keras: ε is added to √v (Kingma & Ba's efficient form); PyTorch: to √(v / (1 − β₂ᵗ))."""
    beta_1, beta_2 = map(long, BETAS)
    m = beta_1 * a["first"] + (1 - beta_1) * a["g"]
    v = beta_2 * a["second"] + (1 - beta_2) * a["g"] ** 2
    left_1, left_2 = 1 - beta_1 ** case["step"], 1 - beta_2 ** case["step"]
    epsilon = long(ADAM_EPSILON) / (np.sqrt(left_2) if rules == "keras" else 1)
    return a["w"] + sign * long(case["learning_rate"]) * (m / left_1) / (np.sqrt(v / left_2) + epsilon)


OPTIMIZERS: dict[str, Any] = {"sgd": _sgd, "rmsprop": _rmsprop, "adam": _adam}

ORACLES: dict[str, Any] = {
    "conv2d": _conv2d,
    "conv_relu_pool": _conv_relu_pool,
    "dense": _dense,
    "average_pool2d": _average_pool2d,
    "max_pool2d": _max_pool2d,
    "softmax": _softmax,
}
