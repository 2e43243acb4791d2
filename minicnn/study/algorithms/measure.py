"""Measuring the algorithms: seconds, memory and errors, in one thread; `python -m minicnn.study.algorithms.measure`.

What is timed is a plan of one op, in the numba backend, as `compile(algorithm=…)` runs it; 'engine' is the engine's own
choice. The backward pass is dx, dw and db together, since the NumPy pages give all three in one call; where kernels
compute them, dx and dw are timed alone, too. An error is measured against the same convolution in float64, in units of
u·Σ|x||w|: of the sum of absolute values that the element is made of, half a unit in the last place.
"""

import json
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from math import prod
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from minicnn.engine import ops, run
from minicnn.engine.plan import INPUT, Plan, make_plan
from minicnn.engine.workspace import Derived, Workspace
from minicnn.geometry import make_window
from minicnn.reference.conv2d_im2col import conv2d_im2col_backward, conv2d_im2col_forward
from minicnn.study.algorithms.table import TABLE, Case, applicable

ENGINE = "engine"
"""The name of what the engine chooses by itself."""
KERNELS = ("loops", "direct", ENGINE)
"""They compute dx and dw one without the other."""
SLOW = ("loops", "windows")
"""No matrix product in them: on large cases they are left out."""


class Extent(NamedTuple):
    """How much is measured."""

    images: int
    size: int
    kernels: tuple[int, ...]
    channels: tuple[int, ...]
    growth: tuple[int, ...]
    """Channels over which the growth of errors is measured, 3×3 on 14×14."""
    budget_s: float
    """For each time: it is the least of as many runs as fit, and of three at least."""
    most_slow: int
    """Products beyond which SLOW algorithms are left out."""


FULL = Extent(4, 28, (1, 3, 5, 7, 11), (4, 16, 64, 128), (4, 16, 64, 256, 512), 0.12, 200_000_000)
QUICK = Extent(1, 28, (1, 3, 7), (4, 16, 64), (4, 16, 64), 0.04, 40_000_000)
TINY = Extent(1, 6, (1, 3), (2, 4), (2,), 0.0, 1_000_000)
"""For tests."""
EXTENTS = {"full": FULL, "quick": QUICK, "tiny": TINY}


class Arrays(NamedTuple):
    x: np.ndarray
    w: np.ndarray
    dy: np.ndarray


def square_case(images: int, size: int, kernel: int, channels: int) -> Case:
    """'same', as many filters as channels."""
    window = make_window((size, size), (kernel, kernel), padding="same")
    return Case(images, window, channels, channels)


def arrays_for(case: Case, seed: int = 0) -> Arrays:
    """Standard normal, float32."""
    rng = np.random.default_rng(seed)
    shapes = (
        (case.images, *case.window.image_size, case.channels),
        (*case.window.kernel_size, case.channels, case.filters),
        (case.images, *case.window.output_size, case.filters),
    )
    return Arrays(*(rng.standard_normal(shape).astype(np.float32) for shape in shapes))


class Convolution:
    """One plan of one convolution with its memory: forward and backward to be called again and again."""

    def __init__(
        self,
        case: Case,
        algorithm: str,
        arrays: Arrays,
        backend: str = "numba",
        wants: tuple[str, ...] = ("dx", "dw"),
    ) -> None:
        op = ops.Conv2D(name="conv", parameters=("w",), window=case.window, filters=case.filters)
        self.plan: Plan = make_plan(
            (op,), arrays.x.shape[1:], case.images, training=True, backend=backend,
            algorithm=None if algorithm == ENGINE else algorithm, gradients=["w"] * ("dw" in wants),
            value_gradients=[INPUT] * ("dx" in wants),
        )  # fmt: skip
        self.arrays, self.dw = arrays, np.zeros_like(arrays.w)
        self.derived = Derived(self.plan)
        self.ws = Workspace(self.plan, self.derived)

    def forward(self) -> np.ndarray:
        """y, a view of the arena. Layouts of the weights are made anew, as in training."""
        self.derived.update([(self.arrays.w,)])
        return run.forward(self.ws, [(self.arrays.w,)], self.arrays.x)

    def backward(self) -> tuple[np.ndarray, np.ndarray]:
        """(dx, dw), for the last forward pass."""
        self.go_back()
        return run.value_gradient(self.ws, INPUT, len(self.arrays.x)), self.dw

    def go_back(self) -> None:
        """`backward` for what is wanted alone: the value gradient in the arena, or `dw`."""
        self.dw[:] = 0
        run.backward(self.ws, [(self.dw,) if self.plan.gradients else ()], self.arrays.dy)


def seconds_of(function: Callable[[], Any], budget_s: float) -> float:
    """The least of as many runs as fit the budget, three at least (one, if it alone takes ten times the budget)."""
    best, start = float("inf"), perf_counter()
    for count in range(1, 1000):
        began = perf_counter()
        function()
        end = perf_counter()
        best = min(best, end - began)
        if end - start > budget_s and (count >= 3 or best > 10 * budget_s > 0):
            break
    return best


