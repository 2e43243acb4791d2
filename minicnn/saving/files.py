"""Files that are there whole or not at all."""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def write_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Write `content` to `path`: whoever reads sees the old file or the new one, also after a crash.

    The content goes to a temporary file in the same folder, reaches the disk, and is then renamed. An error leaves no
    temporary file; a process that is killed may, and `remove_leftovers` finds it.

    Raises:
        OSError: the folder can't be written, or the disk is full; the old file is as it was, and the error names it.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        try:
            write_to_disk(temporary, content)
            os.replace(temporary, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise type(error)(error.errno, error.strerror, os.fspath(target)) from error
    # The new file is in its place now: an error would say that the old one is. What may be lost is the rename, in a
    # power cut, on a file system that can't do this.
    with suppress(OSError):
        sync_folder(target.parent)


def write_to_disk(path: Path, content: bytes) -> None:
    """Make a new file at `path`; when this returns, the content is on the disk."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fsync(file)
    finally:
        os.close(file)


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk."""
    folder = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove temporary files that processes which have been killed left beside `path`."""
    for leftover, process in temporaries(Path(path)):
        if not is_running(process):
            with suppress(OSError):
                leftover.unlink()


def temporaries(target: Path) -> Iterator[tuple[Path, int]]:
    """Yield (temporary file of `target`, process that writes it)."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.(\d+)-\d+\.tmp")
    if target.parent.is_dir():
        for entry in target.parent.iterdir():
            if match := pattern.fullmatch(entry.name):
                yield entry, int(match[1])


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        pass
    return True
