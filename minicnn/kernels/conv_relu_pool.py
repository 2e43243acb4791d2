"""Convolution, bias, ReLU and a non-overlapping max pool in one pass; the map before pooling is never stored.

Contract: reference.conv_relu_pool, for groups = 1, any `window`, and a `pool` with `is_tiling`. What differs:
`argmax` (N, OH, OW, F) uint8 is the tap of the pool that won (the first of equals); where y is 0 it means nothing,
because ReLU lets no gradient through. Positions that a 'valid' pool discards are never computed.

The backward pass visits only the maxima that ReLU let through: at most a quarter of the dense work for a 2×2 pool.
"""

import numpy as np

from minicnn.geometry import Window
from minicnn.kernels._jit import inner, kernel
from minicnn.kernels._simd import add_rows, fold_max, lanes, max_state, outer_fma, read, routed_row, store_max, write, zeros
from minicnn.kernels._sliding import aligned_zeros, images_per_block, pad_images, padded_shape, pool_starts, runs, weight_rows
from minicnn.kernels._tile import (
    ROW_1,
    ROW_2,
    ROW_WIDEST,
    WIDEST,
    accumulate,
    add_sparse_sum,
    six,
    six_steps,
    start_tile,
    width_for,
)


@kernel
def conv_relu_pool_forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray, y: np.ndarray, argmax: np.ndarray, window: Window, pool: Window
) -> None:
    """y (N, OH, OW, F) and argmax, overwritten, from x (N, H, W, C), w (P, Q, C, F) and b ((F,), or (0,) for none)."""
    pixels, filters = y.shape[1] * y.shape[2], y.shape[3]
    block = images_per_block(len(x), pixels)
    padded = aligned_zeros(padded_shape(x, block, window), x.dtype)
    starts = pool_starts(block, padded.shape, window, pool)
    taps, terms = runs(w, padded.shape, window, 1)
    for first in range(0, len(x), block):
        number = min(block, len(x) - first)
        shift, source = first * x[0].size, x
        if len(padded) > 0:
            pad_images(x, first, number, window, padded)
            shift, source = 0, padded
        routes = (starts[: number * pixels], taps, terms, shift, first * pixels)
        f = 0
        while f < filters:
            width = width_for(x, filters - f)
            count = min(filters - f, width * lanes(x))
            if width == WIDEST:
                _pool(source, w, b, y, argmax, routes, (f, count), ROW_WIDEST)
            elif width == 2:
                _pool(source, w, b, y, argmax, routes, (f, count), ROW_2)
            else:
                _pool(source, w, b, y, argmax, routes, (f, count), ROW_1)
            f += count


@inner
def _pool(x, w, b, y, argmax, routes, columns, width):  # type: ignore[no-untyped-def]
    """Filters f … f + count − 1 of all pooled pixels, four taps of the pool at a time."""
    starts, taps, terms, shift, first = routes
    f, count = columns
    stride, row = w.shape[3], zeros(x, ROW_1, width)
    lowest = start_tile(ROW_1, width, np.full(count, -np.inf, x.dtype), 0, count)
    for t in range(len(starts)):
        state = max_state(lowest, 0)
        for m in range(0, starts.shape[1], 4):
            origin = (starts[t, m], starts[t, m + 1], starts[t, m + 2], starts[t, m + 3])
            tile = start_tile(origin, width, b, f, count)
            for k in range(len(taps)):
                at = shift + taps[k, 0]
                offsets = (origin[0] + at, origin[1] + at, origin[2] + at, origin[3] + at)
                tile = accumulate(tile, row, x, offsets, 1, w, taps[k, 1] * stride + f, stride, terms, count)
            state = fold_max(state, tile, m)
        # ReLU is one more candidate for the maximum. It can't win over NaN.
        state = fold_max(state, row, 0)
        store_max(y, argmax, (first + t) * stride + f, state, count)


