"""Worker processes and threads: items are read lazily, failures stay isolated, and nothing outlives the parent.

Nothing here depends on speed: what must happen at the same time waits for each other, and `SAFETY_NET` only keeps a
failure from hanging.
"""

import os
import signal
import subprocess
import sys
import textwrap
import threading

import psutil
import pytest

from cn.parallel import WorkerDiedError, map_threads, map_unordered
from tests.helpers.waiting import wait_until

SAFETY_NET = 60.0
"""Seconds."""


def double(number: int) -> int:
    return 2 * number


def fragile(number: int) -> int:
    """13 raises an error, 17 kills its process."""
    if number == 13:
        raise ZeroDivisionError("thirteen")
    if number == 17:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_all_items_come_back_once():
    done = list(map_unordered(double, range(50), workers=3))
    assert sorted(d.item for d in done) == list(range(50))
    assert all(d.value == 2 * d.item and d.error is None for d in done)
    assert list(map_unordered(double, [], workers=2)) == []


def test_an_exception_or_a_dead_process_costs_one_item():
    done = {d.item: d for d in map_unordered(fragile, range(30), workers=2)}
    assert sorted(done) == list(range(30))
    assert isinstance(done[13].error, ZeroDivisionError)
    assert isinstance(done[17].error, WorkerDiedError)
    assert "-9" in str(done[17].error)
    assert [n for n, d in done.items() if d.error is None] == [n for n in done if n not in (13, 17)]


def harmed(number: signal.Signals) -> bool:
    """A worker gets a signal; whether it was blocked already when the worker began."""
    os.kill(os.getpid(), number)
    return number in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_no_signal_ends_a_worker_and_none_while_it_starts():
    """Ctrl-C, `kill`, a closed terminal and Slurm's warning reach the whole group; the parent's own mask stays."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1]
    done = list(map_unordered(harmed, numbers, workers=1))
    assert [(d.item, d.value, d.error) for d in done] == [(number, True, None) for number in numbers]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_items_are_read_only_as_results_are_taken():
    read = 0

    def items():
        nonlocal read
        for number in range(1000):
            read += 1
            yield number

    results = map_unordered(double, items(), workers=2)
    for taken in range(1, 20):
        next(results)
        assert read <= taken + 2 * 2
    results.close()


def test_abandoned_workers_end():
    results = map_unordered(double, range(1000), workers=2)
    next(results)
    children = psutil.Process().children()
    results.close()
    _, alive = psutil.wait_procs(
        [child for child in children if "spawn_main" in " ".join(command(child))], timeout=SAFETY_NET
    )
    assert alive == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_do_not_outlive_a_killed_parent(number):
    script = textwrap.dedent("""
        import signal
        from cn.parallel import map_unordered
        from tests.test_parallel import double
        results = map_unordered(double, range(100000), workers=2)
        next(results)
        print("ready", flush=True)
        signal.pause()
    """)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    children = psutil.Process(process.pid).children()
    assert len(children) >= 2
    process.send_signal(number)
    process.wait()
    process.stdout.close()
    wait_until(lambda: not any(map(is_alive, children)))


def is_alive(process: psutil.Process) -> bool:
    """Whether a process runs; one that has ended but was not waited for yet (by whoever adopted it) does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


# ---- threads ----


def test_threads_give_results_in_order_and_failures_as_results():
    finished = [threading.Event() for _ in range(41)]
    finished[40].set()

    def work(number: int) -> int:
        """Every fourth item finishes after its successor; 13 raises an error."""
        try:
            if number % 4 == 0:
                assert finished[number + 1].wait(SAFETY_NET)
            if number == 13:
                raise ZeroDivisionError
            return 2 * number
        finally:
            finished[number].set()

    done = list(map_threads(work, range(40), 3))
    assert [d.item for d in done] == list(range(40))
    assert [d.value for d in done if d.error is None] == [2 * n for n in range(40) if n != 13]
    assert isinstance(done[13].error, ZeroDivisionError)


def test_threads_work_at_the_same_time_are_prepared_and_never_far_ahead():
    names, prepared, read = set(), [], []
    together = threading.Barrier(4)

    def items():
        for number in range(50):
            read.append(number)
            yield number

    def work(number: int) -> int:
        names.add(threading.get_ident())
        if number < 4:  # passes only when four items are being worked on at once
            together.wait(SAFETY_NET)
        return number

    results = map_threads(work, items(), 4, lambda: prepared.append(threading.get_ident()))
    for taken in range(1, 21):
        done = next(results)
        assert done.error is None
        assert len(read) <= taken + 2 * 4
    results.close()
    assert len(read) < 50
    assert len(prepared) == 4
    assert names == set(prepared)
