"""What is under test: one op of somebody's, as plain functions, with what they take and what they promise."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicnn.testing.strategies import EXACT_VALUES
from minicnn.testing.tolerances import Arithmetic

OPTIMIZERS: dict[str, tuple[str, ...]] = {
    "sgd": ("learning_rate", "momentum", "nesterov"),
    "rmsprop": ("learning_rate", "rho", "momentum", "epsilon", "centered"),
    "adam": ("learning_rate", "beta_1", "beta_2", "epsilon"),
}
"""The keyword arguments of each optimizer."""

OPTIONS: dict[str, tuple[str, ...]] = {
    "conv2d": ("strides", "padding", "dilation_rate", "groups", "data_format"),
    "max_pooling2d": ("pool_size", "strides", "padding", "data_format"),
    "average_pooling2d": ("pool_size", "strides", "padding", "data_format"),
    "crossentropy": ("from_logits", "sample_weight", "reduction"),
    "optimizer": tuple(dict.fromkeys(name for names in OPTIMIZERS.values() for name in names)),
}
"""The keyword arguments of each op; an op that isn't here takes arrays only."""


@dataclass(frozen=True)
class Target:
    """One op under test.

    ``forward`` and ``backward`` are plain functions (see the guide of each ``check_*``).  ``options`` are the
    keyword arguments they take; ``bias`` says whether there is a third array.  ``differences`` maps the
    name of a property to the documented reason why this target doesn't hold it: it is run and reported all
    the same. ``notes`` are printed with every report.  ``refuses`` are the exceptions that count as
    refusing bad input. ``dtypes`` are those it computes in. ``compiles_groups`` says that every new geometry
    with several groups is compiled, which takes a tenth of a second: then a fixed few of them are drawn.
    ``kernel_sizes`` are the only ones that it takes; without any it takes all.
    """

    name: str
    op: str
    forward: Callable[..., Any]
    backward: Callable[..., Any] | None = None
    options: frozenset[str] = frozenset()
    bias: bool = True
    dtypes: tuple[Any, ...] = (np.float32, np.float64)
    flush_to_zero: bool = False
    algorithm: str = "direct"
    strided_dilation: bool = True
    max_groups: int = 3
    kernel_sizes: tuple[tuple[int, int], ...] = ()
    compiles_groups: bool = False
    differences: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    refuses: tuple[type[BaseException], ...] = (Exception,)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def arithmetic(self, dtype: Any) -> Arithmetic:
        """How it computes in a dtype: what the tolerances are derived from."""
        return Arithmetic(np.dtype(dtype).type, self.flush_to_zero, self.algorithm)

    @property
    def is_exact(self) -> bool:
        """Whether results on ``exact_values`` are free of rounding."""
        return self.algorithm in ("direct", "winograd")

    @property
    def exact_values(self) -> tuple[str, ...]:
        """Kinds of values on which ``==`` is demanded."""
        return EXACT_VALUES if self.algorithm == "direct" else ("multiples of four",)

    def kept(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options that the target takes; the geometries leave the others at their defaults."""
        return {name: value for name, value in options.items() if name in self.options}

    def run(self, *arrays: Any, **options: Any) -> Any:
        """Calls ``forward``."""
        return self.forward(*arrays, **self.kept(options))

    def run_backward(self, *arrays: Any, **options: Any) -> Any:
        """Calls ``backward``."""
        if self.backward is None:
            raise TypeError(f"{self.name} has no backward function.")
        return self.backward(*arrays, **self.kept(options))

    def narrowed(self) -> list[str]:
        """What the report has to say about arguments that the function doesn't take."""
        known = OPTIMIZERS.get(self.parameters.get("name", ""), OPTIONS.get(self.op, ()))
        missing = [name for name in known if name not in self.options]
        out = [f"takes no `{name}`: only its default is drawn" for name in missing]
        if self.op in ("conv2d", "dense") and not self.bias:
            out.append("takes no bias: none is passed")
        if self.op == "conv2d" and not self.strided_dilation:
            out.append("refuses strides > 1 together with dilation_rate > 1: not drawn")
        if self.kernel_sizes:
            sizes = ", ".join(f"{rows}×{columns}" for rows, columns in self.kernel_sizes)
            out.append(f"takes kernels of {sizes} only")
        if self.compiles_groups:
            out.append("compiles each geometry with several groups: a fixed few of them are drawn")
        return out


def accepted(function: Callable[..., Any], names: Sequence[str]) -> frozenset[str]:
    """Which of the names the function takes as keyword arguments.

    ``**options`` takes all but ``data_format``: a function that means channels_first says so by name.
    """
    everything = frozenset(names) - {"data_format"}
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return everything
    keyword = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    spelled = frozenset(p.name for p in parameters if p.kind in keyword and p.name in names)
    return spelled | everything if any(p.kind is p.VAR_KEYWORD for p in parameters) else spelled


def defaulted(function: Callable[..., Any], names: Sequence[str]) -> frozenset[str]:
    """Which of the names may be left out when the function is called."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return frozenset(names)
    empty = inspect.Parameter.empty
    return frozenset(n for n in names if n not in parameters or parameters[n].default is not empty)


def takes_bias(function: Callable[..., Any], options: Sequence[str]) -> bool:
    """Whether there is a third array: a parameter ``bias`` or ``b``, or ``*args``."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return True
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return len([p for p in parameters if p.kind in positional and p.name not in options]) >= 3


def as_target(impl: Any, op: str, backward: Callable[..., Any] | None = None, **fields: Any) -> Target:
    """A Target from a Target or a plain function.

    Raises TypeError if ``impl`` is neither.
    """
    if isinstance(impl, Target):
        if impl.op != op:
            raise TypeError(f"The target must be a {op}. Received: {impl.name}, a {impl.op}")
        return impl
    if not callable(impl):
        raise TypeError(f"The implementation must be a function or a Target. Received: {impl!r}")
    names = OPTIONS.get(op, ())
    name = fields.pop("name", getattr(impl, "__name__", type(impl).__name__))
    fields.setdefault("bias", takes_bias(impl, names))
    return Target(name, op, impl, backward, options=accepted(impl, names), **fields)
