"""Mapping a function over items in worker processes or threads.

By hand, because the pools of the standard library hang or leave orphans when a worker or the parent is killed. Here
each worker has one pipe. When the parent ends, however that happens, the pipe closes and the worker ends after its
current item; when a worker dies, the pipe closes and only its current item is lost.
"""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")

_AHEAD = 2
"""Items sent to a worker at a time: the next one waits in the pipe, so that the worker never idles."""
_STOP_SECONDS = 20.0
"""How long a worker may take to finish its current item when the iteration ends."""


_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""By workers: Ctrl-C, `kill`, a closed terminal and Slurm reach all processes, but the parent decides when to stop."""


class WorkerDiedError(RuntimeError):
    """The process that worked on an item was killed or crashed."""


@dataclass(frozen=True)
class Done(Generic[Item, Value]):
    """The result of an item: a value, or the exception that `function` raised, or a WorkerDiedError."""

    item: Item
    value: Value | None = None
    error: Exception | None = None


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    given: deque[Any] = field(default_factory=deque)


def available_cpus() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_unordered(
    function: Callable[[Item], Value], items: Iterable[Item], workers: int
) -> Iterator[Done[Item, Value]]:
    """Apply `function` to each item in `workers` new processes; results come in the order of completion.

    `function` and items are pickled. `items` is read as results are taken, never far ahead. Workers ignore Ctrl-C: when
    the parent abandons the iteration, they finish their current item, so that no file is left incomplete.
    """
    context = multiprocessing.get_context("spawn")

    def start() -> _Worker:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, function), daemon=True)
        # A worker inherits the mask, so that no signal ends it in the seconds before it can ignore them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _IGNORED)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        return _Worker(process, ours)

    waiting: deque[Item] = deque()
    source = iter(items)
    pool = [start() for _ in range(workers)]
    try:
        while True:
            for worker in pool:
                while len(worker.given) < _AHEAD and _fill(waiting, source):
                    _give(worker, waiting.popleft())
            busy = {worker.connection: worker for worker in pool if worker.given}
            if not busy:
                return
            for connection in wait(list(busy)):
                worker = busy[connection]  # type: ignore[index]
                try:
                    value, error = worker.connection.recv()
                    yield Done(worker.given.popleft(), value, error)
                except (EOFError, ConnectionResetError):
                    worker.process.join()
                    lost = worker.given.popleft()
                    waiting.extendleft(reversed(worker.given))
                    pool[pool.index(worker)] = start()
                    reason = f"the process that worked on it died (status {worker.process.exitcode})"
                    yield Done(lost, error=WorkerDiedError(reason))
    finally:
        _stop(pool)


def _fill(waiting: deque[Any], source: Iterator[Any]) -> bool:
    if not waiting:
        waiting.extend(item for item in [next(source, _END)] if item is not _END)
    return bool(waiting)


_END = object()


def _give(worker: _Worker, item: Any) -> None:
    worker.given.append(item)
    try:
        worker.connection.send(item)
    except (BrokenPipeError, ConnectionResetError):
        # The worker has died: its items are sent to another one when results are collected.
        return


def _stop(pool: list[_Worker]) -> None:
    for worker in pool:
        worker.connection.close()
    for worker in pool:
        worker.process.join(_STOP_SECONDS)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


def _serve(connection: Connection, function: Callable[[Any], Any]) -> None:
    """The loop of a worker process: receive items and send results until the pipe closes."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    while True:
        try:
            item = connection.recv()
        except (EOFError, ConnectionResetError):
            return
        try:
            reply: tuple[Any, Exception | None] = (function(item), None)
        except Exception as error:
            # Not swallowed: it crosses the pipe and becomes `Done.error`.
            reply = (None, error)
        try:
            connection.send(reply)
        except (BrokenPipeError, ConnectionResetError):
            return


def map_threads(
    function: Callable[[Item], Value], items: Iterable[Item], threads: int, prepare: Callable[[], None] | None = None
) -> Iterator[Done[Item, Value]]:
    """Apply `function` to each item in threads of this process; results come in the order of the items.

    For work that releases the GIL: files, OpenCV, torch. `items` is read as results are taken, never far
    ahead. `prepare` is called once in each thread. When the iteration is abandoned, threads finish their current item.
    """
    source, pending = iter(items), deque[tuple[Item, Future[Value]]]()
    pool = ThreadPoolExecutor(threads, "map", prepare or _nothing)
    try:
        while True:
            while len(pending) < _AHEAD * threads and (item := next(source, _END)) is not _END:
                pending.append((item, pool.submit(function, item)))  # type: ignore[arg-type]
            if not pending:
                return
            item, future = pending.popleft()
            # Other BaseExceptions (the interpreter shutting down) are raised by result().
            failed = isinstance(error := future.exception(), Exception)
            yield Done(item, error=error) if failed else Done(item, future.result())  # type: ignore[arg-type]
    finally:
        pool.shutdown(cancel_futures=True)


def _nothing() -> None:
    pass
