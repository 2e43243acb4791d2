"""The report of a run: tables, pictures, and paragraphs of what was seen, all made from the records."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from minicnn.study.algorithms.measure import ENGINE, EXTENTS, KERNELS
from minicnn.study.algorithms.results import Results
from minicnn.study.algorithms.table import TABLE

HEAD = """# Convolution, seven ways

One convolution, seven algorithms: `compile(algorithm="fft")`, or a dict by layer's name, runs a model on any of them,
and `minicnn algorithms` makes this page from a run on your machine (`--quick` in less than two minutes). Each is a page
of `minicnn/reference/conv2d_<algorithm>.py`, forward and backward, and holds the same properties of the verification
kit. *direct* and *loops* are compiled kernels, the others NumPy; *engine* is what the engine chooses when nobody does,
its own kernels for Winograd's algorithm included.
"""


def report(results: Results, images: str = "") -> str:
    """Markdown; pictures are looked for at `images` + their name."""
    parts = [
        HEAD,
        _what_they_do(results),
        _who_wins(results, images),
        _speed(results, images),
        _errors(results, images),
        _machine(results),
    ]
    return "\n".join(parts)


def table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """In Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def _what_they_do(results: Results) -> str:
    found = {record["algorithm"]: record for record in results.of_kind("memory")}
    one = next(iter(found.values()))
    rows = []
    for name, record in found.items():
        algorithm = TABLE[name]
        measured = "" if record["measured"] is None else megabytes(record["measured"])
        rows.append(
            (
                f"`{name}`",
                algorithm.title,
                algorithm.source,
                algorithm.products,
                millions(record["products"]),
                millions(record["transforms"]),
                algorithm.memory,
                megabytes(record["formula"]),
                measured,
            )
        )
    head = ("", "what", "source", "products", "10⁶", "transforms, 10⁶", "extra memory", "MB", "allocated, MB")
    where = "\n".join(f"- `{name}`: {TABLE[name].where}" for name in found)
    return (
        "## What they multiply and remember\n\n"
        f"{table(head, rows)}\n"
        f"Numbers for a forward pass, 3×3 'same', {one['images']} image(s) of {one['size']}×{one['size']}×"
        f"{one['channels']}, {one['channels']} filters, float32. dx and dw take as many products each. "
        "Transforms are multiplications by constants (FFT: operations, an estimate). Extra memory is what the "
        "algorithm needs besides x, w and y; *allocated* is what the NumPy page had at its peak, temporary "
        f"copies included.\n\nWhere they apply:\n\n{where}\n"
    )


def _who_wins(results: Results, images: str) -> str:
    cells = [(kernel, channels) for kernel in results.kernels for channels in results.channels]
    lines = []
    for which in ("forward", "backward"):
        counts = Counter(results.fastest(which, *cell, without=(ENGINE,)) for cell in cells)
        winners = ", ".join(f"{name} {count}" for name, count in counts.most_common())
        lines.append(f"{which}: {winners}")
    return (
        f"## Who wins where\n\n{_warning(results)}"
        f"![The fastest algorithm for each kernel size and number of channels]({images}winners.png)\n\n"
        f"Of {len(cells)} geometries the fastest of the seven was, {'; '.join(lines)}. {_engine(results)}\n\n"
        f"{_loops(results)}\n"
    )


BUSY = 1.0
"""A load average from which on times are called unreliable."""


def _warning(results: Results) -> str:
    load = results.machine["load_average"]
    if load < BUSY:
        return ""
    return (
        f"**The machine was busy with other work when this was measured (load average {load}): the times below, and "
        "with them the winners, are unreliable.** Products, memory and errors don't depend on it.\n\n"
    )


def _engine(results: Results) -> str:
    """How the engine's Winograd kernel does beside the seven."""
    ratios = []
    for record in results.of_kind("time"):
        if record["algorithm"] == ENGINE and record["runs"]["forward"] != "direct":
            cell = record["kernel"], record["channels"]
            others = [results.seconds(n, "forward").get(cell) for n in results.algorithms if n != ENGINE]
            ratios.append(min(other for other in others if other is not None) / record["forward_s"])
    if not ratios:
        return "The engine's own choice was the direct kernel everywhere."
    return (
        f"In {len(ratios)} of them the engine's forward pass runs on a Winograd kernel of its own, "
        f"{np.median(ratios):.2g} times as fast as the best of the seven (median); elsewhere it is the direct "
        "kernel."
    )


