"""Right convolution and pooling in parts, so that a bug of ``blind`` overrides one of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.testing import Target

Array = np.ndarray
CONV_OPTIONS = frozenset({"strides", "padding", "dilation_rate", "groups"})
POOL_OPTIONS = frozenset({"pool_size", "strides", "padding"})
Axis = tuple[int, int]
"""Outputs along an axis, and the padding before it."""


def need(ok: bool, message: str) -> None:
    if not ok:
        raise ValueError(message)


def axis(size: int, k: int, s: int, d: int, padding: str) -> Axis:
    """Outputs and padding before, as TensorFlow counts them."""
    need(k >= 1 and s >= 1 and d >= 1, "sizes, strides and dilation rates must be positive")
    need(padding in ("valid", "same"), "padding must be 'valid' or 'same'")
    extent = (k - 1) * d + 1
    if padding == "valid":
        need(extent <= size, "the window must fit the image")
        return (size - extent) // s + 1, 0
    out = -(-size // s)
    return out, max((out - 1) * s + extent - size, 0) // 2


def index(out: int, before: int, k: int, s: int, d: int = 1) -> Array:
    """Input positions ``(out, k)`` under each window; those of the padding lie outside the image."""
    return np.arange(out)[:, None] * s - before + np.arange(k)[None] * d


def inside(rows: Array, cols: Array, shape: tuple[int, ...]) -> Array:
    """Which positions ``(OH, P, OW, Q)`` belong to the image."""
    good_rows = (rows >= 0) & (rows < shape[1])
    good_cols = (cols >= 0) & (cols < shape[2])
    return good_rows[:, :, None, None] & good_cols[None, None]


def windows(x: Array, rows: Array, cols: Array, fill: float = 0.0) -> Array:
    """The windows ``(N, OH, P, OW, Q, C)``."""
    r, q = rows.clip(0, x.shape[1] - 1), cols.clip(0, x.shape[2] - 1)
    picked = x[:, r[:, :, None, None], q[None, None]]
    return np.where(inside(rows, cols, x.shape)[None, ..., None], picked, x.dtype.type(fill))


def scatter(dwindows: Array, rows: Array, cols: Array, shape: tuple[int, ...]) -> Array:
    """The transpose of ``windows``: adds what each position of a window gets."""
    dx = np.zeros(shape, dwindows.dtype)
    r, q = rows.clip(0, shape[1] - 1), cols.clip(0, shape[2] - 1)
    n = np.arange(shape[0])[:, None, None, None, None]
    kept = np.where(inside(rows, cols, shape)[None, ..., None], dwindows, 0)
    np.add.at(dx, (n, r[None, :, :, None, None], q[None, None, None]), kept)
    return dx


class Conv:
    """A right convolution; the bugs override a part of it."""

    def axes(self, x: Array, w: Array, s: Any, padding: str, d: Any) -> tuple[Axis, Axis]:
        return axis(x.shape[1], w.shape[0], s[0], d[0], padding), axis(
            x.shape[2], w.shape[1], s[1], d[1], padding
        )

    def positions(self, x: Array, w: Array, s: Any, padding: str, d: Any) -> tuple[Array, Array]:
        (oh, top), (ow, left) = self.axes(x, w, s, padding, d)
        return index(oh, top, w.shape[0], s[0], d[0]), index(ow, left, w.shape[1], s[1], d[1])

    def backward_positions(self, x: Array, w: Array, s: Any, padding: str, d: Any) -> tuple[Array, Array]:
        return self.positions(x, w, s, padding, d)

    def windows(self, x: Array, rows: Array, cols: Array) -> Array:
        return windows(x, rows, cols)

    def multiply(self, v: Array, w: Array) -> Array:
        return np.einsum("nipjqc,pqcf->nijf", v, w)

    def kernel_gradient(self, v: Array, dy: Array) -> Array:
        return np.einsum("nipjqc,nijf->pqcf", v, dy)

    def forward(
        self,
        x: Array,
        kernel: Array,
        bias: Array | None = None,
        *,
        strides: Any = (1, 1),
        padding: str = "valid",
        dilation_rate: Any = (1, 1),
        groups: int = 1,
    ) -> Array:
        need(x.ndim == 4 and kernel.ndim == 4 and groups >= 1, "x and kernel must have four axes")
        need(x.shape[3] == kernel.shape[2] * groups, "the channels must match the kernel's")
        need(kernel.shape[3] % groups == 0, "groups must divide the filters")
        need(bias is None or bias.shape == (kernel.shape[3],), "bias must have one number a filter")
        rows, cols = self.positions(x, kernel, strides, padding, dilation_rate)
        v = self.windows(x, rows, cols)
        parts = zip(np.split(v, groups, axis=-1), np.split(kernel, groups, axis=-1), strict=True)
        y = np.concatenate([self.multiply(*part) for part in parts], axis=-1)
        return y if bias is None else y + bias

    def backward(
        self,
        dy: Array,
        x: Array,
        kernel: Array,
        *,
        strides: Any = (1, 1),
        padding: str = "valid",
        dilation_rate: Any = (1, 1),
        groups: int = 1,
    ) -> tuple[Array, Array, Array]:
        geometry = (strides, padding, dilation_rate)
        dws, dxs = [], []
        parts = [np.split(a, groups, axis=-1) for a in (x, kernel, dy)]
        for xs, ws, dys in zip(*parts, strict=True):
            rows, cols = self.positions(x, kernel, *geometry)
            dws.append(self.kernel_gradient(windows(xs, rows, cols), dys))
            rows, cols = self.backward_positions(x, kernel, *geometry)
            dxs.append(scatter(np.einsum("nijf,pqcf->nipjqc", dys, ws), rows, cols, xs.shape))
        return np.concatenate(dxs, axis=-1), np.concatenate(dws, axis=-1), dy.sum((0, 1, 2))

    @classmethod
    def target(cls) -> Target:
        made = cls()
        return Target(cls.__name__, "conv2d", made.forward, made.backward, options=CONV_OPTIONS)


class Pool:
    """A right pooling, average or maximum; the bugs override a part of it."""

    op = "max_pooling2d"

    def strides(self, pool: Any, strides: Any) -> Any:
        return pool if strides is None else strides

    def positions(self, x: Array, pool: Any, strides: Any, padding: str) -> tuple[Array, Array]:
        s = self.strides(pool, strides)
        need(x.ndim == 4, "x must have four axes")
        (oh, top), (ow, left) = (axis(x.shape[a + 1], pool[a], s[a], 1, padding) for a in (0, 1))
        return index(oh, top, pool[0], s[0]), index(ow, left, pool[1], s[1])

    def divisor(self, x: Array, rows: Array, cols: Array, key: Any) -> Array:
        """How many pixels ``(OH, OW, 1)`` lie under each window."""
        return inside(rows, cols, x.shape).sum((1, 3))[..., None].astype(x.dtype)

    def reduce(self, x: Array, rows: Array, cols: Array, key: Any) -> Array:
        if self.op == "max_pooling2d":
            return windows(x, rows, cols, -np.inf).max((2, 4))
        return windows(x, rows, cols).sum((2, 4)) / self.divisor(x, rows, cols, key)

    def winners(self, x: Array, rows: Array, cols: Array) -> Array:
        """The first maximum of each window as 1 in ``(N, OH, P, OW, Q, C)``, the rest 0."""
        v = windows(x, rows, cols, -np.inf).transpose(0, 1, 3, 5, 2, 4)
        flat = v.reshape(*v.shape[:4], -1)
        first = np.where(inside(rows, cols, x.shape).transpose(0, 2, 1, 3)[None, :, :, None], v, np.nan)
        hit = (first == v.max((4, 5), keepdims=True)).reshape(flat.shape)
        chosen = np.arange(flat.shape[-1]) == hit.argmax(-1)[..., None]
        return chosen.reshape(v.shape).transpose(0, 1, 4, 2, 5, 3).astype(x.dtype)

    def forward(
        self, x: Array, *, pool_size: Any = (2, 2), strides: Any = None, padding: str = "valid"
    ) -> Array:
        rows, cols = self.positions(x, pool_size, strides, padding)
        return self.reduce(x, rows, cols, (tuple(pool_size), strides, padding))

    def backward(
        self, dy: Array, x: Array, *, pool_size: Any = (2, 2), strides: Any = None, padding: str = "valid"
    ) -> Array:
        rows, cols = self.positions(x, pool_size, strides, padding)
        if self.op == "max_pooling2d":
            share = np.where(self.winners(x, rows, cols) > 0, dy[:, :, None, :, None], 0)
        else:
            even = dy / self.divisor(x, rows, cols, (tuple(pool_size), strides, padding))
            share = np.broadcast_to(
                even[:, :, None, :, None],
                (*dy.shape[:2], rows.shape[1], dy.shape[2], *cols.shape[1:], dy.shape[3]),
            )
        return scatter(share, rows, cols, x.shape)

    @classmethod
    def target(cls) -> Target:
        made = cls()
        return Target(cls.__name__, cls.op, made.forward, made.backward, options=POOL_OPTIONS)


class AveragePool(Pool):
    op = "average_pooling2d"


RIGHT = [Conv.target(), Pool.target(), AveragePool.target()]
"""What the bugs are made from; they pass every property."""
