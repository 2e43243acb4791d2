"""Plain functions from a file: ``FILE.py:forward``, with ``backward`` beside it if there is one."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from minicnn.testing.target import Target, as_target


def targets_of(name: str, op: str) -> list[Target]:
    """The function as a target for the op.

    Its backward is the file's function ``backward``, or for ``my_conv`` the function ``my_conv_backward``.
    An op may carry what it needs to know after a colon: ``activation:relu``, ``optimizer:adam``,
    ``crossentropy:sparse``.  Raises FileNotFoundError, or ValueError if the file has no such function.
    """
    file, _, function = name.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise FileNotFoundError(f"The target's file must exist. Received: {file}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"The target's file must be Python. Received: {file}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    forward = getattr(module, function, None)
    if not callable(forward):
        have = ", ".join(k for k, v in vars(module).items() if callable(v) and not k.startswith("_"))
        raise ValueError(f"{file} must have a function {function!r}. It has: {have}")
    kind, _, detail = op.partition(":")
    target = as_target(forward, kind, _backward(module, function), name=name)
    return [replace(target, parameters=_parameters(kind, detail))]


def _backward(module: Any, function: str) -> Callable[..., Any] | None:
    names = [f"{function}_backward", function.replace("forward", "backward"), "backward"]
    for name in names:
        found = getattr(module, name, None)
        if name != function and callable(found):
            return found
    return None


def _parameters(kind: str, detail: str) -> dict[str, Any]:
    if kind == "activation":
        return {"name": detail or "relu"}
    if kind == "optimizer":
        return {"name": detail or "sgd"}
    if kind == "crossentropy":
        return {"kind": detail or "categorical", "from_logits": False}
    return {}