def _loops(results: Results) -> str:
    (record,) = results.of_kind("loops")
    cells = results.seconds("direct", "forward")
    dense = {(r["kernel"], r["channels"]): r["dense"] for r in results.of_kind("time")}
    best = min(cells[cell] / dense[cell] for cell in cells)
    ratio = record["reference"] / record["numba"]
    return (
        f"The six loops take {record['reference']:.0f} ns a product in Python and {record['numba']:.2f} ns "
        f"compiled, {ratio:,.0f} times less; the direct kernel comes down to {1e9 * best:.3f} ns. Python's are "
        "timed on one small case alone: on the others they would take minutes and tell nothing more."
    )


def _speed(results: Results, images: str) -> str:
    peak = results.machine["peak_gflops"]
    rows = []
    for kernel in results.kernels:
        for channels in results.channels:
            row: list[str] = [f"{kernel}×{kernel}", str(channels)]
            for name in results.algorithms:
                both = [results.share(name, which, kernel, channels) for which in ("forward", "backward")]
                row.append("–" if np.isnan(both[0]) else " / ".join(map(share, both)))
            rows.append(tuple(row))
    return (
        "## Speed\n\n"
        f"![Share of the machine's peak over channels, one panel a kernel size]({images}rates.png)\n\n"
        f"Rates by dense work, as % of {peak:.0f} GFLOP/s, what NumPy's matrix product of float32 reached here "
        "with one thread: forward / backward (dx, dw and db). An algorithm that takes fewer products than the "
        "definition may pass 100 %.\n\n"
        f"{table(('kernel', 'channels', *results.algorithms), rows)}\n"
        f"– : doesn't apply, or left out because it would take too long.\n\n{_apart(results)}"
    )


def _apart(results: Results) -> str:
    """dx and dw, each alone, of what computes one without the other."""
    rows = []
    for kernel in results.kernels:
        for channels in results.channels:
            row: list[str] = [f"{kernel}×{kernel}", str(channels)]
            for name in KERNELS:
                parts = [results.share(name, which, kernel, channels) for which in ("forward", "dx", "dw")]
                row.append("–" if np.isnan(parts).any() else " / ".join(map(share, parts)))
            rows.append(tuple(row))
    return (
        "The kernels compute dx and dw one without the other; forward / dx / dw, in % of the same peak:\n\n"
        f"{table(('kernel', 'channels', *KERNELS), rows)}"
    )


def _errors(results: Results, images: str) -> str:
    rows = []
    for name in results.algorithms:
        row = [f"`{name}`"]
        for which in ("forward", "dx", "dw"):
            found = results.errors(name, which)
            row += (
                [f"{max(r['largest'] for r in found):.2g}", f"{growth(found):.2f}" if len(found) > 1 else ""]
                if found
                else ["", ""]
            )
        rows.append(tuple(row))
    head = (
        "",
        "forward: largest",
        "grows as n^",
        "dx: largest",
        "grows as n^",
        "dw: largest",
        "over channels n^",
    )
    return (
        "## Errors\n\n"
        f"![Error over the number of products in a sum]({images}growth.png)\n\n"
        f"{table(head, rows)}\n"
        f"3×3 on standard normal numbers in float32, {results.growth[0]} to {results.growth[-1]} channels, "
        "against float64, in units of u·Σ|x||w|: what one rounding of the sum of absolute values may cost. The "
        "largest of all elements, and the exponent with which the root mean square grows with the number of "
        "products. Sums of random signs: exact rounding would fall as n^−½, since the result is that much "
        f"smaller than Σ|x||w|.\n\n![Error over speed]({images}trade.png)\n"
    )


def growth(found: list[dict[str, Any]]) -> float:
    """The slope of log(rms) over log(channels)."""
    channels, rms = (np.log([record[key] for record in found]) for key in ("channels", "rms"))
    return float(np.polyfit(channels, rms, 1)[0])


def _machine(results: Results) -> str:
    machine = results.machine
    extent = EXTENTS[machine["extent"]]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        f"Measured on {machine['date']}: {machine['cpu']}, one thread, {versions}, load average "
        f"{machine['load_average']} before; {extent.images} image(s) of {extent.size}×{extent.size}, least of "
        f"as many runs as fit {extent.budget_s:g} s, three at least.\n"
    )


def share(percent: float) -> str:
    """Two digits, or all in front of the point."""
    return f"{percent:.0f}" if percent >= 9.5 else f"{percent:.2g}"


def millions(count: int) -> str:
    return f"{count / 1e6:,.2f}"


def megabytes(nbytes: int) -> str:
    return f"{nbytes / 1e6:,.2f}"
