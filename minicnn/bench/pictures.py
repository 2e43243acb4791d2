"""The pictures of a file of results: `draw_all(read("bench.json"), "pictures")`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from minicnn.bench.results import Results
from minicnn.viz.files import save
from minicnn.viz.style import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_all(results: Results, folder: str | os.PathLike[str]) -> list[Path]:
    """Write every picture that `results` hold the numbers for into `folder`, as PNG; return where.

    ratios.png, scaling.png, and for each profile roofline_<model>.png, layers_<model>.png and work_<model>.png. Each
    is written whole or not at all; the folder is made if need be.

    Raises:
        OSError: a file or the folder can't be written.
        ValueError: a profile that isn't one.
    """
    figures = all_figures(results)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        save(figure, target / name)
    return [target / name for name in figures]


def all_figures(results: Results) -> dict[str, Figure]:
    """The figures by the names of their files."""
    from minicnn.bench import pictures_profile, pictures_ratios
    from minicnn.bench.profile import from_record

    figures: dict[str, Figure] = {}
    if ratios := pictures_ratios.ratios_of(results):
        figures["ratios.png"] = pictures_ratios.ratio_bars(ratios).figure  # type: ignore[assignment]
    if (scaling := scaling_figure(results)) is not None:
        figures["scaling.png"] = scaling
    for record in results.profiles:
        profile = from_record(record)
        name = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in profile.model)
        drawn = {
            "layers": pictures_profile.layer_shares(profile),
            "work": pictures_profile.needed_work(profile),
        }
        bandwidth = results.machine.triad_gbytes_s.get("1")
        if bandwidth:
            drawn["roofline"] = pictures_profile.roofline(profile, bandwidth)
        figures |= {f"{kind}_{name}.png": ax.figure for kind, ax in drawn.items()}  # type: ignore[misc]
    return figures


def scaling_figure(results: Results) -> Figure | None:
    """As many panels as there are measurements for: threads, batch size, image size."""
    from minicnn.bench import pictures_scaling as scaling

    panels = [
        (draw, points)
        for draw, points in (
            (scaling.scaling_over_threads, scaling.threads_of(results)),
            (scaling.scaling_over_batches, scaling.batches_of(results)),
            (scaling.scaling_over_images, scaling.images_of(results)),
        )
        if points
    ]
    if not panels:
        return None
    figure = new_figure(3.9 * len(panels), 3.6)
    for k, (draw, points) in enumerate(panels):
        draw(points, figure.add_subplot(1, len(panels), k + 1))
    return figure
