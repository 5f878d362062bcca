"""Which runs are still to be done, and doing them: several at once in processes, until a session is over."""

import multiprocessing
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from tools.paper.journal import Journal
from tools.paper.measuring import EVALUATIONS
from tools.paper.spec import OF_TRAINING, VALIDATION, Run, key_of
from tools.paper.statistics import MIN_SEEDS
from tools.paper.work import in_process
from tools.paper.workplace import CommandError, OutOfTimeError, Workplace

LOST = "its process died (for want of memory, perhaps)"


def to_do(runs: Iterable[Run], place: Workplace, *, gpu: bool) -> list[Run]:
    """The runs without a record of the same options, data and weights; those for a GPU only where there is one.

    First come as many seeds of all as a verdict needs, then those that make the intervals narrower.
    """
    journal = Journal(place.folder / "records")
    wanted = [run for run in runs if gpu or not run.arm.needs_gpu]
    wanted.sort(key=lambda run: run.seed >= MIN_SEEDS)
    return [run for run in wanted if not journal.is_done(run.name, key_of(run.identity(place.common)))]


def prepare(run: Run, place: Workplace) -> None:
    """Make the data and the base of a run, where they are not there."""
    of_others = (VALIDATION, OF_TRAINING, *(one.data for one in run.arm.evaluations)) if run.arm.evaluations else ()
    for name in dict.fromkeys((run.arm.data, *of_others)):
        place.check_time()
        place.make_data(name, run.arm.kind)
    if run.arm.base:
        place.make_base(run.arm.base)


def do(runs: Iterable[Run], place: Workplace, jobs: int) -> Iterator[tuple[Run, str]]:
    """Carry out runs, up to `jobs` at once; yields each with "" or with why it is not done.

    With 0 jobs all is done in this process. Runs that are measured alone come last, one at a time. When the session is
    over no run is started any more.
    """
    runs = list(runs)
    try:
        yield from _several([run for run in runs if not run.arm.alone], place, jobs)
        yield from _several([run for run in runs if run.arm.alone], place, min(jobs, 1), fresh=True)
    finally:
        shutil.rmtree(place.folder / EVALUATIONS, ignore_errors=True)


def _several(runs: list[Run], place: Workplace, jobs: int, *, fresh: bool = False) -> Iterator[tuple[Run, str]]:
    """`fresh`: each in a new process, because memory is measured."""
    if not jobs:
        for run in runs:
            if place.seconds_left <= 0:
                return
            yield run, _prepared(run, place) or in_process(run, place)
        return
    waiting = iter(runs)
    pool, active = _pool(jobs, fresh), dict[Future[str], Run]()
    try:
        while True:
            while len(active) < jobs and place.seconds_left > 0 and (new := next(waiting, None)) is not None:
                if failure := _prepared(new, place):
                    yield new, failure
                else:
                    active[pool.submit(in_process, new, place)] = new
            if not active:
                return
            done, _ = wait(active, return_when=FIRST_COMPLETED)
            for future in done:
                ended = active.pop(future)
                error = future.exception()
                if not isinstance(error, BrokenProcessPool):
                    # The other runs are worth doing all the same.
                    yield ended, future.result() if error is None else f"{type(error).__name__}: {error}"
                    continue
                # A process that dies takes all of its pool with it.
                yield from ((one, LOST) for one in (ended, *active.values()))
                pool.shutdown(wait=False)
                pool, active = _pool(jobs, fresh), {}
                break
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _prepared(run: Run, place: Workplace) -> str:
    try:
        prepare(run, place)
    except OutOfTimeError:
        return "the session was over before its data was there"
    except CommandError as error:
        return str(error)
    return ""


def _pool(jobs: int, fresh: bool) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    tasks = 1 if fresh else None
    return ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_share_threads, initargs=(jobs,), max_tasks_per_child=tasks
    )


def _share_threads(jobs: int) -> None:
    """Threads of several processes would wait for each other."""
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // jobs))