@kernel
def pack_by_filter(w: np.ndarray, packed: np.ndarray) -> None:
    """packed (F, P, Q, C), overwritten: w (P, Q, C, F) with the filters first."""
    kernel_h, kernel_w, channels, filters = w.shape
    for f in range(filters):
        for p in range(kernel_h):
            for q in range(kernel_w):
                for c in range(channels):
                    packed[f, p, q, c] = w[p, q, c, f]


@kernel
def conv_relu_pool_backward_x(
    dy: np.ndarray,
    y: np.ndarray,
    argmax: np.ndarray,
    packed: np.ndarray,
    dx: np.ndarray,
    window: Window,
    pool: Window,
) -> None:
    """dx (N, H, W, C), overwritten, from dy, y and argmax (N, OH, OW, F) and `packed`, w after `pack_by_filter`."""
    filters, pixels, number_of_taps = y.shape[3], y.shape[1] * y.shape[2], pool.kernel_size[0] * pool.kernel_size[1]
    padded = aligned_zeros(padded_shape(dx, 1, window), dx.dtype)
    starts = pool_starts(1, padded.shape, window, pool)
    taps, terms = runs(packed[0].reshape(packed.shape[1], packed.shape[2], packed.shape[3], 1), padded.shape, window, 1)
    values, offsets = np.empty((number_of_taps, filters + 1), dx.dtype), np.empty((number_of_taps, filters + 1), np.int64)
    numbers, rows, places = np.empty(number_of_taps, np.int64), taps[:, 1].copy(), taps[:, 0].copy()
    fill(dx.reshape(-1), 0)
    for n in range(len(dx)):
        shift, target = n * dx[0].size, dx
        if len(padded) > 0:
            fill(padded.reshape(-1), 0)
            shift, target = 0, padded
        for t in range(pixels):
            _sort_by_tap(dy, y, argmax, (n * pixels + t) * filters, packed[0].size, values, offsets, numbers)
            for m in range(number_of_taps):
                if numbers[m] > 0:
                    for k in range(len(taps)):
                        places[k] = shift + starts[t, m] + taps[k, 0]
                    add_sparse_sum(target, places, (values[m], offsets[m]), numbers[m], packed, rows, terms)
        if len(padded) > 0:
            _crop_image(padded, window, dx, n)


@inner
def fill(x, value):  # type: ignore[no-untyped-def]
    for k in range(x.size):
        x[k] = value


@inner
def _crop_image(padded, window, dx, n):  # type: ignore[no-untyped-def]
    top, left = window.pads_before
    for h in range(dx.shape[1]):
        for v in range(dx.shape[2]):
            for c in range(dx.shape[3]):
                dx[n, h, v, c] = padded[0, top + h, left + v, c]


@inner
def _sort_by_tap(dy, y, argmax, at, filter_size, values, offsets, numbers):  # type: ignore[no-untyped-def]
    """For each tap of the pool: the gradients that reach it, and where their filters start."""
    fill(numbers, 0)
    for f in range(y.shape[3]):
        # Always written, but kept only where ReLU let it through: a branch would be mispredicted half the time.
        m = np.int64(read(argmax, at + f))
        k = read(numbers, m)
        write(values, m * values.shape[1] + k, read(dy, at + f))
        write(offsets, m * values.shape[1] + k, f * filter_size)
        write(numbers, m, k + (read(y, at + f) > 0))


