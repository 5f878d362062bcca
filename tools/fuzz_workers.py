"""The fuzzer's processes: each feeds a share of the inputs under bounds, and is replaced when an input ends it."""

import contextlib
import ctypes
import multiprocessing
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from fuzz_inputs import Bounds, verdict, write_input
from fuzz_readers import Reader

_CHUNK = 100
"""Inputs that a process gets at a time."""
_WAIT = 12
"""A process that does not answer for so many times its CPU time is ended: it hangs where no signal reaches it."""


@dataclass
class Tally:
    """The results of some inputs; `slowest` in milliseconds of CPU time, `peak` in megabytes beyond what was there."""

    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    faults: int = 0
    slowest: float = 0.0
    peak: float = 0.0

    def add(self, other: "Tally") -> None:
        self.inputs += other.inputs
        self.accepted += other.accepted
        self.refused += other.refused
        self.faults += other.faults
        self.slowest = max(self.slowest, other.slowest)
        self.peak = max(self.peak, other.peak)


@dataclass(frozen=True)
class Fault:
    """An input that a reader neither read nor refused as it should."""

    reader: str
    number: int
    what: str

    def line(self, seed: int) -> str:
        return f"FAULT {self.reader} --seed {seed} input {self.number}: {self.what}"


@dataclass
class _Task:
    """The inputs `start` … `end` - 1 of a reader."""

    reader: int
    start: int
    end: int


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    current: Any
    """Shared: the number of the input that is being read."""
    task: _Task | None = None
    seen: tuple[int, float] = field(default=(-1, 0.0))
    """That number when it was last looked at, and when it changed."""


def results(
    readers: Sequence[Reader], inputs: int, seed: int, jobs: int, bounds: Bounds
) -> Iterator[tuple[str, Tally, list[Fault]]]:
    """Feed all inputs, on `jobs` processes; gives results as they come: the reader, the counts, the faults."""
    shares = [inputs // len(readers) + (k < inputs % len(readers)) for k in range(len(readers))]
    tasks = [
        _Task(k, start, min(start + _CHUNK, share))
        for k, share in enumerate(shares)
        for start in range(0, share, _CHUNK)
    ]
    # The chunks of all readers take turns, so that a slow one is not what all processes wait for at the end.
    tasks.sort(key=lambda task: task.start)
    tasks.reverse()
    with tempfile.TemporaryDirectory(dir=_memory_folder()) as folder:
        workers = [_started(readers, seed, bounds, folder) for _ in range(jobs)]
        try:
            while tasks or any(worker.task for worker in workers):
                for worker in workers:
                    if worker.task is None and tasks:
                        worker.task = tasks.pop()
                        worker.pipe.send(worker.task)
                ready = wait([worker.pipe for worker in workers if worker.task], timeout=1)
                for k, worker in enumerate(workers):
                    if worker.task is None:
                        continue
                    task, name = worker.task, readers[worker.task.reader].name
                    ended = None
                    if worker.pipe in ready:
                        with contextlib.suppress(EOFError, ConnectionError):
                            tally, faults = worker.pipe.recv()
                            worker.task = None
                            yield name, tally, faults
                            continue
                        ended = "ended the process"
                    elif _hangs(worker, bounds):
                        ended = "hangs"
                        worker.process.kill()
                    if ended is not None:
                        worker.process.join()
                        status = worker.process.exitcode
                        number = worker.current.value
                        how = f" by signal {-status}" if ended != "hangs" and status < 0 else ""
                        yield name, Tally(1, faults=1), [Fault(name, number, f"{ended}{how}")]
                        # The counts of the inputs before it went with the process: they are fed again.
                        rest = (_Task(task.reader, task.start, number), _Task(task.reader, number + 1, task.end))
                        tasks.extend(part for part in rest if part.start < part.end)
                        workers[k] = _started(readers, seed, bounds, folder)
        finally:
            for worker in workers:
                worker.process.kill()
                worker.process.join()


def _memory_folder() -> str | None:
    """A folder in memory, where there is one: a million files are written."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _hangs(worker: _Worker, bounds: Bounds) -> bool:
    now, number = time.monotonic(), worker.current.value
    if number != worker.seen[0]:
        worker.seen = number, now
    return now - worker.seen[1] > _WAIT * bounds.seconds


def _started(readers: Sequence[Reader], seed: int, bounds: Bounds, folder: str) -> _Worker:
    # Forked: the readers' libraries and seeds are there already.
    context = multiprocessing.get_context("fork")
    current = context.RawValue(ctypes.c_int64, -1)
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(readers, seed, bounds, folder, theirs, current), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours, current, seen=(-1, time.monotonic()))


def _work(readers: Sequence[Reader], seed: int, bounds: Bounds, folder: str, pipe: Connection, current: Any) -> None:
    """A process: reads inputs until the pipe is closed."""
    # Libraries in C write their own warnings of damaged files.
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    place = Path(tempfile.mkdtemp(dir=folder))
    limit_memory(bounds)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            task = pipe.recv()
            pipe.send(_fed(readers[task.reader], task, seed, bounds, place, current))


def _fed(
    reader: Reader, task: _Task, seed: int, bounds: Bounds, place: Path, current: Any
) -> tuple[Tally, list[Fault]]:
    tally, faults = Tally(), []
    for number in range(task.start, task.end):
        current.value = number
        folder = place / f"{number}"
        folder.mkdir()
        write_input(reader, seed, number, folder)
        before, started = _reset_peak(), time.process_time()
        what, detail = verdict(reader, folder, bounds)
        tally.slowest = max(tally.slowest, 1000 * (time.process_time() - started))
        tally.peak = max(tally.peak, (_peak() - before) / 1e6)
        tally.inputs += 1
        tally.accepted += what == "accepted"
        tally.refused += what == "refused"
        tally.faults += what == "fault"
        if what == "fault":
            faults.append(Fault(reader.name, number, detail))
        shutil.rmtree(folder)
    return tally, faults


def limit_memory(bounds: Bounds) -> None:
    """Bound what this process may take from now on; only Linux keeps to it."""
    if sys.platform == "linux":
        limit = _status("VmSize") + bounds.memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _reset_peak() -> int:
    """Make the peak of the process's memory what it is now, in bytes; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    return _status("VmHWM")


def _status(name: str) -> int:
    try:
        found = re.search(rf"{name}:\s*(\d+)", Path("/proc/self/status").read_text())
    except OSError:
        return 0
    return int(found[1]) << 10 if found else 0
