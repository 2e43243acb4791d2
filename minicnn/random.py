"""The one stream that everything unseeded draws its seed from: initializers, Dropout, the order of the samples.

Nothing else is drawn from it, and NumPy's and Python's own generators are never used, so a program that reseeds those
changes nothing here. It starts from the system's entropy; `utils.set_random_seed` makes it repeatable.
"""

import random

SEED_BITS = 32

_stream = random.Random()


def next_seed() -> int:
    """The next seed of the stream: an integer in [0, 2³²)."""
    return _stream.getrandbits(SEED_BITS)


def reset_stream(seed: int) -> None:
    """Restart the stream: the same seed gives the same seeds again."""
    _stream.seed(seed)


def stream_state() -> tuple:
    """Where the stream stands, to be given to `restore_stream`."""
    return _stream.getstate()


def restore_stream(state: tuple) -> None:
    """Continue from a state that `stream_state` gave."""
    _stream.setstate(state)
