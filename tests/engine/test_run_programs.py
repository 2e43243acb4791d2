"""Programs over threads: each is run once, whoever runs it, and what goes wrong in one is dealt with."""

import os
import threading
import time

import numpy as np
import pytest

from minicnn import config
from minicnn.engine import threads
from minicnn.engine.threads import run_programs, run_tasks
from minicnn.kernels import _crew
from minicnn.kernels._crew import _look, meeting_on
from minicnn.kernels._jit import kernel
from minicnn.recording import recording, run_or_repair

pytestmark = pytest.mark.jitted


@pytest.fixture(autouse=True)
def restore_threads():
    number = config.num_threads()
    threads._crew(0).rest_s = 0  # no helper was late
    yield
    config.set_num_threads(number)


@kernel
def count_up(total, rounds):
    """total[0] += rounds, in so many steps."""
    for _ in range(rounds):
        total[0] += 1


@kernel
def wait_for(flag, value):
    """Until another thread has made it so, or seconds have passed."""
    k = 0
    while k < 1_000_000_000 and _look(flag, 0) < value:
        k += 1


@kernel
def note(order, over, k):
    """The next one in the order is k."""
    order[over[0]] = k
    over[0] += 1


@kernel
def is_even(total):
    return total[0] % 2 == 0


@kernel
def is_below(total, limit):
    return total[0] < limit


@kernel
def last_of(x, size):
    x[0] = np.zeros(size[0], np.float64)[-1]


def program_of(call):
    from minicnn.kernels._program import Program

    with recording() as recorded:
        call()
    return Program(recorded.calls)


def test_the_board_is_what_the_threads_think():
    assert (_crew.BELL, _crew.MOST_PROGRAMS) == (threads.BELL, threads.MOST)


@pytest.mark.parametrize("number", [63, 64, 65, 300])
def test_more_programs_than_the_board_has_room_for(number):
    """A deep net's derived weights, each with a copy for every thread."""
    config.set_num_threads(2)
    programs, totals = counters(number)
    run_programs(programs)
    assert [total[0] for total in totals] == [100] * number


def counters(number):
    """(programs that each add 100 to a number of their own, the numbers)."""
    totals = [np.zeros(1, np.int64) for _ in range(number)]
    programs = [program_of(lambda total=total: count_up(total, 100)) for total in totals]
    for total in totals:
        total[0] = 0
    return programs, totals


@pytest.mark.parametrize("number", [1, 2, 5, 64])
@pytest.mark.parametrize("helpers", [0, 1, 3])
def test_every_program_runs_once(number, helpers):
    config.set_num_threads(helpers + 1)
    programs, totals = counters(number)
    for _ in range(300):
        run_programs(programs)
    assert [int(total[0]) for total in totals] == [30_000] * number


def test_helpers_come_back_from_sleep_and_from_tasks():
    config.set_num_threads(2)
    programs, totals = counters(4)
    for pause in (0, 0.3, 0, 0.3):
        run_programs(programs)
        seen = []
        run_tasks(4, seen.append)
        assert sorted(seen) == [0, 1, 2, 3]
        time.sleep(pause)
    assert [int(total[0]) for total in totals] == [400] * 4


def test_a_helper_takes_part():
    """Two programs that need each other: the first waits for the second."""
    config.set_num_threads(2)
    flag = np.ones(1, np.int64)
    programs = [program_of(lambda: wait_for(flag, 1)), program_of(lambda: count_up(flag, 1))]
    for _ in range(20):
        flag[0] = 0
        run_programs(programs)
        assert flag[0] == 1


def test_the_caller_begins_with_the_first_and_helpers_with_the_last():
    """So that a thread gets the same ones each time. The first program waits until the others are over."""
    config.set_num_threads(2)
    order, over = np.zeros(5, np.int64), np.zeros(1, np.int64)
    programs = [program_of(lambda k=k: note(order, over, k)) for k in (1, 2, 3)]
    programs = [program_of(lambda: wait_for(over, 3)), *programs]
    over[0] = 0
    run_programs(programs)
    assert order[:3].tolist() == [3, 2, 1]


def test_what_fails_is_repaired_wherever_it_ran():
    config.set_num_threads(2)
    totals = [np.zeros(1, np.int64) for _ in range(4)]
    repaired = []

    def call(k):
        run_or_repair(is_even, (totals[k],), lambda: repaired.append(k))
        count_up(totals[k], 1)

    programs = [program_of(lambda k=k: call(k)) for k in range(4)]
    repaired.clear()
    for k, total in enumerate(totals):
        total[0] = k
    run_programs(programs)
    assert repaired == [1, 3]
    assert [int(total[0]) for total in totals] == [1, 2, 3, 4]


