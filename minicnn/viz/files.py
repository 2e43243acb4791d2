"""Pictures on disk."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write `figure` to `path` as a PNG: all of it or nothing, and the same bytes for the same picture.

    The picture is written beside `path` and then renamed, so whoever reads sees the old file or the new one. No date
    and no version is written into it; other versions of matplotlib may still draw other pixels.

    Raises: ValueError if path doesn't end in .png; OSError if it can't be written.
    """
    target = Path(path)
    if target.suffix.lower() != ".png":
        raise ValueError(f"`path` must end in .png. Received path={str(target)!r}.")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        temporary.write_bytes(content.getvalue())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
