"""Data sets and bases, made in a process of their own in the order in which runs need them, while others train."""

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from tools.paper.spec import OF_TRAINING, VALIDATION, Run
from tools.paper.workplace import CommandError, OutOfTimeError, Workplace

LOST = "the process that made its data died (for want of memory, perhaps)"
NICENESS = 10
"""Rendering takes what trainings leave of the CPU: a GPU that waits for its next kernel is dearer."""


def needs(run: Run) -> tuple[str, ...]:
    """The data sets of a run: that which it trains on first."""
    of_others = (VALIDATION, OF_TRAINING, *(one.data for one in run.arm.evaluations)) if run.arm.evaluations else ()
    return tuple(dict.fromkeys((run.arm.data, *of_others)))


def prepare(run: Run, place: Workplace) -> None:
    """Make the base and the data of a run, where they are not there."""
    place.check_time()
    if run.arm.base:
        place.make_base(run.arm.base)
    for name in needs(run):
        place.make_data(name, run.arm.kind)
    place.make_cache(run.arm.data, run.arm.kind, run.arm.base)


def prepared(run: Run, place: Workplace) -> str:
    """The same; "" or why they are not there."""
    try:
        prepare(run, place)
    except OutOfTimeError:
        return "the session was over before its data was there"
    except CommandError as error:
        return str(error)
    return ""


class Preparation:
    """Makes what some runs need. What is there already is known at once."""

    def __init__(self, runs: Iterable[Run], place: Workplace):
        self._futures: dict[tuple[str, ...], Future[str]] = {}
        self._pool: ProcessPoolExecutor | None = None
        for run in runs:
            if self._key(run) not in self._futures and not self._is_there(run, place):
                if self._pool is None:
                    context = multiprocessing.get_context("spawn")
                    self._pool = ProcessPoolExecutor(1, context, _give_way)
                self._futures[self._key(run)] = self._pool.submit(prepared, run, place)

    def problem(self, run: Run) -> str | None:
        """ "" where all is there for a run, why it cannot be, or None while that is not known."""
        future = self._futures.get(self._key(run))
        if future is None:
            return ""
        if not future.done():
            return None
        return LOST if isinstance(future.exception(), BrokenProcessPool) else future.result()

    def pending(self, runs: Iterable[Run]) -> Iterator[Future[str]]:
        """What some runs still wait for."""
        for run in runs:
            future = self._futures.get(self._key(run))
            if future is not None and not future.done():
                yield future

    def close(self) -> None:
        """Make no more, after what is being made."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _key(self, run: Run) -> tuple[str, ...]:
        return (run.arm.kind, run.arm.base, *needs(run))

    def _is_there(self, run: Run, place: Workplace) -> bool:
        return place.is_there(needs(run), run.arm.kind, run.arm.data, run.arm.base)


def _give_way() -> None:
    if hasattr(os, "nice"):
        os.nice(NICENESS)
