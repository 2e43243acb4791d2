"""Tasks over threads: what happens when one fails."""

import threading

import pytest

from minicnn import config
from minicnn.engine import threads
from minicnn.engine.threads import run_tasks


@pytest.fixture(autouse=True)
def two_threads():
    number = config.num_threads()
    config.set_num_threads(2)
    yield
    config.set_num_threads(number)


@pytest.fixture
def one_helper(monkeypatch):
    """Other tests may have left more."""
    monkeypatch.setattr(threads, "_crews", {})


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


def test_tasks_may_have_tasks(one_helper):
    """The one helper is in the outer call; the inner ones must not wait for it."""
    both, seen = threading.Barrier(2, timeout=60), []

    def outer(index):
        both.wait()
        run_tasks(3, lambda inner: seen.append((index, inner)))

    run_tasks(2, outer)
    assert sorted(seen) == [(index, inner) for index in range(2) for inner in range(3)]


def test_a_helper_that_comes_too_late_is_not_waited_for(one_helper):
    """The only helper is held up by another call; meanwhile the caller does everything itself."""
    held, release = threading.Event(), threading.Event()
    caller = threading.current_thread()

    def hold(index):
        if threading.current_thread() is not other:
            held.set()
            release.wait(60)
        else:
            held.wait(60)

    other = threading.Thread(target=run_tasks, args=(2, hold))
    other.start()
    assert held.wait(60)
    seen = []
    run_tasks(4, lambda index: seen.append(threading.current_thread()))
    release.set()
    other.join(60)
    assert seen == [caller] * 4
