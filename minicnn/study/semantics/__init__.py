"""A lab for the known confusions: what two conventions compute, on a few numbers and on a training run.

    from minicnn.study import semantics

    confusion = semantics.get("correlation")
    print(confusion.example().says)
    for row in confusion.train().rows:
        print(row)

A variant is a pair of functions, forward and backward, that stands in a plan of the reference backend where the op of
the same name stood (`lab.Variant`). The engine, the layers and the kernels know one meaning only: Keras's.
"""

from __future__ import annotations

from importlib import import_module

from minicnn.study.semantics.confusion import Confusion

NAMES = {
    "correlation": "correlation",
    "same-padding": "same_padding",
    "pool-padding": "pool_padding",
    "ties": "ties",
    "epsilon": "epsilon",
    "flatten-order": "flatten_order",
    "cross-entropy": "crossentropy",
}
"""Name → the module that has it."""


def get(name: str) -> Confusion:
    """The confusion of that name.

    Raises:
        ValueError: there is none; the message lists what there is.
    """
    if name not in NAMES:
        raise ValueError(f"`name` must be one of {', '.join(NAMES)}. Received {name!r}.")
    confusion: Confusion = import_module(f"minicnn.study.semantics.{NAMES[name]}").CONFUSION
    return confusion