def times(extent: Extent) -> Iterator[dict[str, Any]]:
    """One record for each case and algorithm: seconds of both passes."""
    for kernel in extent.kernels:
        for channels in extent.channels:
            case = square_case(extent.images, extent.size, kernel, channels)
            arrays = arrays_for(case)
            for name in (*applicable(case.window), ENGINE):
                if name in SLOW and case.dense > extent.most_slow:
                    continue
                one = Convolution(case, name, arrays)
                one.forward(), one.backward()  # compiles, and touches all memory
                alone = {}
                for which in ("dx", "dw") if name in KERNELS else ():
                    part = Convolution(case, name, arrays, wants=(which,))
                    part.forward()
                    part.go_back()
                    alone[f"{which}_s"] = seconds_of(part.go_back, extent.budget_s)
                yield {
                    "kind": "time",
                    "algorithm": name,
                    "kernel": kernel,
                    "channels": channels,
                    "dense": case.dense,
                    "forward_s": seconds_of(one.forward, extent.budget_s),
                    "backward_s": seconds_of(one.backward, extent.budget_s),
                    **alone,
                    "runs": one.plan.algorithms["conv"]._asdict(),
                }


def python_loops() -> dict[str, Any]:
    """Nanoseconds for a product of the six loops in Python and compiled, on one small case."""
    case = square_case(1, 6, 3, 4)
    arrays = arrays_for(case)
    seconds = {}
    for backend in ("reference", "numba"):
        one = Convolution(case, "loops", arrays, backend)
        one.forward()
        seconds[backend] = seconds_of(one.forward, 0.02)
    return {"kind": "loops"} | {name: 1e9 * value / case.dense for name, value in seconds.items()}


def errors(extent: Extent) -> Iterator[dict[str, Any]]:
    """One record for each number of channels, algorithm and pass: largest error and root mean square."""
    for channels in extent.growth:
        case = square_case(1, min(14, extent.size), 3, channels)
        arrays = arrays_for(case)
        exact, magnitude = (_in_float64(case, Arrays(*map(kind, arrays))) for kind in (np.copy, np.abs))
        for name in (*applicable(case.window), ENGINE):
            if name in SLOW and case.dense > 10 * extent.most_slow:
                continue
            one = Convolution(case, name, arrays)
            found = dict(zip(("forward", "dx", "dw"), (one.forward().copy(), *one.backward()), strict=True))
            for which, array in found.items():
                unit = 2.0**-24 * magnitude[which]
                off = np.abs(array.astype(np.float64) - exact[which]) / unit
                yield {
                    "kind": "error",
                    "algorithm": name,
                    "channels": channels,
                    "pass": which,
                    "terms": terms_of(case, which),
                    "largest": float(off.max()),
                    "rms": float(np.sqrt(np.mean(off**2))),
                }


def terms_of(case: Case, which: str) -> int:
    """Products that an element of y, dx or dw is the sum of, away from the border."""
    taps = prod(case.window.kernel_size)
    return {"forward": taps * case.channels, "dx": taps * case.filters, "dw": case.outputs}[which]


def _in_float64(case: Case, arrays: Arrays) -> dict[str, np.ndarray]:
    x, w, dy = (a.astype(np.float64) for a in arrays)
    y, residuals = conv2d_im2col_forward(x, w, None, case.window)
    dx, dw, _ = conv2d_im2col_backward(dy, residuals)
    return {"forward": y, "dx": dx, "dw": dw}


def memory(extent: Extent) -> Iterator[dict[str, Any]]:
    """One record an algorithm: what its formula says for a 3×3 case, and for NumPy pages what was allocated at most."""
    from minicnn.engine.reference_backend import ALGORITHMS

    case = square_case(extent.images, extent.size, 3, extent.channels[-1])
    arrays = arrays_for(case)
    for name in applicable(case.window):
        measured = None
        if name not in ("loops", "direct"):
            measured = peak_nbytes(case, ALGORITHMS[name], arrays)
        work = TABLE[name].work(case)
        yield {
            "kind": "memory",
            "algorithm": name,
            "images": case.images,
            "size": case.window.image_size[0],
            "channels": case.channels,
            "products": work.products,
            "transforms": work.transforms,
            "formula": TABLE[name].memory_nbytes(case),
            "measured": measured,
        }


def peak_nbytes(case: Case, binding: Any, arrays: Arrays) -> int:
    """Bytes that a NumPy page has allocated at most in its forward pass, without y."""
    from minicnn.engine.binding import Frame

    op = ops.Conv2D(name="conv", parameters=("w",), window=case.window, filters=case.filters)
    frame = Frame(case.images, op.output_shape(arrays.x.shape[1:]))
    frame.x, frame.w, frame.y_buffer = arrays.x, (arrays.w,), np.empty_like(arrays.dy)
    tracemalloc.start()
    binding.forward(op, frame)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak - arrays.dy.nbytes


def main(arguments: list[str]) -> None:
    """Print one record a line, as JSON."""
    extent = EXTENTS[arguments[0]]
    for source in (times(extent), iter([python_loops()]), errors(extent), memory(extent)):
        for record in source:
            print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
