"""Work spread over processes that cannot take each other down, nor outlive us; or over threads of this one.

Python's own pools hang or leave orphans when a worker, or the parent, is killed. Here each worker has one pipe: when we
go away, in whatever manner, its pipe closes and it ends after the item it is at; when it dies, its pipe closes and only
the item it was at is lost.
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
"""Items given to a worker at a time: the next one waits in the pipe while it works, so that it never idles."""
_PATIENCE = 20.0
"""Seconds that a worker has for finishing its item when we stop."""


class WorkerDiedError(RuntimeError):
    """The process that worked on an item was killed or crashed."""


@dataclass(frozen=True)
class Done(Generic[Item, Value]):
    """What became of an item: a value, or the exception that `function` raised, or a WorkerDiedError."""

    item: Item
    value: Value | None = None
    error: Exception | None = None


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    given: deque[Any] = field(default_factory=deque)


def processors() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_unordered(
    function: Callable[[Item], Value], items: Iterable[Item], workers: int
) -> Iterator[Done[Item, Value]]:
    """`function` applied to each item in `workers` fresh processes; results in the order in which they are ready.

    `function` and items are pickled. `items` is read as results are taken, never far ahead. Ctrl-C is left to the
    parent: when the iteration is abandoned, the workers finish the item they are at, so that what they write is whole.
    """
    context = multiprocessing.get_context("spawn")

    def start() -> _Worker:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, function), daemon=True)
        process.start()
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
        # It has died; the closed pipe is noticed, and the items are given out again, when results are collected.
        return


def _stop(pool: list[_Worker]) -> None:
    for worker in pool:
        worker.connection.close()
    for worker in pool:
        worker.process.join(_PATIENCE)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


def _serve(connection: Connection, function: Callable[[Any], Any]) -> None:
    """The life of a worker: items come in, values go out, until the pipe closes."""
    # Ctrl-C and `kill` reach the whole group; the parent decides when to stop, and a half-done item is finished first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
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
    """`function` applied to each item in threads of this process; results in the order of the items.

    For work that lets go of the interpreter: files, OpenCV, torch. `items` is read as results are taken, never far
    ahead. `prepare` is called once in each thread. When the iteration is abandoned, threads finish what they are at.
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
            # What is no Exception (an interpreter going down) is raised by result().
            failed = isinstance(error := future.exception(), Exception)
            yield Done(item, error=error) if failed else Done(item, future.result())  # type: ignore[arg-type]
    finally:
        pool.shutdown(cancel_futures=True)


def _nothing() -> None:
    pass
