"""Whether a peer computes what the reference computes: before anything is timed."""

from collections.abc import Mapping

import numpy as np

TOLERANCES = {
    # Measured over all peers and the book's net: 1e-7. A ReLU or a maximum decided otherwise by a last bit moves the
    # third loss by up to 1e-5; RMSprop with ε outside its square root, or another learning rate, by more than 1e-2.
    "losses": 1e-4,
    "first loss": 1e-5,  # no step has magnified anything yet
    "predictions": 1e-5,
    # Sums of up to 100,000 float32 products: √n·2⁻²⁴ is 2e-5 of the largest value, Winograd a few times that.
    "y": 1e-4,
    "dx": 1e-4,
    "dw": 1e-4,
    "db": 1e-4,
    # As dw, and a product more or less wherever a last bit decides a ReLU or a maximum otherwise. Measured: 1e-3 by all
    # peers alike in the 150×150×3 net, with its 1.2 million decisions an image; 6e-3 by a single one in the book's net
    # at 112×112 (float64 agrees with its input to 1e-6); 1e-5 where none is near a tie. Whatever else is wrong shows in
    # the losses, too.
    "gradient": 2e-2,
}
"""Largest difference allowed, in parts of the reference's largest value. A wrong tap, pad or axis is above 0.1."""

DENORMAL_TOLERANCES = TOLERANCES | {"gradient": np.inf}
"""For images that are denormal. The third layer's values have 8 bits left, the last of which decides which of four is
the largest: gradients differ by 5e-2 and say nothing. The same net's are compared on ordinary images.
"""


def disagreement(
    answers: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    tolerances: Mapping[str, float] = TOLERANCES,
) -> str:
    """Which of `answers` differs from the reference's of the same name, and by how much; '' if none does."""
    for name, array in answers.items():
        reference = expected[name]
        if array.shape != reference.shape:
            return f"{name} has shape {array.shape}, the reference's {reference.shape}"
        tolerance = tolerances[name.split()[0] if name.startswith("gradient") else name]
        with np.errstate(invalid="ignore"):
            difference = np.abs(array.astype(np.float64) - reference).max() / max(
                np.abs(reference).max(), 1e-30
            )
        if not difference <= tolerance:  # NaN is one too
            return f"{name} differs by {difference:.1e} of the largest value; allowed is {tolerance:.0e}"
    return ""
