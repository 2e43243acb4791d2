"""Targets: frameworks, this package's two backends, and plain functions from a file.

A target is named ``keras``, ``torch``, ``jax``, ``onnxruntime``, ``scipy``, ``minicnn:reference``,
``minicnn:numba`` (or one of its convolutions: ``minicnn:numba:fft``) or ``FILE.py:function``.  What it needs
is imported when it is loaded, never before.  An adapter declares what its target documents differently; the
properties concerned are run and reported all the same.
"""

from __future__ import annotations

from importlib import import_module

from minicnn.testing.target import Target

FRAMEWORKS = ("keras", "torch", "jax", "onnxruntime", "scipy")
OWN = ("minicnn:reference", "minicnn:numba")


def load(name: str, op: str | None = None) -> list[Target]:
    """The targets of that name, of one op or all.

    Raises ValueError for an unknown name or an op that it doesn't have, ImportError if the framework is
    missing.
    """
    if name in FRAMEWORKS:
        targets = import_module(f"minicnn.testing.adapters.{name}").targets()
    elif name in OWN:
        targets = import_module("minicnn.testing.adapters.minicnn").targets(name.split(":")[1])
    elif name.rpartition(":")[0] in OWN:
        _, backend, algorithm = name.split(":")
        targets = [import_module("minicnn.testing.adapters.minicnn").algorithm_target(algorithm, backend)]
    elif ".py:" in name:
        from minicnn.testing.adapters.functions import targets_of

        return targets_of(name, op or "conv2d")
    else:
        known = ", ".join([*FRAMEWORKS, *OWN])
        raise ValueError(f"The target must be one of {known}, or FILE.py:function. Received: {name!r}")
    chosen = [t for t in targets if op is None or t.op == op]
    if not chosen:
        ops = ", ".join(sorted({t.op for t in targets}))
        raise ValueError(f"{name} has targets for {ops}. Received: op={op!r}")
    return list(chosen)
