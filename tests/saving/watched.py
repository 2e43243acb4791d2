"""Load files in a process that watches itself: what was opened, started, imported, how long it took, how much memory.

    python -m tests.saving.watched LIST.json    # [[path, loader], …]; prints a line of JSON for each

The watch is an audit hook (PEP 578), which Python calls before it does any of these things and which can't be removed.
"""

import gc
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FORBIDDEN = (
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.symlink",
    "os.link",
    "os.truncate",
    "os.chmod",
    "shutil.",
    "tempfile.",
    "pickle.",
    "marshal.",
    "urllib.",
    "http.",
    "ctypes.",
    "exec",
    "compile",
    "code.__new__",
    "function.__new__",
    "import",
    "glob.",
    "webbrowser.",
)
MAX_ADDRESSES, MAX_WAIT_S = 8 << 30, 20
"""Of the process; an attack that reaches one has succeeded, but the others are still to be seen."""
HEAVY = ("keras", "tensorflow", "torch")


class Watch:
    """Events while a file is loaded that loading it has no need of."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.events: list[str] = []
        sys.addaudithook(self.see)

    def see(self, event: str, arguments: tuple) -> None:
        if self.folder is None:
            return
        if event == "open":
            path, mode, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            if writes or not str(path).startswith(self.folder):
                self.events.append(f"open {path} {mode}")
        elif event.startswith(FORBIDDEN) and not self.allowed(event, arguments):
            self.events.append(f"{event} {str(arguments)[:80]}")
            if event == "import" and arguments[0].split(".")[0] in HEAVY:
                raise ImportError("not in this process")

    def allowed(self, event: str, arguments: tuple) -> bool:
        """NumPy parses headers by `ast.literal_eval`, which compiles no further than to a tree."""
        return event == "compile" and arguments[1] == "<unknown>"


def loaders() -> dict[str, Callable[[Path], Any]]:
    """Everything that reads files, by name."""
    from minicnn import Input, layers, models, runs
    from minicnn.cli.files import read
    from minicnn.datasets import mnist
    from minicnn.digits import read_digit
    from minicnn.registry import deserialize_object
    from minicnn.saving import load_weights
    from minicnn.saving.checkpoint import read_checkpoint
    from minicnn.saving.inspection import inspect_file
    from tests.saving import naive

    net = models.Sequential([Input((3,)), layers.Dense(2)])
    return {
        "load_model": lambda path: models.load_model(path),
        "convert": lambda path: read(path, None, compile=True),
        "inspect": inspect_file,
        "load_weights": lambda path: load_weights(net, path),
        "load_data": mnist.load_data,
        "read_digit": read_digit,
        "deserialize": lambda path: deserialize_object(json.loads(path.read_text())),
        "read_checkpoint": read_checkpoint,
        "load_run": lambda path: runs.load_run(path.parent),
        "convert_run": lambda path: read(path.parent, None, compile=True),
        "inspect_run": lambda path: runs.inspect_run(path.parent),
        "naive": naive.load,
    }


def too_long(*arguments: Any) -> None:
    raise TimeoutError(f"longer than {MAX_WAIT_S} s")


def status_mb(field: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def load(watch: Watch, loader: Callable[[Path], Any], path: Path) -> dict[str, Any]:
    """What came of loading one file."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = status_mb("VmRSS")
    error: BaseException | None = None
    watch.events, watch.folder = [], str(path.parent)
    start = time.process_time()
    signal.alarm(MAX_WAIT_S)
    try:
        loader(path)
    except BaseException as caught:
        error = caught
    signal.alarm(0)
    seconds = time.process_time() - start
    watch.folder = None
    return {
        "error": type(error).__name__ if error else None,
        "is_value_error": isinstance(error, ValueError),
        "message": str(error),
        "seconds": seconds,
        "mb": status_mb("VmHWM") - before,
        "events": watch.events,
    }


def main() -> None:
    known, watch = loaders(), Watch()
    resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESSES, MAX_ADDRESSES))
    signal.signal(signal.SIGALRM, too_long)
    jobs = [(Path(path), loader) for path, loader in json.loads(Path(sys.argv[1]).read_text())]
    warm = set()
    for path, loader in jobs:
        if (loader, path.suffix) not in warm and loader != "naive":  # imports of the first time
            warm.add((loader, path.suffix))
            load(watch, known[loader], path)
    for path, loader in jobs:
        print(json.dumps(load(watch, known[loader], path)), flush=True)


if __name__ == "__main__":
    main()
