"""Which runs are still to be done, and doing them: several at once in processes, until a session is over."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool

from tools.paper.journal import Journal
from tools.paper.measuring import EVALUATIONS
from tools.paper.preparation import Preparation, prepared
from tools.paper.slots import Slot, make_slots, visible_gpus
from tools.paper.spec import Run, key_of
from tools.paper.statistics import MIN_SEEDS
from tools.paper.work import in_process
from tools.paper.workplace import Workplace

LOST = "its process died (for want of memory, perhaps)"


def to_do(runs: Iterable[Run], place: Workplace, *, gpu: bool) -> list[Run]:
    """The runs without a record of the same options, data and weights; those for a GPU only where there is one.

    First come as many seeds of all as a verdict needs, then those that make the intervals narrower.
    """
    journal = Journal(place.folder / "records")
    wanted = [run for run in runs if gpu or not run.arm.needs_gpu]
    wanted.sort(key=_part)
    return [run for run in wanted if not journal.is_done(run.name, key_of(run.identity(place.common)))]


def _part(run: Run) -> tuple[bool, bool]:
    """Runs of one part are done together. Those that are measured alone follow the others of their seeds."""
    return run.seed >= MIN_SEEDS, run.arm.alone


def do(runs: Iterable[Run], place: Workplace, jobs: int) -> Iterator[tuple[Run, str]]:
    """Carry out runs, up to `jobs` at once; yields each with "" or with why it is not done.

    With 0 jobs all is done in this process. Several GPUs are shared evenly. Runs that are measured alone have a GPU for
    themselves. When the session is over no run is started any more.
    """
    runs = sorted(runs, key=_part)
    try:
        yield from _in_processes(runs, place, jobs) if jobs else _here(runs, place)
    finally:
        shutil.rmtree(place.folder / EVALUATIONS, ignore_errors=True)


def _here(runs: Iterable[Run], place: Workplace) -> Iterator[tuple[Run, str]]:
    for run in runs:
        if place.seconds_left <= 0:
            return
        yield run, prepared(run, place) or in_process(run, place)


def _in_processes(runs: Sequence[Run], place: Workplace, jobs: int) -> Iterator[tuple[Run, str]]:
    gpus = visible_gpus(place.device)
    slots = make_slots(jobs, gpus)
    data = Preparation(runs, place)
    try:
        for part in dict.fromkeys(map(_part, runs)):
            chosen = [run for run in runs if _part(run) == part]
            alone = any(run.arm.alone for run in chosen)
            if not alone:
                yield from _several(chosen, slots, data, place)
                continue
            # Neither the making of data nor another training may take time from what is measured.
            wait(list(data.pending(runs)), timeout=_timeout(place))
            fresh = make_slots(max(1, min(jobs, len(gpus))), gpus, fresh=True)
            try:
                yield from _several(chosen, fresh, data, place)
            finally:
                _close(fresh)
    finally:
        _close(slots)
        data.close()


def _several(
    runs: Sequence[Run], slots: Sequence[Slot], data: Preparation, place: Workplace
) -> Iterator[tuple[Run, str]]:
    """Runs of one part, in their order, except that none waits for the data of another one."""
    waiting, active = list(runs), dict[Future[str], tuple[Slot, Run]]()
    while waiting or active:
        if place.seconds_left <= 0:
            waiting.clear()
        known = [(run, problem) for run in waiting if (problem := data.problem(run)) is not None]
        failed = [(run, problem) for run, problem in known if problem]
        yield from failed
        busy = {id(slot) for slot, _ in active.values()}
        free = [slot for slot in slots if id(slot) not in busy]
        begun = [run for run, problem in known if not problem][: len(free)]
        for slot, run in zip(free, begun, strict=False):
            active[slot.start(run, place)] = slot, run
        waiting = [run for run in waiting if run not in begun and run not in [run for run, _ in failed]]
        # A place that is free waits for data, too.
        awaited = data.pending(waiting) if len(active) < len(slots) else ()
        done, _ = wait([*active, *awaited], timeout=_timeout(place) if waiting else None, return_when=FIRST_COMPLETED)
        for future in done & active.keys():
            slot, ended = active.pop(future)  # type: ignore[index]
            yield ended, _outcome(future, slot)


def _outcome(future: Future[str], slot: Slot) -> str:
    """ "" or why a run is not done. The other runs are worth doing all the same."""
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, BrokenProcessPool):
        slot.close()
        return LOST
    return f"{type(error).__name__}: {error}"


def _timeout(place: Workplace) -> float | None:
    """Seconds to wait for something; None where the session has no end."""
    left = place.seconds_left
    return max(0.0, left) if left < float("inf") else None


def _close(slots: Iterable[Slot]) -> None:
    for slot in slots:
        slot.close()
