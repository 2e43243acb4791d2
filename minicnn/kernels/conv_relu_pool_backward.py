"""Backward of conv_relu_pool: only the maxima that ReLU let through are visited, a quarter at most of the dense work.

For every filter the gradients that passed are listed with the offset of the window they go to. Then dw[f] is a sum
over the list of patches of x, and dx gets w[f] added at each place of the list: vectors run along the input
channels (with the kernel's columns, which lie beside them), so that w and dw have their filters first here.
With few input channels such vectors would be nearly empty: see `conv_relu_pool_routed`.
"""

import numpy as np

from minicnn.geometry import Window
from minicnn.kernels._jit import inner, kernel
from minicnn.kernels._simd import (
    VECTOR_NBYTES,
    add_rows,
    add_scaled_rows,
    add_transposed,
    copy_transposed,
    lanes,
    load_rows,
    read,
    rows_fma,
    write,
    zeros,
)
from minicnn.kernels._sliding import aligned_zeros, pad_images, padded_shape, pool_starts
from minicnn.kernels._tile import BIAS_TERMS, ROW_1, TERMS, flush

ROW_WIDE = (0,) * (6 if VECTOR_NBYTES == 64 else 4)
"""Three kernel rows of six vectors are 18 sums: 3 × 3 × 32 channels in one go with vectors of 64 bytes. Of 16 registers
three times four are used."""

PRODUCTS = 160
"""dx is summed in equal parts of at most so many products for each of its elements; a quarter of them pass the pool."""


@kernel
def pack_by_filter(w: np.ndarray, packed: np.ndarray) -> None:
    """packed (F, P, Q, C), overwritten: w (P, Q, C, F) with the filters first."""
    filters, size = len(packed), packed[0].size
    whole_f, whole_r = filters // lanes(w) * lanes(w), size // lanes(w) * lanes(w)
    for f in range(0, whole_f, lanes(w)):
        for r in range(0, whole_r, lanes(w)):
            copy_transposed(packed, f * size + r, size, w, r * filters + f, filters)
    for f in range(filters):
        for r in range(whole_r if f < whole_f else 0, size):
            write(packed, f * size + r, read(w, r * filters + f))


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
    filters, size = len(packed), packed[0].size
    _, height, width, channels = padded_shape(dx, 1, window)
    part = aligned_zeros((1, height, width, channels), dx.dtype)
    starts = pool_starts(1, part.shape, window, pool)
    pieces = _pieces(packed, part.shape, window)
    run, next_run = window.dilation[0] * width * channels, packed[0, 0].size
    lists = np.empty((filters, len(starts) + 1), dx.dtype), np.empty((filters, len(starts) + 1), np.int64)
    numbers = np.empty(filters, np.int64)
    parts = (filters * packed.shape[1] * packed.shape[2] + PRODUCTS - 1) // PRODUCTS
    step = (filters + parts - 1) // parts
    _fill(dx.reshape(-1), 0)
    for n in range(len(dx)):
        _sort_by_filter(dy, y, argmax, n, starts, lists, numbers)
        for first in range(0, filters, step):
            # The first part goes straight to dx when that has the same shape.
            is_direct = first == 0 and part.size == dx[n].size
            target, shift = (dx, n * dx[n].size) if is_direct else (part, 0)
            for f in range(first, min(first + step, filters)):
                pairs = lists[0][f, : numbers[f]], lists[1][f, : numbers[f]]
                for k in range(len(pieces)):
                    a, b, count = shift + pieces[k, 0], f * size + pieces[k, 1], pieces[k, 3]
                    if pieces[k, 2] == 3:
                        places, rows = (a, a + run, a + 2 * run), (b, b + next_run, b + 2 * next_run)
                        _scatter_filter(target, pairs, places, packed, rows, None, ROW_WIDE)
                    elif pieces[k, 2] == 2:
                        _scatter_filter(target, pairs, (a,), packed, (b,), None, ROW_WIDE)
                    else:
                        _scatter_filter(target, pairs, (a,), packed, (b,), count, ROW_1)
            if not is_direct:
                _move_image(part, window, dx, n)


