"""Plain functions from a file: ``FILE.py:forward``, with ``backward`` beside it if there is one."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from minicnn.testing import oracles
from minicnn.testing.checks.crossentropy import KINDS
from minicnn.testing.checks.optimizer import HYPERPARAMETERS
from minicnn.testing.target import Target, as_target

DETAILS: dict[str, tuple[str, ...]] = {
    "conv2d": (),
    "max_pooling2d": (),
    "average_pooling2d": (),
    "dense": (),
    "flatten": (),
    "softmax": (),
    "activation": tuple(sorted(oracles.ACTIVATIONS)),
    "crossentropy": (*KINDS, *(f"{kind}:from_logits" for kind in KINDS)),
    "optimizer": tuple(HYPERPARAMETERS),
}
"""Op → what may follow its colon; without a colon it is relu, categorical or sgd."""
DEFAULTS = {"activation": "relu", "crossentropy": "categorical", "optimizer": "sgd"}


def targets_of(name: str, op: str) -> list[Target]:
    """The function as a target for the op; what is a ``Target`` already is taken as it is.

    Its backward is the file's function ``backward``, or for ``my_conv`` the function ``my_conv_backward``.
    An op may carry what it needs to know after a colon: ``activation:relu``, ``optimizer:adam``,
    ``crossentropy:sparse``; ``crossentropy:sparse:from_logits`` is for a function that takes logits and no
    ``from_logits``.  Raises FileNotFoundError, or ValueError for an unknown op, if the file fails, or if it
    has no such function.
    """
    file, _, function = name.rpartition(":")
    kind, _, detail = op.partition(":")
    if kind not in DETAILS:
        raise ValueError(f"The op must be one of {', '.join(DETAILS)}. Received: {op!r}")
    if detail and detail not in DETAILS[kind]:
        known = ", ".join(f"{kind}:{known}" for known in DETAILS[kind]) or f"{kind} alone"
        raise ValueError(f"The op must be {known}. Received: {op!r}")
    path = Path(file)
    if not path.is_file():
        raise FileNotFoundError(f"The target's file must exist. Received: {file}")
    module = _import(path)
    forward = getattr(module, function, None)
    if not callable(forward) and not isinstance(forward, Target):
        have = [k for k, v in vars(module).items() if callable(v) and not k.startswith("_")]
        raise ValueError(f"{file} must have a function {function!r}. It has: {', '.join(have) or 'none'}")
    if isinstance(forward, Target):
        return [forward]
    gradient = _backward(module, function, kind)
    target = as_target(forward, kind, None if gradient is None else getattr(module, gradient), name=name)
    notes = () if gradient is None else (f"gradients by `{gradient}` of the same file",)
    parameters = _parameters(kind, detail or DEFAULTS.get(kind, ""))
    return [replace(target, parameters=parameters, notes=notes)]


def _import(path: Path) -> ModuleType:
    """The file as a module, with its folder first on the path, as for ``python FILE.py``."""
    spec = importlib.util.spec_from_file_location(f"_verified_{path.stem}", path.resolve())
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    sys.modules[module.__name__] = module  # dataclasses look their module up
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)  # type: ignore[union-attr]
    except (Exception, SystemExit) as error:
        raise ValueError(f"{path} failed{_line(error, path)}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    return module


def _line(error: BaseException, path: Path) -> str:
    """' at line N' for the innermost line of the file that the error passed, or nothing."""
    if isinstance(error, SyntaxError):
        return f" at line {error.lineno}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path.resolve()]
    return f" at line {frames[-1].lineno}" if frames else ""


def _backward(module: ModuleType, function: str, kind: str) -> str | None:
    """The name of the function with the gradients; an optimizer has none."""
    names = [f"{function}_backward", function.replace("forward", "backward"), "backward"]
    have = [name for name in names if name != function and callable(getattr(module, name, None))]
    return have[0] if have and kind != "optimizer" else None


def _parameters(kind: str, detail: str) -> dict[str, Any]:
    if kind == "crossentropy":
        loss, _, logits = detail.partition(":")
        return {"kind": loss, "from_logits": bool(logits)}
    return {"name": detail} if detail else {}
