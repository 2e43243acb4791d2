"""Pictures on disk."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150
ANIMATION_DPI = 80
COLOURS = 128
"""Of an animation."""


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write `figure` to `path` as a PNG: all of it or nothing, and the same bytes for the same picture.

    The picture is written beside `path` and then renamed, so whoever reads sees the old file or the new one. No date
    and no version is written into it; other versions of matplotlib may still draw other pixels.

    Raises: ValueError if path doesn't end in .png; OSError if it can't be written.
    """
    target = _checked(path, ".png")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
    _replace(target, content.getvalue())


def save_animation(figures: Iterable[Figure], path: str | os.PathLike[str], *, frame_s: float = 0.3) -> None:
    """Write the figures, all of one size, to `path` as a GIF that shows each for `frame_s` seconds, again and again.

    It is made of 128 colours, chosen so that the rarest of any frame has one that is near. As `save`, all of it or
    nothing.

    Raises: ValueError if path doesn't end in .gif or there is no figure; OSError if it can't be written.
    """
    from PIL import Image

    target = _checked(path, ".gif")
    frames = []
    for figure in figures:
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=ANIMATION_DPI)
        frames.append(Image.open(content).convert("RGB"))
    if not frames:
        raise ValueError("`figures` must hold at least one figure. Received none.")
    width, height = frames[0].size
    all_of_them = Image.new("RGB", (width, height * len(frames)))
    for k, frame in enumerate(frames):
        all_of_them.paste(frame, (0, k * height))
    # Colours by how often they occur would give a kernel's few dark reds the dark violet of the maps beside it.
    palette = all_of_them.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE)
    colours = np.array(palette.getpalette(), int).reshape(-1, 3)
    colours[colours.min(axis=1) >= 248] = 255  # paper; Pillow finds the nearest of two such only roughly
    palette.putpalette(colours.ravel().tolist())
    first, *rest = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
    content = io.BytesIO()
    first.save(content, "GIF", save_all=True, append_images=rest, duration=round(1000 * frame_s), loop=0)
    _replace(target, content.getvalue())


def _checked(path: str | os.PathLike[str], suffix: str) -> Path:
    target = Path(path)
    if target.suffix.lower() != suffix:
        raise ValueError(f"`path` must end in {suffix}. Received path={str(target)!r}.")
    return target


def _replace(target: Path, content: bytes) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
