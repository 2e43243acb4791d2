"""Which algorithm computes a convolution: the engine's own choice, or one by name for every layer or for some.

    name      forward, dw and dx by
    loops     the definition, seven nested loops
    windows   a view of all windows, and einsum
    im2col    the windows written out as a matrix, and one matrix product
    direct    one product for each tap; in the numba backend, tiles of registers with channels innermost
    winograd  F(2×2, 3×3), products at 16 positions
    winograd4 F(4×4, 3×3), products at 36 positions
    fft       products of spectra

All are NumPy pairs of `minicnn.reference`, in both backends; the numba backend has kernels for loops and direct. Those
that call BLAS have other bits for other chunks: the promise of identical bits is the default's (and that of loops and
direct in the numba backend).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from minicnn.engine import ops
from minicnn.engine.binding import binding_of
from minicnn.engine.ops import Op, Shape
from minicnn.geometry import Window
from minicnn.reference import conv2d_fft, conv2d_winograd

Choice = str | Mapping[str, str] | None
"""An algorithm for all convolutions, or by the layer's name; None leaves it to the engine."""


def _applies_always(window: Window, groups: int) -> str:
    return ""


REFUSALS: dict[str, Callable[[Window, int], str]] = {
    "loops": _applies_always,
    "windows": _applies_always,
    "im2col": _applies_always,
    "direct": _applies_always,
    "winograd": conv2d_winograd.refusal,
    "winograd4": conv2d_winograd.refusal,
    "fft": conv2d_fft.refusal,
}
"""Name → why it doesn't apply to a geometry, '' if it does."""


class Running(NamedTuple):
    """The names of the algorithms that compute the three passes of a convolution."""

    forward: str
    dw: str
    dx: str


def check_names(algorithm: Choice) -> None:
    """Refuse what isn't a choice.

    Raises:
        ValueError: a name that no algorithm has.
    """
    names = [algorithm] if isinstance(algorithm, str) else list((algorithm or {}).values())
    for name in names:
        if name not in REFUSALS:
            known = ", ".join(map(repr, REFUSALS))
            raise ValueError(f"`algorithm` must be one of {known}. Received {name!r}.")


def choose(chain: Sequence[Op], algorithm: Choice) -> tuple[Op, ...]:
    """The ops with the algorithm written into the convolutions; to be called before they are fused.

    Raises:
        ValueError: an unknown algorithm or layer, or an algorithm that doesn't apply to a layer.
    """
    check_names(algorithm)
    if algorithm is None:
        return tuple(chain)
    layers = {layer_of(op): op for op in chain if isinstance(op, ops.Conv2D)}
    by_layer = dict.fromkeys(layers, algorithm) if isinstance(algorithm, str) else dict(algorithm)
    for layer, name in by_layer.items():
        if layer not in layers:
            raise ValueError(
                f"`algorithm` must be given for layers that are convolutions: {', '.join(map(repr, layers))}. "
                f"Received {layer!r}."
            )
        op = layers[layer]
        why = REFUSALS[name](op.window, op.groups)
        if why:
            raise ValueError(
                f"Layer '{layer}' can't be computed by algorithm {name!r}: {why}. Received kernel_size="
                f"{op.window.kernel_size}, strides={op.window.strides}, dilation_rate={op.window.dilation}, "
                f"groups={op.groups}."
            )
    return tuple(
        replace(op, algorithm=by_layer.get(layer_of(op))) if type(op) is ops.Conv2D else op for op in chain
    )


def layer_of(op: Op) -> str:
    """The name of the layer whose weights the op reads."""
    path = op.parameters[0] if op.parameters else op.name
    return path.split("/")[-2] if "/" in path else op.name


def running(op: Op, shape: Shape, backend: str) -> Running | None:
    """What computes a convolution on images of `shape`; None for other ops.

    The numba backend's kernels for Winograd's algorithm are told from the NumPy pages: 'winograd kernel' is
    F(2×2, 3×3), 'winograd3 kernel' the transpose of F(3×3, 3×3); 'karatsuba kernel' has no such page. They are used
    where weights are transformed for them.
    """
    if not isinstance(op, ops.Conv2D):
        return None
    if op.algorithm is not None:
        return Running(*[op.algorithm] * 3)
    binding = binding_of(op, backend)
    kernels = {"karatsuba": "karatsuba kernel", "u": "winograd kernel", "winograd": "winograd kernel"}
    forward = next((kernels[name] for name in binding.derived_forward(op, shape)), "direct")
    gradients = "winograd3 kernel" if "u_t" in binding.derived(op, shape) else "direct"
    return Running(forward, gradients, gradients)