@kernel
def double(total):
    total[0] *= 2


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("rest_s", [0.0, 1e-5, 1.0])
def test_phases_again_and_again(number, rest_s):
    """All of the first, then all of the second, so many times; also while helpers are left alone, or until then."""
    config.set_num_threads(number)
    totals = [np.zeros(1, np.int64) for _ in range(4)]
    ups = [program_of(lambda total=total: count_up(total, 1)) for total in totals]
    doubles = [program_of(lambda total=total: double(total)) for total in totals]
    for total in totals:
        total[0] = 0
    threads._crew(0).rest_s = rest_s
    run_programs(ups, doubles, times=20)
    assert [int(total[0]) for total in totals] == [2**21 - 2] * 4
    run_programs(times=5)
    run_programs([], times=5)


@pytest.mark.parametrize("number", [1, 2])
def test_what_a_repair_raises_ends_it(number):
    """When its phase is over; the next one isn't begun."""
    config.set_num_threads(number)
    totals = [np.zeros(1, np.int64) for _ in range(4)]

    def call(total):
        count_up(total, 1)
        run_or_repair(is_below, (total, 8), stop)

    def stop():
        raise ZeroDivisionError

    phases = [
        [program_of(lambda t=t: call(t)) for t in totals],
        [program_of(lambda t=t: count_up(t, 2)) for t in totals],
    ]
    for total in totals:
        total[0] = 0
    with pytest.raises(ZeroDivisionError):
        run_programs(*phases, times=10)
    assert [int(total[0]) for total in totals] == [10] * 4


def test_what_a_kernel_raises_is_raised_when_all_have_ended():
    config.set_num_threads(2)
    programs, totals = counters(3)
    x, size = np.zeros(1), np.ones(1, np.int64)
    bad = program_of(lambda: last_of(x, size))
    size[0] = 1 << 60
    with pytest.raises(ValueError, match="too big"):
        run_programs([programs[0], bad, *programs[1:]])
    assert [int(total[0]) for total in totals] == [100] * 3
    run_programs(programs)
    assert [int(total[0]) for total in totals] == [200] * 3


def test_two_threads_of_the_users_at_once():
    config.set_num_threads(2)
    work = [counters(4) for _ in range(3)]

    def run(programs):
        for _ in range(200):
            run_programs(programs)

    users = [threading.Thread(target=run, args=(programs,)) for programs, _ in work]
    for user in users:
        user.start()
    for user in users:
        user.join(60)
    assert all(int(total[0]) == 20_000 for _, totals in work for total in totals)


def test_a_forked_child_has_a_crew_of_its_own():
    config.set_num_threads(2)
    programs, totals = counters(4)
    run_programs(programs)
    child = os.fork()
    if child == 0:
        run_programs(programs)
        os._exit(0 if all(total[0] == 200 for total in totals) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_helpers_that_came_too_late_are_left_alone_for_a_while():
    """No meeting is called meanwhile."""
    config.set_num_threads(2)
    programs, totals = counters(4)
    run_programs(programs)
    crew = threads._crews[os.getpid()]
    crew.rest_s, last = 1e-12, meeting_on(crew._board)
    run_programs(programs)
    assert meeting_on(crew._board) == last
    run_programs(programs)
    assert meeting_on(crew._board) == last + 1
    assert [int(total[0]) for total in totals] == [300] * 4


@pytest.mark.skipif(len(threads._cores()) < 2, reason="needs two cores")
def test_sleepers_are_woken_on_another_core_than_the_caller_s(monkeypatch):
    """And may run anywhere from then on."""
    config.set_num_threads(2)
    programs, _ = counters(4)
    run_programs(programs)
    crew, seen = threads._crews[os.getpid()], []
    cores = threads._cores()

    def bind(thread, chosen):
        seen.append((threading.get_native_id(), thread, chosen))
        os_bind(thread, chosen)

    os_bind = os.sched_setaffinity
    monkeypatch.setattr(os, "sched_setaffinity", bind)
    monkeypatch.setattr(threads, "_core", lambda: min(cores))
    end = time.monotonic() + 10
    while len(crew._sleeping) < len(crew._members) and time.monotonic() < end:
        time.sleep(0.01)
    crew.rest_s = 0  # one may have been late, where another process has its core
    run_programs(programs)
    helpers = {member.native_id for member in crew._members}
    bound = {
        (thread, tuple(chosen)) for caller, thread, chosen in seen if caller == threading.get_native_id()
    }
    assert bound == {(helper, tuple(cores - {min(cores)})) for helper in helpers}
    while not any(os.sched_getaffinity(helper) == cores for helper in helpers):
        assert time.monotonic() < end
        time.sleep(0.01)
