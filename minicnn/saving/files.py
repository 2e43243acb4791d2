"""Files that are there whole or not at all."""

import os
import threading
from pathlib import Path


def write_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Write `content` to `path`: whoever reads sees the old file or the new one, also after a crash.

    The content goes to a temporary file in the same folder, reaches the disk, and is then renamed. A temporary file
    never stays behind.

    Raises:
        OSError: the folder can't be written, or the disk is full; the old file is as it was.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself
    finally:
        os.close(folder)
