"""Tolerances that are derived, not chosen.

**Exact mode.**  For integer-valued inputs with ``Σ|x·w| + |b|`` below ``1 / u`` (2²⁴ in float32) every
partial sum is an integer that the format holds, so any direct or im2col implementation must give ``==``.
Winograd F(2×2, 3×3) halves its kernel twice: it is exact as well when all values are multiples of four.

**Rounding bound.**  Otherwise, for a sum of n products in any order (N. Higham, *Accuracy and Stability of
Numerical Algorithms*, 2nd ed., §3.1, eq. 3.5, and §4.2 for sums)

    |computed − exact| ≤ γₙ · Σ|x·w| + n·η,     γₙ = n·u / (1 − n·u),

with u the unit roundoff (2⁻²⁴, 2⁻⁵³) and η the smallest subnormal, which pays for underflow of each product
(the smallest *normal* number where a target flushes subnormals to zero).  It needs ``Σ|x·w| < MAX / 4``:
overflow is a class of its own (``overflows``).  A fused multiply-add only makes the error smaller.

Every ``*_bound`` function returns float64 arrays of the result's shape.  The oracle's own float64 rounding is
in the bound, so that float64 targets are judged fairly too.
"""

from minicnn.testing.tolerances.arithmetic import (
    ALGORITHMS,
    FLOAT32,
    FLOAT64,
    FUNCTION,
    Arithmetic,
    is_exact,
    overflows,
    ulps,
)
from minicnn.testing.tolerances.elementwise import (
    activation_backward_bound,
    activation_bound,
    softmax_backward_bound,
    softmax_bound,
)
from minicnn.testing.tolerances.linear import (
    average_pooling2d_bound,
    conv2d_backward_bound,
    conv2d_backward_magnitude,
    conv2d_bound,
    conv2d_magnitude,
    dense_backward_bound,
    dense_bound,
    pooling2d_backward_bound,
)
from minicnn.testing.tolerances.losses import (
    crossentropy_backward_bound,
    crossentropy_bound,
    mean_squared_error_bound,
    optimizer_bound,
)

__all__ = [
    "ALGORITHMS",
    "FLOAT32",
    "FLOAT64",
    "FUNCTION",
    "Arithmetic",
    "activation_backward_bound",
    "activation_bound",
    "average_pooling2d_bound",
    "conv2d_backward_bound",
    "conv2d_backward_magnitude",
    "conv2d_bound",
    "conv2d_magnitude",
    "crossentropy_backward_bound",
    "crossentropy_bound",
    "dense_backward_bound",
    "dense_bound",
    "is_exact",
    "mean_squared_error_bound",
    "optimizer_bound",
    "overflows",
    "pooling2d_backward_bound",
    "softmax_backward_bound",
    "softmax_bound",
    "ulps",
]
