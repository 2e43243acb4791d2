"""The progress bar: Keras's text and colours, redrawn at most 20 times a second.

On a terminal and in Jupyter the line is drawn over itself. Elsewhere (a file, a pipe) it is printed once, when it is
complete, and without control characters: a difference from Keras, which writes every redraw.

Source of the layout: keras/src/utils/progbar.py.
"""

import math
import os
import sys
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from minicnn.checks import one_of

BOLD, GREEN, WHITE, END = "\x1b[1m", "\x1b[32m", "\x1b[37m", "\x1b[0m"
BLOCK = "━"


def print_message(message: str, line_break: bool = True) -> None:
    """Write to standard output and flush it; an encoding without the block gets '='."""
    text = f"{message}\n" if line_break else message
    try:
        sys.stdout.write(text)
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(text.replace(BLOCK, "=").encode(encoding, errors="ignore").decode(encoding))
    sys.stdout.flush()


class Progbar:
    """Displays progress, time and metrics. Arguments are Keras's.

    Args:
        target: number of steps, None if unknown.
        width: of the bar, in characters.
        verbose: 0 silent, 1 the bar, 2 one line at the end.
        interval: least time between two redraws, in seconds.
        stateful_metrics: names of values shown as they are; all others are averaged over the steps.
        stateless_metrics: names of values averaged over the steps; all others are shown as they are. At most one of the
            two is given.
        unit_name: what a step is called.

    Raises:
        ValueError: both kinds of names, an unknown verbosity.
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Iterable[str] | None = None,
        stateless_metrics: Iterable[str] | None = None,
        unit_name: str = "step",
    ) -> None:
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ValueError(
                "Only one of `stateful_metrics` and `stateless_metrics` can be given. Received "
                f"stateful_metrics={stateful_metrics}, stateless_metrics={stateless_metrics}."
            )
        self.target = target
        self.width = width
        self.verbose = one_of("verbose", int(verbose), (0, 1, 2))
        self.interval = interval
        self.unit_name = unit_name
        self.stateful_metrics = None if stateless_metrics is not None else set(stateful_metrics or ())
        self.stateless_metrics = None if stateless_metrics is None else set(stateless_metrics)
        self._redraws = _is_dynamic()
        self._seen = 0
        self._values: dict[str, tuple[float, float]] = {}
        """Name → (sum, weight), in the order in which they came first."""
        self._start = time.time()
        self._last_draw = -math.inf
        self._after_first_step: float | None = None
        self._drawn_width = 0

    def update(
        self, current: int, values: Iterable[tuple[str, Any]] | None = None, finalize: bool | None = None
    ) -> None:
        """Show that `current` steps are done, with their metrics.

        Args:
            current: steps done, counted from 1.
            values: pairs (name, value of the last step).
            finalize: whether this is the last update; by default, whether the target is reached.
        """
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        for name, value in values or ():
            self._note(name, value, current, finalize)
        self._seen = current
        now = time.time()
        step_s = self._step_duration(current, now)
        if self.verbose == 1:
            if not finalize and (now - self._last_draw < self.interval or not self._redraws):
                return
            self._draw(current, finalize, now, step_s)
        elif self.verbose == 2 and finalize and self.target:
            time_text = f"{now - self._start:.0f}s -{self._format_time(step_s)}"
            print_message(f"{self._count(current)} - {time_text}{self._metrics(signed=True)}")
        self._last_draw = now

    def add(self, n: int, values: Iterable[tuple[str, Any]] | None = None) -> None:
        """`update` by `n` further steps."""
        self.update(self._seen + n, values)

    def _note(self, name: str, value: Any, current: int, finalize: bool) -> None:
        """Take up a value: as it is, or with the weight of the steps since the last one."""
        value = float(value) if isinstance(value, float | int) else float(np.mean(value))
        is_averaged = (
            name in self.stateless_metrics
            if self.stateless_metrics is not None
            else name not in (self.stateful_metrics or ())
        )
        if not is_averaged or finalize:
            self._values[name] = (value, 1)
            return
        weight = max(current - self._seen, 1)
        total, weights = self._values.get(name, (0.0, 0))
        self._values[name] = (total + value * weight, weights + weight)

    def _draw(self, current: int, finalize: bool, now: float, step_s: float) -> None:
        bar, plain_bar = self._bar(current)
        if self.target and not finalize:
            clock = _format_remaining(step_s * (self.target - current))
        else:
            clock = f"{now - self._start:.0f}s"
        tail = self._format_time(step_s) + self._metrics()
        if not self._redraws:
            print_message(f"{plain_bar} {clock}{tail}")
            return
        width = len(plain_bar) + 1 + len(clock) + len(tail)
        # Backspaces for a terminal that has wrapped the line; blanks over what the last drawing had more.
        message = "\b" * self._drawn_width + f"\r{bar} {BOLD}{clock}{END}{tail}"
        message += " " * (self._drawn_width - width) + ("\n" if finalize else "")
        print_message(message, line_break=False)
        self._drawn_width = width

    def _bar(self, current: int) -> tuple[str, str]:
        """The count and the bar, with colours and without."""
        if not self.target:
            text = f"{current:7d}/Unknown"
            return text, text
        count = self._count(current)
        done = int(self.width * (current / self.target))
        green = f"{GREEN}{BLOCK * done}{END}" if done > 0 else ""
        white = f"{WHITE}{BLOCK * (self.width - done)}{END}"
        return f"{BOLD}{count}{END} {green}{white}", f"{count} {BLOCK * max(done, self.width)}"

    def _count(self, current: int) -> str:
        digits = int(math.log10(self.target or 1)) + 1
        return f"{current:{digits}d}/{self.target}"

    def _metrics(self, signed: bool = False) -> str:
        """Four decimals, or an exponent for what they would hide; if `signed` for everything negative too, as Keras."""
        text = ""
        for name, (total, weight) in self._values.items():
            value = total / max(1, weight)
            text += (
                f" - {name}: {value:.4f}"
                if (value if signed else abs(value)) > 1e-3
                else f" - {name}: {value:.4e}"
            )
        return text

    def _format_time(self, step_s: float) -> str:
        if step_s >= 1 or step_s == 0:
            return f" {step_s:.0f}s/{self.unit_name}"
        if step_s >= 1e-3:
            return f" {step_s * 1e3:.0f}ms/{self.unit_name}"
        return f" {step_s * 1e6:.0f}us/{self.unit_name}"

    def _step_duration(self, current: int, now: float) -> float:
        """Seconds a step; the first one, which compiles, is left out as soon as there are others."""
        if not current:
            return 0.0
        if self._after_first_step is not None and current > 1:
            duration = (now - self._after_first_step) / (current - 1)
        else:
            duration = (now - self._start) / current
        if current == 1:
            self._after_first_step = now
        return duration


def _format_remaining(remaining_s: float) -> str:
    if remaining_s > 3600:
        return f"{int(remaining_s // 3600)}:{int(remaining_s % 3600 // 60):02d}:{int(remaining_s % 60):02d}"
    if remaining_s > 60:
        return f"{int(remaining_s // 60)}:{int(remaining_s % 60):02d}"
    return f"{int(remaining_s)}s"


def _is_dynamic() -> bool:
    """Whether standard output can draw a line over itself."""
    is_terminal = hasattr(sys.stdout, "isatty") and sys.stdout.isatty()
    return is_terminal or "ipykernel" in sys.modules or "PYCHARM_HOSTED" in os.environ
