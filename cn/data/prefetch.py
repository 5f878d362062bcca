"""Results in order from several processes, and a background thread that prefetches them."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from cn.errors import PartialError
from cn.parallel import WorkerDiedError, map_unordered

Item = TypeVar("Item")
Value = TypeVar("Value")


def map_ordered(function: Callable[[Item], Value], items: Iterable[Item], workers: int) -> Generator[Value, None, None]:
    """Yield function(item) for each item, in order, computed by `workers` processes, or in this process with 0 or 1.

    An exception of `function` is raised here when it is its item's turn. Raises PartialError when a worker dies.
    Closing the generator stops the workers.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    early: dict[int, Any] = {}
    turn = 0
    with closing(map_unordered(partial(_numbered, function), enumerate(items), workers)) as results:  # type: ignore[type-var]
        for done in results:
            early[done.item[0]] = done
            while turn in early:
                first = early.pop(turn)
                turn += 1
                if isinstance(first.error, WorkerDiedError):
                    raise PartialError(
                        "a worker process died: give fewer --workers if memory is short, and in a Python script call "
                        'this below `if __name__ == "__main__":`'
                    )
                if first.error is not None:
                    raise first.error
                yield first.value


def _numbered(function: Callable[[Item], Value], item: tuple[int, Item]) -> Value:
    return function(item[1])


@dataclass(frozen=True)
class _Failure:
    error: BaseException


_END = object()


def fetch_ahead(values: Generator[Value, None, None], length: int) -> Generator[Value, None, None]:
    """The same values, at most `length` of them prefetched by a background thread.

    Exceptions of `values` are raised here when it is their turn. Closing this generator closes `values` too.
    """
    slots: queue.Queue[Any] = queue.Queue(length)
    stop = threading.Event()

    def put(value: object) -> None:
        while not stop.is_set():
            try:
                slots.put(value, timeout=0.1)
            except queue.Full:
                continue
            return

    def pump() -> None:
        try:
            with closing(values):
                for value in values:
                    put(value)
                    if stop.is_set():
                        return
            put(_END)
        except BaseException as error:
            # Not swallowed: it is raised where the values are used.
            put(_Failure(error))

    thread = threading.Thread(target=pump, name="fetch-ahead", daemon=True)
    thread.start()
    try:
        while (value := slots.get()) is not _END:
            if isinstance(value, _Failure):
                raise value.error
            yield value
    finally:
        stop.set()
        thread.join()
