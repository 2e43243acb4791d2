"""Tasks over threads. What a task computes never depends on which thread takes it, or on how many there are."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

from minicnn import config

SLICE = 1 << 16
"""Elements of a flat vector that one task of `for_slices` takes."""


def for_slices(size: int, function: Callable[[slice], None]) -> None:
    """Call `function` on consecutive slices that cover range(size), over the threads."""
    run_tasks(-(-size // SLICE), lambda index: function(slice(index * SLICE, min(size, (index + 1) * SLICE))))


def run_tasks(count: int, task: Callable[[int], None]) -> None:
    """Call task(0), …, task(count − 1), each once, over up to `config.num_threads()` threads; this one is among them.

    Returns when all are done. The first exception ends the claiming of further tasks and is raised here, after every
    running task has ended.
    """
    threads = min(config.num_threads(), count)
    claims = iter(range(count))
    if threads <= 1:
        for index in claims:
            task(index)
        return
    failed = False

    def work() -> None:
        nonlocal failed
        for index in claims:
            if failed:
                return
            try:
                task(index)
            except BaseException:
                failed = True
                raise

    helpers = [_pool(threads - 1).submit(work) for _ in range(threads - 1)]
    try:
        work()
    finally:
        wait(helpers)
    for helper in helpers:
        helper.result()


_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def _pool(helpers: int) -> ThreadPoolExecutor:
    """The process's pool of helper threads; a forked child makes its own."""
    key = (os.getpid(), helpers)
    if key not in _pools:
        _pools.clear()
        _pools[key] = ThreadPoolExecutor(helpers, thread_name_prefix="minicnn")
    return _pools[key]
