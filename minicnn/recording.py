"""Taking down which kernels a thread calls, and with which arguments, so that `_program` can repeat it."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Call(NamedTuple):
    """One call of a kernel. The arguments keep the arrays alive that it reads and writes."""

    function: Callable[..., Any]
    address: int
    """Of its machine code."""
    args: tuple[Any, ...]
    returns_bool: bool
    repair: Callable[[], None] | None = None
    """To be called when the kernel returns False."""


@dataclass
class Recording:
    """What a thread has called, in this order."""

    calls: list[Call] = field(default_factory=list)
    is_complete: bool = True
    """Whether repeating the calls would do all that was done."""


class _Current(threading.local):
    recording: Recording | None = None


current = _Current()


@contextlib.contextmanager
def recording() -> Iterator[Recording]:
    """Take down the calls that this thread makes in the block."""
    before, current.recording = current.recording, Recording()
    try:
        yield current.recording
    finally:
        current.recording = before


def spoil() -> None:
    """What happens now can't be repeated: whoever is recording must do it as it is done now."""
    if current.recording is not None:
        current.recording.is_complete = False


def run_or_repair(kernel: Callable[..., Any], args: tuple[Any, ...], repair: Callable[[], None]) -> None:
    """Call a kernel that returns whether all went well, and `repair` if it returns False."""
    is_well = kernel(*args)
    recorded = current.recording
    if recorded is not None and recorded.calls:
        recorded.calls[-1] = recorded.calls[-1]._replace(repair=repair)
    if not is_well:
        with recording():  # in vain: what it calls belongs to this time alone
            repair()
