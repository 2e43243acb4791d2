"""Fusion: rewriting a list of ops into a shorter one that computes the same with less memory traffic.

Each rule looks at the ops from one position on and returns the fused op and how many ops it replaces, or None.
Rules have geometry guards; a value that somebody wants to see is never fused away.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import fields

from minicnn.engine import ops
from minicnn.engine.ops import Op

Fused = tuple[Op, int]
Rule = Callable[[Sequence[Op]], Fused | None]


def fuse(chain: Sequence[Op], keep: Collection[str] = ()) -> tuple[Op, ...]:
    """Apply the first rule that fits at each position. `keep` names values that must still exist afterwards."""
    fused: list[Op] = []
    position = 0
    while position < len(chain):
        op, count = _fuse_at(chain[position:], keep)
        fused.append(op)
        position += count
    return tuple(fused)


def _fuse_at(chain: Sequence[Op], keep: Collection[str]) -> Fused:
    for rule in RULES:
        result = rule(chain)
        if result and not any(op.name in keep for op in chain[: result[1] - 1]):
            return result
    return chain[0], 1


def conv_relu_pool(chain: Sequence[Op]) -> Fused | None:
    """Conv2D, ReLU, MaxPool2D whose windows tile the map: one pass, and a backward pass over the maxima alone."""
    match chain[:3]:
        case [ops.Conv2D(groups=1) as conv, ops.ReLU(), ops.MaxPool2D(window=pool) as last] if (
            _is_plain(conv) and pool.is_tiling and pool.kernel_size == (2, 2) and _is_dense(conv)
        ):
            return ops.ConvReLUPool(**_fields(conv, last.name), pool=pool), 3
    return None


def conv_relu(chain: Sequence[Op]) -> Fused | None:
    """Conv2D, ReLU."""
    match chain[:2]:
        case [ops.Conv2D() as conv, ops.ReLU() as last] if _is_plain(conv):
            return ops.ConvReLU(**_fields(conv, last.name)), 2
    return None


def dense_relu(chain: Sequence[Op]) -> Fused | None:
    """Dense, ReLU."""
    match chain[:2]:
        case [ops.Dense() as dense, ops.ReLU() as last] if type(dense) is ops.Dense:
            return ops.DenseReLU(**_fields(dense, last.name)), 2
    return None


RULES: tuple[Rule, ...] = (conv_relu_pool, conv_relu, dense_relu)
"""Longest first."""


def _is_plain(conv: ops.Conv2D) -> bool:
    """Not fused yet, and nobody has chosen an algorithm for it: the fused kernels have their own."""
    return type(conv) is ops.Conv2D and conv.algorithm is None


def _is_dense(conv: ops.Conv2D) -> bool:
    """Stride 1 without dilation: neighbouring outputs share all but one column of their inputs."""
    return conv.window.strides == (1, 1) and conv.window.dilation == (1, 1)


def _fields(op: Op, name: str) -> dict[str, object]:
    return {field.name: getattr(op, field.name) for field in fields(op)} | {"name": name}