@kernel
def backward_w(
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
    filters, size = dw.shape[3], dw[..., 0].size
    padded = aligned_zeros(padded_shape(x, 1, window), x.dtype)
    starts = pool_starts(1, padded.shape, window, pool)
    dw_by_filter = aligned_zeros((filters, dw.shape[0], dw.shape[1], dw.shape[2]), dw.dtype)
    pieces = _pieces(dw_by_filter, padded.shape, window)
    run, next_run = window.dilation[0] * padded.shape[2] * padded.shape[3], dw_by_filter[0, 0].size
    lists = np.empty((filters, len(starts) + 1), dw.dtype), np.empty((filters, len(starts) + 1), np.int64)
    numbers = np.empty(filters, np.int64)
    _add_bias_gradient(dy, y, db)
    for n in range(len(x)):
        shift, source = n * x[0].size, x
        if len(padded) > 0:
            pad_images(x, n, 1, window, padded)
            shift, source = 0, padded
        _sort_by_filter(dy, y, argmax, n, starts, lists, numbers)
        for f in range(filters):
            pairs = lists[0][f, : numbers[f]], lists[1][f, : numbers[f]]
            for k in range(len(pieces)):
                a, b, count = shift + pieces[k, 0], f * size + pieces[k, 1], pieces[k, 3]
                if pieces[k, 2] == 3:
                    places, rows = (a, a + run, a + 2 * run), (b, b + next_run, b + 2 * next_run)
                    _sum_patches(source, pairs, places, dw_by_filter, rows, None, ROW_WIDE)
                elif pieces[k, 2] == 2:
                    _sum_patches(source, pairs, (a,), dw_by_filter, (b,), None, ROW_WIDE)
                else:
                    _sum_patches(source, pairs, (a,), dw_by_filter, (b,), count, ROW_1)
    _add_transposed(dw_by_filter, dw)


@inner
def _pieces(packed, source_shape, window):  # type: ignore[no-untyped-def]
    """A filter (P, Q, C) cut into pieces that fit the registers: (place in image, place in filter, kind, count).

    Without dilation a kernel row is one run of Q·C numbers in the image. Kind 3: this piece and the same part of the
    next two runs, ROW_WIDE vectors each. Kind 2: as many of one run. Kind 1: one vector, or `count` numbers of it.
    """
    _, kernel_h, kernel_w, channels = packed.shape
    runs_w, terms = (1, kernel_w * channels) if window.dilation[1] == 1 else (kernel_w, channels)
    runs, wide = kernel_h * runs_w, len(ROW_WIDE) * lanes(packed)
    pieces, number = np.empty((runs * (terms // lanes(packed) + 1), 4), np.int64), 0
    for k in range(runs):
        pixel = k // runs_w * window.dilation[0] * source_shape[2] + k % runs_w * window.dilation[1]
        done = 0
        while done < terms:
            left = terms - done
            # Three runs lie equally far apart only where each is a whole kernel row.
            is_triple = runs_w == 1 and k < runs // 3 * 3
            kind = 1 if left < wide else 3 if is_triple else 2
            count = min(left, lanes(packed)) if kind == 1 else wide
            if kind < 3 or k % 3 == 0:
                pieces[number, 0], pieces[number, 1] = pixel * source_shape[3] + done, k * terms + done
                pieces[number, 2], pieces[number, 3] = kind, count
                number += 1
            done += count
    return pieces[:number]


@inner
def _sort_by_filter(dy, y, argmax, n, starts, lists, numbers):  # type: ignore[no-untyped-def]
    """For each filter: the gradients of image n that reach it, and the offsets of their windows, row by row."""
    values, offsets = lists
    _fill(numbers, 0)
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
def _sum_patches(image, pairs, places, filters, rows, count, width):  # type: ignore[no-untyped-def]
    """filters[rows[m]:][:count] += Σ_k values[k] · image[places[m] + offsets[k]:][:count]."""
    values, offsets = pairs
    for first in range(0, values.size, TERMS):
        tile = zeros(image, places, width)
        for k in range(first, min(first + TERMS, values.size)):
            tile = rows_fma(tile, image, places, read(offsets, k), read(values, k), count)
        add_rows(filters, rows, tile, count)


@inner
def _scatter_filter(image, pairs, places, filters, rows, count, width):  # type: ignore[no-untyped-def]
    """image[places[m] + offsets[k]:][:count] += values[k] · filters[rows[m]:][:count], for every k."""
    values, offsets = pairs
    tile = load_rows(zeros(image, places, width), filters, rows, count)
    for k in range(values.size):
        add_scaled_rows(image, places, read(offsets, k), read(values, k), tile, count)


@inner
def _add_bias_gradient(dy, y, db):  # type: ignore[no-untyped-def]
    """`_tile.add_bias_gradient` of what ReLU let through."""
    if db.size > 0:
        gradients, outputs = dy.reshape(-1), y.reshape(-1)
        part, sums = np.zeros_like(db), np.zeros(db.size, np.float64)
        for first in range(0, gradients.size, BIAS_TERMS * db.size):
            for start in range(first, min(first + BIAS_TERMS * db.size, gradients.size), db.size):
                gradient, output = gradients[start : start + db.size], outputs[start : start + db.size]
                for f in range(db.size):
                    value = gradient[f]  # read in any case, so that the loop has no branch
                    part[f] += value if output[f] > 0 else db.dtype.type(0)
            flush(part, sums)
        for f in range(db.size):
            db[f] += sums[f]


@inner
def _add_transposed(dw_by_filter, dw):  # type: ignore[no-untyped-def]
    """dw (P, Q, C, F) += dw_by_filter (F, P, Q, C), in square blocks of vectors as far as they go."""
    filters = len(dw_by_filter)
    size = dw_by_filter.size // filters
    whole_f, whole_r = filters // lanes(dw) * lanes(dw), size // lanes(dw) * lanes(dw)
    for r in range(0, whole_r, lanes(dw)):
        for f in range(0, whole_f, lanes(dw)):
            add_transposed(dw, r * filters + f, filters, dw_by_filter, f * size + r, size)
    for r in range(size):
        for f in range(whole_f if r < whole_r else 0, filters):
            total = read(dw, r * filters + f) + read(dw_by_filter, f * size + r)
            write(dw, r * filters + f, total)


@inner
def _fill(x, value):  # type: ignore[no-untyped-def]
    for k in range(x.size):
        x[k] = value


@inner
def _move_image(part, window, dx, n):  # type: ignore[no-untyped-def]
    """dx[n] += what lies inside the image; part = 0."""
    (top, left), row = window.pads_before, dx.shape[2] * dx.shape[3]
    source, target = part.reshape(-1), dx[n].reshape(-1)
    if part[0].size == target.size:
        for k in range(target.size):
            target[k] += source[k]
            source[k] = 0
        return
    for h in range(dx.shape[1]):
        first = ((top + h) * part.shape[2] + left) * part.shape[3]
        inside, sums = source[first : first + row], target[h * row : (h + 1) * row]
        for k in range(row):
            sums[k] += inside[k]
    _fill(source, 0)