@kernel
def conv_relu_pool_backward_w(
    dy: np.ndarray,
    y: np.ndarray,
    argmax: np.ndarray,
    x: np.ndarray,
    dw: np.ndarray,
    db: np.ndarray,
    window: Window,
    pool: Window,
) -> None:
    """Add the gradients of w and b to dw (P, Q, C, F) and db ((F,), or (0,) for none), in the order of the images."""
    padded = aligned_zeros(padded_shape(x, 1, window), x.dtype)
    starts = pool_starts(1, padded.shape, window, pool)
    taps, terms = runs(dw, padded.shape, window, 1)
    rows = weight_rows(dw, padded.shape, window)
    is_sparse = 2 * terms > lanes(x)
    dw_by_filter = aligned_zeros((dw.shape[3] if is_sparse else 0, rows.size), dw.dtype)
    lists = np.empty((dw.shape[3], len(starts) + 1), dw.dtype), np.empty((dw.shape[3], len(starts) + 1), np.int64)
    numbers = np.empty(dw.shape[3], np.int64)
    places, shifts = taps[:, 0].copy(), taps[:, 0].copy()
    for n in range(len(x)):
        shift, source = n * x[0].size, x
        if len(padded) > 0:
            pad_images(x, n, 1, window, padded)
            shift, source = 0, padded
        _sort_by_filter(dy, y, argmax, n, starts, lists, numbers)
        _add_bias_gradient(lists, numbers, db)
        if not is_sparse:
            routes = (rows, starts, shift, pool.kernel_size[0] * pool.kernel_size[1])
            _add_routed(dy, y, argmax, source, dw, routes, n)
            continue
        for f in range(dw.shape[3]):
            for k in range(len(taps)):
                places[k], shifts[k] = f * rows.size + taps[k, 1], shift + taps[k, 0]
            pairs = lists[0][f], lists[1][f]
            add_sparse_sum(dw_by_filter, places, pairs, numbers[f], source, shifts, terms)
    _add_transposed(dw_by_filter, dw)


@inner
def _sort_by_filter(dy, y, argmax, n, starts, lists, numbers):  # type: ignore[no-untyped-def]
    """For each filter: the gradients of image n that reach it, and the offsets of their windows, row by row."""
    values, offsets = lists
    fill(numbers, 0)
    for t in range(len(starts)):
        at = (n * len(starts) + t) * y.shape[3]
        for f in range(y.shape[3]):
            # Always written, but kept only where ReLU let it through: a branch would be mispredicted half the time.
            k = read(numbers, f)
            place = f * values.shape[1] + k
            write(values, place, read(dy, at + f))
            write(offsets, place, read(starts, t * starts.shape[1] + np.int64(read(argmax, at + f))))
            write(numbers, f, k + (read(y, at + f) > 0))


@inner
def _add_bias_gradient(lists, numbers, db):  # type: ignore[no-untyped-def]
    for f in range(db.size):
        total = db.dtype.type(0)
        for k in range(numbers[f]):
            total += lists[0][f, k]
        db[f] += total


@inner
def _add_transposed(dw_by_filter, dw):  # type: ignore[no-untyped-def]
    """dw (P, Q, C, F) += dw_by_filter (F, P·Q·C), sixteen filters at a time so that the lines read stay in L1."""
    filters, size = dw_by_filter.shape
    for first in range(0, filters, 16):
        for r in range(size):
            for f in range(first, min(first + 16, filters)):
                total = read(dw, r * filters + f) + read(dw_by_filter, f * size + r)
                write(dw, r * filters + f, total)


@inner
def _add_routed(dy, y, argmax, x, dw, routes, n):  # type: ignore[no-untyped-def]
    """One image with few channels: for each tap of the pool, tiles of weight rows times the filters routed to it."""
    f, filters = 0, dw.shape[3]
    while f < filters:
        count = min(filters - f, 2 * lanes(x))
        if count > lanes(x):
            _add_routed_columns(dy, y, argmax, x, dw, routes, (n, f, count), ROW_2)
        else:
            _add_routed_columns(dy, y, argmax, x, dw, routes, (n, f, count), ROW_1)
        f += count


@inner
def _add_routed_columns(dy, y, argmax, x, dw, routes, place, width):  # type: ignore[no-untyped-def]
    rows, starts, shift, number_of_taps = routes
    n, f, count = place
    stride, last, row = dw.shape[3], rows.size - 1, zeros(x, ROW_1, width)
    for r in range(0, rows.size, 6):
        offsets = six(rows, r, last, shift)
        tile = zeros(x, offsets, width)
        for t in range(len(starts)):
            for m in range(number_of_taps):
                routed = routed_row(row, dy, y, argmax, (n * len(starts) + t) * stride + f, m, count)
                tile = outer_fma(tile, x, offsets, starts[t, m], routed)
        add_rows(dw, six_steps(r, last, stride, f), tile, count)
