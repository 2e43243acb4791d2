"""What algorithms that transform tiles have in common: one matrix product for each position of a transformed tile.

Pixels of a block of tiles become v (positions, tiles, C), weights u, and m[k] = v[k]·u[k] the products that are
transformed back. Each tile is a row of its own in all of them, so that its bits don't depend on the block.
"""

from minicnn.kernels._jit import inner
from minicnn.kernels._simd import add_rows, lanes, load_row, outer_fma, store_rows, zeros
from minicnn.kernels._tile import ROW_1, ROW_2, ROW_WIDEST, TERMS, WIDEST, ZERO, six_steps


@inner
def halves(block, channels):  # type: ignore[no-untyped-def]
    """`block` (positions, tiles, C + F) as room for v (positions, tiles, C) and m (positions, tiles, F)."""
    positions, tiles, both = block.shape
    flat, cut = block.reshape(-1), positions * tiles * channels
    return flat[:cut].reshape((positions, tiles, channels)), flat[cut:].reshape(
        (positions, tiles, both - channels)
    )


@inner
def multiply_all(v, u, m, tiles):  # type: ignore[no-untyped-def]
    """m[k, t] = v[k, t] · u[k] for every position k and the first `tiles` tiles.

    u (·, ·, C or more, F) has the positions along two axes, and what it has past C channels isn't read.
    """
    f, filters = ZERO, m.shape[2]
    while f < filters:
        if filters - f >= WIDEST * lanes(v):
            _multiply(v, u, m, tiles, f, ROW_WIDEST)
            f += WIDEST * lanes(v)
        else:
            _multiply(v, u, m, tiles, f, ROW_2)
            f += 2 * lanes(v)


@inner
def _multiply(v, u, m, tiles, f, width):  # type: ignore[no-untyped-def]
    """m[·, t, f:] for as many filters as a row of the tile has."""
    channels, filters, row = v.shape[2], m.shape[2], zeros(v, ROW_1, width)
    for k in range(v.shape[0]):
        for c in range(0, channels, TERMS):
            start = (k * u.shape[2] + c) * filters + f
            for t in range(0, tiles, 6):
                offsets = six_steps(t, tiles - 1, channels, k * v.shape[1] * channels + c)
                tile = zeros(v, offsets, width)
                for d in range(min(TERMS, channels - c)):
                    tile = outer_fma(tile, v, offsets, d, load_row(row, u, start + d * filters, None))
                places = six_steps(t, tiles - 1, filters, k * m.shape[1] * filters + f)
                if c == 0:
                    store_rows(m, places, tile, None)
                else:
                    add_rows(m, places, tile, None)
