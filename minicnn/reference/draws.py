"""Random bits that depend only on (seed, step, position): never on chunks, threads or what was drawn before.

They come from Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): key = (seed of
the op, 0), counter = (block of elements, position in the whole batch, global step, 0). Sample `n` of the batch owns a
counter range of its own, so any part of the batch can be drawn alone.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, UInt64


class Draw(NamedTuple):
    """Where in the random stream a forward pass stands."""

    seed: int
    """Of the op: every random layer has its own."""
    step: int
    """Training steps done before this one."""
    first_sample: int
    """Position of sample 0 of `x` in the whole batch."""


def bits(draw: Draw, samples: int, count: int) -> Iterator[UInt64[np.ndarray, " count"]]:
    """The first `count` words of 64 bits that belong to each sample of the chunk."""
    generator = np.random.Philox(key=[draw.seed, 0])
    state = generator.state
    for n in range(samples):
        # To move one generator is six times as fast as to make another.
        state["state"]["counter"][:] = 0, draw.first_sample + n, draw.step, 0
        generator.state = state
        yield generator.random_raw(count)


def uniform(draw: Draw, samples: int, count: int) -> Float64[np.ndarray, "samples count"]:
    """`count` numbers in [0, 1) for each sample of the chunk, of 53 bits each."""
    words = np.stack(list(bits(draw, samples, count)))
    return (words >> np.uint64(11)) * 2.0**-53
