"""Processes that render scenes and detect lines while the GPU samples. Imports no torch."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from types import TracebackType
from typing import Any, TypeVar

import cv2

Value = TypeVar("Value")


class Workers:
    """`count` processes with one thread each; with fewer than two, calls are made where they are submitted."""

    def __init__(self, count: int):
        self.executor: ProcessPoolExecutor | None = None
        if count > 1:
            os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
            context = multiprocessing.get_context("spawn")
            self.executor = ProcessPoolExecutor(count, context, initializer=cv2.setNumThreads, initargs=(1,))

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.executor is not None:
            self.executor.shutdown(cancel_futures=True)

    def submit(self, function: Callable[..., Value], *arguments: Any) -> "Future[Value]":
        """The result of `function(*arguments)`, later."""
        if self.executor is not None:
            return self.executor.submit(function, *arguments)
        done: Future[Value] = Future()
        done.set_result(function(*arguments))
        return done

    def start(self, function: Callable[..., Value], jobs: Iterable[Sequence[Any]]) -> "list[Future[Value]]":
        """Submit one call for the arguments of each job."""
        return [self.submit(function, *job) for job in jobs]


def parts(count: int, size: int) -> list[slice]:
    """`count` items in parts of at most `size`."""
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]
