"""What the comparisons with Keras share: signatures, and agreement within twice a bound."""

import inspect

import numpy as np

from minicnn.testing.tolerances import Arithmetic

# TensorFlow flushes subnormals to zero; either side may be off by the bound, so they may differ by twice that.
ARITHMETICS = {name: Arithmetic(np.dtype(name), flush_to_zero=True) for name in ("float32", "float64")}


def assert_agree(ours, theirs, bound):
    """Both may be wrong by `bound`; NaN and infinities must be the same."""
    ours, theirs, bound = (np.asarray(a, np.float64) for a in (ours, theirs, bound))
    assert ours.shape == theirs.shape
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    with np.errstate(invalid="ignore"):
        close = np.abs(ours - theirs) <= 2 * bound
    wrong = ~(same | close)
    assert not wrong.any(), (
        f"{ours[wrong][:3]} != {theirs[wrong][:3]}, bound {np.broadcast_to(bound, ours.shape)[wrong][:3]}"
    )


def assert_same_signature(ours, theirs, missing=()):
    """The same arguments in the same order with the same defaults; `missing` are Keras's that we lack on purpose."""
    own, their = (list(inspect.signature(item).parameters.values()) for item in (ours, theirs))
    expected = [(p.name, p.default) for p in their if p.name not in missing and p.kind is not p.VAR_KEYWORD]
    actual = [(p.name, p.default) for p in own if p.kind is not p.VAR_KEYWORD]
    assert actual == expected
