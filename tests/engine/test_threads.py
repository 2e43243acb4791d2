"""Tasks over threads: what happens when one fails."""

import threading

import pytest

from minicnn import config
from minicnn.engine.threads import run_tasks


@pytest.fixture(autouse=True)
def two_threads():
    number = config.num_threads()
    config.set_num_threads(2)
    yield
    config.set_num_threads(number)


@pytest.mark.parametrize("in_helper", [False, True])
def test_the_error_of_any_thread_is_raised(in_helper):
    """Both threads take one task, and one of them fails."""
    both, caller = threading.Barrier(2, timeout=60), threading.current_thread()

    def task(index):
        both.wait()
        if (threading.current_thread() is not caller) == in_helper:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run_tasks(2, task)
    run_tasks(2, lambda index: None)  # the pool goes on working


@pytest.mark.parametrize("in_helper", [False, True])
def test_after_an_error_no_further_task_is_begun(in_helper):
    both, failed, caller, begun = (
        threading.Barrier(2, timeout=60),
        threading.Event(),
        threading.current_thread(),
        [],
    )

    def task(index):
        begun.append(index)
        if len(begun) <= 2:
            both.wait()
        if (threading.current_thread() is not caller) == in_helper:
            failed.set()
            raise KeyError("mine")
        failed.wait(60)
        threading.Event().wait(0.5)  # the other thread is between its `raise` and its mark

    with pytest.raises(KeyError):
        run_tasks(100, task)
    assert len(begun) == 2


def test_with_one_thread_tasks_run_in_order_in_the_caller():
    config.set_num_threads(1)
    seen = []
    run_tasks(5, lambda index: seen.append((index, threading.current_thread())))
    assert seen == [(index, threading.current_thread()) for index in range(5)]
    run_tasks(0, seen.append)
    assert len(seen) == 5
